//! What an event takes from the homeserver, fetched before its database transaction.

use super::{Inbox, InboxError};
use crate::domain::command::{Context, Parsed, parse};
use crate::domain::incoming::{Happening, Membership, RoomEvent};
use crate::domain::rights::depends_on_power_level;
use crate::rooms::RoomError;
use crate::rooms::invitations::Invitation;

/// What was fetched for an event.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prepared {
    /// The sender's power level in the room, if the command may take one.
    pub(super) power_level: Option<i64>,
    /// Whether an invitation was taken.
    pub(super) joined: bool,
}

impl Inbox {
    /// Fetches or does what the event takes from the homeserver.
    pub(super) async fn prepare(&self, event: &RoomEvent) -> Result<Prepared, InboxError> {
        match &event.what {
            Happening::Message(message) if message.may_command() && !self.is_ours(&event.sender) => {
                let (ours, text) = message.addressed(|user| self.is_ours(user));
                let reply_or_thread = message.reply_to.is_some() || message.thread_root.is_some();
                let context = Context { reply_or_thread, mentioned: ours.is_some() };
                let takes_power = matches!(
                    parse(text, context),
                    Parsed::Command(command) if depends_on_power_level(&command)
                );
                let power_level = if takes_power { self.power_level(event).await? } else { None };
                Ok(Prepared { power_level, joined: false })
            }
            Happening::Membership { user, membership: Membership::Invite } if self.is_ours(user) => {
                let invitation = Invitation { user, room: &event.room, by: &event.sender };
                let lists = self.engine.lists();
                let now = self.engine.clock().now();
                let joined = self.rooms.answer_invitation(&lists, &invitation, now).await?;
                Ok(Prepared { power_level: None, joined })
            }
            Happening::Tombstone { replacement } => {
                let (lists, now) = (self.engine.lists(), self.engine.clock().now());
                self.rooms.join_successor(&lists, event.room.as_str(), replacement.as_str(), now).await?;
                Ok(Prepared::default())
            }
            _ => Ok(Prepared::default()),
        }
    }

    /// The sender's power level in the room, asked as one of our users there. `None`: nobody of ours can see it.
    async fn power_level(&self, event: &RoomEvent) -> Result<Option<i64>, InboxError> {
        let lists = self.engine.lists();
        for list in self.rooms.lists_of(&lists, event.room.as_str()).await? {
            let identity = self.rooms.users().identity(&list.user_id).await?;
            match self.rooms.client().power_level_of(&identity, &event.room, &event.sender).await {
                Ok(level) => return Ok(Some(level)),
                Err(error) if error.failure().is_temporary() => return Err(RoomError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(None)
    }
}
