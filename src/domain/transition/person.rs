//! The acts of people. The caller has already checked their permissions.

use super::acknowledged::unknown;
use super::draft::{Draft, unchanged};
use super::start_run::reason;
use crate::domain::answer::ActResult;
use crate::domain::incident::{Incident, Phase, Rung};
use crate::domain::input::{Act, Decision, Outcome, PersonAction, Surroundings, Urgency};
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use jiff::Timestamp;
use std::time::Duration;

pub(super) fn person(
    incident: Option<&Incident>,
    action: &PersonAction,
    around: Surroundings<'_>,
) -> Decision {
    let Some(incident) = incident else { return unchanged(None, Outcome::TooLate) };
    let mut draft = Draft::of(incident, around);
    let outcome = if incident.phase.is_open() {
        match action.act {
            Act::Acknowledge => acknowledge(&mut draft, action),
            Act::Unacknowledge => unacknowledge(&mut draft, action),
            Act::Snooze(length) => snooze(&mut draft, action, length),
            Act::Unsnooze => unsnooze(&mut draft, action),
            Act::Escalate(page) => escalate(&mut draft, action, page),
            Act::Resolve => resolve(&mut draft, action),
        }
    } else {
        too_late(&mut draft, action)
    };
    draft.decided(outcome)
}

/// The result of an act on an incident, for the answer. `policy`: of its run. `resolved_at`: when it was resolved.
pub fn result(
    before: &Incident,
    resolved_at: Option<Timestamp>,
    act: Act,
    decision: &Decision,
    policy: &Policy,
) -> ActResult {
    let nothing = || ActResult::Nothing { phase: before.phase.name() };
    match decision.outcome {
        Outcome::Done => decision.incident.as_ref().map_or_else(nothing, |after| done(after, act, policy)),
        Outcome::JoinedAck => ActResult::Joined { others: before.ackers.clone() },
        Outcome::AlreadyYours => ActResult::AlreadyYours,
        Outcome::TooLate => ActResult::TooLate { resolved_at },
        Outcome::CoversNothing => ActResult::CoversNothing,
        Outcome::NotAcknowledged => ActResult::NotAcknowledged,
        Outcome::NotSnoozed => ActResult::NotSnoozed,
        Outcome::StaleRung => ActResult::StalePage,
        Outcome::UnderMaintenance => ActResult::UnderMaintenance,
        Outcome::Repeated | Outcome::Doubted | Outcome::OrphanClear | Outcome::Nothing => nothing(),
    }
}

fn done(after: &Incident, act: Act, policy: &Policy) -> ActResult {
    match (act, &after.phase) {
        (Act::Acknowledge, Phase::Acknowledged { until, .. }) => ActResult::Acknowledged { until: *until },
        (Act::Snooze(wanted), Phase::Snoozed { until }) => {
            ActResult::Snoozed { until: *until, shortened: wanted > policy.max_snooze }
        }
        (Act::Acknowledge | Act::Snooze(_), phase) => ActResult::Nothing { phase: phase.name() },
        (Act::Unacknowledge, _) => ActResult::GivenBack { pages_in: policy.unack_delay },
        (Act::Unsnooze, _) => ActResult::SnoozeEnded,
        (Act::Escalate(_), Phase::Unanswered { .. }) => ActResult::LadderEnded,
        (Act::Escalate(_), _) => ActResult::Escalated {
            level: after.run.level.unwrap_or(0),
            levels: u32::try_from(policy.levels.len()).unwrap_or(u32::MAX),
        },
        (Act::Resolve, _) => {
            let still_firing = u64::try_from(after.firing.len()).unwrap_or(u64::MAX);
            ActResult::Resolved { still_firing, for_good: false }
        }
    }
}

/// I6: no person's event changes a resolved or closed incident. The timeline records a late acknowledgement.
fn too_late(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    if action.act == Act::Acknowledge {
        let at = draft.time_of(action.acted_at);
        draft.note_at(at, Kind::LateAck { who: action.who.clone(), via: action.via });
    }
    Outcome::TooLate
}

/// Whether every alert that the person can have known of has resolved since.
fn covers_nothing(draft: &Draft<'_>, action: &PersonAction) -> bool {
    !draft.incident.firing.values().any(|alert| draft.covers(action.acted_at, alert))
}

fn acknowledge(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    if matches!(draft.incident.phase, Phase::Acknowledged { .. }) {
        return join(draft, action);
    }
    let PersonAction { who, via, comment, .. } = action.clone();
    if covers_nothing(draft, action) {
        draft.note_at(draft.time_of(action.acted_at), Kind::LateAck { who, via });
        return Outcome::CoversNothing;
    }
    let until = draft.policy().ack_timeout.map(|timeout| later(draft.around.now, timeout));
    let phase = draft.acknowledged_until(until);
    draft.stop_escalation(&who, phase, action.acted_at);
    let entry =
        draft.record_at(draft.time_of(action.acted_at), Kind::Acknowledged { who, via, until, comment });
    draft.refresh_and_post(Urgency::AtOnce, entry);
    Outcome::Done
}

/// Records another acker. The timer does not change.
fn join(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    let PersonAction { who, via, comment, .. } = action.clone();
    if draft.incident.ackers.contains(&who) {
        return Outcome::AlreadyYours;
    }
    draft.incident.ackers.push(who.clone());
    let entry = draft.record_at(draft.time_of(action.acted_at), Kind::JoinedAck { who, via, comment });
    draft.refresh_and_post(Urgency::AtOnce, entry);
    Outcome::JoinedAck
}

fn unacknowledge(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    if !matches!(draft.incident.phase, Phase::Acknowledged { .. }) {
        return Outcome::NotAcknowledged;
    }
    let delay = draft.around.newest.policy.unack_delay;
    draft.start_run(delay, RunReason::GivenBack { who: action.who.clone() });
    Outcome::Done
}

fn snooze(draft: &mut Draft<'_>, action: &PersonAction, length: Duration) -> Outcome {
    let PersonAction { who, via, comment, .. } = action.clone();
    if covers_nothing(draft, action) {
        return Outcome::CoversNothing;
    }
    let until = later(draft.around.now, length.min(draft.policy().max_snooze));
    draft.stop_escalation(&who, Phase::Snoozed { until }, action.acted_at);
    let entry = draft.record_at(draft.time_of(action.acted_at), Kind::Snoozed { who, via, until, comment });
    draft.refresh_and_post(Urgency::AtOnce, entry);
    Outcome::Done
}

fn unsnooze(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    if !matches!(draft.incident.phase, Phase::Snoozed { .. }) {
        return Outcome::NotSnoozed;
    }
    draft.start_run(Duration::ZERO, RunReason::SnoozeOver { who: Some(action.who.clone()) });
    Outcome::Done
}

/// Pages the next level immediately while the incident is firing, even if its severity does not escalate. In other open
/// phases, it starts a run.
fn escalate(draft: &mut Draft<'_>, action: &PersonAction, page: Option<Rung>) -> Outcome {
    if page.is_some() && page != draft.incident.rung() {
        return Outcome::StaleRung;
    }
    let who = action.who.clone();
    // The person wants the page now, silenced or not.
    draft.incident.hold = None;
    match draft.incident.phase {
        Phase::Firing => {
            let entry = draft
                .record_at(draft.time_of(action.acted_at), Kind::EscalationAsked { who, via: action.via });
            draft.refresh_and_post(Urgency::AtOnce, entry);
            draft.climb();
            Outcome::Done
        }
        Phase::Acknowledged { .. } | Phase::Snoozed { .. } | Phase::Unanswered { .. } => {
            draft.start_run(Duration::ZERO, RunReason::EscalationAsked { who });
            Outcome::Done
        }
        Phase::Suppressed => Outcome::UnderMaintenance,
        Phase::Resolved { .. } | Phase::Closed => Outcome::TooLate,
    }
}

fn resolve(draft: &mut Draft<'_>, action: &PersonAction) -> Outcome {
    let PersonAction { who, via, comment, .. } = action.clone();
    if covers_nothing(draft, action) {
        return Outcome::CoversNothing;
    }
    draft.remember_firing_alerts(action.acted_at);
    draft.resolve_at(draft.time_of(action.acted_at), ResolveReason::ByHand { who, via, comment });
    let (joined, rose) = unknown(&draft.incident);
    if !joined.is_empty() {
        draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
        draft.start_run(draft.around.newest.policy.initial_delay, reason(joined, rose, &[]));
    }
    Outcome::Done
}
