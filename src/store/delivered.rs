//! The delivery status of an incident's pages, for commands that wait for a page.

use super::{Store, StoreError};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;

/// A page and its delivery status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRow {
    /// The room: its id, or its alias while that is unresolved.
    pub room: String,
    /// The level; the first is 0.
    pub level: i32,
    /// `pending`, `sending`, `sent`, `cancelled` or `undeliverable`.
    pub state: String,
    /// Its Matrix event, once sent.
    pub event_id: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The number of attempts.
    pub attempts: i32,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it was sent, cancelled or given up.
    pub settled_at: Option<Timestamp>,
}

impl Store {
    /// The pages of an incident, in the order in which they were enqueued.
    pub async fn pages(&self, incident: i64) -> Result<Vec<PageRow>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT room, level AS "level!", state, event_id, error, attempts, created_at, settled_at
               FROM outbox WHERE incident = $1 AND kind = 'page' ORDER BY seq"#,
            incident
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| PageRow {
            room: row.room,
            level: row.level,
            state: row.state,
            event_id: row.event_id,
            error: row.error,
            attempts: row.attempts,
            created_at: row.created_at.to_jiff(),
            settled_at: row.settled_at.map(SqlTimestamp::to_jiff),
        })
        .collect())
    }
}
