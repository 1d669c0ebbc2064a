//! Room lists whose virtual user cannot send: suspended, locked, deactivated, or without an account or device that the
//! homeserver lets matrixbot create. The messages of such a list wait, and none is given up. One message at a time is
//! sent to check whether the trouble is over, after growing pauses.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// A room list whose virtual user cannot send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTrouble {
    /// The room list.
    pub room_list: String,
    /// Its virtual user.
    pub user_id: String,
    /// What the homeserver answered last.
    pub why: String,
    /// When it was first noticed.
    pub since: Timestamp,
}

impl Store {
    /// The room lists whose virtual user cannot send, by name.
    pub async fn user_troubles(&self) -> Result<Vec<UserTrouble>, StoreError> {
        Ok(sqlx::query!(
            "SELECT user_trouble.room_list, room_list.user_id, user_trouble.why, user_trouble.since
             FROM user_trouble JOIN room_list ON room_list.name = user_trouble.room_list ORDER BY 1"
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| UserTrouble {
            room_list: row.room_list,
            user_id: row.user_id,
            why: row.why,
            since: SqlTimestamp::to_jiff(row.since),
        })
        .collect())
    }

    /// The trouble is over if no message of the list waits to prove it. Returns whether it is over now.
    pub async fn user_trouble_ends_unless_used(&self, room_list: &str) -> Result<bool, StoreError> {
        let ended = sqlx::query!(
            "DELETE FROM user_trouble WHERE room_list = $1 AND NOT EXISTS (
                 SELECT 1 FROM outbox WHERE outbox.room_list = $1 AND state = 'pending')
             AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.room_list = $1 AND state = 'sending')",
            room_list
        )
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected() > 0)
    }
}

/// The list's virtual user cannot send. Returns whether that was unknown.
pub async fn begins(
    tx: &mut Tx,
    room_list: &str,
    why: &str,
    next_check: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "INSERT INTO user_trouble (room_list, why, since, next_check)
         SELECT name, $2, $3, $4 FROM room_list WHERE name = $1 ON CONFLICT DO NOTHING",
        room_list,
        why,
        now.to_sqlx(),
        next_check.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(rows > 0)
}

/// How often a message was sent to check whether the trouble of the list's user is over. `None`: there is no trouble.
pub async fn checks(tx: &mut Tx, room_list: &str) -> Result<Option<u32>, StoreError> {
    let checks = sqlx::query_scalar!("SELECT checks FROM user_trouble WHERE room_list = $1", room_list)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(checks.map(|checks| u32::try_from(checks).unwrap_or(0)))
}

/// Claims the check that is due: no other message of the list is sent before `until`. Returns whether it was due. Skips a
/// locked row, because the transaction with the lock has claimed the check.
pub async fn take_check(
    tx: &mut Tx,
    room_list: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "UPDATE user_trouble SET next_check = $2
         WHERE room_list IN (SELECT room_list FROM user_trouble WHERE room_list = $1 AND next_check <= $3
                             FOR UPDATE SKIP LOCKED)",
        room_list,
        until.to_sqlx(),
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(rows > 0)
}

/// A check failed: the user still cannot send.
pub async fn goes_on(
    tx: &mut Tx,
    room_list: &str,
    why: &str,
    next_check: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE user_trouble SET checks = least(checks, 1000) + 1, why = $2, next_check = $3 WHERE room_list = $1",
        room_list,
        why,
        next_check.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The user can send. Returns whether that was unknown.
pub async fn ends(tx: &mut Tx, room_list: &str) -> Result<bool, StoreError> {
    let rows = sqlx::query!("DELETE FROM user_trouble WHERE room_list = $1", room_list)
        .execute(&mut **tx)
        .await?
        .rows_affected();
    Ok(rows > 0)
}
