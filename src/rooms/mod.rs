//! Rooms and the virtual users in them: references, memberships, invitations and unreachable rooms.
//!
//! A request to the homeserver is made only for what the database does not know; the answer is stored there. A refusal is
//! not final: the next call requests it again.

mod aliases;
pub mod attendance;
pub mod departed;
pub mod invitations;
pub mod mentions;
mod names;
pub mod successors;
pub mod trouble;
pub mod user_id;
mod virtual_users;

pub use virtual_users::{VirtualUsers, ensure_device};

use crate::domain::lists::{ListSettings, Lists};
use crate::matrix::{Client, ClientError, Concern, Endpoint, Identity, PowerLevels};
use crate::store::{Store, StoreError, Tx, room};
use aliases::{Directory, Pauses};
use jiff::Timestamp;
use ruma::{OwnedRoomId, RoomAliasId, RoomId, RoomOrAliasId, UserId};
use std::sync::Arc;

/// The type of every message.
const MESSAGE: &str = "m.room.message";

/// Why an operation on a room or a virtual user failed.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The homeserver refuses the request or does not answer.
    #[error(transparent)]
    Homeserver(#[from] ClientError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoomError {
    /// Whether the homeserver refused for a reason of the room or the request: the same request fails until somebody acts.
    pub fn is_refusal(&self) -> bool {
        matches!(self.concerns(), Some(Concern::Room | Concern::Request))
    }

    /// Whether the homeserver refused for a reason of the virtual user, which no room can change.
    pub fn is_about_the_user(&self) -> bool {
        self.concerns() == Some(Concern::User)
    }

    fn concerns(&self) -> Option<Concern> {
        match self {
            Self::Homeserver(error) => Some(error.failure().concerns()),
            Self::Store(_) => None,
        }
    }
}

/// The room of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The room's id.
    pub room: String,
    /// Whether the database did not know it: messages that waited for the alias can be sent now.
    pub is_new: bool,
}

/// The homeserver's rooms, and our virtual users. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms {
    client: Client,
    store: Store,
    users: VirtualUsers,
    pauses: Pauses,
}

impl Rooms {
    /// The rooms and virtual users of a homeserver.
    pub fn new(client: Client, store: Store) -> Self {
        let users = VirtualUsers::new(client.clone(), store.clone());
        Self { users, client, store, pauses: Pauses::default() }
    }

    /// The homeserver.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The virtual users.
    pub fn users(&self) -> &VirtualUsers {
        &self.users
    }

    /// Resolves a reference of the configuration to a room, through its alias and through upgrades. Requests an alias from
    /// the homeserver only if the database does not know it, and stores the answer.
    pub async fn resolve(&self, reference: &str, now: Timestamp) -> Result<Resolved, RoomError> {
        let known = self.store.room_of(reference).await?;
        if !known.starts_with('#') {
            return Ok(Resolved { room: known, is_new: false });
        }
        let room = resolve_alias(&self.client, &known).await?.to_string();
        self.store.note_alias(&known, &room, now).await?;
        Ok(Resolved { room, is_new: true })
    }

    /// Joins a room unless the database has the user as joined. Returns whether it had to join.
    pub async fn ensure_joined(
        &self,
        user_id: &UserId,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, RoomError> {
        if self.store.membership(user_id.as_str(), room).await?.as_deref() == Some("join") {
            return Ok(false);
        }
        self.join(user_id, room, now).await?;
        Ok(true)
    }

    /// Joins a room, whatever the database has stored, and stores the result.
    pub async fn join(&self, user_id: &UserId, room: &str, now: Timestamp) -> Result<(), RoomError> {
        let request = |identity| async move { join(&self.client, &identity, room).await };
        let joined = self.users.as_user(user_id, request).await;
        let membership = match &joined {
            Ok(_) => "join",
            Err(error) if error.is_refusal() => "unreachable",
            Err(_) => return joined.map(drop),
        };
        self.store.note_membership(user_id.as_str(), room, membership, now).await?;
        joined.map(drop)
    }

    /// Why the user may not send messages in a room that it is in: its power level. `None`: it may.
    pub async fn muted(&self, user_id: &UserId, room: &str) -> Result<Option<String>, RoomError> {
        let room =
            <&RoomId>::try_from(room).map_err(|error| ClientError::unbuildable(Endpoint::State, error))?;
        let request = |identity| async move { self.client.power_levels(&identity, room).await };
        Ok(why_muted(&self.users.as_user(user_id, request).await?, user_id))
    }

    /// Corrects the stored memberships of a user by the homeserver's list of joined rooms: somebody may have removed the
    /// user in an event that the homeserver lost.
    pub async fn review_memberships(&self, user_id: &UserId, now: Timestamp) -> Result<(), RoomError> {
        let request = |identity| async move { self.client.joined_rooms(&identity).await };
        let joined = self.users.as_user(user_id, request).await?;
        for (room, membership) in self.store.memberships(user_id.as_str()).await? {
            let is_in = <&RoomId>::try_from(room.as_str()).is_ok_and(|room| joined.contains(room));
            if (membership == "join") != is_in {
                let is = if is_in { "join" } else { "leave" };
                tracing::warn!(user = %user_id, room, "the membership of {user_id} in {room} has changed to {is}");
                self.store.note_membership(user_id.as_str(), &room, is, now).await?;
            }
        }
        Ok(())
    }

    /// The room lists that a room belongs to, by name.
    pub async fn lists_of(&self, lists: &Lists, room: &str) -> Result<Vec<Arc<ListSettings>>, StoreError> {
        Ok(lists.naming(&self.store.references_to(room).await?))
    }
}

/// Why a user may not send messages in a room with these power levels. `None`: it may.
pub fn why_muted(levels: &PowerLevels, user_id: &UserId) -> Option<String> {
    (!levels.may_send(user_id, MESSAGE)).then(|| {
        let (has, needed) = (levels.of(user_id), levels.to_send(MESSAGE));
        format!("{user_id} has power level {has} there, and messages need {needed}")
    })
}

/// The room lists that a room belongs to, by name, within a transaction. Makes one query for any number of lists.
pub async fn lists_of(tx: &mut Tx, lists: &Lists, room: &str) -> Result<Vec<Arc<ListSettings>>, StoreError> {
    Ok(lists.naming(&room::references_to(tx, room).await?))
}

/// The room that the pages of a reference go to, and what the homeserver says of it if it is an alias.
#[derive(Debug)]
pub struct LookedUp {
    /// The room.
    pub room: OwnedRoomId,
    /// What the directory says, if that is something else: then `run` decides at its next attendance whether pages follow.
    pub differs: Option<Differs>,
}

/// What the homeserver says of an alias whose pages go to another room.
#[derive(Debug)]
pub enum Differs {
    /// It leads to this room.
    Leads(String),
    /// Nobody has the alias any more.
    Missing,
    /// Nothing: the request failed.
    Failed(ClientError),
}

/// Looks up where the pages of a reference go, as attendance does, and stores nothing. Requests an alias from the homeserver
/// even if the database knows its room. Follows upgrades only if there is a database.
pub async fn look_up(
    client: &Client,
    store: Option<&Store>,
    reference: &str,
) -> Result<LookedUp, ClientError> {
    let followed = async |room: String| match store {
        Some(store) => store.room_of(&room).await.unwrap_or(room),
        None => room,
    };
    let known = followed(reference.to_owned()).await;
    let (room, differs) = if reference.starts_with('#') {
        let is_known = !known.starts_with('#');
        match aliases::directory(client, reference).await {
            Ok(Directory::Leads(room)) => {
                let room = followed(room).await;
                if !is_known || room == known { (room, None) } else { (known, Some(Differs::Leads(room))) }
            }
            Ok(Directory::Missing(_)) if is_known => (known, Some(Differs::Missing)),
            Err(error) if is_known => (known, Some(Differs::Failed(error))),
            Ok(Directory::Missing(error)) | Err(error) => return Err(error),
        }
    } else {
        (known, None)
    };
    let room = RoomId::parse(room).map_err(|error| ClientError::unbuildable(Endpoint::Join, error))?;
    Ok(LookedUp { room, differs })
}

/// Joins a room by its id or alias, and stores nothing.
pub async fn join(client: &Client, identity: &Identity, room: &str) -> Result<OwnedRoomId, ClientError> {
    let room =
        <&RoomOrAliasId>::try_from(room).map_err(|error| ClientError::unbuildable(Endpoint::Join, error))?;
    client.join(identity, room, &[]).await
}

async fn resolve_alias(client: &Client, alias: &str) -> Result<OwnedRoomId, ClientError> {
    let alias =
        <&RoomAliasId>::try_from(alias).map_err(|error| ClientError::unbuildable(Endpoint::Alias, error))?;
    Ok(client.resolve_alias(alias).await?.room_id)
}
