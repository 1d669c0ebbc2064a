//! Upgraded rooms: their lists follow them to the room that replaces them.
//!
//! A tombstone may name any room as the successor. It counts only if that room's own creation event names the room with
//! the tombstone as its predecessor, which matrixbot reads as a member: otherwise the admin of one list's room
//! could name another list's room, or a room of strangers. Until then pages stay in the room.

use super::{RoomError, Rooms, lists_of, trouble};
use crate::domain::lists::{ListSettings, Lists};
use crate::domain::outgoing::Outgoing;
use crate::store::{Move, StoreError, Tx, commit, room, room_move};
use jiff::Timestamp;
use ruma::{RoomId, UserId};

/// Why a successor is refused that does not name the room as its predecessor.
const NO_PREDECESSOR: &str = "it does not name this room as its predecessor";
/// Why a successor is refused from which the room can be reached.
const CIRCLE: &str = "it leads back to this room";

impl Rooms {
    /// Joins the successor that a room's tombstone names, as the virtual user of each list that has the room, and checks
    /// it. `None`: no list has the room. Whatever keeps us from joining is a reason to wait: attendance tries again.
    pub async fn examine_successor(
        &self,
        lists: &Lists,
        from: &str,
        successor: &str,
        now: Timestamp,
    ) -> Result<Option<Move>, StoreError> {
        let mut found = None;
        for list in self.lists_of(lists, from).await? {
            let is = self.examine_as(&list, from, successor, now).await?;
            // One list that is in the successor is enough; attendance reports the others.
            if !matches!(found, Some(Move::Followed | Move::Refused(_))) {
                found = Some(is);
            }
        }
        Ok(found)
    }

    async fn examine_as(
        &self,
        list: &ListSettings,
        from: &str,
        successor: &str,
        now: Timestamp,
    ) -> Result<Move, StoreError> {
        let user = &list.user_id;
        let waits = |error: RoomError| match error {
            RoomError::Homeserver(error) => Ok(Move::Waiting(error.to_string())),
            RoomError::Store(error) => Err(error),
        };
        let joined = match self.ensure_joined(user, successor, now).await {
            Ok(joined) => joined,
            Err(error) => return waits(error),
        };
        let Ok(id) = <&RoomId>::try_from(successor) else {
            return Ok(Move::Refused(NO_PREDECESSOR.to_owned()));
        };
        let request = |identity| async move { self.client.predecessor(&identity, id).await };
        match self.users.as_user(user, request).await {
            Ok(Some(predecessor)) if predecessor == from => Ok(Move::Followed),
            Ok(_) => {
                if joined {
                    self.leave_stranger(list, user, id, now).await?;
                }
                Ok(Move::Refused(NO_PREDECESSOR.to_owned()))
            }
            Err(error) => waits(error),
        }
    }

    /// Leaves a room that was joined only to look at it, unless it is one of the list's rooms.
    async fn leave_stranger(
        &self,
        list: &ListSettings,
        user: &UserId,
        room: &RoomId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if list.names_any(&self.store.references_to(room.as_str()).await?) {
            return Ok(());
        }
        let request = |identity| async move { self.client.leave(&identity, room, None).await };
        match self.users.as_user(user, request).await {
            Ok(()) => self.store.note_membership(user.as_str(), room.as_str(), "leave", now).await,
            Err(RoomError::Store(error)) => Err(error),
            Err(RoomError::Homeserver(error)) => {
                tracing::warn!(user = %user, room = %room, %error, "{user} cannot leave {room}: {error}");
                Ok(())
            }
        }
    }

    /// Tries again to follow a room whose successor could not be joined. Returns what is known now.
    pub(super) async fn follow(
        &self,
        lists: &Lists,
        list: &ListSettings,
        (from, successor): (&str, &str),
        now: Timestamp,
    ) -> Result<Move, StoreError> {
        let is = self.examine_as(list, from, successor, now).await?;
        let mut tx = self.store.begin().await?;
        let is = record(&mut tx, lists, from, successor, is, now).await?.unwrap_or(Move::Undone);
        commit(tx).await?;
        Ok(is)
    }
}

/// Records what is known about a room's successor. If the room is followed there, this redirects everything meant for the
/// room, and enqueues a notice there for each list that has the room. Returns what is known now; `None`: no list has the
/// room, or an operator took this move back.
pub async fn record(
    tx: &mut Tx,
    lists: &Lists,
    from: &str,
    successor: &str,
    is: Move,
    now: Timestamp,
) -> Result<Option<Move>, StoreError> {
    let lists = lists_of(tx, lists, from).await?;
    if lists.is_empty() || from == successor {
        return Ok(None);
    }
    let circle = is == Move::Followed && room_move::leads_to(tx, successor, from).await?;
    let is = if circle { Move::Refused(CIRCLE.to_owned()) } else { is };
    if !room_move::record(tx, from, successor, &is, now).await? {
        // Somebody else has recorded the same, or an operator took the move back.
        return Ok(Some(is));
    }
    let (old, new) = (room::label(tx, from).await?, room::label(tx, successor).await?);
    match &is {
        Move::Followed => {}
        Move::Waiting(why) => {
            tracing::warn!(
                room = from,
                successor,
                why,
                "{old} moved to {new}, which cannot be joined yet; pages stay in the old room: {why}"
            );
            return Ok(Some(is));
        }
        Move::Refused(why) => {
            tracing::error!(
                room = from,
                successor,
                why,
                "{old} names {new} as its successor, but {why}; pages stay in {old}"
            );
            for list in &lists {
                refused(tx, list, (from, successor), why, now).await?;
            }
            return Ok(Some(is));
        }
        Move::Undone => return Ok(Some(is)),
    }
    room::note_alias(tx, from, successor, now).await?;
    for list in &lists {
        trouble::post(tx, list, successor, Outgoing::RoomMoved { from: old.clone() }, now).await?;
    }
    tracing::info!(from, to = successor, "{old} moved to {new}");
    Ok(Some(is))
}

/// Posts that a room was closed in favour of a successor that is none: in the list's other rooms, as for an unreachable
/// room, or in the room itself if there is no other.
async fn refused(
    tx: &mut Tx,
    list: &ListSettings,
    (from, successor): (&str, &str),
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let label = room::label(tx, from).await?;
    let payload =
        Outgoing::SuccessorRefused { room: label, successor: successor.to_owned(), why: why.to_owned() };
    if !trouble::notify(tx, list, from, &payload, now).await? {
        trouble::post(tx, list, from, payload, now).await?;
    }
    Ok(())
}
