//! Acts of people: which incidents `all` means, and what an act came to, wherever it was said.

use super::EngineError;
use crate::domain::answer::ActResult;
use crate::domain::incident::{Phase, PhaseName};
use crate::domain::input::{Act, Decision, Outcome};
use crate::domain::policy::Policy;
use crate::store::{StoredIncident, Tx, overview};

/// The open incidents of room lists that `all` means for an act, oldest first, `most` at most.
pub async fn candidates(
    tx: &mut Tx,
    room_lists: &[String],
    act: Act,
    most: i64,
) -> Result<Vec<i64>, EngineError> {
    use PhaseName::{Acknowledged, Firing, Snoozed, Suppressed, Unanswered};
    let phases: &[PhaseName] = match act {
        Act::Acknowledge => &[Firing, Snoozed, Unanswered, Suppressed],
        Act::Unacknowledge => &[Acknowledged],
        Act::Unsnooze => &[Snoozed],
        Act::Escalate(_) => &[Firing],
        Act::Snooze(_) | Act::Resolve => &[Firing, Acknowledged, Snoozed, Unanswered, Suppressed],
    };
    let phases: Vec<String> = phases.iter().map(|phase| phase.as_str().to_owned()).collect();
    Ok(overview::open_numbers(tx, room_lists, &phases, most).await?)
}

/// What an act came to, in the words of an answer.
pub fn result_of(before: &StoredIncident, decision: &Decision, act: Act, policy: &Policy) -> ActResult {
    match decision.outcome {
        Outcome::Done => done(before, decision, act, policy),
        Outcome::JoinedAck => ActResult::Joined { others: before.incident.ackers.clone() },
        Outcome::AlreadyYours => ActResult::AlreadyYours,
        Outcome::TooLate => ActResult::TooLate { resolved_at: before.resolved_at },
        Outcome::NotAcknowledged => ActResult::NotAcknowledged,
        Outcome::NotSnoozed => ActResult::NotSnoozed,
        Outcome::StaleRung => ActResult::StalePage,
        Outcome::UnderMaintenance => ActResult::UnderMaintenance,
        Outcome::Repeated | Outcome::OrphanClear | Outcome::Nothing => {
            ActResult::Nothing { phase: before.incident.phase.name() }
        }
    }
}

fn done(before: &StoredIncident, decision: &Decision, act: Act, policy: &Policy) -> ActResult {
    let Some(after) = &decision.incident else {
        return ActResult::Nothing { phase: before.incident.phase.name() };
    };
    match (act, &after.phase) {
        (Act::Acknowledge, Phase::Acknowledged { until, .. }) => ActResult::Acknowledged { until: *until },
        (Act::Unacknowledge, _) => ActResult::GivenBack { pages_in: policy.unack_delay },
        (Act::Snooze(wanted), Phase::Snoozed { until }) => {
            ActResult::Snoozed { until: *until, shortened: wanted > policy.max_snooze }
        }
        (Act::Unsnooze, _) => ActResult::SnoozeEnded,
        (Act::Escalate(_), Phase::Unanswered { .. }) => ActResult::LadderEnded,
        (Act::Escalate(_), _) => ActResult::Escalated {
            level: after.run.level.unwrap_or(0),
            levels: u32::try_from(policy.levels.len()).unwrap_or(u32::MAX),
        },
        (Act::Resolve, _) => {
            ActResult::Resolved { still_firing: u64::try_from(after.firing.len()).unwrap_or(u64::MAX) }
        }
        (_, phase) => ActResult::Nothing { phase: phase.name() },
    }
}
