//! Registers virtual users at the homeserver, each with a device, a display name and an avatar.

use super::RoomError;
use super::user_id::DEVICE_ID;
use crate::matrix::{Client, ClientError, Failure, Identity};
use crate::store::{Store, StoreError, VirtualUserRow};
use ruma::{DeviceId, MxcUri, OwnedDeviceId, OwnedMxcUri, OwnedUserId, UserId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The virtual users. Cheap to clone.
#[derive(Debug, Clone)]
pub struct VirtualUsers {
    client: Client,
    store: Store,
    known: Arc<Mutex<BTreeMap<String, Identity>>>,
    pictures: Arc<Mutex<Pictures>>,
}

/// The avatar of users that have none: a bell, as scripts/avatar.py draws it.
const BELL: &[u8] = include_bytes!("avatar.png");

/// What this process knows about that avatar.
#[derive(Debug, Default)]
struct Pictures {
    /// Where it was uploaded.
    bell: Option<OwnedMxcUri>,
    /// The users that need it no more: they have an avatar, or the homeserver refused to give them this one.
    done: BTreeSet<OwnedUserId>,
}

impl VirtualUsers {
    pub(super) fn new(client: Client, store: Store) -> Self {
        Self { client, store, known: Arc::default(), pictures: Arc::default() }
    }

    /// The identity for requests as this user. Registers the user and creates its device if the database does not have
    /// them.
    pub async fn identity(&self, user_id: &UserId) -> Result<Identity, RoomError> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(user_id.as_str()) {
            return Ok(known.clone());
        }
        let row = self.store.virtual_user(user_id.as_str()).await?;
        if row.registered {
            return Ok(self.cache(user_id, row.device_id.map(OwnedDeviceId::from)));
        }
        self.register(user_id).await
    }

    /// Registers the user and creates its device, whatever the database has stored.
    pub async fn register(&self, user_id: &UserId) -> Result<Identity, RoomError> {
        let is_new = self.client.register_virtual_user(user_id).await?;
        let has_device = ensure_device(&self.client, user_id).await?;
        let device = has_device.then(|| OwnedDeviceId::from(DEVICE_ID));
        let known = if is_new {
            // The stored data belongs to an account that no longer exists.
            self.store.forget_memberships(user_id.as_str()).await?;
            VirtualUserRow::default()
        } else {
            self.store.virtual_user(user_id.as_str()).await?
        };
        let row =
            VirtualUserRow { registered: true, device_id: device.as_ref().map(ToString::to_string), ..known };
        self.store.note_virtual_user(user_id.as_str(), &row).await?;
        tracing::info!(user = %user_id, device = has_device, "virtual user {user_id} is registered");
        Ok(self.cache(user_id, device))
    }

    /// Sets the user's display name and avatar if they differ from the last ones that were set.
    pub async fn set_profile(
        &self,
        user_id: &UserId,
        display_name: &str,
        avatar: Option<&MxcUri>,
    ) -> Result<(), RoomError> {
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

    /// Gives the user an avatar if it has none, which the room list does not configure either. Nothing depends on it: whatever
    /// the homeserver answers is no trouble, and only what may pass is tried again.
    pub async fn set_default_avatar(&self, user_id: &UserId) -> Result<(), StoreError> {
        if self.pictures().done.contains(user_id) {
            return Ok(());
        }
        match self.give_bell(user_id).await {
            Err(RoomError::Store(error)) => return Err(error),
            Err(RoomError::Homeserver(error)) if error.failure().is_temporary() => {
                tracing::debug!(user = %user_id, %error, "{user_id} has no avatar yet: {error}");
                return Ok(());
            }
            Err(error) => {
                tracing::info!(user = %user_id, %error, "{user_id} stays without an avatar: {error}");
            }
            Ok(()) => {}
        }
        self.pictures().done.insert(user_id.to_owned());
        Ok(())
    }

    async fn give_bell(&self, user_id: &UserId) -> Result<(), RoomError> {
        let mut row = self.store.virtual_user(user_id.as_str()).await?;
        let identity = self.identity(user_id).await?;
        if row.avatar.is_some() || self.client.has_avatar(&identity).await? {
            return Ok(());
        }
        let uploaded = self.pictures().bell.clone();
        let bell = match uploaded {
            Some(bell) => bell,
            None => self.client.upload_png(&identity, "bell.png", BELL).await?,
        };
        self.pictures().bell = Some(bell.clone());
        self.client.set_avatar(&identity, &bell).await?;
        row.avatar = Some(bell.to_string());
        Ok(self.store.note_virtual_user(user_id.as_str(), &row).await?)
    }

    fn pictures(&self) -> MutexGuard<'_, Pictures> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks whether the homeserver lets the user act at all. A suspended user passes: it may read.
    pub async fn check(&self, user_id: &UserId) -> Result<(), RoomError> {
        let request = |identity| async move { self.client.whoami(Some(&identity)).await };
        self.as_user(user_id, request).await.map(drop)
    }

    /// Makes a request as the user. If the homeserver does not know the user or its device, registers the user and makes
    /// the request once more.
    pub(super) async fn as_user<T, F: Future<Output = Result<T, ClientError>> + Send>(
        &self,
        user_id: &UserId,
        request: impl Fn(Identity) -> F + Send + Sync,
    ) -> Result<T, RoomError> {
        match request(self.identity(user_id).await?).await {
            Err(error) if matches!(error.failure(), Failure::UserNotRegistered | Failure::UnknownDevice) => {
                Ok(request(self.register(user_id).await?).await?)
            }
            answer => Ok(answer?),
        }
    }

    fn cache(&self, user_id: &UserId, device_id: Option<OwnedDeviceId>) -> Identity {
        let identity = Identity { user_id: user_id.to_owned(), device_id };
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(user_id.to_string(), identity.clone());
        identity
    }
}

/// Creates the device of a virtual user unless it exists. Returns whether the homeserver supports such devices.
pub async fn ensure_device(client: &Client, user_id: &UserId) -> Result<bool, ClientError> {
    client.ensure_device(user_id, <&DeviceId>::from(DEVICE_ID), "matrixbot").await
}
