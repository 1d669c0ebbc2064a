//! Deletes old data in batches. A batch is an array: for a subquery the planner would assume a tenth of the table.

use super::{Store, StoreError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

impl Store {
    /// Deletes closed incidents that resolved before `horizon`, with their alerts, timelines and messages, messages
    /// without an incident that were settled before `horizon`, and digests without messages; at most `batch` of each.
    /// Returns the number of deleted rows.
    pub async fn forget_incidents(&self, horizon: Timestamp, batch: i64) -> Result<u64, StoreError> {
        let horizon = horizon.to_sqlx();
        let incidents = sqlx::query!(
            "DELETE FROM incident WHERE id = ANY (ARRAY(
                 SELECT id FROM incident WHERE phase = 'closed' AND resolved_at < $1
                 ORDER BY resolved_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            horizon,
            batch
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        let messages = sqlx::query!(
            "DELETE FROM outbox WHERE id = ANY (ARRAY(
                 SELECT id FROM outbox WHERE incident IS NULL AND settled_at < $1
                 ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            horizon,
            batch
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        let digests = sqlx::query!(
            "DELETE FROM digest WHERE id = ANY (ARRAY(
                 SELECT id FROM digest WHERE ended_at < $1
                   AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.digest = digest.id)
                 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            horizon,
            batch
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        Ok(incidents + messages + digests)
    }

    /// Deletes handled events that arrived before `horizon`, and redactions recorded before it; at most `batch` of
    /// each. Returns the number of deleted rows. An event about an incident stays until that is closed: reconciliation
    /// may find the event again, and it would act a second time.
    pub async fn forget_events(&self, horizon: Timestamp, batch: i64) -> Result<u64, StoreError> {
        let horizon = horizon.to_sqlx();
        let events = sqlx::query!(
            "DELETE FROM inbox WHERE seq = ANY (ARRAY(
                 SELECT seq FROM inbox WHERE state <> 'waiting' AND received_at < $1
                   AND NOT EXISTS (SELECT 1 FROM incident
                                   WHERE incident.id = ANY (inbox.incidents) AND phase <> 'closed')
                 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            horizon,
            batch
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        let redacted = sqlx::query!(
            "DELETE FROM redacted WHERE event_id = ANY (ARRAY(
                 SELECT event_id FROM redacted WHERE at < $1 ORDER BY at LIMIT $2))",
            horizon,
            batch
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        Ok(events + redacted)
    }
}
