//! What an event takes from the homeserver, fetched before its database transaction.

use super::{Inbox, InboxError};
use crate::domain::command::{Context, Parsed, parse};
use crate::domain::incoming::{Happening, Membership, RoomEvent};
use crate::domain::lists::ListSettings;
use crate::domain::rights::depends_on_power_level;
use crate::rooms::UserError;
use ruma::{RoomAliasId, UserId};

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
                Ok(Prepared { power_level: None, joined: self.invited(event, user).await? })
            }
            Happening::Tombstone { replacement } => {
                self.follow(event, replacement.as_str()).await?;
                Ok(Prepared::default())
            }
            _ => Ok(Prepared::default()),
        }
    }

    /// The sender's power level in the room, asked as one of our users there. `None`: nobody of ours can see it.
    async fn power_level(&self, event: &RoomEvent) -> Result<Option<i64>, InboxError> {
        for list in self.lists_with_room(event.room.as_str()).await? {
            let identity = self.users.identity(&list.user_id).await?;
            match self.users.client().power_level_of(&identity, &event.room, &event.sender).await {
                Ok(level) => return Ok(Some(level)),
                Err(error) if error.failure().is_temporary() => return Err(UserError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Joins a room of the user's list; declines any other with a word.
    async fn invited(&self, event: &RoomEvent, user: &UserId) -> Result<bool, InboxError> {
        let now = self.engine.clock().now();
        let room = event.room.as_str();
        let lists = self.engine.lists();
        let wanted = match lists.of_user(user.as_str()) {
            Some(list) => self.has_room(list, room, true).await?,
            None => false,
        };
        if wanted {
            return match self.users.join(user, room, now).await {
                Ok(()) => {
                    tracing::info!(user = %user, room, by = %event.sender, "{user} takes the invitation of {} to {room}", event.sender);
                    Ok(true)
                }
                // Taken back meanwhile, or no longer possible: the next message tries again and says so.
                Err(UserError::Homeserver(error)) if !error.failure().is_temporary() => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
        tracing::info!(user = %user, room, by = %event.sender, "{user} declines the invitation to {room}: it is not a room of its list");
        let identity = self.users.identity(user).await?;
        let word = "I speak only in the rooms of my room list; ask whoever runs matrixbot to add this one.";
        match self.users.client().leave(&identity, &event.room, Some(word)).await {
            Err(error) if error.failure().is_temporary() => Err(UserError::from(error).into()),
            _ => Ok(false),
        }
    }

    /// Joins the room that replaces one of our lists' rooms.
    async fn follow(&self, event: &RoomEvent, replacement: &str) -> Result<(), InboxError> {
        let now = self.engine.clock().now();
        for list in self.lists_with_room(event.room.as_str()).await? {
            match self.users.join(&list.user_id, replacement, now).await {
                Err(UserError::Homeserver(error)) if error.failure().is_temporary() => {
                    return Err(UserError::from(error).into());
                }
                Err(UserError::Homeserver(error)) => {
                    tracing::error!(room_list = list.name, room = replacement, %error, "{} cannot follow {} to {replacement}: {error}", list.user_id, event.room);
                }
                Err(error) => return Err(error.into()),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn lists_with_room(&self, room: &str) -> Result<Vec<std::sync::Arc<ListSettings>>, InboxError> {
        let mut with_room = Vec::new();
        for list in self.engine.lists().iter() {
            if self.has_room(list, room, false).await? {
                with_room.push(list.clone());
            }
        }
        Ok(with_room)
    }

    /// Whether a list has a room. `ask`: aliases that were never followed are followed now.
    async fn has_room(&self, list: &ListSettings, room: &str, ask: bool) -> Result<bool, InboxError> {
        let now = self.engine.clock().now();
        for reference in list.references() {
            let mut known = self.engine.store().room_of(&reference).await?;
            if ask
                && known.starts_with('#')
                && let Ok(alias) = <&RoomAliasId>::try_from(known.as_str())
                && let Ok(found) = self.users.client().resolve_alias(alias).await
            {
                self.engine.store().note_alias(&known, found.room_id.as_str(), now).await?;
                known = found.room_id.to_string();
            }
            if known == room {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
