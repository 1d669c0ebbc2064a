//! A rendered message, and the content of the event that carries it.

use super::html::WebLink;
use super::rich::Document;
use crate::domain::policy::Mention;
use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A message as a room will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it may wake somebody.
    pub msgtype: MsgType,
    /// What it says.
    pub text: Document,
    /// Whom it notifies.
    pub mentions: Mentions,
    /// Where it comes from: Alertmanager's own page.
    pub external_url: Option<String>,
    /// What it belongs to.
    pub relation: Relation,
}

/// The two types of messages that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsgType {
    /// `m.text`: notifies.
    Text,
    /// `m.notice`: never notifies, whatever it mentions.
    Notice,
}

/// Whom a message notifies. Always written out, so that clients never search the text for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    /// These users.
    pub users: BTreeSet<OwnedUserId>,
    /// Everybody in the room; the homeserver asks for a power level of 50.
    pub room: bool,
}

/// How a message relates to another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// It stands on its own: a thread can begin from it.
    None,
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
    /// It takes the place of an earlier message.
    Replacement {
        /// The earlier message.
        of: OwnedEventId,
        /// What clients show that do not know edits.
        fallback: Document,
    },
}

impl Message {
    /// A message that may wake somebody: `mentions` do.
    pub fn text(text: Document, mentions: Mentions) -> Self {
        Self { msgtype: MsgType::Text, text, mentions, external_url: None, relation: Relation::None }
    }

    /// A message that wakes nobody.
    pub fn notice(text: Document) -> Self {
        Self {
            msgtype: MsgType::Notice,
            text,
            mentions: Mentions::default(),
            external_url: None,
            relation: Relation::None,
        }
    }

    /// The same with a relation.
    #[must_use]
    pub fn related(mut self, relation: Relation) -> Self {
        self.relation = relation;
        self
    }

    /// The same with its origin, if that is a web page.
    #[must_use]
    pub fn from_url(mut self, external_url: Option<&str>) -> Self {
        self.external_url = external_url.and_then(WebLink::parse).map(|link| link.as_str().to_owned());
        self
    }

    /// The content of the `m.room.message` event.
    pub fn content(&self) -> Value {
        let mut content = match &self.relation {
            Relation::Replacement { fallback, .. } => {
                let mut content = self.shown(fallback, "* ");
                content.insert("m.new_content".to_owned(), Value::Object(self.shown(&self.text, "")));
                content
            }
            Relation::None | Relation::Reply { .. } | Relation::Thread { .. } => self.shown(&self.text, ""),
        };
        if let Some(relation) = self.relation.content() {
            content.insert("m.relates_to".to_owned(), relation);
        }
        Value::Object(content)
    }

    fn shown(&self, text: &Document, prefix: &str) -> Map<String, Value> {
        let mut content = Map::new();
        let msgtype = match self.msgtype {
            MsgType::Text => "m.text",
            MsgType::Notice => "m.notice",
        };
        content.insert("msgtype".to_owned(), json!(msgtype));
        content.insert("body".to_owned(), json!(format!("{prefix}{}", text.plain())));
        content.insert("format".to_owned(), json!("org.matrix.custom.html"));
        content.insert("formatted_body".to_owned(), json!(format!("{prefix}{}", text.html())));
        content.insert("m.mentions".to_owned(), self.mentions.content());
        if let Some(url) = &self.external_url {
            content.insert("external_url".to_owned(), json!(url));
        }
        content
    }
}

impl Mentions {
    /// Everybody in the room.
    pub fn room() -> Self {
        Self { users: BTreeSet::new(), room: true }
    }

    /// These users.
    pub fn users(users: impl IntoIterator<Item = OwnedUserId>) -> Self {
        Self { users: users.into_iter().collect(), room: false }
    }

    // Client-Server API §11.37 "User and room mentions": an empty object says that nobody is mentioned; without the
    // property, clients look for names in the text.
    fn content(&self) -> Value {
        let mut mentions = Map::new();
        if !self.users.is_empty() {
            mentions.insert("user_ids".to_owned(), json!(self.users));
        }
        if self.room {
            mentions.insert("room".to_owned(), json!(true));
        }
        Value::Object(mentions)
    }
}

impl From<&[Mention]> for Mentions {
    fn from(mentions: &[Mention]) -> Self {
        let mut whom = Self::default();
        for mention in mentions {
            match mention {
                Mention::User(user) => {
                    whom.users.insert(user.clone());
                }
                Mention::Room => whom.room = true,
            }
        }
        whom
    }
}

impl Relation {
    fn content(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Reply { to } => Some(json!({ "m.in_reply_to": { "event_id": to } })),
            Self::Thread { root, reply_to } => Some(json!({
                "rel_type": "m.thread",
                "event_id": root,
                // A client without threads shows a message that answers nobody as a reply to the root.
                "is_falling_back": reply_to.is_none(),
                "m.in_reply_to": { "event_id": reply_to.as_ref().unwrap_or(root) },
            })),
            Self::Replacement { of, .. } => Some(json!({ "rel_type": "m.replace", "event_id": of })),
        }
    }
}
