//! Trouble of rooms and of virtual users: what is recorded, posted and logged when it begins and when it ends.

use crate::domain::lists::ListSettings;
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::enqueue::{self, NewMessage};
use crate::store::{StoreError, Tx, room, room_trouble};
use jiff::Timestamp;

/// A room of a list, as the configuration names it, is unreachable: posts a notice about it, once. `muted`: the virtual user is
/// in the room, but may not send messages. Returns whether that was unknown.
pub async fn begins(
    tx: &mut Tx,
    list: &ListSettings,
    reference: &str,
    (muted, why): (bool, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_new = room_trouble::begins(tx, &list.name, reference, (muted, why), now).await?;
    if is_new {
        let payload = Outgoing::RoomUnreachable { room: label(tx, reference).await?, why: why.to_owned() };
        notify(tx, list, reference, &payload, now).await?;
    }
    Ok(is_new)
}

/// A room of a list moved to a successor that cannot be joined: posts `payload` about it, once. Returns whether that was
/// unknown.
pub(super) async fn successor_waits(
    tx: &mut Tx,
    list: &ListSettings,
    reference: &str,
    (payload, why): (&Outgoing, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let is_new = room_trouble::begins(tx, &list.name, reference, (false, why), now).await?;
    if is_new {
        notify(tx, list, reference, payload, now).await?;
    }
    Ok(is_new)
}

/// A room of a list is reachable again: posts a notice about it, unless nobody can know that it was not. Returns whether it
/// was unreachable.
pub async fn ends(
    tx: &mut Tx,
    list: &ListSettings,
    reference: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(since) = room_trouble::ends(tx, &list.name, reference).await? else { return Ok(false) };
    if !room_trouble::nobody_knows(tx, &list.name, since).await? {
        let payload = Outgoing::RoomReachable { room: label(tx, reference).await? };
        notify(tx, list, reference, &payload, now).await?;
    }
    Ok(true)
}

/// The list's virtual user may not send messages in a room that it is in. Returns whether that was unknown for any of the
/// names that the list has for the room.
pub async fn muted(
    tx: &mut Tx,
    list: &ListSettings,
    room: &str,
    why: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let leading = room::references_to(tx, room).await?;
    let mut is_new = false;
    for reference in list.references().iter().filter(|reference| leading.contains(reference)) {
        is_new |= begins(tx, list, reference, (true, why), now).await?;
    }
    Ok(is_new)
}

/// A room as people know it: the configured name, with the room's alias or id if it is another.
async fn label(tx: &mut Tx, reference: &str) -> Result<String, StoreError> {
    let room = room::room_of(tx, reference).await?;
    match reference {
        alias if alias.starts_with('#') && room != alias => Ok(format!("{alias} ({room})")),
        _ => room::label(tx, &room).await,
    }
}

/// Logs that the virtual user of a list cannot send.
pub fn log_user_trouble(room_list: &str, user: &str, why: &str) {
    tracing::error!(
        room_list,
        user,
        why,
        "{user} cannot send: the messages of {room_list} wait until the homeserver lets it: {why}"
    );
}

/// Logs that the virtual user of a list can send again.
pub fn log_user_is_back(room_list: &str, user: &str) {
    tracing::info!(room_list, user, "{user} can send again: the messages of {room_list} are sent");
}

/// Enqueues a notice about a room for the fallback rooms, or for the first level if there is no other fallback room. Returns
/// whether there is another room at all. `about`: any name of the room.
pub(super) async fn notify(
    tx: &mut Tx,
    list: &ListSettings,
    about: &str,
    payload: &Outgoing,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rooms = others(tx, list, about).await?;
    for room in &rooms {
        post(tx, list, room, payload.clone(), now).await?;
    }
    Ok(!rooms.is_empty())
}

/// The rooms of a list for notices about one of its rooms: the fallback rooms, or those of the first level if there is no
/// other fallback room. `about`: any name of the room.
pub async fn others(tx: &mut Tx, list: &ListSettings, about: &str) -> Result<Vec<String>, StoreError> {
    let itself = room::room_of(tx, about).await?;
    let first_level = list.policy.levels.first().map(|level| level.rooms.as_slice()).unwrap_or_default();
    for references in [list.policy.fallback_rooms.as_slice(), first_level] {
        let mut rooms = room::rooms_of(tx, references).await?;
        rooms.retain(|room| *room != itself);
        if !rooms.is_empty() {
            return Ok(rooms);
        }
    }
    Ok(Vec::new())
}

/// Enqueues a message of a list for a room.
pub(super) async fn post(
    tx: &mut Tx,
    list: &ListSettings,
    room: &str,
    payload: Outgoing,
    now: Timestamp,
) -> Result<(), StoreError> {
    let message = NewMessage {
        id: ids::unique(),
        room_list: &list.name,
        room,
        payload,
        incident: None,
        rung: None,
        post: None,
        not_before: now,
    };
    enqueue::enqueue(tx, message, now).await
}
