//! Upgraded rooms: room lists follow a room to its successor.

use super::{RoomError, Rooms, lists_of};
use crate::domain::lists::Lists;
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::enqueue::{self, NewMessage};
use crate::store::{StoreError, Tx, room};
use jiff::Timestamp;

impl Rooms {
    /// Joins the successor of a room as the virtual user of each list that has the room. Only logs a refusal:
    /// attendance tries again.
    pub async fn join_successor(
        &self,
        lists: &Lists,
        from: &str,
        successor: &str,
        now: Timestamp,
    ) -> Result<(), RoomError> {
        for list in self.lists_of(lists, from).await? {
            match self.join(&list.user_id, successor, now).await {
                Err(RoomError::Homeserver(error)) if !error.failure().is_temporary() => {
                    tracing::error!(room_list = list.name, room = successor, %error, "{} cannot follow {from} to {successor}: {error}", list.user_id);
                }
                joined => joined?,
            }
        }
        Ok(())
    }
}

/// Moves the waiting messages of a room to its successor, and enqueues a notice there for each list that has the room.
/// Returns whether any list has it.
pub async fn record(
    tx: &mut Tx,
    lists: &Lists,
    from: &str,
    successor: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let lists = lists_of(tx, lists, from).await?;
    if lists.is_empty() {
        return Ok(false);
    }
    room::note_alias(tx, from, successor, now).await?;
    for list in &lists {
        let message = NewMessage {
            id: ids::unique(),
            room_list: &list.name,
            room: successor,
            payload: Outgoing::RoomMoved { from: from.to_owned() },
            incident: None,
            rung: None,
            post: None,
            not_before: now,
        };
        enqueue::enqueue(tx, message, now).await?;
    }
    tracing::info!(from, to = successor, "{from} moved to {successor}");
    Ok(true)
}
