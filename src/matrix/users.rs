//! Virtual users as the homeserver must know them: registered, with a device, with a name, in their rooms.
//!
//! What is known is remembered in the database, so that nothing is asked twice; a refusal of the homeserver makes it
//! be asked again.

use super::client::{Client, Identity};
use super::failure::{ClientError, Failure};
use super::virtual_user::DEVICE_ID;
use crate::store::{Store, StoreError, VirtualUserRow};
use jiff::Timestamp;
use ruma::{OwnedDeviceId, OwnedRoomId, RoomOrAliasId, UserId};
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
        self.client.register_virtual_user(user_id).await?;
        let device: OwnedDeviceId = DEVICE_ID.into();
        let has_device = self.client.ensure_device(user_id, &device, "matrixbot").await?;
        let device = has_device.then_some(device);
        let known = self.store.virtual_user(user_id.as_str()).await?;
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

    /// Makes sure that the user is in a room, unless that is known already.
    pub async fn ensure_joined(&self, user_id: &UserId, room: &str, now: Timestamp) -> Result<(), UserError> {
        if self.store.membership(user_id.as_str(), room).await?.as_deref() == Some("join") {
            return Ok(());
        }
        self.join(user_id, room, now).await
    }

    /// Joins a room, whatever is remembered.
    pub async fn join(&self, user_id: &UserId, room: &str, now: Timestamp) -> Result<(), UserError> {
        let identity = self.identity(user_id).await?;
        let joined: Result<OwnedRoomId, ClientError> = match <&RoomOrAliasId>::try_from(room) {
            Ok(id) => match self.client.join(&identity, id, &[]).await {
                Err(error) if error.failure() == Failure::UserNotRegistered => {
                    let identity = self.register(user_id).await?;
                    self.client.join(&identity, id, &[]).await
                }
                answer => answer,
            },
            Err(error) => Err(ClientError::unbuildable(super::Endpoint::Join, error)),
        };
        match joined {
            Ok(_) => Ok(self.store.note_membership(user_id.as_str(), room, "join", now).await?),
            Err(error) => {
                if !error.failure().is_temporary() {
                    self.store.note_membership(user_id.as_str(), room, "unreachable", now).await?;
                }
                Err(error.into())
            }
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
