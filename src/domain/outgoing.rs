//! What we send to rooms: what each message says, of which kind it is, and which goes first.

use super::answer::Answer;
use super::incident::Rung;
use super::timeline::Entry;
use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};

/// What a message says, besides the state of its incident. Stored as JSON: its tags stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Outgoing {
    /// A page.
    Page,
    /// Nobody answered.
    Fallback,
    /// Still nobody answered.
    Reminder {
        /// Counts from 1.
        number: u32,
        /// Whether it is for a fallback room: then it calls everybody there.
        last_resort: bool,
    },
    /// The acknowledgement ends soon.
    AckReminder,
    /// Bring the post up to date.
    Refresh,
    /// Bring the newest message that pages it again beside its post up to date.
    RefreshNewest,
    /// An entry of the timeline, in the post's thread.
    Tell {
        /// The entry.
        entry: Entry,
    },
    /// An entry of the timeline, for a room that may have no post.
    TellFallback {
        /// The entry.
        entry: Entry,
    },
    /// The reaction that people click to acknowledge.
    AckReaction {
        /// On which message.
        to: OwnedEventId,
    },
    /// An answer to a command.
    Answer {
        /// What it says.
        answer: Answer,
        /// The event that it answers.
        to: OwnedEventId,
        /// The thread that event is in.
        thread: Option<OwnedEventId>,
    },
    /// The incident as it stands, in answer to a command.
    Show {
        /// The event that it answers.
        to: OwnedEventId,
        /// The thread that event is in.
        thread: Option<OwnedEventId>,
    },
    /// The room takes the place of another one.
    RoomMoved {
        /// The room it replaces.
        from: String,
    },
    /// A room of the list cannot be reached.
    RoomUnreachable {
        /// The room, as the configuration names it.
        room: String,
        /// What the homeserver says.
        why: String,
    },
    /// A room of the list can be reached again.
    RoomReachable {
        /// The room, as the configuration names it.
        room: String,
    },
}

/// The kind of a message, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Outgoing` explains them")]
pub enum OutgoingKind {
    Page,
    Fallback,
    Reminder,
    Edit,
    Thread,
    Notice,
    Reaction,
    Answer,
}

impl OutgoingKind {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Fallback => "fallback",
            Self::Reminder => "reminder",
            Self::Edit => "edit",
            Self::Thread => "thread",
            Self::Notice => "notice",
            Self::Reaction => "reaction",
            Self::Answer => "answer",
        }
    }
}

impl Outgoing {
    /// Its kind.
    pub fn kind(&self) -> OutgoingKind {
        match self {
            Self::Page => OutgoingKind::Page,
            Self::Fallback => OutgoingKind::Fallback,
            Self::Reminder { .. } | Self::AckReminder => OutgoingKind::Reminder,
            Self::Refresh | Self::RefreshNewest => OutgoingKind::Edit,
            Self::Tell { .. } => OutgoingKind::Thread,
            Self::TellFallback { .. } => OutgoingKind::Notice,
            Self::AckReaction { .. } => OutgoingKind::Reaction,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => OutgoingKind::Answer,
        }
    }

    /// Whether it shows its incident: the first of these in a room is the room's post of it.
    pub fn shows_incident(&self) -> bool {
        matches!(self.role(true), Some(PostRole::Root))
    }

    /// Smaller goes first: first pages, escalations, what replaces them, answers that a person waits for, and then
    /// what only keeps the picture up to date.
    pub fn priority(&self, rung: Option<Rung>) -> i16 {
        match self {
            Self::Page if rung.is_some_and(|rung| rung.level == 0 && rung.loop_no == 0) => 0,
            Self::Page => 1,
            Self::Fallback | Self::Reminder { .. } | Self::AckReminder | Self::TellFallback { .. } => 2,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => 3,
            Self::AckReaction { .. } => 4,
            Self::Refresh | Self::RefreshNewest => 5,
            Self::Tell { .. } => 6,
        }
    }

    /// What it is to the incident's post in its room, once it is sent. `is_first`: nothing of the incident was there
    /// before. `None`: it only hangs on the post, or has nothing to do with it.
    pub fn role(&self, is_first: bool) -> Option<PostRole> {
        match self {
            Self::Refresh => Some(PostRole::Edit),
            Self::RefreshNewest => Some(PostRole::EditAgain),
            Self::Page | Self::Fallback | Self::Reminder { .. } | Self::TellFallback { .. } => {
                Some(if is_first { PostRole::Root } else { PostRole::Again })
            }
            Self::AckReminder
            | Self::Tell { .. }
            | Self::AckReaction { .. }
            | Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => None,
        }
    }
}

/// What a message that was sent is to its post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostRole {
    /// The post itself.
    Root,
    /// A message that pages the incident again.
    Again,
    /// An edit of the post.
    Edit,
    /// An edit of the newest message that pages it again.
    EditAgain,
}

impl PostRole {
    /// The name in queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Again => "again",
            Self::Edit => "edit",
            Self::EditAgain => "edit_again",
        }
    }
}
