//! What rooms are called, for people who do not know their ids.

use super::{Store, StoreError, Tx, room};
use crate::domain::room_name::RoomName;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

impl Store {
    /// When a room's name was read. `None`: never.
    pub async fn name_learned_at(&self, room: &str) -> Result<Option<Timestamp>, StoreError> {
        let at = sqlx::query_scalar!("SELECT learned_at FROM room_name WHERE room = $1", room)
            .fetch_optional(&self.pool)
            .await?;
        Ok(at.map(SqlTimestamp::to_jiff))
    }

    /// Stores what a room's state says that it is called.
    pub async fn note_room_name(
        &self,
        room: &str,
        called: &RoomName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO room_name (room, name, alias, learned_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (room) DO UPDATE SET name = excluded.name, alias = excluded.alias,
                    learned_at = excluded.learned_at",
            room,
            called.name,
            called.alias,
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What a room calls itself, or else the configured alias that leads to it.
    pub async fn room_called(&self, room: &str) -> Result<Option<String>, StoreError> {
        let mut tx = self.begin().await?;
        let own = find(&mut tx, room).await?.and_then(|own| own.text());
        let called = if own.is_some() { own } else { room::called(&mut tx, room).await? };
        tx.commit().await?;
        Ok(called)
    }

    /// A room as people know it; see `room::label`.
    pub async fn room_label(&self, room: &str) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        let label = room::label(&mut tx, room).await?;
        tx.commit().await?;
        Ok(label)
    }
}

/// What a room is called, if its state was ever read.
pub async fn find(tx: &mut Tx, room: &str) -> Result<Option<RoomName>, StoreError> {
    Ok(sqlx::query_as!(RoomName, "SELECT name, alias FROM room_name WHERE room = $1", room)
        .fetch_optional(&mut **tx)
        .await?)
}

/// An event changed the name of a room whose state was read before. Older events change nothing.
pub async fn renamed(tx: &mut Tx, room: &str, name: Option<&str>, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE room_name SET name = $2 WHERE room = $1 AND learned_at <= $3",
        room,
        name,
        at.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An event changed the main alias of a room whose state was read before. Older events change nothing.
pub async fn main_alias(
    tx: &mut Tx,
    room: &str,
    alias: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE room_name SET alias = $2 WHERE room = $1 AND learned_at <= $3",
        room,
        alias,
        at.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
