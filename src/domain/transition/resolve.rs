//! The end of an incident: everything cleared, a person says so, or nothing is heard of it any more.

use super::draft::{Draft, unchanged};
use super::fold::clear_all;
use crate::domain::incident::{Incident, KeptAck, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::time::{between, later};
use crate::domain::timeline::{Kind, ResolveReason};

impl Draft<'_> {
    /// Resolved, until the reopen window has passed. A person's word holds although alerts fire (I2).
    pub(super) fn resolve(&mut self, why: ResolveReason) {
        let forced = !self.incident.firing.is_empty();
        if forced {
            self.know_what_fires();
        }
        let kept_ack = match (&self.incident.phase, &why) {
            (Phase::Acknowledged { until, .. }, ResolveReason::Cleared) => Some(KeptAck { until: *until }),
            _ => None,
        };
        self.incident.phase = Phase::Resolved { forced, kept_ack };
        self.arm_reopen_window();
        let lasted = between(self.incident.opened_at, self.around.now);
        let entry = self.record(Kind::Resolved { why, lasted });
        self.effect(Effect::CancelUnsent);
        self.show_and_tell(Urgency::AtOnce, entry);
    }

    /// What a person's word held back has cleared; the reopen window begins.
    pub(super) fn end_hold(&mut self) {
        self.incident.phase = Phase::Resolved { forced: false, kept_ack: None };
        self.arm_reopen_window();
        self.record(Kind::HoldEnded);
        self.effect(Effect::Refresh(Urgency::Soon));
    }

    /// I3: a resolved incident has a timer.
    pub(super) fn arm_reopen_window(&mut self) {
        self.incident.next_at = Some(later(self.around.now, self.policy().reopen_window));
    }
}

/// Nothing was heard of any alert for too long, or Alertmanager says that they are gone.
pub(super) fn stale(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let Some(incident) = incident else { return unchanged(None, Outcome::Nothing) };
    let mut draft = Draft::of(incident, around);
    match incident.phase {
        Phase::Firing
        | Phase::Acknowledged { .. }
        | Phase::Snoozed { .. }
        | Phase::Unanswered { .. }
        | Phase::Suppressed => {
            clear_all(&mut draft.incident, around.now);
            draft.resolve(ResolveReason::Stale);
        }
        Phase::Resolved { forced: true, .. } => {
            clear_all(&mut draft.incident, around.now);
            draft.end_hold();
        }
        Phase::Resolved { forced: false, .. } | Phase::Closed => return draft.decided(Outcome::Nothing),
    }
    draft.decided(Outcome::Done)
}
