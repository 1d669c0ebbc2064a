//! Invitations of virtual users: accepted to the rooms of their list, declined to all others.

use super::{RoomError, Rooms};
use crate::domain::lists::Lists;
use jiff::Timestamp;
use ruma::{RoomId, UserId};

/// What a declined invitation says.
const WHY_NOT: &str = "I only post in the rooms of my room list. Ask matrixbot's operator to add this room.";

/// An invitation of one of our virtual users.
#[derive(Debug)]
pub struct Invitation<'a> {
    /// Who is invited.
    pub user: &'a UserId,
    /// To which room.
    pub room: &'a RoomId,
    /// By whom.
    pub by: &'a UserId,
}

impl Rooms {
    /// Joins the room if it belongs to the user's list; otherwise declines. Returns whether the user joined.
    pub async fn answer_invitation(
        &self,
        lists: &Lists,
        invitation: &Invitation<'_>,
        now: Timestamp,
    ) -> Result<bool, RoomError> {
        let Invitation { user, room, by } = *invitation;
        if self.is_wanted(lists, user, room, now).await? {
            return match self.join(user, room.as_str(), now).await {
                Ok(()) => {
                    tracing::info!(user = %user, room = %room, by = %by, "{user} accepted the invitation of {by} to {room}");
                    Ok(true)
                }
                // Withdrawn meanwhile, or no longer possible: the next message tries again and reports it.
                Err(error) if error.is_refusal() => Ok(false),
                Err(error) => Err(error),
            };
        }
        tracing::info!(user = %user, room = %room, by = %by, "{user} declined the invitation to {room}: it is not a room of its list");
        let identity = self.users().identity(user).await?;
        match self.client().leave(&identity, room, Some(WHY_NOT)).await {
            Err(error) if error.failure().is_temporary() => Err(error.into()),
            _ => Ok(false),
        }
    }

    /// Whether a room belongs to the list of a virtual user. Aliases that are still unknown are resolved.
    async fn is_wanted(
        &self,
        lists: &Lists,
        user: &UserId,
        room: &RoomId,
        now: Timestamp,
    ) -> Result<bool, RoomError> {
        let Some(list) = lists.of_user(user.as_str()) else { return Ok(false) };
        let known = self.store.rooms_of(&list.references()).await?;
        if known.iter().any(|known| known == room) {
            return Ok(true);
        }
        for alias in known.iter().filter(|known| known.starts_with('#')) {
            match self.resolve(alias, now).await {
                Ok(resolved) if resolved.room == room.as_str() => return Ok(true),
                Ok(_) | Err(RoomError::Homeserver(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
