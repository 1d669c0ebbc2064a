//! Hand-overs: a change of who is on call, and its announcement, in one transaction.

use super::{Change, Engine, EngineError};
use crate::domain::answer::IncidentLine;
use crate::domain::command::Verb;
use crate::domain::on_call::Schedule;
use crate::domain::on_call::words::{Changed, HandOver};
use crate::domain::outgoing::Outgoing;
use crate::domain::time::later;
use crate::ids;
use crate::store::enqueue::NewMessage;
use crate::store::on_call::Watched;
use crate::store::{incident, on_call, overview, room};
use std::collections::BTreeSet;
use std::time::Duration;

/// Who is on call is looked at this often, and at each hand-off: the configuration may change.
const AT_LEAST_EVERY: Duration = Duration::from_mins(1);
/// How far ahead what is stored is read.
const AHEAD: Duration = Duration::from_hours(24 * 400);
/// How many open incidents a hand-over lists.
const MOST_LISTED: i64 = 30;
/// The level that the database compares for an incident without a page.
const NOT_PAGED_YET: i32 = -1;

impl Engine {
    /// Announces who is on call, if that is somebody else than before. The first look only records it.
    pub async fn hand_over(&self, schedule: &Schedule) -> Result<(), EngineError> {
        let mut change = self.begin().await?;
        let now = change.now();
        let Some(before) = on_call::lock_watch(change.tx(), &schedule.name, now).await? else {
            return Ok(());
        };
        let known = on_call::known(change.tx(), schedule, now, later(now, AHEAD)).await?;
        let serving = schedule.serving(&known, now);
        let next = schedule.next_hand_off(&known, now);
        let until = next.as_ref().map(|next| next.starts_at);
        let mut people = serving.people.clone();
        people.sort_unstable();
        let since = match &before {
            Some(before) if before.people == people => before.since,
            _ => now,
        };
        let look_at = later(now, AT_LEAST_EVERY).min(until.unwrap_or(jiff::Timestamp::MAX));
        let watched = Watched { people, since };
        on_call::watch(change.tx(), &schedule.name, &watched, look_at).await?;
        if let Some(before) = before.filter(|before| before.people != watched.people) {
            let of = HandOver {
                schedule: schedule.name.clone(),
                zone: schedule.zone.clone(),
                people: serving.people,
                unknown: serving.unknown,
                before: before.people,
                until,
                fallback: schedule.fallback.clone(),
                incidents: Vec::new(),
                more: 0,
            };
            change.announce_hand_over(schedule, of).await?;
        }
        change.commit().await?;
        Ok(())
    }
}

impl Change {
    async fn announce_hand_over(&mut self, schedule: &Schedule, of: HandOver) -> Result<(), EngineError> {
        for (room, list) in self.rooms_of_schedule(schedule).await? {
            let (incidents, more) = self.open_in(&room).await?;
            let of = HandOver { incidents, more, ..of.clone() };
            self.post(&list, &room, Outgoing::HandOver { of: Box::new(of) }).await?;
        }
        Ok(())
    }

    /// Announces a change in the schedule's rooms, apart from the one that gets an answer.
    pub async fn announce_changed(
        &mut self,
        schedule: &Schedule,
        of: &Changed,
        answered_in: &str,
    ) -> Result<(), EngineError> {
        for (room, list) in self.rooms_of_schedule(schedule).await? {
            if room != answered_in {
                self.post(&list, &room, Outgoing::OnCallChanged { of: of.clone() }).await?;
            }
        }
        Ok(())
    }

    /// The rooms that learn of a schedule's changes, each with the list that posts there: the first one by name that has the
    /// room.
    async fn rooms_of_schedule(&mut self, schedule: &Schedule) -> Result<Vec<(String, String)>, EngineError> {
        let lists = self.engine().lists.load();
        let (mut known, mut rooms) = (BTreeSet::new(), Vec::new());
        for reference in &schedule.announce {
            for room in room::rooms_of(self.tx(), std::slice::from_ref(reference)).await? {
                let mut references = room::references_to(self.tx(), &room).await?;
                references.push(reference.clone());
                let owner = lists.naming(&references).first().map(|list| list.name.clone());
                if let Some(owner) = owner.filter(|_| known.insert(room.clone())) {
                    rooms.push((room, owner));
                }
            }
        }
        Ok(rooms)
    }

    /// The open incidents of the lists of a room, and how many more there are.
    async fn open_in(&mut self, room: &str) -> Result<(Vec<IncidentLine>, u64), EngineError> {
        let references = room::references_to(self.tx(), room).await?;
        let lists = self.engine().lists.load().naming(&references);
        let names: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        let phases: Vec<String> =
            Verb::Show.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        let (numbers, total) =
            overview::open_from_level(self.tx(), &names, &phases, NOT_PAGED_YET, MOST_LISTED).await?;
        let mut lines = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(stored) = incident::load_readable(self.tx(), number).await? else { continue };
            let engine = self.engine().clone();
            let policy =
                engine.policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
            lines.push(stored.line(u32::try_from(policy.levels.len()).unwrap_or(u32::MAX)));
        }
        let listed = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        Ok((lines, u64::try_from(total.saturating_sub(listed)).unwrap_or(0)))
    }

    async fn post(&mut self, room_list: &str, room: &str, payload: Outgoing) -> Result<(), EngineError> {
        let message = NewMessage {
            id: ids::unique(),
            room_list,
            room,
            payload,
            incident: None,
            rung: None,
            post: None,
            not_before: self.now(),
        };
        Ok(self.enqueue(message).await?)
    }
}
