//! The end of a storm.

use super::{Engine, EngineError, Wake};
use crate::domain::outgoing::Outgoing;
use crate::domain::time::later;
use crate::ids;
use crate::store::enqueue::NewMessage;
use crate::store::{digest, reactions};
use std::time::Duration;

impl Engine {
    /// Looks at one digest whose storm may be over: `within` says how long no page has come then, for a room list. If it is
    /// over, what is open and has no page of its own in the room gets one. Returns whether there was such a digest.
    pub async fn end_one_storm(&self, within: impl Fn(&str) -> Duration) -> Result<bool, EngineError> {
        let mut change = self.begin().await?;
        let now = change.now();
        let Some(due) = digest::lock_due(change.tx(), now).await? else { return Ok(false) };
        let within = within(&due.digest.room_list);
        let (last, waits) = digest::last_page(change.tx(), &due.digest, due.class).await?;
        let until = match last {
            _ if waits => later(now, within),
            Some(last) => later(last, within),
            None => now,
        };
        if until > now {
            digest::look_again(change.tx(), due.digest.id, until).await?;
            change.commit().await?;
            return Ok(true);
        }
        let unposted = digest::end(change.tx(), due.digest.id, now).await?;
        let pages = unposted.len();
        for page in unposted {
            let message = NewMessage {
                id: ids::unique(),
                room_list: &due.digest.room_list,
                room: &page.room,
                payload: Outgoing::OwnPage,
                incident: Some(page.incident),
                rung: None,
                post: Some(page.post),
                not_before: now,
            };
            change.enqueue(message).await?;
        }
        digest::refresh(change.tx(), &due.digest, ids::unique(), now, now).await?;
        reactions::remove_placed_on_digest(change.tx(), due.digest.id, now).await?;
        change.wake(Wake::Outbox);
        change.commit().await?;
        let (room, room_list) = (due.digest.room, due.digest.room_list);
        tracing::info!(
            room,
            room_list,
            pages,
            "the storm in {room} has ended: {pages} pages of {room_list} follow"
        );
        Ok(true)
    }
}
