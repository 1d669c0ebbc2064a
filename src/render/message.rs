//! A rendered message, and the content of its event.

use super::rich::{Document, Rich, WebLink};
use crate::domain::on_call::Called;
use crate::domain::policy::Mention;
use ruma::events::Mentions;
use ruma::events::reaction::ReactionEventContent;
use ruma::events::relation::{Annotation, Replacement, Reply, Thread};
use ruma::events::room::message::{MessageType, Relation, RoomMessageEventContentWithoutRelation};
use ruma::{EventId, OwnedEventId};
use serde::Serialize;
use serde_json::Value;

/// A message for a room.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whether it may notify.
    pub msgtype: MsgType,
    /// Its text.
    pub text: Document,
    /// The users it notifies. The event always contains them, so clients do not search the text for names.
    pub mentions: Mentions,
    /// Alertmanager's own page.
    pub external_url: Option<String>,
    /// How it relates to another event.
    pub place: Place,
}

/// The two types of messages that matrixbot sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsgType {
    /// `m.text`: notifies.
    Text,
    /// `m.notice`: never notifies, even with mentions.
    Notice,
}

/// How a message relates to another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It has no relation, so a thread can start from it.
    Timeline,
    /// It answers an event, outside of any thread.
    Reply {
        /// The event.
        to: OwnedEventId,
    },
    /// It is part of a thread.
    Thread {
        /// The event from which the thread starts.
        root: OwnedEventId,
        /// The event that it answers, if it answers one.
        reply_to: Option<OwnedEventId>,
    },
    /// It replaces an earlier message.
    Edit {
        /// The earlier message.
        of: OwnedEventId,
        /// The text for clients without support for edits.
        fallback: Document,
    },
}

/// The content of an `m.room.message` event. ruma's own type has no `external_url`.
#[derive(Debug, Serialize)]
struct Content {
    #[serde(flatten)]
    body: Body,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    relates_to: Option<Relation<Body>>,
}

/// The visible part of the content. An edit has it twice: as the fallback and as the new content.
#[derive(Debug, Clone, Serialize)]
struct Body {
    #[serde(flatten)]
    content: RoomMessageEventContentWithoutRelation,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_url: Option<String>,
}

impl Message {
    /// A message that notifies `mentions`.
    pub fn text(text: Document, mentions: Mentions) -> Self {
        Self { msgtype: MsgType::Text, text, mentions, external_url: None, place: Place::Timeline }
    }

    /// A message that notifies nobody.
    pub fn notice(text: Document) -> Self {
        Self { msgtype: MsgType::Notice, ..Self::text(text, Mentions::new()) }
    }

    /// The same message at another place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same message with its origin, if that is a web page.
    #[must_use]
    pub fn from_url(mut self, external_url: Option<&str>) -> Self {
        self.external_url = external_url.and_then(WebLink::parse).map(|link| link.as_str().to_owned());
        self
    }

    /// The content of the `m.room.message` event.
    pub fn content(&self) -> serde_json::Result<Value> {
        let mut content = serde_json::to_value(self.to_content())?;
        // ruma omits `false`. Write it, so nobody has to know the default.
        if let Place::Thread { reply_to: Some(_), .. } = &self.place
            && let Some(Value::Object(relation)) = content.get_mut("m.relates_to")
        {
            relation.insert("is_falling_back".to_owned(), false.into());
        }
        Ok(content)
    }

    /// The size of the content as JSON, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let mut counter = Counter(0);
        // Counting cannot fail.
        match serde_json::to_writer(&mut counter, &self.to_content()) {
            Ok(()) => counter.0,
            Err(_) => 0,
        }
    }

    fn to_content(&self) -> Content {
        let text = || self.body(&self.text, "");
        let relates_to = match &self.place {
            Place::Timeline => None,
            Place::Reply { to } => Some(Relation::Reply(Reply::with_event_id(to.clone()))),
            // Clients without threads render this message as a reply to the root.
            Place::Thread { root, reply_to: None } => {
                Some(Relation::Thread(Thread::plain(root.clone(), root.clone())))
            }
            Place::Thread { root, reply_to: Some(reply_to) } => {
                Some(Relation::Thread(Thread::reply(root.clone(), reply_to.clone())))
            }
            Place::Edit { of, fallback } => {
                let relation = Relation::Replacement(Replacement::new(of.clone(), text()));
                return Content { body: self.body(fallback, "* "), relates_to: Some(relation) };
            }
        };
        Content { body: text(), relates_to }
    }

    fn body(&self, text: &Document, prefix: &str) -> Body {
        let (plain, html) = (format!("{prefix}{}", text.plain()), format!("{prefix}{}", text.html()));
        let msgtype = match self.msgtype {
            MsgType::Text => MessageType::text_html(plain, html),
            MsgType::Notice => MessageType::notice_html(plain, html),
        };
        let mut content = RoomMessageEventContentWithoutRelation::new(msgtype);
        // Client-Server API §11.37 "User and room mentions": an empty object mentions nobody. Without the property,
        // clients search the text for names.
        content.mentions = Some(self.mentions.clone());
        Body { content, external_url: self.external_url.clone() }
    }
}

/// Counts the bytes written to it.
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

/// The policy's mentions as the mentions of an event.
pub(super) fn mentions(mentions: &[Mention]) -> Mentions {
    let mut notified = Mentions::new();
    for mention in mentions {
        match mention {
            Mention::User(user) => {
                notified.user_ids.insert(user.clone());
            }
            Mention::Room => notified.room = true,
            Mention::OnCall(_) => {}
        }
    }
    notified
}

/// Whom a message mentions, and in which schedules nobody is on call.
pub(super) fn names_of(called: &Called) -> Rich {
    let names: Vec<_> = called
        .mentions
        .iter()
        .map(|mention| match mention {
            Mention::User(user) => Rich::new().user(user),
            Mention::Room => Rich::from("@room"),
            Mention::OnCall(schedule) => Rich::from(format!("(on call in {schedule})")),
        })
        .collect();
    let nobody = match called.nobody.as_slice() {
        [] => Rich::new(),
        schedules => {
            Rich::from("⚠️ ").strong(&format!("Nobody is on call in {}.", schedules.join(" and in ")))
        }
    };
    Rich::join(&[nobody, Rich::join(&names, " ")], " ")
}

/// The content of the `m.reaction` that the virtual user places on `page`, so people can acknowledge with one tap.
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
    fn bytes_is_the_size_of_the_content() {
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
