//! What became of an incident's pages: for whoever waits for them.

use super::{Store, StoreError};
use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;

/// A page, and what became of it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRow {
    /// The room: its id, or an alias that is not resolved yet.
    pub room: String,
    /// The level, the first being 0.
    pub level: i32,
    /// `pending`, `sending`, `sent`, `cancelled` or `undeliverable`.
    pub state: String,
    /// The Matrix event that it became.
    pub event_id: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was put into the outbox.
    pub created_at: Timestamp,
    /// When it was sent, cancelled or given up.
    pub settled_at: Option<Timestamp>,
}

impl Store {
    /// The pages of an incident, in the order in which they were put into the outbox.
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
