//! Faults seeded around `decide`. The same properties that hold for the rules must find out every one of them.
//!
//! A mutant spoils what goes into `decide` or what comes out of it; the rules themselves know nothing of mutants.

use super::Decide;
use super::properties::find_out;
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{
    Act, Decision, Effect, Input, Outcome, PersonAction, PolicyInForce, Surroundings,
};
use crate::domain::policy::{OnNewAlert, Policy};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use crate::domain::transition::decide;
use std::time::Duration;

/// How many histories a mutant may survive.
const HISTORIES: u32 = 1500;

macro_rules! mutants {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let found = find_out(super::$name as Decide, HISTORIES);
            assert!(found.is_some(), "the properties do not see this fault");
        }
    )*};
}

/// Each fault is found.
mod is_found {
    use super::{Decide, HISTORIES, find_out};

    mutants! {
        an_ack_resurrects_what_is_resolved
        the_ladder_catches_up_after_an_outage
        an_ack_cancels_nothing
        the_timer_runs_from_the_enqueuing
        an_ack_forgets_what_it_knew
        a_further_ack_knows_more
        the_fallback_is_told_twice
        a_reminder_is_a_fallback
        reminders_never_end
        the_ladder_leaves_out_a_level
        the_ladder_is_repeated_once_too_often
        an_ack_keeps_the_ladders_timer
        an_ack_never_ends
        a_refire_takes_up_an_ack_that_has_ended
        a_refire_forgets_the_ack
        a_run_follows_the_newest_policy
        a_run_keeps_the_policy_of_the_run_before
        every_room_that_is_told_arms_the_ladder_again
        closed_opens_again
        closed_remembers_no_episode
        a_change_has_no_version
        a_change_is_not_in_the_timeline
        a_late_ack_is_a_version
        giving_back_pages_at_once
        a_forced_resolution_does_not_hold
        a_forced_resolution_hides_everything
        a_forced_resolution_closes_while_alerts_fire
        a_new_alert_never_breaks_an_ack
        every_alert_breaks_an_ack
        a_new_alert_breaks_a_sticky_ack
        acks_are_broken_as_often_as_alerts_join
        a_snooze_may_last_for_ever
        a_replay_pages_at_once
        an_old_report_counts
        a_report_clears_what_it_leaves_out
        a_stale_click_escalates
        an_escalation_by_hand_only_waits
        maintenance_holds_nothing_back
        maintenance_leaves_the_timer
        what_does_not_escalate_escalates
        a_report_touches_the_ladder
        a_report_pages_by_itself
        an_undeliverable_page_is_waited_for
        nobody_sees_the_change
        a_repeat_is_a_version
    }
}

type Before<'a> = Option<&'a Incident>;

/// `decide` under a policy that `spoil` has changed.
fn under(before: Before<'_>, input: &Input, around: Surroundings<'_>, spoil: fn(&mut Policy)) -> Decision {
    let (mut of_run, mut newest) = (around.of_run.policy.clone(), around.newest.policy.clone());
    spoil(&mut of_run);
    spoil(&mut newest);
    let of_run = PolicyInForce { policy: &of_run, ..around.of_run };
    let newest = PolicyInForce { policy: &newest, ..around.newest };
    decide(before, input, Surroundings { of_run, newest, ..around })
}

/// `decide`, and the incident that comes out spoilt.
fn and_then(mut decision: Decision, spoil: impl FnOnce(&mut Incident)) -> Decision {
    if let Some(incident) = decision.incident.as_mut() {
        spoil(incident);
    }
    decision
}

/// `decide` about a spoilt incident.
fn about(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
    spoil: impl FnOnce(&mut Incident),
) -> Decision {
    let spoilt = before.cloned().map(|mut incident| {
        spoil(&mut incident);
        incident
    });
    decide(spoilt.as_ref(), input, around)
}

/// The same, but only where `decide` changes something.
fn about_what_changes(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
    spoil: impl FnOnce(&mut Incident),
) -> Decision {
    let decision = decide(before, input, around);
    if decision.outcome == Outcome::Done { about(before, input, around, spoil) } else { decision }
}

fn act(input: &Input) -> Option<Act> {
    match input {
        Input::Person(PersonAction { act, .. }) => Some(*act),
        _ => None,
    }
}

fn has(decision: &Decision, wanted: fn(&Kind) -> bool) -> bool {
    decision.entries.iter().any(|entry| wanted(&entry.kind))
}

fn paged(decision: &Decision) -> bool {
    has(decision, |kind| matches!(kind, Kind::Paged { .. }))
}

fn is_taken(before: Before<'_>) -> bool {
    before.is_some_and(|it| matches!(it.phase, Phase::Acknowledged { .. } | Phase::Snoozed { .. }))
}

fn is_forced(before: Before<'_>) -> bool {
    before.is_some_and(|it| matches!(it.phase, Phase::Resolved { forced: true, .. }))
}

// The model's four.

fn an_ack_resurrects_what_is_resolved(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let resolved = before.is_some_and(|it| matches!(it.phase, Phase::Resolved { .. }));
    if resolved && act(input) == Some(Act::Acknowledge) {
        return about(before, input, around, |it| it.phase = Phase::Firing);
    }
    decide(before, input, around)
}

fn the_ladder_catches_up_after_an_outage(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.level = None);
    }
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| paged(&decision) && *input == Input::Tick);
    and_then(decision, |it| {
        let level = it.run.level.and_then(|level| around.of_run.policy.level(level));
        if let (Some(due), Some(level)) = (due, level) {
            it.next_at = Some(later(due, level.escalate_after));
        }
    })
}

fn an_ack_cancels_nothing(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if act(input) == Some(Act::Acknowledge) {
        decision.effects.retain(|effect| *effect != Effect::CancelUnsent);
    }
    decision
}

fn the_timer_runs_from_the_enqueuing(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.level = None);
    }
    under(before, input, around, |policy| policy.send_cap = Duration::ZERO)
}

// Acknowledgements.

fn an_ack_forgets_what_it_knew(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    and_then(decide(before, input, around), |it| it.known_at_ack.clear())
}

fn a_further_ack_knows_more(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let joined = decision.outcome == Outcome::JoinedAck;
    and_then(decision, |it| {
        if joined {
            let firing = it.firing.iter();
            it.known_at_ack = firing.map(|(name, alert)| (name.clone(), alert.severity.rank)).collect();
        }
    })
}

fn an_ack_keeps_the_ladders_timer(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let acked = act(input) == Some(Act::Acknowledge) && decision.outcome == Outcome::Done;
    and_then(decision, |it| {
        if acked {
            it.next_at = before.and_then(|before| before.next_at);
        }
    })
}

fn an_ack_never_ends(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.ack_timeout = None)
}

fn a_refire_takes_up_an_ack_that_has_ended(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    about_what_changes(before, input, around, |it| {
        if let Phase::Resolved { kept_ack: Some(ack), .. } = &mut it.phase {
            ack.until = ack.until.map(|until| until.max(later(around.now, Duration::from_secs(1))));
        }
    })
}

fn a_refire_forgets_the_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    about_what_changes(before, input, around, |it| {
        if let Phase::Resolved { kept_ack, .. } = &mut it.phase {
            *kept_ack = None;
        }
    })
}

fn a_new_alert_never_breaks_an_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.on_new_alert = OnNewAlert::Sticky)
}

fn every_alert_breaks_an_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let reopens = around.of_run.policy.on_new_alert == OnNewAlert::Reopen;
    if reopens && is_taken(before) && matches!(input, Input::Report(_)) {
        return about_what_changes(before, input, around, |it| {
            it.known_at_ack.clear();
            it.reopened_at = None;
        });
    }
    decide(before, input, around)
}

fn a_new_alert_breaks_a_sticky_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.on_new_alert = OnNewAlert::Reopen)
}

fn acks_are_broken_as_often_as_alerts_join(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    under(before, input, around, |policy| policy.reopen_min_interval = Duration::ZERO)
}

fn a_snooze_may_last_for_ever(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.max_snooze = Duration::MAX)
}

fn giving_back_pages_at_once(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.unack_delay = Duration::ZERO)
}

// The ladder.

fn the_fallback_is_told_twice(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if decision.effects.contains(&Effect::Fallback) {
        decision.effects.push(Effect::Fallback);
    }
    decision
}

fn a_reminder_is_a_fallback(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    for effect in &mut decision.effects {
        if matches!(effect, Effect::Reminder(_)) {
            *effect = Effect::Fallback;
        }
    }
    decision
}

fn reminders_never_end(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.max_reminders = u32::MAX)
}

fn the_ladder_leaves_out_a_level(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut spoilt = around.of_run.policy.clone();
    spoilt.levels.truncate(2);
    let of_run = PolicyInForce { policy: &spoilt, ..around.of_run };
    decide(before, input, Surroundings { of_run, ..around })
}

fn the_ladder_is_repeated_once_too_often(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    under(before, input, around, |policy| policy.repeat += 1)
}

fn a_run_follows_the_newest_policy(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    decide(before, input, Surroundings { of_run: around.newest, ..around })
}

fn a_run_keeps_the_policy_of_the_run_before(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    decide(before, input, Surroundings { newest: around.of_run, ..around })
}

fn every_room_that_is_told_arms_the_ladder_again(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.told = false);
    }
    decide(before, input, around)
}

fn what_does_not_escalate_escalates(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let firing = before.is_some_and(|it| it.phase == Phase::Firing);
    let decision = decide(before, input, around);
    if firing && *input == Input::Tick && decision.outcome == Outcome::Nothing {
        return about(before, input, around, |it| {
            it.firing.values_mut().for_each(|alert| alert.severity.escalate = true);
        });
    }
    decision
}

fn an_undeliverable_page_is_waited_for(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| matches!(input, Input::PageUndeliverable(_)));
    and_then(decision, |it| it.next_at = due.or(it.next_at))
}

fn a_stale_click_escalates(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let Input::Person(action @ PersonAction { act: Act::Escalate(_), .. }) = input else {
        return decide(before, input, around);
    };
    let whatever = PersonAction { act: Act::Escalate(None), ..action.clone() };
    decide(before, &Input::Person(whatever), around)
}

fn an_escalation_by_hand_only_waits(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let firing = before.is_some_and(|it| it.phase == Phase::Firing);
    let decision = decide(before, input, around);
    if firing && matches!(act(input), Some(Act::Escalate(None))) {
        return Decision { incident: before.cloned(), entries: Vec::new(), effects: Vec::new(), ..decision };
    }
    decision
}

// The end.

fn closed_opens_again(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let closed = before.is_some_and(|it| it.phase == Phase::Closed);
    if closed && matches!(input, Input::Report(_)) {
        let resolved = Phase::Resolved { forced: false, kept_ack: None };
        return about(before, input, around, |it| it.phase = resolved);
    }
    decide(before, input, around)
}

fn closed_remembers_no_episode(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let open = before.filter(|it| it.phase != Phase::Closed);
    let decision = decide(open, input, around);
    if decision.incident.is_none() { decide(before, input, around) } else { decision }
}

fn a_forced_resolution_does_not_hold(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if is_forced(before) && matches!(input, Input::Report(_)) {
        return about_what_changes(before, input, around, |it| it.known_at_ack.clear());
    }
    decide(before, input, around)
}

fn a_forced_resolution_hides_everything(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let Input::Report(report) = input else { return decide(before, input, around) };
    if !is_forced(before) {
        return decide(before, input, around);
    }
    about_what_changes(before, input, around, |it| {
        it.known_at_ack.extend(report.iter().map(|alert| (alert.fingerprint.clone(), i32::MAX)));
    })
}

fn a_forced_resolution_closes_while_alerts_fire(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if is_forced(before) && *input == Input::Tick {
        let resolved = Phase::Resolved { forced: false, kept_ack: None };
        return about(before, input, around, |it| it.phase = resolved);
    }
    decide(before, input, around)
}

// Reports.

fn a_replay_pages_at_once(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.replay_grace = Duration::ZERO)
}

fn an_old_report_counts(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let Input::Report(report) = input else { return decide(before, input, around) };
    let mut report = report.clone();
    for alert in &mut report {
        alert.starts_at = around.now;
    }
    decide(before, &Input::Report(report), around)
}

fn a_report_clears_what_it_leaves_out(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if let Input::Report(report) = input {
        return about(before, input, around, |it| {
            let open = it.phase.is_open() && report.iter().any(|alert| alert.firing);
            it.firing.retain(|name, _| !open || report.iter().any(|alert| alert.fingerprint == *name));
        });
    }
    decide(before, input, around)
}

fn a_report_touches_the_ladder(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let changed = has(&decision, |kind| matches!(kind, Kind::AlertsChanged { .. }));
    and_then(decision, |it| {
        if changed && it.phase == Phase::Firing {
            it.next_at = Some(around.now);
        }
    })
}

fn a_report_pages_by_itself(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let due = decision.incident.as_ref().and_then(|it| it.next_at).is_some_and(|at| at <= around.now);
    if !(matches!(input, Input::Report(_)) && due) {
        return decision;
    }
    let next = decide(decision.incident.as_ref(), &Input::Tick, around);
    let entries = [decision.entries, next.entries].concat();
    let effects = [decision.effects, next.effects].concat();
    Decision { entries, effects, ..next }
}

fn a_repeat_is_a_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if let (Outcome::Repeated, Some(incident)) = (decision.outcome, decision.incident.as_mut()) {
        incident.version += 1;
        let kind = Kind::AlertsChanged { joined: Vec::new(), cleared: Vec::new(), changed: Vec::new() };
        decision.entries.push(crate::domain::timeline::Entry::of(incident, around.now, kind));
    }
    decision
}

// Maintenance.

fn maintenance_holds_nothing_back(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    decide(before, input, Surroundings { maintenance: false, ..around })
}

fn maintenance_leaves_the_timer(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| *input == Input::MaintenanceStarted);
    and_then(decision, |it| it.next_at = due.or(it.next_at))
}

// The record.

fn a_change_has_no_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let changed = has(&decision, |kind| matches!(kind, Kind::AlertsChanged { .. }));
    and_then(decision, |it| it.version -= u64::from(changed))
}

fn a_change_is_not_in_the_timeline(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    decision.entries.retain(|entry| !matches!(entry.kind, Kind::Told { .. }));
    decision
}

fn a_late_ack_is_a_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let late = has(&decision, |kind| matches!(kind, Kind::LateAck { .. }));
    and_then(decision, |it| it.version += u64::from(late))
}

fn nobody_sees_the_change(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    let refired = has(&decision, |kind| {
        matches!(
            kind,
            Kind::RunStarted { why: RunReason::Refired, .. }
                | Kind::Resolved { why: ResolveReason::Stale, .. }
        )
    });
    decision.effects.retain(|effect| !(refired && matches!(effect, Effect::Refresh(_))));
    decision
}
