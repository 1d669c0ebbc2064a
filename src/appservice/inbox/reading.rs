//! What a message means: whom it addresses, and the command in its text; an edit is read as what it made of its original.

use super::{Inbox, InboxError};
use crate::appservice::events::interpret;
use crate::domain::command::{Context, Parsed, parse};
use crate::domain::incoming::{Addressed, Happening, Incoming, Message, MessageKind, RoomEvent};
use crate::domain::lists::ListSettings;
use jiff::Timestamp;
use serde_json::value::to_raw_value;

/// How a message is read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// Whom it addresses.
    pub(super) addressed: Addressed<'a>,
    /// The reactions of all lists that acknowledge: until it is known which list the message is for.
    any_acks: Vec<String>,
    at: Timestamp,
    now: Timestamp,
}

impl<'a> Reading<'a> {
    /// What the message means. `here`: it replies to one of our messages or is in a thread of ours. `list`: the list that it
    /// is for. `direct`: it is not a reply to a person in that thread.
    pub(super) fn meaning(&self, here: bool, direct: bool, list: Option<&'a ListSettings>) -> Parsed {
        let acks = match list {
            _ if !direct => &[][..],
            Some(list) => &list.ack_reactions,
            None => &self.any_acks,
        };
        let Addressed { user, text, named } = self.addressed;
        let context = Context {
            reply_or_thread: here,
            mentioned: user.is_some(),
            named,
            acks,
            at: self.at,
            now: self.now,
            zone: list.map(|list| &list.time_zone),
        };
        parse(text, context)
    }

    /// The most that the message can mean: if it refers to one of our messages.
    pub(super) fn at_most(&self, message: &Message) -> Parsed {
        self.meaning(message.reply_to.is_some() || message.thread_root.is_some(), true, None)
    }
}

impl Inbox {
    /// How a message is read that was written at `at`.
    pub(super) fn reading<'a>(&self, message: &'a Message, at: Timestamp) -> Reading<'a> {
        let lists = self.lists.load();
        let called = |user: &ruma::UserId| lists.of_user(user.as_str()).map(|list| list.display_name.clone());
        let addressed = message.addressed(|user| self.is_ours(user), called);
        let any_acks = lists.all().flat_map(|list| list.ack_reactions.iter().cloned()).collect();
        Reading { addressed, any_acks, at, now: self.clock.now().max(at) }
    }

    /// Gives an edit the place of its original, if its sender wrote that in the same room. Any other edit is no message.
    pub(super) async fn complete_edit(&self, event: &mut RoomEvent) -> Result<(), InboxError> {
        let Happening::Message(message) = &mut event.what else { return Ok(()) };
        let Some(edited) = message.edits.clone() else { return Ok(()) };
        let stored = self.store.event(edited.as_str(), event.room.as_str()).await?;
        let original = stored.and_then(|original| to_raw_value(&original).ok()).map(|raw| interpret(&raw));
        match original {
            Some(Incoming::Event(RoomEvent { sender, what: Happening::Message(original), .. }))
                if sender == event.sender && original.edits.is_none() =>
            {
                message.reply_to = original.reply_to;
                message.thread_root = original.thread_root;
            }
            _ => message.kind = MessageKind::Other,
        }
        Ok(())
    }
}
