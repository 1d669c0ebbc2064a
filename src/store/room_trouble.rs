//! Rooms that a room list cannot reach: each is told of once, however many processes notice it.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

impl Store {
    /// The rooms that a room list could not reach so far, as the configuration names them.
    pub async fn troubled_rooms(&self, room_list: &str) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT reference FROM room_trouble WHERE room_list = $1 ORDER BY reference",
            room_list
        )
        .fetch_all(&self.pool)
        .await?)
    }
}

/// A room cannot be reached. Returns whether that is news.
pub async fn begins(
    tx: &mut Tx,
    room_list: &str,
    reference: &str,
    why: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "INSERT INTO room_trouble (room_list, reference, why, since) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        room_list,
        reference,
        why,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(rows > 0)
}

/// A room can be reached, or is no room of the list any more. Returns whether that is news.
pub async fn ends(tx: &mut Tx, room_list: &str, reference: &str) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "DELETE FROM room_trouble WHERE room_list = $1 AND reference = $2",
        room_list,
        reference
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(rows > 0)
}
