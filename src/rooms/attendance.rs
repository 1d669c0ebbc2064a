//! Registers the virtual user of a room list, sets its profile, and joins it to each room. An unreachable room is
//! reported once in the fallback rooms, and once more when it is reachable again.

use super::{RoomError, Rooms};
use crate::domain::lists::ListSettings;
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::enqueue::{self, NewMessage};
use crate::store::{StoreError, Tx, commit, room, room_trouble};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The result of one visit to the rooms of a list.
#[derive(Debug, Default)]
pub struct Visit {
    /// Unreachable rooms (by reference) and virtual users (by user id), with the reason.
    pub unreachable: BTreeMap<String, String>,
    /// Whether the outbox has new messages to send.
    pub can_send: bool,
    /// Whether a room of any level can be reached.
    pub can_page: bool,
}

impl Rooms {
    /// Registers the virtual user of a list, sets its profile, and joins it to each of the list's rooms.
    pub async fn visit(&self, list: &ListSettings, now: Timestamp) -> Result<Visit, StoreError> {
        let mut visit = Visit::default();
        // This comes first: it detects that the homeserver lost the account, with its profile and its rooms.
        if let Err(error) = self.review_memberships(&list.user_id, now).await {
            visit.unreachable.insert(list.user_id.to_string(), reason(error)?);
        }
        let avatar = list.avatar.as_deref();
        if let Err(error) = self.users.set_profile(&list.user_id, &list.display_name, avatar).await {
            visit.unreachable.insert(list.user_id.to_string(), reason(error)?);
        }
        let mut troubled = self.store.troubled_rooms(&list.name).await?;
        for reference in list.references() {
            let was_troubled = troubled.contains(&reference);
            troubled.retain(|room| *room != reference);
            match self.enter(list, &reference, &mut visit, now).await {
                Ok((room, joined)) => {
                    visit.can_page |= list.policy.levels.iter().any(|level| level.rooms.contains(&reference));
                    if was_troubled {
                        visit.can_send |= self.trouble_ends(list, &reference, now).await?;
                    }
                    if was_troubled || joined {
                        visit.can_send |= self.revive(list, &reference, &room, now).await?;
                    }
                }
                Err(error) => {
                    let is_refusal = error.is_refusal();
                    let why = reason(error)?;
                    if is_refusal && !was_troubled {
                        visit.can_send |= self.trouble_begins(list, &reference, &why, now).await?;
                    }
                    visit.unreachable.insert(reference, why);
                }
            }
        }
        // A room that is no longer in the list is not reported as reachable.
        for reference in troubled {
            let mut tx = self.store.begin().await?;
            room_trouble::ends(&mut tx, &list.name, &reference).await?;
            commit(tx).await?;
        }
        Ok(visit)
    }

    /// Joins the list's user to a room. Returns the room's id, and whether the user was not recorded as joined before.
    async fn enter(
        &self,
        list: &ListSettings,
        reference: &str,
        visit: &mut Visit,
        now: Timestamp,
    ) -> Result<(String, bool), RoomError> {
        let resolved = self.resolve(reference, now).await?;
        visit.can_send |= resolved.is_new;
        let joined = self.ensure_joined(&list.user_id, &resolved.room, now).await?;
        Ok((resolved.room, joined))
    }

    async fn trouble_begins(
        &self,
        list: &ListSettings,
        room: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let is_new = room_trouble::begins(&mut tx, &list.name, room, why, now).await?;
        if is_new {
            let payload = Outgoing::RoomUnreachable { room: room.to_owned(), why: why.to_owned() };
            notify(&mut tx, list, room, &payload, now).await?;
        }
        commit(tx).await?;
        Ok(is_new)
    }

    async fn trouble_ends(
        &self,
        list: &ListSettings,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let was_recorded = room_trouble::ends(&mut tx, &list.name, room).await?;
        if was_recorded {
            notify(&mut tx, list, room, &Outgoing::RoomReachable { room: room.to_owned() }, now).await?;
        }
        commit(tx).await?;
        Ok(was_recorded)
    }

    /// Makes the messages pending again that were given up while the room was unreachable. Returns whether there are
    /// any.
    async fn revive(
        &self,
        list: &ListSettings,
        reference: &str,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let revived = self.store.revive(&list.name, reference, room, now).await?;
        if revived > 0 {
            tracing::info!(
                room_list = list.name,
                room,
                revived,
                "{room} can be reached: sending {revived} messages that were given up"
            );
        }
        Ok(revived > 0)
    }
}

/// Enqueues a notice about a room for the fallback rooms, or for the first level if there is no other fallback room.
async fn notify(
    tx: &mut Tx,
    list: &ListSettings,
    about: &str,
    payload: &Outgoing,
    now: Timestamp,
) -> Result<(), StoreError> {
    let others =
        |rooms: &[String]| -> Vec<String> { rooms.iter().filter(|room| *room != about).cloned().collect() };
    let mut references = others(&list.policy.fallback_rooms);
    if references.is_empty() {
        references = list.policy.levels.first().map(|level| others(&level.rooms)).unwrap_or_default();
    }
    for room in room::rooms_of(tx, &references).await? {
        let message = NewMessage {
            id: ids::unique(),
            room_list: &list.name,
            room: &room,
            payload: payload.clone(),
            incident: None,
            rung: None,
            post: None,
            not_before: now,
        };
        enqueue::enqueue(tx, message, now).await?;
    }
    Ok(())
}

/// Why a room is unreachable. A database error is returned as an error: it is not the room's fault.
fn reason(error: RoomError) -> Result<String, StoreError> {
    match error {
        RoomError::Homeserver(error) => Ok(error.to_string()),
        RoomError::Store(error) => Err(error),
    }
}
