//! What rooms are called: read from their state at the first visit and again later. Events that arrive in between change
//! it at once.

use super::{RoomError, Rooms};
use crate::domain::time::between;
use crate::store::StoreError;
use jiff::Timestamp;
use ruma::{RoomId, UserId};
use std::time::Duration;

/// How long a name that was read counts as known.
const KNOWN_FOR: Duration = Duration::from_hours(6);
/// How long reading it may take. It is only for people who read, so nothing waits for it.
const READING: Duration = Duration::from_secs(10);

impl Rooms {
    /// Reads what a room is called, as a user in it, unless that is known. Whatever keeps the homeserver from answering is no
    /// trouble: the next visit asks again.
    pub async fn learn_name(&self, user: &UserId, room: &str, now: Timestamp) -> Result<(), StoreError> {
        let learned = self.store.name_learned_at(room).await?;
        if learned.is_some_and(|at| between(at, now) < KNOWN_FOR) {
            return Ok(());
        }
        let Ok(id) = <&RoomId>::try_from(room) else { return Ok(()) };
        let request = |identity| async move { self.client.room_name(&identity, id).await };
        match tokio::time::timeout(READING, self.users.as_user(user, request)).await {
            Ok(Ok(called)) => self.store.note_room_name(room, &called, now).await,
            Ok(Err(RoomError::Store(error))) => Err(error),
            Ok(Err(RoomError::Homeserver(error))) => {
                tracing::debug!(room, %error, "the name of {room} cannot be read: {error}");
                Ok(())
            }
            Err(_elapsed) => Ok(()),
        }
    }
}
