//! A person acts on an incident. Called within the transaction that handles the person's event.

use super::{Engine, EngineError};
use crate::domain::input::{Decision, Input, PersonAction};
use crate::domain::policy::AckScope;
use crate::store::enqueue;
use crate::store::{StoredIncident, Tx, incident, post};

/// What a person wants of one incident, and from where.
#[derive(Debug, Clone)]
pub struct PersonInput {
    /// The incident's number.
    pub number: i64,
    /// The act.
    pub action: PersonAction,
    /// The room it was said in.
    pub room: String,
    /// Whether that room is answered besides, so that the incident's thread there is not told too.
    pub answered: bool,
}

/// What it came to.
#[derive(Debug, Clone)]
pub enum PersonResult {
    /// The rules decided. The incident as it was before.
    Decided(Box<StoredIncident>, Box<Decision>),
    /// No incident of a list of this room has the number.
    Unknown,
    /// The room has not been told of the incident, or is below its current level.
    NotHere(Box<StoredIncident>),
}

impl Engine {
    /// Lets a person act on an incident, if the room they speak in may (`ack_scope`). Whether the person may is
    /// checked before.
    pub async fn person(&self, tx: &mut Tx, input: &PersonInput) -> Result<PersonResult, EngineError> {
        let Some(stored) = incident::lock(tx, input.number).await? else { return Ok(PersonResult::Unknown) };
        if !self.concerns(tx, &stored, &input.room).await? {
            return Ok(PersonResult::Unknown);
        }
        if !self.in_scope(tx, &stored, &input.room).await? {
            return Ok(PersonResult::NotHere(Box::new(stored)));
        }
        let told_in = input.answered.then_some(input.room.as_str());
        let decision =
            self.decide_and_save(tx, &stored, &Input::Person(input.action.clone()), told_in).await?;
        Ok(PersonResult::Decided(Box::new(stored), Box::new(decision)))
    }

    /// Counts and logs a person's act, once it is committed.
    pub fn acted(&self, stored: &StoredIncident, decision: &Decision) {
        self.announce(Some(stored), &stored.room_list, decision);
    }

    /// Whether a room belongs to an incident's list.
    pub async fn concerns(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        room: &str,
    ) -> Result<bool, EngineError> {
        if post::was_told(tx, stored.number, room).await? {
            return Ok(true);
        }
        let lists = self.lists();
        let Some(list) = lists.get(&stored.room_list) else { return Ok(false) };
        Ok(enqueue::rooms_of(tx, &list.references()).await?.iter().any(|known| known == room))
    }

    async fn in_scope(&self, tx: &mut Tx, stored: &StoredIncident, room: &str) -> Result<bool, EngineError> {
        let policy = self.policy(stored.incident.run.policy_version).await?;
        let told = post::was_told(tx, stored.number, room).await?;
        match policy.ack_scope {
            AckScope::Notified => Ok(told),
            AckScope::CurrentLevel => {
                let level = usize::try_from(stored.incident.run.level.unwrap_or(0)).unwrap_or(0);
                let above: Vec<String> = policy
                    .levels
                    .iter()
                    .skip(level)
                    .flat_map(|level| level.rooms.iter().cloned())
                    .chain(policy.fallback_rooms.iter().cloned())
                    .collect();
                Ok(enqueue::rooms_of(tx, &above).await?.iter().any(|known| known == room))
            }
        }
    }
}
