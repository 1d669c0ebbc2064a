//! Ticks: the incident's timer is due.

use super::draft::{Draft, unchanged};
use super::fold::believe_waited;
use crate::domain::hold::Polls;
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use jiff::Timestamp;
use std::time::Duration;

/// While the list's virtual user cannot send, a page that is not sent keeps the ladder at its level: `send_cap` begins again.
pub(super) fn tick_while_held(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let is_held = |incident: &&Incident| {
        let is_due = incident.next_at.is_some_and(|at| at <= around.now);
        is_due && incident.phase == Phase::Firing && incident.run.level.is_some() && !incident.run.notified
    };
    let Some(incident) = incident.filter(is_held) else { return tick(incident, around, Polls::Run) };
    let mut draft = Draft::of(incident, around);
    draft.incident.next_at = Some(later(around.now, draft.time_if_unsent()));
    draft.decided(Outcome::Nothing)
}

pub(super) fn tick(incident: Option<&Incident>, around: Surroundings<'_>, polls: Polls) -> Decision {
    let due = |incident: &&Incident| incident.next_at.is_some_and(|at| at <= around.now);
    let Some(incident) = incident.filter(due) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    if let Some(hold) = &incident.hold {
        let waits = matches!(incident.phase, Phase::Firing | Phase::Unanswered { .. });
        if hold.until <= around.now && incident.phase.pages_after_hold() {
            let Some(hold) = hold.after_its_end(around.now, polls) else {
                draft.release(around.newest.policy.initial_delay);
                return draft.decided(Outcome::Done);
            };
            draft.incident.next_at = Some(hold.until);
            draft.incident.hold = Some(hold);
            draft.arm_timer();
            return draft.decided(Outcome::Nothing);
        }
        if waits {
            draft.incident.next_at = Some(hold.until);
            return draft.decided(Outcome::Nothing);
        }
    }
    match incident.phase {
        Phase::Firing => firing(&mut draft),
        Phase::Unanswered { reminders } => unanswered(&mut draft, reminders),
        Phase::Acknowledged { until, reminded } => acknowledged(&mut draft, until, reminded),
        Phase::Snoozed { until } => snoozed(&mut draft, until),
        // I2: an incident that a person resolved does not close while alerts are firing.
        Phase::Resolved { forced: true, .. } => draft.arm_reopen_window(),
        Phase::Resolved { forced: false, kept_ack } => {
            if believe_waited(&mut draft.incident, around) {
                draft.refire(around.newest.policy.initial_delay, kept_ack);
            } else {
                close(&mut draft);
            }
        }
        Phase::Suppressed | Phase::Closed => draft.incident.next_at = None,
    }
    let outcome = if draft.incident.version == incident.version { Outcome::Nothing } else { Outcome::Done };
    draft.decided(outcome)
}

/// Pages the next level. An incident whose severity does not escalate stays at its first level until a worse alert
/// joins.
fn firing(draft: &mut Draft<'_>) {
    if draft.incident.run.level.is_some() && !draft.incident.escalates() {
        draft.incident.next_at = Some(later(draft.around.now, draft.time_to_answer()));
    } else {
        draft.climb();
    }
}

fn unanswered(draft: &mut Draft<'_>, reminders: u32) {
    let policy = draft.policy();
    let Some(every) = policy.remind_every.filter(|_| reminders < policy.max_reminders) else {
        draft.incident.next_at = None;
        return;
    };
    let number = reminders.saturating_add(1);
    draft.incident.phase = Phase::Unanswered { reminders: number };
    draft.incident.next_at = (number < policy.max_reminders).then(|| later(draft.around.now, every));
    draft.record(Kind::Reminded { number });
    draft.effect(Effect::Reminder(number));
}

fn acknowledged(draft: &mut Draft<'_>, until: Option<Timestamp>, reminded: bool) {
    if until.is_some_and(|until| until <= draft.around.now) {
        let ackers = draft.incident.ackers.clone();
        draft.start_run(Duration::ZERO, RunReason::AckExpired { ackers });
    } else if reopen_is_due(draft) {
        draft.reopen(draft.around.newest.policy.initial_delay, &[]);
    } else {
        if let Some(until) = until.filter(|_| !reminded) {
            remind_of_the_end(draft, until);
        }
        draft.arm_timer();
    }
}

/// Reminds the ackers if it is time. The timer may have been armed for an alert that has resolved since.
fn remind_of_the_end(draft: &mut Draft<'_>, until: Timestamp) {
    let ends_soon = draft.acknowledged_until(Some(until));
    if ends_soon == (Phase::Acknowledged { until: Some(until), reminded: true }) {
        draft.incident.phase = ends_soon;
        draft.record(Kind::AckEndsSoon { until });
        draft.effect(Effect::AckReminder);
    }
}

fn snoozed(draft: &mut Draft<'_>, until: Timestamp) {
    if until <= draft.around.now {
        draft.start_run(Duration::ZERO, RunReason::SnoozeOver { who: None });
    } else if reopen_is_due(draft) {
        draft.reopen(draft.around.newest.policy.initial_delay, &[]);
    } else {
        draft.arm_timer();
    }
}

fn reopen_is_due(draft: &Draft<'_>) -> bool {
    draft.reopens_at().is_some_and(|at| at <= draft.around.now)
}

fn close(draft: &mut Draft<'_>) {
    draft.incident.phase = Phase::Closed;
    draft.incident.next_at = None;
    draft.record(Kind::Closed);
}
