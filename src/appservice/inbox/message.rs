//! Something was said: is it a command, whose, and what is answered?

use super::InboxError;
use super::scene::{Handled, Scene};
use crate::domain::answer::Answer;
use crate::domain::command::{Command, Context, Parsed, Query, View, Which, parse};
use crate::domain::incoming::Message;
use crate::domain::input::Via;
use crate::domain::lists::ListSettings;
use crate::store::{About, inbox, incident, post};
use ruma::OwnedEventId;
use std::sync::Arc;

/// Where and how a command was said.
#[derive(Debug)]
pub(super) struct Said {
    /// The incident that the reply or thread is about.
    pub(super) about: Option<About>,
    /// The thread it was said in.
    pub(super) thread: Option<OwnedEventId>,
    /// The room lists of the room; the one that answers first.
    pub(super) lists: Vec<Arc<ListSettings>>,
    /// How it was said.
    pub(super) via: Via,
}

impl Scene<'_> {
    /// Somebody said something.
    pub(super) async fn message(&mut self, message: &Message) -> Result<Handled, InboxError> {
        if !message.may_command() {
            return Ok(Handled::ignored("not a command"));
        }
        let (ours, text) = message.addressed(|user| self.inbox.is_ours(user));
        let hangs_on = message.reply_to.as_ref().or(message.thread_root.as_ref());
        let mentioned = ours.is_some();
        let meaning = |reply_or_thread| parse(text, Context { reply_or_thread, mentioned });
        // Most of what is said is chatter, and is told from commands without asking the database.
        let hanging = meaning(hangs_on.is_some());
        if hanging == Parsed::Chatter {
            return Ok(Handled::ignored("chatter"));
        }
        let mut about = self.about(message).await?;
        let mut parsed = meaning(about.is_some());
        if let Some(target) = hangs_on.filter(|_| parsed != hanging) {
            inbox::lock_target(self.change.tx(), target.as_str()).await?;
            about = self.about(message).await?;
            parsed = meaning(about.is_some());
            // What is on its way may be what is meant: then this is handled once we know.
            let wait = parsed == Parsed::Chatter
                || post::is_on_its_way(self.change.tx(), self.event.room.as_str()).await?;
            if about.is_none() && wait {
                return Ok(Handled::hanging_on(target.clone(), "chatter"));
            }
        }
        let lists = self.answering(ours.map(ToString::to_string), about.as_ref()).await?;
        if lists.is_empty() {
            return Ok(Handled::ignored("a room of no list"));
        }
        let via = if hangs_on.is_some() && about.is_some() { Via::Reply } else { Via::Command };
        let said = Said { about, thread: message.thread_root.clone(), lists, via };
        match parsed {
            Parsed::Chatter => Ok(Handled::ignored("chatter")),
            Parsed::Mistake(mistake) => {
                self.reply(&said, Answer::Mistake { said: mistake.said, hint: mistake.hint }).await?;
                Ok(Handled::refused("not understood"))
            }
            Parsed::Command(command) => self.command(&said, command).await,
        }
    }

    async fn command(&mut self, said: &Said, command: Command) -> Result<Handled, InboxError> {
        match command {
            Command::Act { act, which, comment } => self.act(said, &which, act, comment).await,
            Command::Show { view: View::Incident, which } => self.show(said, &which).await,
            Command::Show { view: View::Timeline, which } => self.timeline(said, &which).await,
            Command::Query(Query::Pending) => self.pending(said).await,
            Command::Query(Query::Escalated) => self.escalated(said).await,
            Command::Query(Query::Help) => self.help(said).await,
            Command::NotAvailable(verb) => {
                self.reply(said, Answer::NotAvailable { command: verb.word().to_owned() }).await?;
                Ok(Handled::refused(format!("{}: not in this release", verb.word())))
            }
        }
    }

    /// Answers a command, spoken by the first of the lists that it concerns.
    pub(super) async fn reply(&mut self, said: &Said, answer: Answer) -> Result<(), InboxError> {
        let Some(list) = said.lists.first().cloned() else { return Ok(()) };
        self.answer(&list.name, answer, said.thread.clone()).await
    }

    /// The incident that a message hangs on: by what it replies to, or by the thread it is in.
    async fn about(&mut self, message: &Message) -> Result<Option<About>, InboxError> {
        let room = self.event.room.as_str();
        for event_id in [message.reply_to.as_ref(), message.thread_root.as_ref()].into_iter().flatten() {
            if let Some(about) = post::about(self.change.tx(), room, event_id.as_str()).await? {
                return Ok(Some(about));
            }
        }
        Ok(None)
    }

    /// The lists that a message concerns: the one that it mentions, or else all of the room, first the one whose message
    /// it hangs on, then the others by name. A room that several lists share gets one answer.
    async fn answering(
        &mut self,
        mentioned: Option<String>,
        about: Option<&About>,
    ) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let mut lists = self.lists_here().await?;
        let all = self.inbox.engine.lists();
        if let Some(about) = about {
            let stored = incident::load(self.change.tx(), about.incident).await?;
            if let Some(first) = stored.and_then(|stored| all.get(&stored.room_list).cloned()) {
                lists.retain(|list| list.name != first.name);
                lists.insert(0, first);
            }
        } else if let Some(mentioned) = mentioned.and_then(|user| all.of_user(&user).cloned())
            && lists.iter().any(|list| list.name == mentioned.name)
        {
            lists = vec![mentioned];
        }
        Ok(lists)
    }

    /// The incidents that a command names, if it names them itself.
    pub(super) fn named(said: &Said, which: &Which) -> Option<Vec<i64>> {
        match which {
            Which::Numbers(numbers) => Some(numbers.clone()),
            Which::This => Some(said.about.iter().map(|about| about.incident).collect()),
            Which::All => None,
        }
    }
}
