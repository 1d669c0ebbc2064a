//! Due incidents, and those that are set aside because their timer cannot be handled.

use super::{Store, StoreError, Tx, to_i32};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::time::Duration;

/// An incident whose timer has passed: what can be read of it even if the rest cannot.
#[derive(Debug, Clone)]
pub struct Due {
    /// Its number.
    pub number: i64,
    /// Its room list.
    pub room_list: String,
    /// Its alertname, if its group has one.
    pub name: Option<String>,
    /// Since when the timer is due.
    pub at: Timestamp,
    /// How often in a row the timer could not be handled.
    pub failures: u32,
    /// Whether a report of its group could not read it.
    pub unreadable: bool,
}

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) room_list: String,
    pub(super) name: Option<String>,
    pub(super) at: SqlTimestamp,
    pub(super) timer_failures: i32,
    pub(super) unreadable: bool,
}

impl From<Row> for Due {
    fn from(row: Row) -> Self {
        Self {
            number: row.id,
            room_list: row.room_list,
            name: row.name,
            at: row.at.to_jiff(),
            failures: u32::try_from(row.timer_failures).unwrap_or(0),
            unreadable: row.unreadable,
        }
    }
}

/// Lets the server end a statement of this transaction that takes longer. Then the transaction ends there as well, and
/// its locks with it; a statement that only we give up would keep them.
pub async fn limit_statements(tx: &mut Tx, limit: Duration) -> Result<(), StoreError> {
    let limit = format!("{}ms", limit.as_millis());
    sqlx::query_scalar!("SELECT set_config('statement_timeout', $1, true)", limit)
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

/// Locks the most overdue incident that no other transaction has locked and that may be tried.
pub async fn lock_due(tx: &mut Tx, now: Timestamp) -> Result<Option<Due>, StoreError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT id, room_list, group_labels ->> 'alertname' AS name, next_at AS "at!", timer_failures, unreadable
           FROM incident
           WHERE next_at <= $1 AND (timer_not_before IS NULL OR timer_not_before <= $1)
           ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(Due::from))
}

/// Locks a stale incident that no other transaction has locked and that may be tried.
pub async fn lock_stale(tx: &mut Tx, now: Timestamp) -> Result<Option<Due>, StoreError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT id, room_list, group_labels ->> 'alertname' AS name, stale_at AS "at!", timer_failures, unreadable
           FROM incident
           WHERE stale_at <= $1 AND (timer_not_before IS NULL OR timer_not_before <= $1)
           ORDER BY stale_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(Due::from))
}

/// Sets an incident aside until `again_at`. Returns whether it did: not if the incident was tried by another process
/// meanwhile.
pub async fn set_aside(
    tx: &mut Tx,
    due: &Due,
    again_at: Timestamp,
    reason: &str,
) -> Result<bool, StoreError> {
    let rows = sqlx::query!(
        "UPDATE incident SET timer_failures = $3, timer_not_before = $4, timer_failure = $5
         WHERE id = $1 AND timer_failures = $2 AND phase <> 'closed'",
        due.number,
        to_i32(due.failures),
        to_i32(due.failures.saturating_add(1)),
        again_at.to_sqlx(),
        reason
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(rows > 0)
}

/// The timer of an incident can be handled again.
pub async fn no_longer_set_aside(tx: &mut Tx, number: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE incident SET timer_failures = 0, timer_not_before = NULL, timer_failure = NULL WHERE id = $1",
        number
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// When the next incident is due or becomes stale.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let next = sqlx::query_scalar!(
            "SELECT least((SELECT min(next_at) FROM incident WHERE next_at IS NOT NULL AND timer_failures = 0),
                          (SELECT min(stale_at) FROM incident WHERE stale_at IS NOT NULL AND timer_failures = 0),
                          (SELECT min(greatest(timer_not_before, least(next_at, stale_at))) FROM incident
                           WHERE timer_failures > 0 AND (next_at IS NOT NULL OR stale_at IS NOT NULL)))"
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(next.map(jiff_sqlx::Timestamp::to_jiff))
    }

    /// How many incidents of each room list are set aside.
    pub async fn set_aside_counts(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT room_list, count(*) AS "count!" FROM incident WHERE timer_failures > 0
               GROUP BY room_list ORDER BY room_list"#
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.room_list, row.count))
        .collect())
    }

    /// The numbers of the incidents that are set aside, lowest first, `limit` at most.
    pub async fn set_aside(&self, limit: i64) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT id FROM incident WHERE timer_failures > 0 ORDER BY id LIMIT $1",
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
