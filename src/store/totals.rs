//! Totals over all processes. A change writes its deltas in its own transaction; one process at a time adds them up.

use super::{Store, StoreError, Tx};
use crate::domain::totals::{Counted, Total};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// How many deltas one call adds up: few enough to finish before the lease expires.
const BATCH: i64 = 20_000;

/// Deltas as columns of `total_delta`.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    pub(super) metrics: Vec<String>,
    pub(super) room_lists: Vec<String>,
    pub(super) labels: Vec<String>,
    pub(super) seconds: Vec<f64>,
}

impl Deltas {
    pub(super) fn of(counted: &[Counted]) -> Self {
        let mut deltas = Self::default();
        for one in counted {
            deltas.metrics.push(one.metric().to_owned());
            deltas.room_lists.push(one.room_list().to_owned());
            deltas.labels.push(one.label());
            deltas.seconds.push(one.seconds());
        }
        deltas
    }
}

impl Store {
    /// Acquires or renews the lease on the totals until `until`, adds up a batch of deltas, and returns every total.
    /// `None`: another process has the lease.
    pub async fn add_up_totals(
        &self,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Vec<Total>>, StoreError> {
        let mut tx = self.begin().await?;
        let ours = sqlx::query!(
            "UPDATE total_lease SET owner = $1, until = $3 WHERE owner IS NULL OR owner = $1 OR until <= $2",
            owner,
            now.to_sqlx(),
            until.to_sqlx()
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if ours == 0 {
            return Ok(None);
        }
        add_up(&mut tx).await?;
        let totals = sqlx::query!("SELECT metric, room_list, label, count, seconds FROM total")
            .fetch_all(&mut *tx)
            .await?
            .into_iter()
            .map(|row| Total {
                metric: row.metric,
                room_list: row.room_list,
                label: row.label,
                count: u64::try_from(row.count).unwrap_or(0),
                seconds: row.seconds,
            })
            .collect();
        tx.commit().await?;
        Ok(Some(totals))
    }

    /// Releases the lease on the totals, so another process does not have to wait until it expires.
    pub async fn release_totals(&self, owner: Uuid) -> Result<(), StoreError> {
        sqlx::query!("UPDATE total_lease SET owner = NULL, until = NULL WHERE owner = $1", owner)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Adds deltas to their totals. The caller has locked the lease's row, so no other process does this at the same time.
async fn add_up(tx: &mut Tx) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH added AS (
             DELETE FROM total_delta WHERE id = ANY (ARRAY(SELECT id FROM total_delta ORDER BY id LIMIT $1))
             RETURNING metric, room_list, label, seconds
         )
         INSERT INTO total (metric, room_list, label, count, seconds)
         SELECT metric, room_list, label, count(*), sum(seconds) FROM added GROUP BY metric, room_list, label
         ON CONFLICT (metric, room_list, label)
             DO UPDATE SET count = total.count + excluded.count, seconds = total.seconds + excluded.seconds",
        BATCH
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
