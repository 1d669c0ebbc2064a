//! Rooms that a room list cannot reach: each is told of once, however many processes notice it; and what was meant for
//! one comes to it after all once it can be reached.

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

    /// A room can be reached again: what was given up for it while it could not is sent after all, if it still matters.
    /// Answers to people do not. Whether a page still matters is asked again when it is rendered. Returns how many
    /// messages that are.
    pub async fn revive(
        &self,
        room_list: &str,
        reference: &str,
        room: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        Ok(sqlx::query!(
            "WITH gate AS (INSERT INTO room_gate (room) VALUES ($3) ON CONFLICT (room) DO NOTHING)
             UPDATE outbox SET state = 'pending', room = $3, error = NULL, settled_at = NULL, not_before = $4,
                    event_type = NULL, content = NULL, version = NULL
             WHERE state = 'undeliverable' AND room_list = $1 AND room IN ($2, $3) AND NOT uncertain
               AND (kind IN ('page', 'fallback', 'notice') OR payload ->> 'what' = 'room_moved')
               AND (incident IS NULL
                    OR EXISTS (SELECT 1 FROM incident WHERE id = outbox.incident AND phase IN ('firing', 'unanswered')))
               AND NOT EXISTS (
                   SELECT 1 FROM outbox AS other
                   WHERE other.incident = outbox.incident AND other.room = $3 AND other.kind = outbox.kind
                     AND (other.run_no, other.loop_no, other.level) IS NOT DISTINCT FROM
                         (outbox.run_no, outbox.loop_no, outbox.level)
                     AND other.id <> outbox.id)",
            room_list,
            reference,
            room,
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?
        .rows_affected())
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
