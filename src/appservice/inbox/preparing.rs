//! What handling an event needs from the homeserver: read before any lock is taken, and perhaps twice.

use super::{Inbox, InboxError};
use crate::domain::command::{Command, Parsed};
use crate::domain::flood::{self, Admission};
use crate::domain::incoming::{Happening, Membership, Message, RoomEvent};
use crate::domain::reaction;
use crate::domain::rights::depends_on_power_level;
use crate::matrix::PowerLevels;
use crate::rooms::RoomError;
use crate::rooms::invitations::{Invitation, Invited};
use crate::store::Move;
use ruma::{EventId, OwnedUserId, UserId};
use std::collections::BTreeSet;

/// Answers of the homeserver that handling an event needs.
#[derive(Debug, Clone, Default)]
pub(super) struct Prepared {
    /// The sender's power level in the room, if the answer depends on it.
    pub(super) power_level: Option<i64>,
    /// What became of an invitation.
    pub(super) invited: Option<Invited>,
    /// What is known about the successor that a tombstone names; `None`: the room is in no list.
    pub(super) successor: Option<Move>,
    /// Whether the sender may redact events of others in the room.
    pub(super) may_redact: bool,
    /// Who is in the room, if the command names another person.
    pub(super) members: BTreeSet<OwnedUserId>,
}

impl Inbox {
    /// Sends the event's requests to the homeserver.
    pub(super) async fn prepare(&self, event: &RoomEvent) -> Result<Prepared, InboxError> {
        let mut prepared = Prepared::default();
        match &event.what {
            Happening::Message(message) if self.needs_power_level(event, message) => {
                let flooding = self.is_flooding(event).await?;
                prepared.power_level = if flooding { None } else { self.power_level(event).await? };
                if !flooding && self.names_a_person(event, message) {
                    prepared.members = self.members(event).await?;
                }
            }
            Happening::Reaction { key, .. }
                if reaction::silences(key, &[]) && !self.is_ours(&event.sender) =>
            {
                prepared.power_level = self.power_level(event).await?;
            }
            Happening::Membership { user, membership: Membership::Invite } if self.is_ours(user) => {
                let invitation = Invitation { user, room: &event.room, by: &event.sender };
                let (lists, now) = (self.lists.load(), self.clock.now());
                prepared.invited = Some(self.rooms.answer_invitation(&lists, &invitation, now).await?);
            }
            Happening::Tombstone { replacement } => {
                let (lists, now) = (self.lists.load(), self.clock.now());
                let (from, successor) = (event.room.as_str(), replacement.as_str());
                prepared.successor = self.rooms.examine_successor(&lists, from, successor, now).await?;
            }
            Happening::Redaction { redacts } => prepared.may_redact = self.may_redact(event, redacts).await?,
            _ => {}
        }
        Ok(prepared)
    }

    fn needs_power_level(&self, event: &RoomEvent, message: &Message) -> bool {
        if !message.may_command() || self.is_ours(&event.sender) {
            return false;
        }
        let parsed = self.reading(message, event.at).at_most(message);
        matches!(parsed, Parsed::Command(command) if depends_on_power_level(&command))
    }

    /// Whether a command names another person, who must be in the room.
    fn names_a_person(&self, event: &RoomEvent, message: &Message) -> bool {
        let parsed = self.reading(message, event.at).at_most(message);
        matches!(parsed, Parsed::Command(Command::OnCall(on_call)) if on_call.names_a_person())
    }

    /// Who is in the room, read as one of our users there. Empty: none of them may read it.
    async fn members(&self, event: &RoomEvent) -> Result<BTreeSet<OwnedUserId>, InboxError> {
        for user in self.users_in(event).await? {
            let identity = self.rooms.users().identity(&user).await?;
            match self.rooms.client().joined_members(&identity, &event.room).await {
                Ok(members) => return Ok(members),
                Err(error) if error.failure().is_temporary() => return Err(RoomError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(BTreeSet::new())
    }

    /// Whether a command of the sender would be dropped now: then it makes no requests.
    async fn is_flooding(&self, event: &RoomEvent) -> Result<bool, InboxError> {
        let rate = self.store.command_rate(event.room.as_str(), event.sender.as_str()).await?;
        let (_, admission) = flood::decide(rate, self.clock.now());
        Ok(admission != Admission::Accept)
    }

    /// The sender's power level in the room, read as one of our users there. `None`: none of them may read it.
    async fn power_level(&self, event: &RoomEvent) -> Result<Option<i64>, InboxError> {
        for user in self.users_in(event).await? {
            let identity = self.rooms.users().identity(&user).await?;
            match self.rooms.client().power_level_of(&identity, &event.room, &event.sender).await {
                Ok(level) => return Ok(Some(level)),
                Err(error) if error.failure().is_temporary() => return Err(RoomError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Whether the sender may redact another person's event. Asked only if that is a reaction of this room which
    /// acknowledged.
    async fn may_redact(&self, event: &RoomEvent, redacts: &EventId) -> Result<bool, InboxError> {
        let Some(reaction) = self.store.ack_reaction(redacts.as_str()).await? else { return Ok(false) };
        if event.sender == reaction.user_id || reaction.room.as_deref() != Some(event.room.as_str()) {
            return Ok(false);
        }
        for user in self.users_in(event).await? {
            let identity = self.rooms.users().identity(&user).await?;
            match self.rooms.client().readable_power_levels(&identity, &event.room).await {
                Ok(levels) => {
                    return Ok(
                        levels.is_ok_and(|levels: PowerLevels| levels.may_redact_others(&event.sender))
                    );
                }
                Err(error) if error.failure().is_temporary() => return Err(RoomError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Our users that are in the event's room: those of its lists first, then the others in the room, because the room may
    /// have moved or have left its list.
    async fn users_in(&self, event: &RoomEvent) -> Result<Vec<OwnedUserId>, InboxError> {
        let (lists, room) = (self.lists.load(), event.room.as_str());
        let listed = self.rooms.lists_of(&lists, room).await?;
        let mut users: Vec<OwnedUserId> = listed.iter().map(|list| list.user_id.clone()).collect();
        for user in self.store.users_in(room).await? {
            if let Ok(user) = UserId::parse(&user)
                && !users.contains(&user)
            {
                users.push(user);
            }
        }
        Ok(users)
    }
}
