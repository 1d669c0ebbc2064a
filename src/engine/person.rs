//! People act on incidents: what a room has to do with one, which incidents `all` means, and what an act came to.

use super::{Change, EngineError};
use crate::domain::answer::ActResult;
use crate::domain::incident::Phase;
use crate::domain::input::{Act, Decision, Outcome};
use crate::domain::policy::{AckScope, Policy};
use crate::store::{StoredIncident, incident, overview, post, room};

/// What a room has to do with an incident.
#[derive(Debug, Clone)]
pub enum Standing {
    /// No incident of a list of this room has the number: nothing of it may be said here.
    Unknown,
    /// It is of a list of this room, which has not been told of it.
    NotTold(Box<StoredIncident>),
    /// The room was told of it, and is below its current level, which alone may act (`ack_scope`).
    Below(Box<StoredIncident>),
    /// It can be acted on from here.
    Here(Box<StoredIncident>),
}

impl Change {
    /// Locks an incident, and says what a room has to do with it.
    pub async fn standing(&mut self, number: i64, room: &str) -> Result<Standing, EngineError> {
        let Some(stored) = incident::lock(self.tx(), number).await?.map(Box::new) else {
            return Ok(Standing::Unknown);
        };
        let told = post::was_told(self.tx(), number, room).await?;
        if !told && !self.is_of_its_list(&stored, room).await? {
            return Ok(Standing::Unknown);
        }
        let policy = self.engine().policy(stored.incident.run.policy_version).await?;
        Ok(match policy.ack_scope {
            AckScope::Notified if told => Standing::Here(stored),
            AckScope::Notified => Standing::NotTold(stored),
            AckScope::CurrentLevel => {
                let level = usize::try_from(stored.incident.run.level.unwrap_or(0)).unwrap_or(0);
                let above: Vec<String> = policy
                    .levels
                    .iter()
                    .skip(level)
                    .flat_map(|level| level.rooms.iter().cloned())
                    .chain(policy.fallback_rooms.iter().cloned())
                    .collect();
                if room::rooms_of(self.tx(), &above).await?.iter().any(|known| known == room) {
                    Standing::Here(stored)
                } else if told {
                    Standing::Below(stored)
                } else {
                    Standing::NotTold(stored)
                }
            }
        })
    }

    /// Whether a room belongs to an incident's list.
    async fn is_of_its_list(&mut self, stored: &StoredIncident, room: &str) -> Result<bool, EngineError> {
        let lists = self.engine().lists();
        let Some(list) = lists.get(&stored.room_list) else { return Ok(false) };
        Ok(list.names_any(&room::references_to(self.tx(), room).await?))
    }

    /// The open incidents of room lists that `all` means for an act, oldest first, `most` at most.
    pub async fn candidates(
        &mut self,
        room_lists: &[String],
        act: Act,
        most: i64,
    ) -> Result<Vec<i64>, EngineError> {
        let phases = act.verb().row().phases;
        let phases: Vec<String> = phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        Ok(overview::open_numbers(self.tx(), room_lists, &phases, most).await?)
    }
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
