//! The messages that matrixbot sends to rooms: their content, kind and priority.

use super::answer::Answer;
use super::audit::AuditCheck;
use super::incident::Rung;
use super::on_call::words::{Changed, HandOver};
use super::post_role::PostRole;
use super::timeline::Entry;
use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use uuid::Uuid;

/// The content of a message, without the state of its incident. The database stores it as JSON, so its tags must not
/// change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Outgoing {
    /// A page.
    Page,
    /// The incident, without mentions: it pages later, at a time of day.
    Announcement,
    /// Nobody acknowledged on any level.
    Fallback,
    /// Still nobody has acknowledged.
    Reminder {
        /// Counts from 1.
        number: u32,
        /// Whether it is for a fallback room. It then mentions `@room`.
        last_resort: bool,
    },
    /// The acknowledgement ends soon.
    AckReminder,
    /// An edit of the post.
    Refresh,
    /// An edit of the newest later page in the post's room.
    RefreshNewest,
    /// The last edit of an earlier message of the incident: a newer one in the room shows what becomes of it.
    Replaced {
        /// The earlier message.
        of: OwnedEventId,
    },
    /// The resolved incident, because the message that showed it was deleted.
    Anew,
    /// A timeline entry, in the post's thread.
    #[serde(rename = "tell")]
    ThreadEntry {
        /// The entry.
        entry: Entry,
    },
    /// A timeline entry, for a fallback room, which may have no post.
    #[serde(rename = "tell_fallback")]
    FallbackNotice {
        /// The entry.
        entry: Entry,
    },
    /// Another person is on call, with what is open.
    HandOver {
        /// What the room learns.
        #[serde(flatten)]
        of: Box<HandOver>,
    },
    /// Somebody changed who is on call.
    OnCallChanged {
        /// The change.
        #[serde(flatten)]
        of: Changed,
    },
    /// The reaction that people click to acknowledge.
    AckReaction {
        /// The message to react to.
        to: OwnedEventId,
    },
    /// The removal of that reaction: nobody needs to click it any more.
    RemoveReaction {
        /// The reaction's message.
        message: Uuid,
    },
    /// The removal of the reaction on a digest.
    RemoveDigestReaction {
        /// The reaction's message.
        message: Uuid,
    },
    /// An answer to a command.
    Answer {
        /// The answer.
        answer: Answer,
        /// The command's event.
        to: OwnedEventId,
        /// The thread of that event.
        thread: Option<OwnedEventId>,
        /// Whether answers to other people go first: this person has given many commands lately.
        #[serde(default, skip_serializing_if = "is_false")]
        yields: bool,
    },
    /// The current state of the incident, in answer to a command.
    Show {
        /// The command's event.
        to: OwnedEventId,
        /// The thread of that event.
        thread: Option<OwnedEventId>,
        /// The same as for an answer.
        #[serde(default, skip_serializing_if = "is_false")]
        yields: bool,
    },
    /// The room replaces another one.
    RoomMoved {
        /// The room it replaces.
        from: String,
    },
    /// A room of the list is unreachable.
    RoomUnreachable {
        /// The room, as the configuration names it.
        room: String,
        /// The homeserver's reason.
        why: String,
    },
    /// A room of the list is reachable again.
    RoomReachable {
        /// The room, as the configuration names it.
        room: String,
    },
    /// An alias of the list leads to another room: its pages go there from now on. For the old room.
    AliasMoved {
        /// The alias.
        alias: String,
        /// The new room, as people know it.
        to: String,
    },
    /// An alias of the list leads to another room, where the virtual user cannot post: its pages stay in the old room.
    AliasWaits {
        /// The alias.
        alias: String,
        /// The old room, as people know it.
        from: String,
        /// The new room.
        to: String,
        /// The virtual user.
        user: OwnedUserId,
        /// Why it cannot post there.
        why: String,
    },
    /// A room of the list was closed, and names a successor that is not one: its pages still go to the closed room.
    SuccessorRefused {
        /// The closed room, as people know it.
        room: String,
        /// The room that its tombstone names.
        successor: String,
        /// Why that is none.
        why: String,
    },
    /// A room of the list moved to a successor that cannot be joined: its pages still go to the old room.
    SuccessorWaits {
        /// The old room, as people know it.
        room: String,
        /// The room that its tombstone names.
        successor: String,
        /// The virtual user.
        user: OwnedUserId,
        /// Why it cannot join.
        why: String,
    },
    /// An answer to a command in a room that does not let matrixbot write: for another room.
    AnswerElsewhere {
        /// The command's room, as people know it.
        room: String,
        /// The answer.
        answer: Answer,
    },
    /// The current state of the incident, in answer to a command in a room that does not let matrixbot write: for another room.
    ShowElsewhere,
    /// A timeline entry of an incident that no other room shows, for another room than its own, which does not let matrixbot
    /// write.
    EntryElsewhere {
        /// The incident's room, as people know it.
        room: String,
        /// The entry.
        entry: Entry,
    },
    /// An Alertmanager does not answer polls. For fallback rooms.
    AlertmanagerUnreachable {
        /// Its name in the configuration.
        name: String,
        /// Since when.
        since: Timestamp,
        /// Why.
        why: String,
    },
    /// The audit finds a violation that lasts. For the fallback rooms of the list that it concerns.
    AuditFailed {
        /// What was checked.
        check: AuditCheck,
        /// What it is about: `#42`, a room, a room list.
        subject: String,
        /// Since when.
        since: Timestamp,
    },
    /// Pages mention people whom they do not reach. For fallback rooms.
    MentionsAbsent {
        /// User ids, each with the reason.
        people: Vec<(String, String)>,
    },
    /// A digest: one message for the pages that it carries.
    Digest,
    /// An edit of a digest, which may carry more pages.
    RefreshDigest,
    /// The reaction that people click to acknowledge, on a digest.
    DigestReaction {
        /// The digest's event.
        to: OwnedEventId,
    },
    /// The page of an incident that only digests contained in its room.
    OwnPage,
    /// The timer of an incident cannot be handled: it does not escalate. Needs nothing of the incident to be rendered.
    IncidentSetAside {
        /// The incident's number.
        number: i64,
        /// Its name, if that can be read.
        name: Option<String>,
        /// Why its timer cannot be handled.
        why: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The kind of a message in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[expect(missing_docs, reason = "`Outgoing` explains them")]
#[strum(serialize_all = "snake_case")]
pub enum OutgoingKind {
    Page,
    Fallback,
    Reminder,
    Edit,
    Thread,
    Notice,
    Reaction,
    Answer,
    Digest,
    DigestPart,
}

impl OutgoingKind {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Outgoing {
    /// Its kind.
    pub fn kind(&self) -> OutgoingKind {
        match self {
            Self::Page => OutgoingKind::Page,
            Self::Fallback => OutgoingKind::Fallback,
            Self::Reminder { .. } | Self::AckReminder | Self::OwnPage | Self::Anew => OutgoingKind::Reminder,
            Self::Digest => OutgoingKind::Digest,
            Self::RefreshDigest | Self::DigestReaction { .. } | Self::RemoveDigestReaction { .. } => {
                OutgoingKind::DigestPart
            }
            Self::Refresh | Self::RefreshNewest | Self::Replaced { .. } => OutgoingKind::Edit,
            Self::ThreadEntry { .. } => OutgoingKind::Thread,
            Self::FallbackNotice { .. } | Self::Announcement => OutgoingKind::Notice,
            Self::AckReaction { .. } | Self::RemoveReaction { .. } => OutgoingKind::Reaction,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. }
            | Self::AliasMoved { .. }
            | Self::AliasWaits { .. }
            | Self::SuccessorRefused { .. }
            | Self::SuccessorWaits { .. }
            | Self::AnswerElsewhere { .. }
            | Self::ShowElsewhere
            | Self::EntryElsewhere { .. }
            | Self::AlertmanagerUnreachable { .. }
            | Self::AuditFailed { .. }
            | Self::MentionsAbsent { .. }
            | Self::HandOver { .. }
            | Self::OnCallChanged { .. }
            | Self::IncidentSetAside { .. } => OutgoingKind::Answer,
        }
    }

    /// Whether it carries pages that are not sent by themselves.
    pub fn carries_pages(&self) -> bool {
        matches!(self, Self::Digest | Self::RefreshDigest)
    }

    /// Whether it shows its incident. The first such message in a room is the incident's post in that room.
    pub fn shows_incident(&self) -> bool {
        matches!(self.role(true), Some(PostRole::Root))
    }

    /// Lower is sent first: first pages, escalations, fallback notices and reminders, answers to people, and then
    /// reactions with the answers to people who give many commands, edits, and thread entries with removed reactions.
    pub fn priority(&self, rung: Option<Rung>) -> i16 {
        match self {
            Self::Answer { yields: true, .. }
            | Self::Show { yields: true, .. }
            | Self::AckReaction { .. }
            | Self::DigestReaction { .. } => 4,
            Self::Digest => 0,
            Self::Page if rung.is_some_and(|rung| rung.level == 0 && rung.loop_no == 0) => 0,
            Self::Page => 1,
            Self::Fallback
            | Self::Reminder { .. }
            | Self::AckReminder
            | Self::FallbackNotice { .. }
            | Self::AuditFailed { .. }
            | Self::IncidentSetAside { .. } => 2,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. }
            | Self::AliasMoved { .. }
            | Self::AliasWaits { .. }
            | Self::SuccessorRefused { .. }
            | Self::SuccessorWaits { .. }
            | Self::AnswerElsewhere { .. }
            | Self::ShowElsewhere
            | Self::EntryElsewhere { .. }
            | Self::MentionsAbsent { .. }
            | Self::HandOver { .. }
            | Self::OnCallChanged { .. }
            | Self::AlertmanagerUnreachable { .. } => 3,
            Self::Refresh
            | Self::RefreshNewest
            | Self::Replaced { .. }
            | Self::RefreshDigest
            | Self::OwnPage
            | Self::Anew
            | Self::Announcement => 5,
            Self::ThreadEntry { .. } | Self::RemoveReaction { .. } | Self::RemoveDigestReaction { .. } => 6,
        }
    }

    /// Its relation to the incident's post in its room, once it is sent. `is_first`: the room has no post of the
    /// incident yet. `None`: it neither is a post nor edits one.
    pub fn role(&self, is_first: bool) -> Option<PostRole> {
        match self {
            Self::Refresh => Some(PostRole::Edit),
            Self::RefreshNewest => Some(PostRole::EditAgain),
            Self::Page
            | Self::Fallback
            | Self::Reminder { .. }
            | Self::FallbackNotice { .. }
            | Self::Announcement
            | Self::Anew
            | Self::OwnPage => Some(if is_first { PostRole::Root } else { PostRole::Again }),
            Self::AckReminder
            | Self::Replaced { .. }
            | Self::Digest
            | Self::RefreshDigest
            | Self::DigestReaction { .. }
            | Self::ThreadEntry { .. }
            | Self::AckReaction { .. }
            | Self::RemoveReaction { .. }
            | Self::RemoveDigestReaction { .. }
            | Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. }
            | Self::AliasMoved { .. }
            | Self::AliasWaits { .. }
            | Self::SuccessorRefused { .. }
            | Self::SuccessorWaits { .. }
            | Self::AnswerElsewhere { .. }
            | Self::ShowElsewhere
            | Self::EntryElsewhere { .. }
            | Self::AlertmanagerUnreachable { .. }
            | Self::AuditFailed { .. }
            | Self::MentionsAbsent { .. }
            | Self::HandOver { .. }
            | Self::OnCallChanged { .. }
            | Self::IncidentSetAside { .. } => None,
        }
    }
}
