//! Registers the virtual user of a room list, sets its profile, and joins it to each room. An unreachable room is reported
//! once in the fallback rooms, and once more when it is reachable again (`trouble`).

use super::{RoomError, Rooms, trouble};
use crate::domain::lists::ListSettings;
use crate::store::{StoreError, commit, room_trouble, user_trouble};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The result of one visit to the rooms of a list.
#[derive(Debug, Default)]
pub struct Visit {
    /// Unreachable rooms (by reference) and virtual users without a profile (by user id), with the reason.
    pub unreachable: BTreeMap<String, String>,
    /// Why the virtual user cannot act, if it cannot. Then nothing is known of its rooms.
    pub user_trouble: Option<String>,
    /// Whether the outbox has new messages to send.
    pub can_send: bool,
    /// Whether a room of any level can be reached.
    pub can_page: bool,
}

impl Rooms {
    /// Registers the virtual user of a list, sets its profile, and joins it to each of the list's rooms.
    pub async fn visit(&self, list: &ListSettings, now: Timestamp) -> Result<Visit, StoreError> {
        let mut visit = Visit::default();
        self.visit_all(list, &mut visit, now).await?;
        if let Some(why) = &visit.user_trouble {
            let mut tx = self.store.begin().await?;
            let is_new = user_trouble::begins(&mut tx, &list.name, why, now, now).await?;
            commit(tx).await?;
            if is_new {
                trouble::log_user_trouble(&list.name, list.user_id.as_str(), why);
            }
        } else if self.store.user_trouble_ends_unless_used(&list.name).await? {
            trouble::log_user_is_back(&list.name, list.user_id.as_str());
        }
        Ok(visit)
    }

    async fn visit_all(
        &self,
        list: &ListSettings,
        visit: &mut Visit,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // This comes first: it detects that the homeserver lost the account, with its profile and its rooms; and that the
        // account may not act, which says nothing about its rooms.
        let reviewed = self.review_memberships(&list.user_id, now).await;
        let avatar = list.avatar.as_deref();
        let profile = self.users.set_profile(&list.user_id, &list.display_name, avatar);
        let known = match reviewed {
            Ok(()) => profile.await,
            failed => failed,
        };
        if let Err(error) = known {
            if error.is_about_the_user() {
                visit.user_trouble = Some(reason(error)?);
                return Ok(());
            }
            visit.unreachable.insert(list.user_id.to_string(), reason(error)?);
        }
        let mut troubled = self.store.troubled_rooms(&list.name).await?;
        for reference in list.references() {
            let was_troubled = troubled.iter().any(|room| room.reference == reference);
            troubled.retain(|room| room.reference != reference);
            match self.enter(list, &reference, was_troubled, visit, now).await {
                Ok(Entered { muted: Some(why), .. }) => {
                    visit.can_send |= self.trouble_begins(list, &reference, (true, &why), now).await?;
                    visit.unreachable.insert(reference, why);
                }
                Ok(Entered { room, joined, .. }) => {
                    visit.can_page |= list.policy.levels.iter().any(|level| level.rooms.contains(&reference));
                    if was_troubled {
                        visit.can_send |= self.trouble_ends(list, &reference, now).await?;
                    }
                    if was_troubled || joined {
                        visit.can_send |= self.revive(list, &reference, &room, now).await?;
                    }
                }
                Err(error) if error.is_about_the_user() => {
                    visit.user_trouble = Some(reason(error)?);
                    return Ok(());
                }
                Err(error) => {
                    let is_refusal = error.is_refusal();
                    let why = reason(error)?;
                    if is_refusal && !was_troubled {
                        visit.can_send |= self.trouble_begins(list, &reference, (false, &why), now).await?;
                    }
                    visit.unreachable.insert(reference, why);
                }
            }
        }
        // A room that is no longer in the list is not reported as reachable.
        for room in troubled {
            let mut tx = self.store.begin().await?;
            room_trouble::ends(&mut tx, &list.name, &room.reference).await?;
            commit(tx).await?;
        }
        Ok(())
    }

    /// Joins the list's user to a room. In a room that is new or was in trouble, also checks whether it may send messages.
    async fn enter(
        &self,
        list: &ListSettings,
        reference: &str,
        was_troubled: bool,
        visit: &mut Visit,
        now: Timestamp,
    ) -> Result<Entered, RoomError> {
        let resolved = self.resolve(reference, now).await?;
        visit.can_send |= resolved.is_new;
        let joined = self.ensure_joined(&list.user_id, &resolved.room, now).await?;
        let muted =
            if was_troubled || joined { self.muted(&list.user_id, &resolved.room).await? } else { None };
        Ok(Entered { room: resolved.room, joined, muted })
    }

    async fn trouble_begins(
        &self,
        list: &ListSettings,
        reference: &str,
        (muted, why): (bool, &str),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let is_new = trouble::begins(&mut tx, list, reference, (muted, why), now).await?;
        commit(tx).await?;
        Ok(is_new)
    }

    async fn trouble_ends(
        &self,
        list: &ListSettings,
        reference: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let was_recorded = trouble::ends(&mut tx, list, reference, now).await?;
        commit(tx).await?;
        Ok(was_recorded)
    }

    /// Makes the messages pending again that were given up while the room was unreachable. Returns whether there are any.
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

/// A room that the list's user is in.
struct Entered {
    room: String,
    /// Whether the user was not recorded as joined before.
    joined: bool,
    /// Why it may not send messages, if it may not.
    muted: Option<String>,
}

/// Why a room is unreachable. A database error is returned as an error: it is not the room's fault.
fn reason(error: RoomError) -> Result<String, StoreError> {
    match error {
        RoomError::Homeserver(error) => Ok(error.to_string()),
        RoomError::Store(error) => Err(error),
    }
}
