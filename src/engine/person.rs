//! A person acts on an incident. Called within the transaction that handles the person's event.

use super::{Engine, EngineError};
use crate::domain::input::{Decision, Input, PersonAction};
use crate::domain::policy::AckScope;
use crate::store::enqueue;
use crate::store::{StoredIncident, Tx, incident, post};

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

impl Engine {
    /// Locks an incident, and says what a room has to do with it.
    pub async fn standing(&self, tx: &mut Tx, number: i64, room: &str) -> Result<Standing, EngineError> {
        let Some(stored) = incident::lock(tx, number).await?.map(Box::new) else {
            return Ok(Standing::Unknown);
        };
        let told = post::was_told(tx, number, room).await?;
        if !told && !self.is_of_its_list(tx, &stored, room).await? {
            return Ok(Standing::Unknown);
        }
        let policy = self.policy(stored.incident.run.policy_version).await?;
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
                if enqueue::rooms_of(tx, &above).await?.iter().any(|known| known == room) {
                    Standing::Here(stored)
                } else if told {
                    Standing::Below(stored)
                } else {
                    Standing::NotTold(stored)
                }
            }
        })
    }

    /// Lets a person act on an incident that is locked. Whether the person and the room may is checked before.
    /// `answered_in`: the room that is answered besides, so that the incident's thread there is not told too.
    pub async fn person(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        action: PersonAction,
        answered_in: Option<&str>,
    ) -> Result<Decision, EngineError> {
        self.decide_and_save(tx, stored, &Input::Person(action), answered_in).await
    }

    /// Counts and logs a person's act, once it is committed.
    pub fn acted(&self, stored: &StoredIncident, decision: &Decision) {
        self.announce(Some(stored), &stored.room_list, decision);
    }

    /// Whether a room belongs to an incident's list.
    async fn is_of_its_list(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        room: &str,
    ) -> Result<bool, EngineError> {
        let lists = self.lists();
        let Some(list) = lists.get(&stored.room_list) else { return Ok(false) };
        Ok(enqueue::rooms_of(tx, &list.references()).await?.iter().any(|known| known == room))
    }
}
