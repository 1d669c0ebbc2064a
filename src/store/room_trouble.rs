//! Unreachable rooms of a room list. Each is reported once, however many processes notice it. Once the room is
//! reachable again, the messages that were given up for it are sent.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// An unreachable room of a room list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTrouble {
    /// The room, as the configuration names it.
    pub reference: String,
    /// Whether the virtual user is in the room, but may not send messages.
    pub muted: bool,
    /// Why it is unreachable.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

impl Store {
    /// The unreachable rooms of a room list.
    pub async fn troubled_rooms(&self, room_list: &str) -> Result<Vec<RoomTrouble>, StoreError> {
        let rows = sqlx::query!(
            "SELECT reference, muted, why, since FROM room_trouble WHERE room_list = $1 ORDER BY reference",
            room_list
        )
        .fetch_all(&self.pool)
        .await?;
        let troubles = rows.into_iter().map(|row| RoomTrouble {
            reference: row.reference,
            muted: row.muted,
            why: row.why,
            since: row.since.to_jiff(),
        });
        Ok(troubles.collect())
    }

    /// Makes the undeliverable messages of a room pending again after the room became reachable. Only pages and notices
    /// whose incident is still firing or unanswered, not answers to people. The outbox checks again when it renders
    /// them. Returns the number of messages.
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
             WHERE state = 'undeliverable' AND room_list = $1 AND (room IN ($2, $3) OR room_of(room) = $3) AND NOT uncertain
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

/// A room is unreachable; `muted`: the virtual user is in it, but may not send messages. Returns whether that was unknown, or
/// only now is the user muted.
pub async fn begins(
    tx: &mut Tx,
    room_list: &str,
    reference: &str,
    (muted, why): (bool, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "INSERT INTO room_trouble (room_list, reference, why, since, muted) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        room_list,
        reference,
        why,
        now.to_sqlx(),
        muted
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    let mut turned = 0;
    if rows == 0 {
        // The reason may have changed: it decides what shows that the trouble is over.
        turned = sqlx::query!(
            "UPDATE room_trouble SET muted = $3 WHERE room_list = $1 AND reference = $2 AND muted <> $3",
            room_list,
            reference,
            muted
        )
        .execute(&mut **tx)
        .await?
        .rows_affected();
    }
    Ok(rows > 0 || (turned > 0 && muted))
}

/// Records that a room is reachable, or is no longer in the list. Returns since when it was recorded as unreachable, if it
/// was.
pub async fn ends(tx: &mut Tx, room_list: &str, reference: &str) -> Result<Option<Timestamp>, StoreError> {
    let since = sqlx::query_scalar!(
        "DELETE FROM room_trouble WHERE room_list = $1 AND reference = $2 RETURNING since",
        room_list,
        reference
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(since.map(SqlTimestamp::to_jiff))
}

/// Whether nobody can have read of a trouble that began then: every notice about it was given up, as at the first start if
/// nobody has invited the virtual user to any room yet.
pub async fn nobody_knows(tx: &mut Tx, room_list: &str, since: Timestamp) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(bool_and(state = 'undeliverable'), false) AS "nobody!" FROM outbox
           WHERE room_list = $1 AND created_at = $2 AND payload ->> 'what' IN ('room_unreachable', 'successor_waits')"#,
        room_list,
        since.to_sqlx()
    )
    .fetch_one(&mut **tx)
    .await?)
}
