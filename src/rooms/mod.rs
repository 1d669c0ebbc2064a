//! Rooms and the virtual users in them: where references lead, who is in a room, and what cannot be reached.
//!
//! The homeserver is asked only for what the database does not know; what it answers is remembered there. A refusal
//! makes the next request ask again.

pub mod attendance;
pub mod invitations;
pub mod successors;
pub mod user_id;
mod virtual_users;

pub use virtual_users::{VirtualUsers, ensure_device};

use crate::domain::lists::{ListSettings, Lists};
use crate::matrix::{Client, ClientError, Endpoint, Identity};
use crate::store::{Store, StoreError, Tx, room};
use jiff::Timestamp;
use ruma::{OwnedRoomId, RoomAliasId, RoomId, RoomOrAliasId, UserId};
use std::sync::Arc;

/// Why something about a room or a virtual user failed.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The homeserver refuses or does not answer.
    #[error(transparent)]
    Homeserver(#[from] ClientError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RoomError {
    /// Whether the homeserver refuses for good: the same request fails again until somebody acts.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Homeserver(error) if !error.failure().is_temporary())
    }
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The room.
    pub room: String,
    /// Whether this was unknown before: messages that waited for the alias can be sent now.
    pub is_new: bool,
}

/// The rooms of the homeserver, and our virtual users there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rooms {
    client: Client,
    store: Store,
    users: VirtualUsers,
}

impl Rooms {
    /// The rooms and virtual users of a homeserver.
    pub fn new(client: Client, store: Store) -> Self {
        Self { users: VirtualUsers::new(client.clone(), store.clone()), client, store }
    }

    /// The homeserver.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The virtual users.
    pub fn users(&self) -> &VirtualUsers {
        &self.users
    }

    /// The room that a reference of the configuration leads to: as the database knows it, through its alias and
    /// through upgrades. The homeserver is asked for an alias that is unknown, and its answer is remembered.
    pub async fn resolve(&self, reference: &str, now: Timestamp) -> Result<Resolved, RoomError> {
        let known = self.store.room_of(reference).await?;
        if !known.starts_with('#') {
            return Ok(Resolved { room: known, is_new: false });
        }
        let room = ask(&self.client, &known).await?.to_string();
        self.store.note_alias(&known, &room, now).await?;
        Ok(Resolved { room, is_new: true })
    }

    /// Joins a room unless the user is known to be in it. Returns whether it was not.
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

    /// Joins a room, whatever is remembered, and remembers the result.
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

    /// Asks the homeserver which rooms the user is in, and corrects what is remembered: somebody may have removed it
    /// while events were lost.
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

/// The room lists that a room belongs to, by name, within a transaction. One query, however many lists there are.
pub async fn lists_of(tx: &mut Tx, lists: &Lists, room: &str) -> Result<Vec<Arc<ListSettings>>, StoreError> {
    Ok(lists.naming(&room::references_to(tx, room).await?))
}

/// The room that a reference leads to at this moment, without remembering it: the homeserver is asked for an alias
/// even if the database knows it. Upgrades are followed if there is a database that knows them.
pub async fn look_up(
    client: &Client,
    store: Option<&Store>,
    reference: &str,
) -> Result<OwnedRoomId, ClientError> {
    let room = if reference.starts_with('#') {
        ask(client, reference).await?.to_string()
    } else {
        reference.to_owned()
    };
    let followed = match store {
        Some(store) => store.room_of(&room).await.unwrap_or(room),
        None => room,
    };
    RoomId::parse(followed).map_err(|error| ClientError::unbuildable(Endpoint::Join, error))
}

/// Joins a room by its id or alias, remembering nothing.
pub async fn join(client: &Client, identity: &Identity, room: &str) -> Result<OwnedRoomId, ClientError> {
    let room =
        <&RoomOrAliasId>::try_from(room).map_err(|error| ClientError::unbuildable(Endpoint::Join, error))?;
    client.join(identity, room, &[]).await
}

async fn ask(client: &Client, alias: &str) -> Result<OwnedRoomId, ClientError> {
    let alias =
        <&RoomAliasId>::try_from(alias).map_err(|error| ClientError::unbuildable(Endpoint::Alias, error))?;
    Ok(client.resolve_alias(alias).await?.room_id)
}
