//! Events from the homeserver, reduced to what matrixbot needs. `appservice::events` parses them from JSON.

use jiff::Timestamp;
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

/// The longest id of an event, room or user, in bytes (Client-Server API §Size limits). Strangers may name longer ones,
/// which are nobody's.
pub const LONGEST_ID: usize = 255;

/// Whether this is too long for an id.
pub fn is_too_long(id: &str) -> bool {
    id.len() > LONGEST_ID
}

/// One event of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event of a room.
    Event(RoomEvent),
    /// An event that the specification does not allow. matrixbot ignores it.
    Malformed {
        /// The error, without any of the event's content.
        why: String,
    },
}

/// An event of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvent {
    /// Its id.
    pub event_id: OwnedEventId,
    /// The room.
    pub room: OwnedRoomId,
    /// The sender.
    pub sender: OwnedUserId,
    /// When it was sent, by the clock of the sender's homeserver, but not later than when it arrived.
    pub at: Timestamp,
    /// The id under which its sender sent it, if the homeserver shows that.
    pub transaction_id: Option<String>,
    /// What happened.
    pub what: Happening,
}

/// What happened in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Someone sent a message.
    Message(Message),
    /// Someone reacted to an event.
    Reaction {
        /// The event they reacted to: always the original, never an edit of it.
        target: OwnedEventId,
        /// The reaction, normalized by `reaction::normalize`.
        key: String,
    },
    /// Someone redacted an event.
    Redaction {
        /// The redacted event.
        redacts: OwnedEventId,
    },
    /// The sender changed a user's membership of the room.
    Membership {
        /// The user.
        user: OwnedUserId,
        /// The new membership.
        membership: Membership,
    },
    /// The room was replaced.
    Tombstone {
        /// The new room.
        replacement: OwnedRoomId,
    },
    /// The room's name changed; `None`: it was removed.
    Named(Option<String>),
    /// The alias that the room presents as its main one changed; `None`: it was removed.
    MainAlias(Option<String>),
    /// The room's power levels changed. matrixbot must fetch them again before it uses them.
    PowerLevels,
    /// Encryption was enabled in the room.
    Encryption,
    /// An encrypted message, which matrixbot cannot read.
    Encrypted,
    /// An event that matrixbot does not use.
    Other,
}

/// A membership of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in the Matrix specification")]
pub enum Membership {
    Join,
    Invite,
    Knock,
    Leave,
    Ban,
}

/// A message in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text, without the quotation that older clients put before a reply.
    pub text: String,
    /// The kind of message.
    pub kind: MessageKind,
    /// The earlier message that it edits. Its text and mentions are the new ones.
    pub edits: Option<OwnedEventId>,
    /// The message that it replies to. A message in a thread that is not a reply has none.
    pub reply_to: Option<OwnedEventId>,
    /// The first message of its thread.
    pub thread_root: Option<OwnedEventId>,
    /// The users it mentions, in the sender's order.
    pub mentions: Vec<OwnedUserId>,
    /// The mention that it starts with.
    pub leading_mention: Option<Box<LeadingMention>>,
}

/// A mention at the very start of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadingMention {
    /// The mentioned user.
    pub user: OwnedUserId,
    /// The text after the mention and the colon or comma that follows it.
    pub after: String,
}

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// `m.text`: from a person.
    Text,
    /// `m.notice`: from a program.
    Notice,
    /// Images, files, emotes and the like.
    Other,
}

impl Message {
    /// Whether it can be a command. Notices cannot.
    pub fn may_command(&self) -> bool {
        self.kind == MessageKind::Text
    }

    /// Whether it is about an event that it replies to, or in whose thread it is without a reply to another one.
    pub fn is_directly_about(&self, event_id: &EventId) -> bool {
        self.reply_to.as_deref().is_none_or(|to| to == event_id)
    }

    /// Which virtual user the message is for. `called`: the display name of a user, if that is known.
    pub fn addressed(
        &self,
        is_ours: impl Fn(&UserId) -> bool,
        called: impl Fn(&UserId) -> Option<String>,
    ) -> Addressed<'_> {
        if let Some(mention) = self.leading_mention.as_ref().filter(|mention| is_ours(&mention.user)) {
            return Addressed { user: Some(&mention.user), text: &mention.after, named: false };
        }
        let ours = || self.mentions.iter().filter(|user| is_ours(user));
        // Clients that write no link write the name that they show.
        let at_the_start = ours().find_map(|user| {
            let names = [called(user), Some(user.to_string()), Some(user.localpart().to_owned())];
            let after = names.into_iter().flatten().find_map(|name| after_name(&self.text, &name))?;
            Some(Addressed { user: Some(user), text: after, named: false })
        });
        // A reply mentions the author of what it replies to, whatever it says.
        let named = self.reply_to.is_none() && ours().next().is_some();
        at_the_start.unwrap_or(Addressed { user: None, text: &self.text, named })
    }
}

/// Which virtual user a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addressed<'a> {
    /// The virtual user that it mentions at its start.
    pub user: Option<&'a UserId>,
    /// The text, without that mention.
    pub text: &'a str,
    /// Whether it mentions a virtual user elsewhere, and not only as the author of what it replies to.
    pub named: bool,
}

/// The text after a name at its start, perhaps with an `@`, and after the colon or comma that follows.
fn after_name<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let text = text.strip_prefix('@').filter(|_| !name.starts_with('@')).unwrap_or(text);
    let (start, after) = text.split_at_checked(name.len())?;
    let is_it = !name.is_empty() && start.to_lowercase() == name.to_lowercase();
    let ends = !after.starts_with(char::is_alphanumeric);
    (is_it && ends).then(|| after.trim_start().trim_start_matches([':', ',']).trim())
}

#[cfg(test)]
mod tests {
    use super::after_name;

    #[test]
    fn a_name_at_the_start_is_followed_by_the_command() {
        for text in ["Finance alerts: ack 42", "@finance Alerts ack 42", "  Finance alerts,ack 42"] {
            assert_eq!(after_name(text, "Finance alerts"), Some("ack 42"), "{text}");
        }
        assert_eq!(after_name("Finance alerts", "Finance alerts"), Some(""));
        for text in ["Finance alertsystem: ack", "Finance", "ack 42 Finance alerts", "Fïnance alerts", ""] {
            assert_eq!(after_name(text, "Finance alerts"), None, "{text}");
        }
        assert_eq!(after_name("ack 42", ""), None);
    }
}
