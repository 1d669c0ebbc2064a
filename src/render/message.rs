//! A rendered message, and the content of the event that carries it.

use super::rich::{Document, WebLink};
use crate::domain::policy::Mention;
use ruma::events::Mentions;
use ruma::events::reaction::ReactionEventContent;
use ruma::events::relation::{Annotation, Replacement, Reply, Thread};
use ruma::events::room::message::{MessageType, Relation, RoomMessageEventContentWithoutRelation};
use ruma::{EventId, OwnedEventId};
use serde::Serialize;
use serde_json::Value;

/// A message as a room will see it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whether it may wake somebody.
    pub msgtype: MsgType,
    /// Its text.
    pub text: Document,
    /// Whom it notifies. Always written out, so that clients never search the text for names.
    pub mentions: Mentions,
    /// Where it comes from: Alertmanager's own page.
    pub external_url: Option<String>,
    /// How it relates to another event.
    pub place: Place,
}

/// The two types of messages that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsgType {
    /// `m.text`: notifies.
    Text,
    /// `m.notice`: never notifies, whatever it mentions.
    Notice,
}

/// How a message relates to another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It stands on its own: a thread can begin from it.
    Timeline,
    /// It answers an event, outside of any thread.
    Reply {
        /// The event.
        to: OwnedEventId,
    },
    /// It is part of a thread.
    Thread {
        /// The event that the thread began from.
        root: OwnedEventId,
        /// The event that it answers, if it answers one.
        reply_to: Option<OwnedEventId>,
    },
    /// It replaces an earlier message.
    Edit {
        /// The earlier message.
        of: OwnedEventId,
        /// What clients show that do not know edits.
        fallback: Document,
    },
}

/// The content of an `m.room.message` event. ruma's own type has no `external_url`.
#[derive(Debug, Serialize)]
struct Content {
    #[serde(flatten)]
    shown: Shown,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    relates_to: Option<Relation<Shown>>,
}

/// What a client shows of a message: the content itself, and again as the new content of an edit.
#[derive(Debug, Clone, Serialize)]
struct Shown {
    #[serde(flatten)]
    content: RoomMessageEventContentWithoutRelation,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_url: Option<String>,
}

impl Message {
    /// A message that may wake somebody: `mentions` do.
    pub fn text(text: Document, mentions: Mentions) -> Self {
        Self { msgtype: MsgType::Text, text, mentions, external_url: None, place: Place::Timeline }
    }

    /// A message that wakes nobody.
    pub fn notice(text: Document) -> Self {
        Self { msgtype: MsgType::Notice, ..Self::text(text, Mentions::new()) }
    }

    /// The same at another place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same with its origin, if that is a web page.
    #[must_use]
    pub fn from_url(mut self, external_url: Option<&str>) -> Self {
        self.external_url = external_url.and_then(WebLink::parse).map(|link| link.as_str().to_owned());
        self
    }

    /// The content of the `m.room.message` event.
    pub fn content(&self) -> serde_json::Result<Value> {
        let mut content = serde_json::to_value(self.to_content())?;
        // ruma leaves out `false`. Written out, nobody has to know that this is the default.
        if let Place::Thread { reply_to: Some(_), .. } = &self.place
            && let Some(Value::Object(relation)) = content.get_mut("m.relates_to")
        {
            relation.insert("is_falling_back".to_owned(), false.into());
        }
        Ok(content)
    }

    /// How many bytes the content takes as JSON.
    pub(super) fn bytes(&self) -> usize {
        let mut counter = Counter(0);
        // Counting does not fail; a content that could not be written takes no bytes.
        match serde_json::to_writer(&mut counter, &self.to_content()) {
            Ok(()) => counter.0,
            Err(_) => 0,
        }
    }

    fn to_content(&self) -> Content {
        let text = || self.shown(&self.text, "");
        let relates_to = match &self.place {
            Place::Timeline => None,
            Place::Reply { to } => Some(Relation::Reply(Reply::with_event_id(to.clone()))),
            // A client without threads shows a message that answers nobody as a reply to the root.
            Place::Thread { root, reply_to: None } => {
                Some(Relation::Thread(Thread::plain(root.clone(), root.clone())))
            }
            Place::Thread { root, reply_to: Some(reply_to) } => {
                Some(Relation::Thread(Thread::reply(root.clone(), reply_to.clone())))
            }
            Place::Edit { of, fallback } => {
                let relation = Relation::Replacement(Replacement::new(of.clone(), text()));
                return Content { shown: self.shown(fallback, "* "), relates_to: Some(relation) };
            }
        };
        Content { shown: text(), relates_to }
    }

    fn shown(&self, text: &Document, prefix: &str) -> Shown {
        let (plain, html) = (format!("{prefix}{}", text.plain()), format!("{prefix}{}", text.html()));
        let msgtype = match self.msgtype {
            MsgType::Text => MessageType::text_html(plain, html),
            MsgType::Notice => MessageType::notice_html(plain, html),
        };
        let mut content = RoomMessageEventContentWithoutRelation::new(msgtype);
        // Client-Server API §11.37 "User and room mentions": an empty object says that nobody is mentioned; without
        // the property, clients look for names in the text.
        content.mentions = Some(self.mentions.clone());
        Shown { content, external_url: self.external_url.clone() }
    }
}

/// Counts what is written to it.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whom mentions of the policy notify.
pub(super) fn mentions(mentions: &[Mention]) -> Mentions {
    let mut notified = Mentions::new();
    for mention in mentions {
        match mention {
            Mention::User(user) => {
                notified.user_ids.insert(user.clone());
            }
            Mention::Room => notified.room = true,
        }
    }
    notified
}

/// The content of the `m.reaction` that the virtual user places on `page`, so that acknowledging is one tap.
pub fn reaction(page: &EventId, key: &str) -> ReactionEventContent {
    ReactionEventContent::new(Annotation::new(page.to_owned(), key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruma::event_id;

    #[test]
    fn a_reaction_names_its_page_and_key() {
        let content = serde_json::to_value(reaction(event_id!("$page"), "✅")).unwrap();
        let expected = serde_json::json!({
            "m.relates_to": { "rel_type": "m.annotation", "event_id": "$page", "key": "✅" }
        });
        assert_eq!(content, expected);
    }

    #[test]
    fn bytes_are_those_of_the_content() {
        let mut document = Document::default();
        document.paragraph(&["DiskFull <on> \"db-1\"".into()]);
        let fallback = document.clone();
        let message = Message::text(document, Mentions::with_room_mention());
        let edit = message.clone().at(Place::Edit { of: event_id!("$page").to_owned(), fallback });
        for message in [message, edit] {
            assert_eq!(message.bytes(), message.content().unwrap().to_string().len());
        }
    }
}
