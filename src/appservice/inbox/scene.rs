//! One event being handled: where it happens, and how it is answered.

use super::preparing::Prepared;
use super::{Inbox, InboxError};
use crate::domain::answer::Answer;
use crate::domain::incoming::RoomEvent;
use crate::domain::lists::ListSettings;
use crate::domain::policy::{Permissions, Role};
use crate::domain::rights::{Caller, role};
use crate::engine::Change;
use crate::ids;
use crate::rooms;
use crate::store::Payload;
use crate::store::enqueue::Draft;
use crate::telemetry::EventResult;
use ruma::OwnedEventId;
use std::sync::Arc;

/// What became of an event.
#[derive(Debug)]
pub(super) struct Handled {
    /// In a few words, for the inbox.
    pub(super) result: String,
    /// For metrics.
    pub(super) kind: EventResult,
    /// What the event hangs on, if that is not known to be ours (yet).
    pub(super) target: Option<OwnedEventId>,
}

impl Handled {
    pub(super) fn ignored(why: &str) -> Self {
        Self { result: format!("ignored: {why}"), kind: EventResult::Ignored, target: None }
    }

    /// Ignored unless it turns out that `target` is ours.
    pub(super) fn hanging_on(target: OwnedEventId, why: &str) -> Self {
        Self { target: Some(target), ..Self::ignored(why) }
    }

    pub(super) fn malformed(why: &str) -> Self {
        Self { result: format!("malformed: {why}"), kind: EventResult::Malformed, target: None }
    }

    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self { result: why.into(), kind: EventResult::Refused, target: None }
    }

    pub(super) fn acted(what: impl Into<String>) -> Self {
        Self { result: what.into(), kind: EventResult::Acted, target: None }
    }
}

/// An event being handled, in its change.
pub(super) struct Scene<'a> {
    pub(super) inbox: &'a Inbox,
    pub(super) change: &'a mut Change,
    pub(super) event: &'a RoomEvent,
    pub(super) prepared: Prepared,
}

impl Scene<'_> {
    /// The sender's role under these permissions.
    pub(super) fn role(&self, permissions: &Permissions) -> Role {
        let power_level = self.prepared.power_level;
        role(Caller::Member { user_id: &self.event.sender, power_level }, permissions)
    }

    /// The room lists that this room belongs to, by name.
    pub(super) async fn lists_here(&mut self) -> Result<Vec<Arc<ListSettings>>, InboxError> {
        let lists = self.inbox.engine.lists();
        Ok(rooms::lists_of(self.change.tx(), &lists, self.event.room.as_str()).await?)
    }

    /// Answers the event, spoken by a room list's virtual user.
    pub(super) async fn answer(
        &mut self,
        room_list: &str,
        answer: Answer,
        thread: Option<OwnedEventId>,
    ) -> Result<(), InboxError> {
        let to = self.event.event_id.clone();
        self.put(room_list, Payload::Answer { answer, to, thread }, None).await
    }

    /// Puts a message into the event's room.
    pub(super) async fn put(
        &mut self,
        room_list: &str,
        payload: Payload,
        incident: Option<i64>,
    ) -> Result<(), InboxError> {
        let now = self.change.now();
        let draft = Draft {
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
}
