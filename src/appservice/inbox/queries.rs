//! Commands that only print: lists, incidents, timelines, help.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use super::message::CommandMessage;
use crate::domain::answer::{Answer, Hidden, IncidentLine};
use crate::domain::command::{Verb, Which};
use crate::domain::lists::ListSettings;
use crate::domain::outgoing::Outgoing;
use crate::domain::rights::role;
use crate::store::{StoredIncident, incident, overview, post, timeline};

/// How many incidents an answer lists.
const MAX_LISTED: i64 = 30;
/// How many incidents one command may print.
const MAX_SHOWN: i64 = 5;
/// How many entries of a timeline an answer has.
const MAX_ENTRIES: i64 = 40;
/// The level that the database compares for an incident without a page.
const NOT_PAGED_YET: i32 = -1;

impl EventHandler<'_> {
    /// Lists unacknowledged incidents.
    pub(super) async fn pending(&mut self, message: &CommandMessage) -> Result<Handled, InboxError> {
        let (incidents, more) = self.list(message, Verb::Pending, NOT_PAGED_YET).await?;
        let room_list = message.list_names().join(", ");
        self.answer(message, Answer::Pending { room_list, incidents, more }).await?;
        Ok(Handled::acted("pending"))
    }

    /// Lists the incidents beyond their first level.
    pub(super) async fn escalated(&mut self, message: &CommandMessage) -> Result<Handled, InboxError> {
        let (incidents, more) = self.list(message, Verb::Escalated, 1).await?;
        let room_list = message.list_names().join(", ");
        self.answer(message, Answer::Escalated { room_list, incidents, more }).await?;
        Ok(Handled::acted("escalated"))
    }

    /// Posts the current state of incidents.
    pub(super) async fn show(
        &mut self,
        message: &CommandMessage,
        which: &Which,
    ) -> Result<Handled, InboxError> {
        for number in self.numbers_to_show(message, which, Verb::Show).await? {
            if let Some(stored) = self.visible(message, number).await? {
                let to = self.answered();
                let payload = Outgoing::Show { to, thread: message.thread.clone(), yields: self.yields };
                self.enqueue(&stored.room_list, payload, Some(number)).await?;
            }
        }
        Ok(Handled::acted("show"))
    }

    /// Answers with the timelines of incidents.
    pub(super) async fn timeline(
        &mut self,
        message: &CommandMessage,
        which: &Which,
    ) -> Result<Handled, InboxError> {
        for number in self.numbers_to_show(message, which, Verb::Timeline).await? {
            let Some(stored) = self.visible(message, number).await? else { continue };
            let policy = self
                .inbox
                .engine
                .policy_or_current(&stored.room_list, stored.incident.run.policy_version)
                .await?;
            let entries = timeline::read(self.change.tx(), number, MAX_ENTRIES).await?;
            let earlier = entries.first().map_or(0, |first| first.version.saturating_sub(1));
            let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
            let name = stored.name();
            let answer = Answer::Timeline { number, name, levels, entries, earlier };
            self.answer_as(&stored.room_list, answer, message.thread.clone()).await?;
        }
        Ok(Handled::acted("timeline"))
    }

    /// Lists the commands and whether the sender may use them.
    pub(super) async fn help(&mut self, message: &CommandMessage) -> Result<Handled, InboxError> {
        let caller = self.caller();
        let role_in = |list: &ListSettings| role(caller, &list.policy);
        let Some((first, others)) = message.lists.split_first() else {
            return Ok(Handled::ignored("a room of no list"));
        };
        let others = others.iter().map(|list| (list.name.clone(), role_in(list))).collect();
        let answer = Answer::Help { room_list: first.name.clone(), role: role_in(first), others };
        self.answer(message, answer).await?;
        Ok(Handled::acted("help"))
    }

    async fn list(
        &mut self,
        message: &CommandMessage,
        verb: Verb,
        min_level: i32,
    ) -> Result<(Vec<IncidentLine>, u64), InboxError> {
        let lists = message.list_names();
        let phases: Vec<String> = verb.row().phases.iter().map(|phase| phase.as_str().to_owned()).collect();
        let (numbers, total) =
            overview::open_from_level(self.change.tx(), &lists, &phases, min_level, MAX_LISTED).await?;
        let mut lines = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(stored) = incident::load_readable(self.change.tx(), number).await? {
                let policy = self
                    .inbox
                    .engine
                    .policy_or_current(&stored.room_list, stored.incident.run.policy_version)
                    .await?;
                lines.push(stored.line(u32::try_from(policy.levels.len()).unwrap_or(u32::MAX)));
            }
        }
        let listed = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        Ok((lines, u64::try_from(total.saturating_sub(listed)).unwrap_or(0)))
    }

    /// The incidents that a command prints.
    async fn numbers_to_show(
        &mut self,
        message: &CommandMessage,
        which: &Which,
        verb: Verb,
    ) -> Result<Vec<i64>, InboxError> {
        let mut numbers = match message.named(which) {
            Some(numbers) => numbers,
            None => self.change.all_of(&message.list_names(), verb, MAX_SHOWN).await?,
        };
        numbers.truncate(usize::try_from(MAX_SHOWN).unwrap_or(usize::MAX));
        Ok(numbers)
    }

    /// The incident, if the room may see it: it belongs to one of the room's lists, or was posted here. Otherwise
    /// answers that the incident is unknown.
    async fn visible(
        &mut self,
        message: &CommandMessage,
        number: i64,
    ) -> Result<Option<StoredIncident>, InboxError> {
        let posted = post::was_notified(self.change.tx(), number, self.event.room.as_str()).await?;
        let stored = match incident::load(self.change.tx(), number).await {
            Err(error) if error.is_unreadable() && posted => {
                self.answer(message, Answer::NotShown { number, why: Hidden::Unreadable }).await?;
                return Ok(None);
            }
            Err(error) if error.is_unreadable() => None,
            stored => stored?,
        };
        let visible =
            stored.filter(|stored| posted || message.lists.iter().any(|list| list.name == stored.room_list));
        if visible.is_none() {
            self.answer(message, Answer::NotShown { number, why: Hidden::Unknown }).await?;
        }
        Ok(visible)
    }
}
