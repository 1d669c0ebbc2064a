//! I1, I2, I3: the conditions, transitions and timers of the phases.

use super::{Change, Held};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::Effect;
use crate::domain::input::{Input, Urgency};
use crate::domain::policy::OnNewAlert;
use crate::domain::time::{earlier, later};
use crate::domain::timeline::Kind;
use proptest::{prop_assert, prop_assert_eq};

pub(super) fn hold(change: &Change<'_>) -> Held {
    one_incident_at_a_time(change)?;
    let Some(after) = change.after() else { return Ok(()) };
    open_means_firing_alerts(after)?;
    timers(change, after)?;
    maintenance_suppresses(change, after)?;
    changes_are_posted(change, after)
}

/// I1: a closed incident never changes, and only a report with a firing alert opens another one.
fn one_incident_at_a_time(change: &Change<'_>) -> Held {
    let (before, after) = (change.before, change.after());
    let Some(same) = change.same_before() else {
        if after == before {
            return Ok(());
        }
        let first = after.is_some_and(|after| {
            (after.version, after.run.no, after.flap_count) == (1, 1, 0)
                && after.opened_at == change.around.now
                && !after.firing.is_empty()
        });
        prop_assert!(first && change.is_report(), "I1: closed is not final");
        return Ok(());
    };
    prop_assert_eq!(after.map(|after| after.opened_at), Some(same.opened_at), "I1: another incident");
    Ok(())
}

fn open_means_firing_alerts(after: &Incident) -> Held {
    let fires = !after.firing.is_empty();
    let forced = matches!(after.phase, Phase::Resolved { forced: true, .. });
    prop_assert!(!after.phase.is_open() || fires, "I2: open without a firing alert");
    prop_assert!(!fires || after.phase.is_open() || forced, "I2: firing alerts, but not open");
    prop_assert!(!forced || fires, "I2: resolved by hand without a firing alert");
    Ok(())
}

fn timers(change: &Change<'_>, after: &Incident) -> Held {
    let policy = change.policy(after);
    let now = change.around.now;
    match after.phase {
        Phase::Firing | Phase::Resolved { .. } => prop_assert!(after.next_at.is_some(), "I3: no timer"),
        Phase::Suppressed | Phase::Closed => prop_assert_eq!(after.next_at, None, "I3: a timer"),
        Phase::Unanswered { reminders } => {
            let more = policy.remind_every.is_some() && reminders < policy.max_reminders;
            prop_assert_eq!(
                after.next_at.is_some(),
                more || after.hold.is_some(),
                "I3: reminders are bounded"
            );
            prop_assert!(reminders <= policy.max_reminders, "reminders are bounded");
        }
        Phase::Snoozed { until } => ack_or_snooze(change, after, Some(until))?,
        Phase::Acknowledged { until, .. } => ack_or_snooze(change, after, until)?,
    }
    let resolved = change.kinds().any(|kind| matches!(kind, Kind::Resolved { .. } | Kind::HoldEnded));
    if resolved && change.run_began().is_none() {
        prop_assert_eq!(after.next_at, Some(later(now, policy.reopen_window)), "I14: the reopen window");
    }
    for kind in change.kinds() {
        match kind {
            Kind::Acknowledged { until, .. } => {
                prop_assert_eq!(*until, policy.ack_timeout.map(|by| later(now, by)), "I14: ack timeout");
            }
            Kind::Snoozed { until, .. } => {
                prop_assert!(*until <= later(now, policy.max_snooze), "snoozed for too long");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The timer of an acknowledged or snoozed incident is its end, the reminder before it, or a new or worse alert.
fn ack_or_snooze(change: &Change<'_>, after: &Incident, until: Option<jiff::Timestamp>) -> Held {
    let policy = change.policy(after);
    let unknown = change.world.unknown(after);
    let breaks = policy.on_new_alert == OnNewAlert::Reopen && !unknown.is_empty();
    if let Some(until) = until {
        prop_assert!(after.next_at.is_some_and(|at| at <= until), "I3: its end is not armed");
    } else if !breaks && after.hold.is_none() {
        prop_assert_eq!(after.next_at, None, "I3: a timer for an acknowledgement without end");
    }
    let before = change.same_before().map(|before| &before.phase);
    if before.is_none_or(|before| before.name() != after.phase.name()) {
        let past = until.is_some_and(|until| until < change.around.now);
        prop_assert!(!past, "acknowledged or snoozed until a time in the past");
    }
    if let (Phase::Acknowledged { reminded: false, .. }, Some(until)) = (&after.phase, until) {
        let reminder = earlier(until, policy.ack_reminder);
        prop_assert!(after.next_at.is_some_and(|at| at <= reminder), "the reminder is not armed");
    }
    if breaks {
        let limit = after.reopened_at.map(|at| later(at, policy.reopen_min_interval));
        let in_time = after.next_at <= limit.max(Some(change.around.now));
        prop_assert!(after.next_at.is_some() && in_time, "an acknowledgement hides an alert");
    }
    Ok(())
}

fn maintenance_suppresses(change: &Change<'_>, after: &Incident) -> Held {
    let began = change.run_began().is_some() || *change.input == Input::MaintenanceStarted;
    if began && change.around.maintenance {
        let climbs = matches!(after.phase, Phase::Firing | Phase::Unanswered { .. });
        prop_assert!(!climbs, "maintenance does not suppress");
    }
    if after.phase == Phase::Suppressed {
        prop_assert!(change.world.maintenance, "suppressed without maintenance");
    }
    Ok(())
}

/// The posts show every change; if a person caused it, immediately.
fn changes_are_posted(change: &Change<'_>, after: &Incident) -> Held {
    let Some(before) = change.same_before() else {
        prop_assert!(change.decision.effects.is_empty(), "no room knows the incident yet");
        return Ok(());
    };
    let refreshes = |urgency| change.decision.effects.contains(&Effect::Refresh(urgency));
    let changed = before.phase.name() != after.phase.name() || before.ackers != after.ackers;
    if changed && after.phase != Phase::Closed {
        let at_once = change.is_persons() || matches!(after.phase, Phase::Resolved { .. });
        prop_assert!(refreshes(Urgency::AtOnce) || (!at_once && refreshes(Urgency::Soon)), "no edit");
    }
    for effect in &change.decision.effects {
        if let Effect::PostInThread(entry) | Effect::NotifyFallback(entry) = effect {
            prop_assert!(
                change.decision.entries.contains(entry),
                "a posted entry that is not in the timeline"
            );
        }
    }
    Ok(())
}
