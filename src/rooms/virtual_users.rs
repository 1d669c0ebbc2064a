//! Virtual users as the homeserver must know them: registered, with a device, with a name, in their rooms.
//!
//! What is known is remembered in the database, so that nothing is asked twice; a refusal of the homeserver makes it
//! be asked again.

use super::user_id::DEVICE_ID;
use crate::matrix::{Client, ClientError, Endpoint, Failure, Identity};
use crate::store::{Store, StoreError, VirtualUserRow};
use jiff::Timestamp;
use ruma::{OwnedDeviceId, RoomId, RoomOrAliasId, UserId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a virtual user is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The homeserver refuses or does not answer.
    #[error(transparent)]
    Homeserver(#[from] ClientError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The virtual users. Cheap to clone.
#[derive(Debug, Clone)]
pub struct VirtualUsers {
    client: Client,
    store: Store,
    known: Arc<Mutex<BTreeMap<String, Identity>>>,
}

impl VirtualUsers {
    /// The virtual users of a homeserver.
    pub fn new(client: Client, store: Store) -> Self {
        Self { client, store, known: Arc::default() }
    }

    /// The homeserver.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// For whom requests are made as this user. Registers the user and makes its device if that was not done before.
    pub async fn identity(&self, user_id: &UserId) -> Result<Identity, UserError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(user_id.as_str()) {
            return Ok(known.clone());
        }
        let row = self.store.virtual_user(user_id.as_str()).await?;
        if row.registered {
            return Ok(self.remember(user_id, row.device_id.map(OwnedDeviceId::from)));
        }
        self.register(user_id).await
    }

    /// Registers the user and makes its device, whatever is remembered.
    pub async fn register(&self, user_id: &UserId) -> Result<Identity, UserError> {
        let is_new = self.client.register_virtual_user(user_id).await?;
        let device: OwnedDeviceId = DEVICE_ID.into();
        let has_device = self.client.ensure_device(user_id, &device, "matrixbot").await?;
        let device = has_device.then_some(device);
        let known = if is_new {
            // Whatever we remember is of an account that is gone.
            self.store.forget_memberships(user_id.as_str()).await?;
            VirtualUserRow::default()
        } else {
            self.store.virtual_user(user_id.as_str()).await?
        };
        let row =
            VirtualUserRow { registered: true, device_id: device.as_ref().map(ToString::to_string), ..known };
        self.store.note_virtual_user(user_id.as_str(), &row).await?;
        tracing::info!(user = %user_id, device = has_device, "virtual user {user_id} is registered");
        Ok(self.remember(user_id, device))
    }

    /// Sets the user's name and picture if they are not as wanted.
    pub async fn dress(
        &self,
        user_id: &UserId,
        display_name: &str,
        avatar: Option<&ruma::MxcUri>,
    ) -> Result<(), UserError> {
        let identity = self.identity(user_id).await?;
        let mut row = self.store.virtual_user(user_id.as_str()).await?;
        if row.display_name.as_deref() != Some(display_name) {
            self.client.set_display_name(&identity, display_name).await?;
            row.display_name = Some(display_name.to_owned());
        }
        if let Some(avatar) = avatar
            && row.avatar.as_deref() != Some(avatar.as_str())
        {
            self.client.set_avatar(&identity, avatar).await?;
            row.avatar = Some(avatar.to_string());
        }
        Ok(self.store.note_virtual_user(user_id.as_str(), &row).await?)
    }

    /// Makes sure that the user is in a room, unless that is known already. Returns whether it was not.
    pub async fn ensure_joined(
        &self,
        user_id: &UserId,
        room: &str,
        now: Timestamp,
    ) -> Result<bool, UserError> {
        if self.store.membership(user_id.as_str(), room).await?.as_deref() == Some("join") {
            return Ok(false);
        }
        self.join(user_id, room, now).await?;
        Ok(true)
    }

    /// Joins a room, whatever is remembered.
    pub async fn join(&self, user_id: &UserId, room: &str, now: Timestamp) -> Result<(), UserError> {
        let client = &self.client;
        let joined = match <&RoomOrAliasId>::try_from(room) {
            Ok(id) => {
                let join = |identity| async move { client.join(&identity, id, &[]).await };
                self.as_user(user_id, join).await
            }
            Err(error) => Err(ClientError::unbuildable(Endpoint::Join, error).into()),
        };
        match joined {
            Ok(_) => Ok(self.store.note_membership(user_id.as_str(), room, "join", now).await?),
            Err(UserError::Homeserver(error)) => {
                if !error.failure().is_temporary() {
                    self.store.note_membership(user_id.as_str(), room, "unreachable", now).await?;
                }
                Err(error.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks the homeserver in which rooms the user is, and corrects what is remembered: somebody may have removed it
    /// without our hearing of it.
    pub async fn review_rooms(&self, user_id: &UserId, now: Timestamp) -> Result<(), UserError> {
        let client = &self.client;
        let ask = |identity| async move { client.joined_rooms(&identity).await };
        let joined = self.as_user(user_id, ask).await?;
        for (room, membership) in self.store.memberships(user_id.as_str()).await? {
            let is_in = <&RoomId>::try_from(room.as_str()).is_ok_and(|room| joined.contains(room));
            if (membership == "join") != is_in {
                let is = if is_in { "join" } else { "leave" };
                tracing::warn!(user = %user_id, room, "{user_id} is not where it was: its membership of {room} is {is}");
                self.store.note_membership(user_id.as_str(), &room, is, now).await?;
            }
        }
        Ok(())
    }

    /// Makes a request as the user; once more if the homeserver does not know the user or its device (any more).
    async fn as_user<T, F: Future<Output = Result<T, ClientError>> + Send>(
        &self,
        user_id: &UserId,
        request: impl Fn(Identity) -> F + Send + Sync,
    ) -> Result<T, UserError> {
        match request(self.identity(user_id).await?).await {
            Err(error) if matches!(error.failure(), Failure::UserNotRegistered | Failure::UnknownDevice) => {
                Ok(request(self.register(user_id).await?).await?)
            }
            answer => Ok(answer?),
        }
    }

    fn remember(&self, user_id: &UserId, device_id: Option<OwnedDeviceId>) -> Identity {
        let identity = Identity { user_id: user_id.to_owned(), device_id };
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(user_id.to_string(), identity.clone());
        identity
    }
}
