//! People act on incidents: what a room has to do with one, which incidents `all` means, and who may.

use super::{Change, EngineError};
use crate::domain::answer::ActResult;
use crate::domain::command::Verb;
use crate::domain::input::{Input, PersonAction};
use crate::domain::policy::AckScope;
use crate::domain::rights::{Caller, missing, role};
use crate::domain::transition;
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
        let told = post::was_notified(self.tx(), number, room).await?;
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
        let lists = self.engine().lists.load();
        let Some(list) = lists.get(&stored.room_list) else { return Ok(false) };
        Ok(list.names_any(&room::references_to(self.tx(), room).await?))
    }

    /// The open incidents of room lists that `all` stands for, the oldest first, `most` at most.
    pub async fn all_of(
        &mut self,
        room_lists: &[String],
        verb: Verb,
        most: i64,
    ) -> Result<Vec<i64>, EngineError> {
        let phases: Vec<String> = verb.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        Ok(overview::open_numbers(self.tx(), room_lists, &phases, most).await?)
    }

    /// A person acts on an incident that is locked, if the person may. Whether the room may is checked before.
    /// `answered_in`: the room that is answered anyway, so that the incident's thread there gets no message.
    pub async fn person(
        &mut self,
        stored: &StoredIncident,
        action: PersonAction,
        caller: Caller<'_>,
        answered_in: Option<&str>,
    ) -> Result<ActResult, EngineError> {
        let act = action.act;
        let policy = self.engine().policy(stored.incident.run.policy_version).await?;
        if let Some(needs) = missing(act, role(caller, &policy.permissions), &policy.permissions) {
            return Ok(ActResult::NoRight { needs });
        }
        let decision = self.decide(stored, &Input::Person(action), answered_in).await?;
        Ok(transition::result(&stored.incident, stored.resolved_at, act, &decision, &policy))
    }
}
