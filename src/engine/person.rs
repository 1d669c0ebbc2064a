//! The acts of people: which room may act on which incident, which incidents `all` means, and who has the permission.

use super::{Change, EngineError};
use crate::domain::answer::ActResult;
use crate::domain::command::Verb;
use crate::domain::incident::PhaseName;
use crate::domain::input::{Input, PersonAction};
use crate::domain::lists::ListSettings;
use crate::domain::policy::AckScope;
use crate::domain::rights::{Caller, missing, role};
use crate::domain::transition;
use crate::store::overview::{self, OpenIncident};
use crate::store::{StoredIncident, digest, incident, post, room, room_list};
use std::sync::Arc;

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

/// The incidents that `all` stands for in a room, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllInRoom {
    /// Those that the room may act on, as far as one command goes.
    pub here: Vec<i64>,
    /// How many more are posted in the room.
    pub repeat: usize,
    /// How many snoozed ones are posted in the room, which `ack all` leaves out.
    pub snoozed: usize,
    /// The other ones.
    pub elsewhere: Vec<i64>,
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
        let policy =
            self.engine().policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
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

    /// The open incidents of room lists that `all` stands for in a room that acts: first of all what was posted there,
    /// `most` at most, by number.
    pub async fn all_in_room(
        &mut self,
        lists: &[Arc<ListSettings>],
        verb: Verb,
        room: &str,
        most: usize,
    ) -> Result<AllInRoom, EngineError> {
        let names: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        let open = overview::open_around(self.tx(), &names, &phases_of_all(verb), room).await?;
        let snoozed = if verb == Verb::Acknowledge {
            let snoozed = [PhaseName::Snoozed.as_str().to_owned()];
            let snoozed = overview::open_around(self.tx(), &names, &snoozed, room).await?;
            snoozed.into_iter().filter(|incident| incident.posted).count()
        } else {
            0
        };
        let (mut posted, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|incident| incident.posted);
        let repeat = posted.len().saturating_sub(most);
        posted.truncate(most);
        // With this scope a room of a later level may also act on what is not posted there yet.
        let may_act = |room_list: &str| {
            lists.iter().any(|list| list.name == room_list && list.policy.ack_scope == AckScope::CurrentLevel)
        };
        let (mut candidates, elsewhere): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|incident| may_act(&incident.room_list));
        let rest = candidates.split_off(most.saturating_sub(posted.len()).min(candidates.len()));
        let numbers = |incidents: Vec<OpenIncident>| incidents.into_iter().map(|incident| incident.number);
        let mut here: Vec<i64> = numbers(posted).chain(numbers(candidates)).collect();
        // Locked in ascending order, so two commands cannot deadlock.
        here.sort_unstable();
        let elsewhere = numbers(rest).chain(numbers(elsewhere)).collect();
        Ok(AllInRoom { here, repeat, snoozed, elsewhere })
    }

    /// The incidents that ranges of numbers stand for in a room that acts, `most` at most: those that were posted there and to
    /// which the verb applies, like `all`. Also returns how many of the numbers were not posted there.
    pub async fn posted_among(
        &mut self,
        ranges: &[(i64, i64)],
        verb: Verb,
        room: &str,
        most: usize,
    ) -> Result<(AllInRoom, u64), EngineError> {
        let (first, last): (Vec<i64>, Vec<i64>) = ranges.iter().copied().unzip();
        let posted = digest::posted_among(self.tx(), (&first, &last), room).await?;
        let named: i64 =
            ranges.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1)).sum();
        let known = i64::try_from(posted.len()).unwrap_or(i64::MAX);
        let phases = phases_of_all(verb);
        let is_snoozed = |phase: &str| verb == Verb::Acknowledge && phase == PhaseName::Snoozed.as_str();
        let snoozed = posted.iter().filter(|(_, phase)| is_snoozed(phase)).count();
        let mut here: Vec<i64> = posted
            .into_iter()
            .filter(|(_, phase)| phases.contains(phase))
            .map(|(number, _)| number)
            .collect();
        let repeat = here.len().saturating_sub(most);
        here.truncate(most);
        let skipped = u64::try_from(named.saturating_sub(known)).unwrap_or(0);
        Ok((AllInRoom { here, repeat, snoozed, elsewhere: Vec::new() }, skipped))
    }

    /// The open incidents of room lists that `all` stands for at the shell, by number: those above `after`, `most` at
    /// most.
    pub async fn all_after(
        &mut self,
        room_lists: &[String],
        verb: Verb,
        after: i64,
        most: i64,
    ) -> Result<Vec<i64>, EngineError> {
        Ok(overview::open_after(self.tx(), room_lists, &phases_of_all(verb), after, most).await?)
    }

    /// How many snoozed incidents of room lists `ack all` leaves out at the shell.
    pub async fn snoozed_of(&mut self, room_lists: &[String]) -> Result<u64, EngineError> {
        Ok(overview::count(self.tx(), room_lists, PhaseName::Snoozed).await?)
    }

    /// The open incidents of room lists that `all` stands for in a list, oldest first, at most `most`.
    pub async fn all_of(
        &mut self,
        room_lists: &[String],
        verb: Verb,
        most: i64,
    ) -> Result<Vec<i64>, EngineError> {
        Ok(overview::open_numbers(self.tx(), room_lists, &phases_of(verb), most).await?)
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
        let policy =
            self.engine().policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
        if let Some(needs) = missing(act, role(caller, &policy), &policy.permissions) {
            return Ok(ActResult::NoRight { needs });
        }
        let decision = self.decide(stored, &Input::Person(action), answered_in).await?;
        let result = transition::result(&stored.incident, stored.resolved_at, act, &decision, &policy);
        Ok(match result {
            ActResult::Resolved { still_firing, .. } if still_firing > 0 => {
                // A list that no configuration has gets no more reports.
                let for_good = !room_list::is_configured(self.tx(), &stored.room_list).await?;
                ActResult::Resolved { still_firing, for_good }
            }
            other => other,
        })
    }
}

/// The phases of the incidents that a verb changes with `all`, as the database has them.
fn phases_of_all(verb: Verb) -> Vec<String> {
    verb.phases_of_all().map(|phase| phase.as_str().to_owned()).collect()
}

/// The phases in which a verb applies to an incident, as the database has them.
fn phases_of(verb: Verb) -> Vec<String> {
    verb.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect()
}
