//! Maintenance begins to cover the incident, or no longer does.

use super::draft::{Draft, unchanged};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::timeline::{Kind, RunReason};

/// What nobody took is held back. What somebody took stays theirs.
pub(super) fn started(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let nobody_took = |phase: &Phase| matches!(phase, Phase::Firing | Phase::Unanswered { .. });
    let Some(incident) = incident.filter(|incident| nobody_took(&incident.phase)) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.incident.phase = Phase::Suppressed;
    draft.incident.next_at = None;
    let entry = draft.record(Kind::Suppressed);
    draft.effect(Effect::CancelUnsent);
    draft.show_and_tell(Urgency::Soon, entry);
    draft.decided(Outcome::Done)
}

/// What was held back begins anew, unless another maintenance covers it still.
pub(super) fn ended(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let held_back = |incident: &&Incident| incident.phase == Phase::Suppressed && !around.maintenance;
    let Some(incident) = incident.filter(held_back) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.start_run(around.newest.policy.initial_delay, RunReason::MaintenanceOver);
    draft.decided(Outcome::Done)
}
