//! Which commands are carried out at all: not those of a flood; and for which lists, in rooms that no list has any more.

use super::InboxError;
use super::handler::{EventHandler, Handled};
use crate::domain::answer::Answer;
use crate::domain::command::{Command, Parsed, Which};
use crate::domain::flood::{self, Admission};
use crate::domain::lists::{Departed, ListSettings};
use crate::rooms::departed;
use crate::store::{command_rate, digest, incident, post, room};
use ruma::{OwnedEventId, OwnedUserId};
use std::sync::Arc;

/// Of how many incidents of a range, or of `all`, the lists are looked up.
const MOST_LOOKED_UP: usize = 20;

impl EventHandler<'_> {
    /// Counts a command of the sender in this room. Returns whether it is carried out. The first one that is dropped is
    /// answered, as `room_list`; the following ones are not.
    pub(super) async fn admit_command(
        &mut self,
        room_list: &str,
        thread: Option<OwnedEventId>,
    ) -> Result<bool, InboxError> {
        let (room, sender, now) = (self.event.room.as_str(), self.event.sender.as_str(), self.change.now());
        let rate = command_rate::find(self.change.tx(), room, sender).await?;
        let (rate, admission) = flood::decide(rate, now);
        command_rate::save(self.change.tx(), room, sender, rate).await?;
        self.yields = flood::is_busy(&rate);
        match admission {
            Admission::Accept => Ok(true),
            Admission::Drop => Ok(false),
            Admission::DropWithAnswer => {
                let (user, pause) = (self.event.sender.clone(), flood::PAUSE);
                let label = room::label(self.change.tx(), room).await?;
                tracing::warn!(
                    room,
                    user = sender,
                    "{sender} sends too many commands in {label}: they are dropped until there is a pause of {} s",
                    pause.as_secs()
                );
                self.answer_as(room_list, Answer::TooManyCommands { user, pause }, thread).await?;
                Ok(false)
            }
        }
    }

    /// The lists whose incidents a command names and that were posted here. For a room that moved or that its list no
    /// longer has: what was posted there can be acted on from there, and nothing else.
    pub(super) async fn lists_of_posts(
        &mut self,
        parsed: &Parsed,
    ) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let Parsed::Command(Command::Act { which, .. } | Command::Show { which, .. }) = parsed else {
            return Ok(Vec::new());
        };
        let numbers = match which {
            Which::Numbers(numbers) => numbers.clone(),
            Which::Ranges(ranges) => {
                let (first, last): (Vec<i64>, Vec<i64>) = ranges.iter().copied().unzip();
                let posted =
                    digest::posted_among(self.change.tx(), (&first, &last), self.event.room.as_str()).await?;
                posted.into_iter().map(|(number, _)| number).take(MOST_LOOKED_UP).collect()
            }
            Which::All => return self.left_lists_with_posts(parsed).await,
            Which::This => return Ok(Vec::new()),
        };
        let lists = self.inbox.lists.load();
        let mut found: Vec<Arc<ListSettings>> = Vec::new();
        for number in numbers {
            if !post::was_notified(self.change.tx(), number, self.event.room.as_str()).await? {
                continue;
            }
            let stored = incident::load_readable(self.change.tx(), number).await?;
            if let Some(list) = stored.and_then(|stored| lists.get(&stored.room_list).cloned())
                && !found.iter().any(|known| known.name == list.name)
            {
                found.push(list);
            }
        }
        Ok(found)
    }

    /// The lists that have left this room and have incidents there that `all` stands for.
    async fn left_lists_with_posts(&mut self, parsed: &Parsed) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let Parsed::Command(Command::Act { act, .. }) = parsed else { return Ok(Vec::new()) };
        let mut with_posts = Vec::new();
        for list in self.left_lists().await? {
            let one = std::slice::from_ref(&list);
            let room = self.event.room.as_str();
            // Oldest first: in a room that was replaced, these were posted there.
            for number in self.change.all_in_room(one, act.verb(), room, MOST_LOOKED_UP).await?.here {
                if post::was_notified(self.change.tx(), number, room).await? {
                    with_posts.push(list);
                    break;
                }
            }
        }
        Ok(with_posts)
    }

    /// The lists whose virtual users are in this room.
    async fn left_lists(&mut self) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let lists = self.inbox.lists.load();
        let users = room::users_in(self.change.tx(), self.event.room.as_str()).await?;
        Ok(users.iter().filter_map(|user| lists.of_user(user)).cloned().collect())
    }

    /// Answers a command about something that was not posted in this room, which its lists have left: with where they post
    /// now. Their virtual users are still in it. `mentioned`: the virtual user that the command is addressed to.
    pub(super) async fn answer_in_left_room(
        &mut self,
        mentioned: Option<OwnedUserId>,
        thread: Option<OwnedEventId>,
    ) -> Result<Handled, InboxError> {
        let room = self.event.room.as_str();
        let mut left = self.left_lists().await?;
        if let Some(list) = left.iter().find(|list| Some(&list.user_id) == mentioned.as_ref()).cloned() {
            left = vec![list];
        }
        let Some(first) = left.first().cloned() else { return Ok(Handled::ignored("a room of no list")) };
        if !self.admit_command(&first.name, thread.clone()).await? {
            return Ok(Handled::dropped());
        }
        let mut departed = Vec::with_capacity(left.len());
        for list in &left {
            let posts_in = match departed::replacement(self.change.tx(), list, room).await? {
                Some(other) => Some(room::label(self.change.tx(), &other).await?),
                None => None,
            };
            departed.push(Departed { room_list: list.name.clone(), posts_in });
        }
        self.answer_as(&first.name, Answer::LeftRoom { lists: departed }, thread).await?;
        Ok(Handled::refused("in a room that its lists have left"))
    }
}
