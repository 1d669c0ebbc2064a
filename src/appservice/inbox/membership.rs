//! Our own users come and go, and rooms move.

use super::InboxError;
use super::scene::{Handled, Scene};
use crate::domain::incoming::Membership;
use crate::engine::Wake;
use crate::rooms::successors;
use crate::store::room;
use ruma::{OwnedRoomId, UserId};

impl Scene<'_> {
    /// Notes where our own users are.
    pub(super) async fn membership(
        &mut self,
        user: &UserId,
        membership: Membership,
    ) -> Result<Handled, InboxError> {
        if !self.inbox.is_ours(user) {
            return Ok(Handled::ignored("somebody else's membership"));
        }
        let is = match membership {
            Membership::Join => "join",
            Membership::Invite if self.prepared.joined => {
                return Ok(Handled::acted("invitation taken"));
            }
            Membership::Invite => return Ok(Handled::refused("invitation declined")),
            Membership::Knock => return Ok(Handled::ignored("a knock")),
            Membership::Leave => "leave",
            Membership::Ban => "ban",
        };
        let now = self.change.now();
        let room_id = self.event.room.as_str();
        room::note_membership(self.change.tx(), user.as_str(), room_id, is, now).await?;
        if is != "join"
            && self.event.sender != *user
            && self.inbox.engine.lists().of_user(user.as_str()).is_some()
        {
            tracing::error!(user = %user, room = room_id, by = %self.event.sender, "{user} was removed from {room_id} by {}", self.event.sender);
        }
        // Whether every room can be reached is looked at again: readiness tells it.
        self.change.wake(Wake::Attendance);
        Ok(Handled::ignored("our own membership"))
    }

    /// Follows a room to its replacement, and says so there.
    pub(super) async fn tombstone(&mut self, replacement: &OwnedRoomId) -> Result<Handled, InboxError> {
        let lists = self.inbox.engine.lists();
        let (from, now) = (self.event.room.as_str(), self.change.now());
        if !successors::record(self.change.tx(), &lists, from, replacement.as_str(), now).await? {
            return Ok(Handled::ignored("a room of no list moved"));
        }
        self.change.wake(Wake::Outbox);
        Ok(Handled::acted("room moved"))
    }
}
