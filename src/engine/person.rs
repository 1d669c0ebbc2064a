//! The acts of people: which room may act on which incident, which incidents `all` means, and who has the permission.

use super::{Change, EngineError};
use crate::domain::answer::ActResult;
use crate::domain::command::Verb;
use crate::domain::input::{Input, PersonAction};
use crate::domain::policy::AckScope;
use crate::domain::rights::{Caller, missing, role};
use crate::domain::transition;
use crate::store::{StoredIncident, incident, overview, post, room};

/// Whether people in a room may see an incident and act on it.
#[derive(Debug, Clone)]
pub enum Standing {
    /// No incident of the room's lists has this number. The answer must not contain any details of it.
    Unknown,
    /// The incident belongs to a list of the room, but was not posted in the room.
    NotPosted(Box<StoredIncident>),
    /// The incident was posted in the room, but the room is below the current level, and `ack_scope` allows only that
    /// level and higher ones to act.
    Below(Box<StoredIncident>),
    /// People in the room may act on the incident.
    Here(Box<StoredIncident>),
}

impl Change {
    /// Locks an incident, and returns whether people in a room may act on it.
    pub async fn standing(&mut self, number: i64, room: &str) -> Result<Standing, EngineError> {
        let Some(stored) = incident::lock(self.tx(), number).await?.map(Box::new) else {
            return Ok(Standing::Unknown);
        };
        let posted = post::was_notified(self.tx(), number, room).await?;
        if !posted && !self.is_of_its_list(&stored, room).await? {
            return Ok(Standing::Unknown);
        }
        let policy = self.engine().policy(stored.incident.run.policy_version).await?;
        Ok(match policy.ack_scope {
            AckScope::Notified if posted => Standing::Here(stored),
            AckScope::Notified => Standing::NotPosted(stored),
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
                } else if posted {
                    Standing::Below(stored)
                } else {
                    Standing::NotPosted(stored)
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

    /// The open incidents of room lists that `all` stands for, oldest first, at most `most`.
    pub async fn all_of(
        &mut self,
        room_lists: &[String],
        verb: Verb,
        most: i64,
    ) -> Result<Vec<i64>, EngineError> {
        let phases: Vec<String> = verb.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        Ok(overview::open_numbers(self.tx(), room_lists, &phases, most).await?)
    }

    /// Applies a person's act to a locked incident, if the person has the permission. The caller has checked that the
    /// room may act. `answered_in`: the room that gets an answer anyway, so the incident's thread there gets no
    /// message.
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
