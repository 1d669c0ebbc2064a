//! The resolution of an incident: all alerts resolved, a person resolved it, or it is stale.

use super::draft::{Draft, unchanged};
use super::fold::{clear_all, wait_ends_at};
use crate::domain::incident::{Incident, KeptAck, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::time::{between, later};
use crate::domain::timeline::{Kind, ResolveReason};
use jiff::Timestamp;

impl Draft<'_> {
    /// Resolves the incident and starts the reopen window.
    pub(super) fn resolve(&mut self, why: ResolveReason) {
        self.resolve_at(self.around.now, why);
    }

    /// The same for a person, who did it at `at`. A person can resolve it while alerts are firing (I2).
    pub(super) fn resolve_at(&mut self, at: Timestamp, why: ResolveReason) {
        let forced = !self.incident.firing.is_empty();
        let kept_ack = match (&self.incident.phase, &why) {
            (Phase::Acknowledged { until, .. }, ResolveReason::Cleared | ResolveReason::NotListed) => {
                Some(KeptAck { until: *until })
            }
            _ => None,
        };
        self.incident.hold = None;
        self.incident.partly_silenced.clear();
        self.incident.phase = Phase::Resolved { forced, kept_ack };
        self.arm_reopen_window();
        let lasted = between(self.incident.opened_at, at);
        let entry = self.record_at(at, Kind::Resolved { why, lasted, since: Some(self.earliest_start()) });
        self.effect(Effect::CancelUnsent);
        self.refresh_and_post(Urgency::AtOnce, entry);
    }

    /// All alerts of an incident that a person resolved are resolved now: starts the reopen window.
    pub(super) fn end_hold(&mut self) {
        self.incident.phase = Phase::Resolved { forced: false, kept_ack: None };
        self.arm_reopen_window();
        self.record(Kind::HoldEnded);
        self.effect(Effect::Refresh(Urgency::Soon));
    }

    /// Arms the timer of a resolved incident whose alerts in doubt have changed: when the first of them has waited, or
    /// else at the end of the reopen window.
    pub(super) fn arm_wait(&mut self) {
        let waits = wait_ends_at(&self.incident, self.policy());
        let resolved_at = self.incident.cleared.values().map(|cleared| cleared.at).max();
        let window = later(resolved_at.unwrap_or(self.around.now), self.policy().reopen_window);
        self.incident.next_at = Some(waits.unwrap_or(window));
    }

    /// I3: a resolved incident has a timer.
    pub(super) fn arm_reopen_window(&mut self) {
        self.incident.next_at = Some(later(self.around.now, self.policy().reopen_window));
    }
}

/// Resolves an incident without updates as stale.
pub(super) fn stale(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let Some(incident) = incident else { return unchanged(None, Outcome::Nothing) };
    over(incident, ResolveReason::Stale, around)
}

/// Resolves an incident that could not be read for a while if another incident of its group has its alerts, or if the last
/// of them resolved meanwhile.
pub(super) fn readable_again(
    incident: Option<&Incident>,
    replaced_by: Option<i64>,
    around: Surroundings<'_>,
) -> Decision {
    let is_over = |incident: &&Incident| replaced_by.is_some() || incident.firing.is_empty();
    let Some(incident) = incident.filter(is_over) else { return unchanged(incident, Outcome::Nothing) };
    let why = replaced_by.map_or(ResolveReason::Cleared, |by| ResolveReason::Replaced { by });
    over(incident, why, around)
}

/// All alerts of an incident count as resolved, which may resolve it.
fn over(incident: &Incident, why: ResolveReason, around: Surroundings<'_>) -> Decision {
    let mut draft = Draft::of(incident, around);
    match incident.phase {
        Phase::Firing
        | Phase::Acknowledged { .. }
        | Phase::Snoozed { .. }
        | Phase::Unanswered { .. }
        | Phase::Suppressed => {
            clear_all(&mut draft.incident, around.now);
            draft.resolve(why);
        }
        Phase::Resolved { forced: true, .. } => {
            clear_all(&mut draft.incident, around.now);
            draft.end_hold();
        }
        Phase::Resolved { forced: false, .. } | Phase::Closed => return draft.decided(Outcome::Nothing),
    }
    draft.decided(Outcome::Done)
}
