//! What the homeserver tells us, understood as far as it concerns us. `appservice::events` makes it from JSON.

use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};

/// One event of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An event of a room.
    Event(RoomEvent),
    /// Not an event that the specification allows. Nothing follows from it.
    Malformed {
        /// What is wrong with it, without any of its content.
        why: String,
    },
}

/// An event of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvent {
    /// Its identity, for good.
    pub event_id: OwnedEventId,
    /// The room.
    pub room: OwnedRoomId,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// When, according to the sender's homeserver.
    pub at: Timestamp,
    /// What it says.
    pub what: Happening,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Somebody said something.
    Message(Message),
    /// Somebody reacted to an event.
    Reaction {
        /// The event that was reacted to: always the original, never an edit of it.
        target: OwnedEventId,
        /// With what, normalized as by `reaction::normalize`.
        key: String,
    },
    /// Somebody took an event back.
    Redaction {
        /// The event that is gone.
        redacts: OwnedEventId,
    },
    /// Somebody's membership of the room changed, by the sender's doing.
    Membership {
        /// Whose.
        user: OwnedUserId,
        /// What it is now.
        membership: Membership,
    },
    /// The room moved.
    Tombstone {
        /// Where to.
        replacement: OwnedRoomId,
    },
    /// The room's power levels changed: whoever needs them asks again.
    PowerLevels,
    /// The room is encrypted from now on.
    Encryption,
    /// A message that we cannot read.
    Encrypted,
    /// Nothing that concerns us.
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

/// Something said in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The text, without the quotation that older clients put before a reply.
    pub text: String,
    /// What kind of message it is.
    pub kind: MessageKind,
    /// Whether it only changes an earlier message.
    pub is_edit: bool,
    /// The message that it answers. Not set for what is merely said in a thread.
    pub reply_to: Option<OwnedEventId>,
    /// The first message of the thread that it is said in.
    pub thread_root: Option<OwnedEventId>,
    /// Whom it mentions, in the sender's order.
    pub mentions: Vec<OwnedUserId>,
    /// The mention that it begins with.
    pub leading_mention: Option<LeadingMention>,
}

/// A mention at the very start of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadingMention {
    /// Who is mentioned.
    pub user: OwnedUserId,
    /// The text after the mention and the colon or comma that follows it.
    pub after: String,
}

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// `m.text`: what people say.
    Text,
    /// `m.notice`: what programs say.
    Notice,
    /// Pictures, files, emotes and the like.
    Other,
}

impl Message {
    /// Whether it can be a command: programs (`m.notice`) and second thoughts (edits) give none.
    pub fn may_command(&self) -> bool {
        self.kind == MessageKind::Text && !self.is_edit
    }

    /// Whom of ours the message begins by mentioning, if anyone, and the text after that mention; otherwise the
    /// whole text.
    pub fn addressed(&self, is_ours: impl Fn(&UserId) -> bool) -> (Option<&UserId>, &str) {
        match &self.leading_mention {
            Some(mention) if is_ours(&mention.user) => (Some(&mention.user), &mention.after),
            Some(_) | None => (None, &self.text),
        }
    }
}
