//! A message of which the homeserver accepted two events: both show the present state, and what people do with either counts.

use super::{Change, Engine, EngineError, Wake};
use crate::domain::outgoing::Outgoing;
use crate::domain::post_role::PostRole;
use crate::ids;
use crate::store::copies::{self, Found, Shown};
use crate::store::enqueue::{self, NewMessage};
use crate::store::{StoreError, inbox};
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use uuid::Uuid;

impl Engine {
    /// A virtual user's event came that carries the id of a message. See [`Change::own_event`].
    pub async fn own_event(
        &self,
        message: Uuid,
        room: &RoomId,
        user_id: &UserId,
        event_id: &EventId,
    ) -> Result<(), EngineError> {
        let mut change = self.begin().await?;
        change.own_event(message, room, user_id, event_id).await?;
        Ok(change.commit().await?)
    }
}

impl Change {
    /// A virtual user's event came that carries the id of a message. If the message was settled with another event, both are
    /// kept up to date from now on. Returns whether that is so.
    pub async fn own_event(
        &mut self,
        message: Uuid,
        room: &RoomId,
        user_id: &UserId,
        event_id: &EventId,
    ) -> Result<bool, StoreError> {
        let found =
            copies::find(self.tx(), message, room.as_str(), user_id.as_str(), event_id.as_str()).await?;
        let Found::Copy(shown) = found else { return Ok(false) };
        self.show_one_state(&shown, &[event_id.to_owned()]).await?;
        tracing::warn!(
            outbox_message = %shown.id,
            room = shown.room,
            event = %event_id,
            incident = shown.incident,
            "the homeserver accepted {} twice: {event_id} is kept up to date as well",
            shown.id
        );
        Ok(true)
    }

    /// Makes every event of a message show the present state: edits follow unless they show it. `copies`: further events of
    /// the message. One of them is kept up to date from now on like the newest page, and reactions to each count.
    pub async fn show_one_state(
        &mut self,
        message: &Shown,
        copies: &[OwnedEventId],
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut edits = vec![match message.role {
            PostRole::Root | PostRole::Edit => Outgoing::Refresh,
            PostRole::Again | PostRole::EditAgain => Outgoing::RefreshNewest,
        }];
        if matches!(message.role, PostRole::Root | PostRole::Again) {
            for copy in copies {
                copies::add(self.tx(), message, copy.as_str(), ids::unique(), now).await?;
                self.find_answers([copy.as_ref()]).await?;
                edits.push(Outgoing::RefreshNewest);
            }
        }
        for payload in edits {
            if enqueue::bring_edit_forward(self.tx(), message.post, &payload, now).await? {
                continue;
            }
            let edit = NewMessage {
                id: ids::unique(),
                room_list: &message.room_list,
                room: &message.room,
                payload,
                incident: message.incident,
                rung: None,
                post: Some(message.post),
                not_before: now,
            };
            self.enqueue(edit).await?;
        }
        Ok(())
    }

    /// Handles again the replies and reactions that arrived before matrixbot knew these events. People can see a message as
    /// soon as the homeserver has it, which may be long before the homeserver's response arrives here.
    pub async fn find_answers<'a>(
        &mut self,
        event_ids: impl IntoIterator<Item = &'a EventId>,
    ) -> Result<(), StoreError> {
        let event_ids: Vec<String> = event_ids.into_iter().map(ToString::to_string).collect();
        if event_ids.is_empty() {
            return Ok(());
        }
        inbox::lock_targets(self.tx(), &event_ids).await?;
        if inbox::reopen(self.tx(), &event_ids).await? > 0 {
            self.wake(Wake::Inbox);
        }
        Ok(())
    }
}
