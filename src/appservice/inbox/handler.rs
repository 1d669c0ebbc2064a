//! Handles one event in its change: its result, its answer, and events about rooms.

use super::{Inbox, InboxError, Prepared};
use crate::domain::answer::Answer;
use crate::domain::incoming::{Happening, Membership, Message, RoomEvent};
use crate::domain::lists::ListSettings;
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::Role;
use crate::domain::rights::Caller;
use crate::engine::{Change, Wake};
use crate::ids;
use crate::rooms::invitations::Invited;
use crate::rooms::{self, successors};
use crate::store::enqueue::NewMessage;
use crate::store::{About, Move, room, room_name};
use crate::telemetry::EventResult;
use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId, UserId};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// The result of handling an event.
#[derive(Debug)]
pub(super) struct Handled {
    /// A short text for the inbox and the log.
    pub(super) result: String,
    /// For metrics.
    pub(super) kind: EventResult,
    /// The event that it relates to, if that event may turn out to be ours later.
    pub(super) target: Option<OwnedEventId>,
    /// The incidents that it is about.
    pub(super) incidents: BTreeSet<i64>,
}

impl Handled {
    pub(super) fn ignored(why: &str) -> Self {
        Self {
            result: format!("ignored: {why}"),
            kind: EventResult::Ignored,
            target: None,
            incidents: BTreeSet::new(),
        }
    }

    /// Ignored, and handled again if `target` turns out to be ours.
    pub(super) fn ignored_for_now(target: OwnedEventId, why: &str) -> Self {
        Self { target: Some(target), ..Self::ignored(why) }
    }

    pub(super) fn malformed(why: &str) -> Self {
        Self {
            result: format!("malformed: {why}"),
            kind: EventResult::Malformed,
            target: None,
            incidents: BTreeSet::new(),
        }
    }

    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { result: why.into(), kind: EventResult::Refused, target: None, incidents: BTreeSet::new() }
    }

    /// Dropped, because its sender floods the room with commands.
    pub(super) fn dropped() -> Self {
        let kind = EventResult::Dropped;
        Self {
            result: "dropped: too many commands".to_owned(),
            kind,
            target: None,
            incidents: BTreeSet::new(),
        }
    }

    pub(super) fn acted(what: impl Into<String>) -> Self {
        Self { result: what.into(), kind: EventResult::Acted, target: None, incidents: BTreeSet::new() }
    }
}

/// Handles one event in its change.
pub(super) struct EventHandler<'a> {
    pub(super) inbox: &'a Inbox,
    pub(super) change: &'a mut Change,
    pub(super) event: &'a RoomEvent,
    pub(super) prepared: Prepared,
    /// The schedules in which the sender is on call, once that is known.
    pub(super) on_call: &'a OnceLock<BTreeSet<String>>,
    /// The incidents that the event turns out to be about.
    pub(super) touched: BTreeSet<i64>,
    /// Whether answers to other people go first.
    pub(super) yields: bool,
}

impl<'a> EventHandler<'a> {
    /// The sender, for the check of permissions.
    pub(super) fn caller(&self) -> Caller<'a> {
        let power_level = self.prepared.power_level;
        let on_call = self.on_call.get_or_init(BTreeSet::new);
        Caller::Member { user_id: &self.event.sender, power_level, on_call }
    }

    /// Finds out in which schedules the sender is on call, if that matters.
    pub(super) async fn load_on_call(&mut self) -> Result<(), InboxError> {
        let lists = self.inbox.lists.load();
        let matters = lists.all().any(|list| list.policy.permissions.on_call > Role::Respond);
        if matters {
            let now = self.change.now();
            let on_call = self.inbox.engine.on_call_in(self.change.tx(), &self.event.sender, now).await?;
            self.on_call.get_or_init(|| on_call);
        }
        Ok(())
    }

    /// When the sender acted. `about`: our message that the event refers to, if any; nobody refers to a message before it
    /// is sent, whatever the clock of the sender's homeserver says.
    pub(super) fn acted_at(&self, about: Option<&About>) -> Timestamp {
        let sent_at = about.and_then(|about| about.sent_at);
        sent_at.map_or(self.event.at, |sent_at| self.event.at.max(sent_at))
    }

    /// The room lists that the room belongs to, by name.
    pub(super) async fn lists(&mut self) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let lists = self.inbox.lists.load();
        Ok(rooms::lists_of(self.change.tx(), &lists, self.event.room.as_str()).await?)
    }

    /// The event that answers refer to: of an edit, its original.
    pub(super) fn answered(&self) -> OwnedEventId {
        match &self.event.what {
            Happening::Message(Message { edits: Some(original), .. }) => original.clone(),
            _ => self.event.event_id.clone(),
        }
    }

    /// Answers the event as the virtual user of a room list.
    pub(super) async fn answer_as(
        &mut self,
        room_list: &str,
        answer: Answer,
        thread: Option<OwnedEventId>,
    ) -> Result<(), InboxError> {
        let to = self.answered();
        let payload = Outgoing::Answer { answer, to, thread, yields: self.yields };
        self.enqueue(room_list, payload, None).await
    }

    /// Enqueues a message for the event's room.
    pub(super) async fn enqueue(
        &mut self,
        room_list: &str,
        payload: Outgoing,
        incident: Option<i64>,
    ) -> Result<(), InboxError> {
        let now = self.change.now();
        let draft = NewMessage {
            id: ids::unique(),
            room_list,
            room: self.event.room.as_str(),
            payload,
            incident,
            rung: None,
            post: None,
            not_before: now,
        };
        Ok(self.change.enqueue(draft).await?)
    }

    /// Records the memberships of our own users.
    pub(super) async fn membership(
        &mut self,
        user: &UserId,
        membership: Membership,
    ) -> Result<Handled, InboxError> {
        if !self.inbox.is_ours(user) {
            return Ok(Handled::ignored("somebody else's membership"));
        }
        let is = match membership {
            Membership::Join => "join",
            Membership::Invite => {
                return Ok(match self.prepared.invited {
                    Some(Invited::Joined) => Handled::acted("invitation taken"),
                    Some(Invited::Declined) => Handled::refused("invitation declined"),
                    Some(Invited::Nobody) | None => Handled::ignored("an invitation of nobody"),
                });
            }
            Membership::Knock => return Ok(Handled::ignored("a knock")),
            Membership::Leave => "leave",
            Membership::Ban => "ban",
        };
        let now = self.change.now();
        let room_id = self.event.room.as_str();
        room::note_membership(self.change.tx(), user.as_str(), room_id, is, now).await?;
        if is != "join"
            && self.event.sender != *user
            && self.inbox.lists.load().of_user(user.as_str()).is_some()
        {
            let label = room::label(self.change.tx(), room_id).await?;
            tracing::error!(user = %user, room = room_id, by = %self.event.sender, "{user} was removed from {label} by {}", self.event.sender);
        }
        // Readiness depends on memberships: check again whether every room is reachable.
        self.change.wake(Wake::Attendance);
        Ok(Handled::ignored("our own membership"))
    }

    /// Records another name of a room whose name is known.
    pub(super) async fn named(&mut self, name: Option<&str>) -> Result<Handled, InboxError> {
        let (room, at) = (self.event.room.as_str(), self.event.at);
        room_name::renamed(self.change.tx(), room, name, at).await?;
        Ok(Handled::ignored("a name"))
    }

    /// Records another main alias of a room whose name is known.
    pub(super) async fn main_alias(&mut self, alias: Option<&str>) -> Result<Handled, InboxError> {
        let (room, at) = (self.event.room.as_str(), self.event.at);
        room_name::main_alias(self.change.tx(), room, alias, at).await?;
        Ok(Handled::ignored("a name"))
    }

    /// Follows a room to the successor that its tombstone names, if it is one, and posts a notice there.
    pub(super) async fn tombstone(&mut self, successor: &OwnedRoomId) -> Result<Handled, InboxError> {
        let lists = self.inbox.lists.load();
        let (from, now) = (self.event.room.as_str(), self.change.now());
        let Some(is) = self.prepared.successor.clone() else {
            return Ok(Handled::ignored("a room of no list moved"));
        };
        let known = successors::record(self.change.tx(), &lists, from, successor.as_str(), is, now).await?;
        // Attendance reports a successor that cannot be joined, and tries again.
        self.change.wake(Wake::Attendance);
        self.change.wake(Wake::Outbox);
        Ok(match known {
            Some(Move::Followed) => Handled::acted("room moved"),
            Some(Move::Waiting(_)) => Handled::acted("room moved: its successor cannot be joined yet"),
            Some(Move::Refused(why)) => Handled::refused(format!("room not moved: {why}")),
            Some(Move::Undone) | None => Handled::ignored("a room of no list moved"),
        })
    }
}
