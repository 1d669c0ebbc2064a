//! Due incidents.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

/// Locks the most overdue incident that no other transaction has locked. Returns its number and when it was due.
pub async fn lock_due(tx: &mut Tx, now: Timestamp) -> Result<Option<(i64, Timestamp)>, StoreError> {
    Ok(sqlx::query!(
        r#"SELECT id, next_at AS "next_at!" FROM incident WHERE next_at <= $1
           ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(|row| (row.id, row.next_at.to_jiff())))
}

/// Locks a stale incident that no other transaction has locked.
pub async fn lock_stale(tx: &mut Tx, now: Timestamp) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM incident WHERE stale_at <= $1 ORDER BY stale_at LIMIT 1 FOR UPDATE SKIP LOCKED",
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?)
}

impl Store {
    /// When the next incident is due or becomes stale.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let next = sqlx::query_scalar!(
            "SELECT least((SELECT min(next_at) FROM incident WHERE next_at IS NOT NULL),
                          (SELECT min(stale_at) FROM incident WHERE stale_at IS NOT NULL))"
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(next.map(jiff_sqlx::Timestamp::to_jiff))
    }
}
