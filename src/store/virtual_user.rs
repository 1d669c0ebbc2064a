//! What the homeserver knows about each virtual user.

use super::{Store, StoreError};

/// A virtual user as the homeserver knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualUserRow {
    /// Whether it is registered.
    pub registered: bool,
    /// Its device.
    pub device_id: Option<String>,
    /// Its display name.
    pub display_name: Option<String>,
    /// Its avatar.
    pub avatar: Option<String>,
}

impl Store {
    /// The stored data of a virtual user; the default if there is none.
    pub async fn virtual_user(&self, user_id: &str) -> Result<VirtualUserRow, StoreError> {
        Ok(sqlx::query_as!(
            VirtualUserRow,
            "SELECT registered, device_id, display_name, avatar FROM virtual_user WHERE user_id = $1",
            user_id
        )
        .fetch_optional(&self.pool)
        .await?
        .unwrap_or_default())
    }

    /// Stores what the homeserver knows about a virtual user.
    pub async fn note_virtual_user(&self, user_id: &str, row: &VirtualUserRow) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO virtual_user (user_id, registered, device_id, display_name, avatar) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id) DO UPDATE SET registered = excluded.registered, device_id = excluded.device_id,
                display_name = excluded.display_name, avatar = excluded.avatar",
            user_id,
            row.registered,
            row.device_id,
            row.display_name,
            row.avatar
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
