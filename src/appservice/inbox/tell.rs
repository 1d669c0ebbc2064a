//! Commands that only tell.

use super::InboxError;
use super::message::Said;
use super::scene::{Handled, Scene};
use crate::domain::answer::{Answer, Hidden, IncidentLine};
use crate::domain::command::{Verb, Which};
use crate::domain::incident::PhaseName;
use crate::domain::lists::ListSettings;
use crate::store::{Payload, StoredIncident, incident, overview, post, timeline};

/// How many incidents a list shows.
const SHOWN: i64 = 30;
/// The level of an incident that waits for its first page, as lists compare levels.
const NOT_PAGED_YET: i32 = -1;
/// How many entries of a timeline are shown.
const ENTRIES: i64 = 40;
/// How many incidents one command may show.
const MOST: usize = 5;

impl Scene<'_> {
    /// Lists what nobody took.
    pub(super) async fn pending(&mut self, said: &Said) -> Result<Handled, InboxError> {
        let (incidents, more) = self.list(said, Verb::Pending, NOT_PAGED_YET).await?;
        let room_list = names(said);
        self.reply(said, Answer::Pending { room_list, incidents, more }).await?;
        Ok(Handled::acted("pending"))
    }

    /// Lists what climbed beyond its first level.
    pub(super) async fn escalated(&mut self, said: &Said) -> Result<Handled, InboxError> {
        let (incidents, more) = self.list(said, Verb::Escalated, 1).await?;
        let room_list = names(said);
        self.reply(said, Answer::Escalated { room_list, incidents, more }).await?;
        Ok(Handled::acted("escalated"))
    }

    /// Shows incidents as they stand.
    pub(super) async fn show(&mut self, said: &Said, which: &Which) -> Result<Handled, InboxError> {
        for number in self.shown(said, which).await? {
            if let Some(stored) = self.visible(said, number).await? {
                let to = self.event.event_id.clone();
                let payload = Payload::Show { to, thread: said.thread.clone() };
                self.put(&stored.room_list, payload, Some(number)).await?;
            }
        }
        Ok(Handled::acted("show"))
    }

    /// Tells the story of incidents.
    pub(super) async fn timeline(&mut self, said: &Said, which: &Which) -> Result<Handled, InboxError> {
        for number in self.shown(said, which).await? {
            let Some(stored) = self.visible(said, number).await? else { continue };
            let policy = self.inbox.engine.policy(stored.incident.run.policy_version).await?;
            let entries = timeline::read(self.change.tx(), number, ENTRIES).await?;
            let earlier = entries.first().map_or(0, |first| first.version.saturating_sub(1));
            let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
            let name = stored.view(levels).name();
            let answer = Answer::Timeline { number, name, levels, entries, earlier };
            self.answer(&stored.room_list, answer, said.thread.clone()).await?;
        }
        Ok(Handled::acted("timeline"))
    }

    /// Lists the commands, with the reader's rights.
    pub(super) async fn help(&mut self, said: &Said) -> Result<Handled, InboxError> {
        let role_in = |list: &ListSettings| self.role(&list.policy.permissions);
        let Some((first, others)) = said.lists.split_first() else {
            return Ok(Handled::ignored("a room of no list"));
        };
        let others = others.iter().map(|list| (list.name.clone(), role_in(list))).collect();
        let answer = Answer::Help { room_list: first.name.clone(), role: role_in(first), others };
        self.reply(said, answer).await?;
        Ok(Handled::acted("help"))
    }

    async fn list(
        &mut self,
        said: &Said,
        verb: Verb,
        min_level: i32,
    ) -> Result<(Vec<IncidentLine>, u64), InboxError> {
        let lists: Vec<String> = said.lists.iter().map(|list| list.name.clone()).collect();
        let phases: Vec<String> = verb.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        let (numbers, total) =
            overview::open_from_level(self.change.tx(), &lists, &phases, min_level, SHOWN).await?;
        let mut lines = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(stored) = incident::load(self.change.tx(), number).await? {
                let policy = self.inbox.engine.policy(stored.incident.run.policy_version).await?;
                lines.push(stored.view(u32::try_from(policy.levels.len()).unwrap_or(u32::MAX)).line());
            }
        }
        let shown = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        Ok((lines, u64::try_from(total.saturating_sub(shown)).unwrap_or(0)))
    }

    async fn shown(&mut self, said: &Said, which: &Which) -> Result<Vec<i64>, InboxError> {
        let mut numbers = if let Some(numbers) = Self::named(said, which) {
            numbers
        } else {
            let lists: Vec<String> = said.lists.iter().map(|list| list.name.clone()).collect();
            let phases: Vec<String> = PhaseName::ALL.iter().map(|phase| phase.as_str().to_owned()).collect();
            overview::open_numbers(self.change.tx(), &lists, &phases, SHOWN).await?
        };
        numbers.truncate(MOST);
        Ok(numbers)
    }

    /// An incident that this room may see: of one of its lists. Says so if it is not.
    async fn visible(&mut self, said: &Said, number: i64) -> Result<Option<StoredIncident>, InboxError> {
        let stored = incident::load(self.change.tx(), number).await?;
        let told = post::was_told(self.change.tx(), number, self.event.room.as_str()).await?;
        let ours =
            stored.filter(|stored| told || said.lists.iter().any(|list| list.name == stored.room_list));
        if ours.is_none() {
            self.reply(said, Answer::NotShown { number, why: Hidden::Unknown }).await?;
        }
        Ok(ours)
    }
}

/// The room lists that an answer speaks of.
pub(super) fn names(said: &Said) -> String {
    said.lists.iter().map(|list| list.name.as_str()).collect::<Vec<_>>().join(", ")
}
