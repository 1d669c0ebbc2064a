//! Events from the homeserver, reduced to what matrixbot needs. `appservice::events` parses them from JSON.

use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

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
    /// Whether it is an edit of an earlier message.
    pub is_edit: bool,
    /// The message that it replies to. A message in a thread that is not a reply has none.
    pub reply_to: Option<OwnedEventId>,
    /// The first message of its thread.
    pub thread_root: Option<OwnedEventId>,
    /// The users it mentions, in the sender's order.
    pub mentions: Vec<OwnedUserId>,
    /// The mention that it starts with.
    pub leading_mention: Option<LeadingMention>,
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
    /// Whether it can be a command. Notices and edits cannot.
    pub fn may_command(&self) -> bool {
        self.kind == MessageKind::Text && !self.is_edit
    }

    /// The virtual user that the message mentions at its start, and the text after that mention. If there is none,
    /// the whole text.
    pub fn addressed(&self, is_ours: impl Fn(&UserId) -> bool) -> (Option<&UserId>, &str) {
        match &self.leading_mention {
            Some(mention) if is_ours(&mention.user) => (Some(&mention.user), &mention.after),
            Some(_) | None => (None, &self.text),
        }
    }
}
