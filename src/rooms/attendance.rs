//! Makes a virtual user what and where its room list needs it: registered, named, in each room. A room that cannot be
//! reached is reported once in the fallback rooms, and once more when it can be reached again.

use super::{RoomError, Rooms};
use crate::domain::lists::ListSettings;
use crate::domain::outgoing::Outgoing;
use crate::ids;
use crate::store::enqueue::{self, NewMessage};
use crate::store::{StoreError, Tx, commit, room, room_trouble};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What one visit to the rooms of a list found and did.
#[derive(Debug, Default)]
pub struct Visit {
    /// What cannot be reached, and why: rooms by their reference, or the virtual user.
    pub unreachable: BTreeMap<String, String>,
    /// Whether there is more to send than before.
    pub can_send: bool,
}

impl Rooms {
    /// Registers and names the virtual user of a list, and brings it into each of the list's rooms.
    pub async fn visit(&self, list: &ListSettings, now: Timestamp) -> Result<Visit, StoreError> {
        let mut visit = Visit::default();
        // First: this discovers that the account is gone, and with it its name and its rooms.
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
                    if was_troubled {
                        visit.can_send |= self.trouble_ends(list, &reference, now).await?;
                    }
                    if was_troubled || joined {
                        visit.can_send |= self.revive(list, &reference, &room, now).await?;
                    }
                }
                Err(error) => {
                    let lasts = error.is_refusal();
                    let why = reason(error)?;
                    if lasts && !was_troubled {
                        visit.can_send |= self.trouble_begins(list, &reference, &why, now).await?;
                    }
                    visit.unreachable.insert(reference, why);
                }
            }
        }
        // Nothing is posted about rooms that the list no longer has.
        for reference in troubled {
            let mut tx = self.store.begin().await?;
            room_trouble::ends(&mut tx, &list.name, &reference).await?;
            commit(tx).await?;
        }
        Ok(visit)
    }

    /// Brings the list's user into a room. Returns which room that is, and whether the user was not known to be there.
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
        let is_news = room_trouble::begins(&mut tx, &list.name, room, why, now).await?;
        if is_news {
            let payload = Outgoing::RoomUnreachable { room: room.to_owned(), why: why.to_owned() };
            notify(&mut tx, list, room, &payload, now).await?;
        }
        commit(tx).await?;
        Ok(is_news)
    }

    async fn trouble_ends(
        &self,
        list: &ListSettings,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let is_news = room_trouble::ends(&mut tx, &list.name, room).await?;
        if is_news {
            notify(&mut tx, list, room, &Outgoing::RoomReachable { room: room.to_owned() }, now).await?;
        }
        commit(tx).await?;
        Ok(is_news)
    }

    /// Sends what was given up for a room while it could not be reached. Returns whether there is any.
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

/// Posts about a room in the fallback rooms; in the first level, if there is no other fallback room.
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
        let draft = NewMessage {
            id: ids::unique(),
            room_list: &list.name,
            room: &room,
            payload: payload.clone(),
            incident: None,
            rung: None,
            post: None,
            not_before: now,
        };
        enqueue::enqueue(tx, draft, now).await?;
    }
    Ok(())
}

/// Why a room cannot be reached. An error of the database is none of the room's.
fn reason(error: RoomError) -> Result<String, StoreError> {
    match error {
        RoomError::Homeserver(error) => Ok(error.to_string()),
        RoomError::Store(error) => Err(error),
    }
}
