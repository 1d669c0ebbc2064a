//! Invitations of virtual users: they accept those to rooms of their list, and decline all others.

use super::{RoomError, Rooms};
use crate::domain::lists::Lists;
use jiff::Timestamp;
use ruma::{RoomId, UserId};

/// The reason that the virtual user gives when it declines.
const DECLINE_REASON: &str =
    "I only post in the rooms of my room list. Ask matrixbot's operator to add this room.";

/// An invitation to one of our virtual users.
#[derive(Debug)]
pub struct Invitation<'a> {
    /// The invited virtual user.
    pub user: &'a UserId,
    /// The room.
    pub room: &'a RoomId,
    /// The person who invited it.
    pub by: &'a UserId,
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// The user joined the room.
    Joined,
    /// The user declined, or could not join any more.
    Declined,
    /// No room list has this user, and it has no account: nothing was done. Anybody can invite a name that nobody has.
    Nobody,
}

impl Rooms {
    /// Joins the room if it belongs to the user's list; otherwise declines. Never registers a user for it.
    pub async fn answer_invitation(
        &self,
        lists: &Lists,
        invitation: &Invitation<'_>,
        now: Timestamp,
    ) -> Result<Invited, RoomError> {
        let Invitation { user, room, by } = *invitation;
        if self.is_of_list(lists, user, room, now).await? {
            return match self.join(user, room.as_str(), now).await {
                Ok(()) => {
                    tracing::info!(user = %user, room = %room, by = %by, "{user} accepted the invitation of {by} to {room}");
                    Ok(Invited::Joined)
                }
                // Somebody withdrew the invitation, or joining is no longer allowed. Attendance tries again and reports it.
                Err(error) if error.is_refusal() || error.is_about_the_user() => Ok(Invited::Declined),
                Err(error) => Err(error),
            };
        }
        if lists.of_user(user.as_str()).is_none() && !self.store.virtual_user(user.as_str()).await?.registered
        {
            return Ok(Invited::Nobody);
        }
        tracing::info!(user = %user, room = %room, by = %by, "{user} declined the invitation to {room}: it is not a room of its list");
        let identity = self.users().identity(user).await?;
        match self.client().leave(&identity, room, Some(DECLINE_REASON)).await {
            Err(error) if error.failure().is_temporary() => Err(error.into()),
            _ => Ok(Invited::Declined),
        }
    }

    /// Whether a room belongs to the list of a virtual user. Asks the homeserver where the list's aliases lead.
    async fn is_of_list(
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
        // The successor of one of its rooms that could not be joined so far.
        if self.store.waiting_successors(&known).await?.iter().any(|(_, successor)| successor == room) {
            return Ok(true);
        }
        for alias in known.iter().filter(|known| known.starts_with('#')) {
            match self.resolve(alias, now).await {
                Ok(resolved) if resolved.room == room.as_str() => return Ok(true),
                Ok(_) | Err(RoomError::Homeserver(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // An alias may have moved there since the last visit; or it waits for this invitation.
        Ok(self.leads_now(list, room, now).await?)
    }
}
