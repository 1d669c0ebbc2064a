//! The start and end of an incident's maintenance.

use super::draft::{Draft, unchanged};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Surroundings, Urgency};
use crate::domain::timeline::{Kind, RunReason};

/// Suppresses an unacknowledged incident. An acknowledged or snoozed one does not change.
pub(super) fn started(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let unacknowledged = |phase: &Phase| matches!(phase, Phase::Firing | Phase::Unanswered { .. });
    let Some(incident) = incident.filter(|incident| unacknowledged(&incident.phase)) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.incident.phase = Phase::Suppressed;
    draft.incident.next_at = None;
    let entry = draft.record(Kind::Suppressed);
    draft.effect(Effect::CancelUnsent);
    draft.refresh_and_post(Urgency::Soon, entry);
    draft.decided(Outcome::Done)
}

/// Starts a run of a suppressed incident, unless another maintenance is still active.
pub(super) fn ended(incident: Option<&Incident>, around: Surroundings<'_>) -> Decision {
    let can_start = |incident: &&Incident| incident.phase == Phase::Suppressed && !around.maintenance;
    let Some(incident) = incident.filter(can_start) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    draft.start_run(around.newest.policy.initial_delay, RunReason::MaintenanceOver);
    draft.decided(Outcome::Done)
}
