//! Rooms that a list has left: its alias leads elsewhere, the room was replaced, or an operator took its move back. The
//! list's virtual user is still there, and so are people.

use crate::domain::lists::ListSettings;
use crate::store::{StoreError, Tx, left_room, room, room_move};

/// The room that a list posts in instead of one that it has left. `None`: none is known, or the list does not post there.
pub async fn replacement(tx: &mut Tx, list: &ListSettings, left: &str) -> Result<Option<String>, StoreError> {
    let moved = room::room_of(tx, left).await?;
    let candidates = [
        left_room::successor_of(tx, &list.name, left).await?,
        (moved != left).then_some(moved),
        room_move::taken_back_to(tx, left).await?,
    ];
    let rooms = room::rooms_of(tx, &list.references()).await?;
    Ok(candidates.into_iter().flatten().find(|candidate| candidate != left && rooms.contains(candidate)))
}
