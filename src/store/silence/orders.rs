//! Commands about silences that have no answer yet.

use crate::domain::silencing::Request;
use crate::store::{Store, StoreError, Tx, forms, inconsistent};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use uuid::Uuid;

const TABLE: &str = "silence_order";

/// A command about silences that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its identity.
    pub id: Uuid,
    /// The room lists that it applies to; the first one answers.
    pub room_lists: Vec<String>,
    /// The incident to silence.
    pub incident: Option<i64>,
    /// The Matrix user who gave it.
    pub who: String,
    /// What it asks for.
    pub request: Request,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

/// Where a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPlace {
    /// The room.
    pub room: String,
    /// The event.
    pub event_id: String,
    /// The root of its thread.
    pub thread: Option<String>,
}

/// Stores a command about silences.
pub async fn order(tx: &mut Tx, order: &Order, at: &AnswerPlace, now: Timestamp) -> Result<(), StoreError> {
    let request = serde_json::to_value(&order.request)
        .map_err(|error| inconsistent(TABLE, "request", order.id, error))?;
    sqlx::query!(
        "INSERT INTO silence_order (id, room_lists, incident, who, request, room, event_id, thread, asked_at, try_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        order.id,
        &order.room_lists,
        order.incident,
        order.who,
        request,
        at.room,
        at.event_id,
        at.thread,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes a command, because this transaction answers it. Returns the place of the answer; `None`: another process has
/// answered it.
pub async fn settle(tx: &mut Tx, order: Uuid) -> Result<Option<AnswerPlace>, StoreError> {
    Ok(sqlx::query_as!(
        AnswerPlace,
        "DELETE FROM silence_order WHERE id = $1 RETURNING room, event_id, thread",
        order
    )
    .fetch_optional(&mut **tx)
    .await?)
}

impl Store {
    /// Takes commands that are due, one of each incident at a time, so that another process may take them at `until` at
    /// the earliest.
    pub async fn take_silence_orders(
        &self,
        now: Timestamp,
        until: Timestamp,
        most: i64,
    ) -> Result<Vec<Order>, StoreError> {
        let rows = sqlx::query!(
            "UPDATE silence_order SET try_at = $2, attempts = attempts + 1
             WHERE id IN (SELECT id FROM silence_order AS due
                          WHERE try_at <= $1
                            AND NOT EXISTS (SELECT FROM silence_order AS earlier
                                            WHERE earlier.incident = due.incident AND earlier.id < due.id)
                          ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING id, room_lists, incident, who, request, attempts",
            now.to_sqlx(),
            until.to_sqlx(),
            most
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Order {
                    request: forms::read(TABLE, "request", row.id, row.request)?,
                    id: row.id,
                    room_lists: row.room_lists,
                    incident: row.incident,
                    who: row.who,
                    attempts: u32::try_from(row.attempts).unwrap_or(0),
                })
            })
            .collect()
    }

    /// When the next command is due; `None`: none is.
    pub async fn next_silence_order(&self) -> Result<Option<Timestamp>, StoreError> {
        let at = sqlx::query_scalar!("SELECT min(try_at) FROM silence_order").fetch_one(&self.pool).await?;
        Ok(at.map(SqlTimestamp::to_jiff))
    }

    /// Tries a command again at `at`.
    pub async fn retry_silence_order(&self, order: Uuid, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("UPDATE silence_order SET try_at = $2 WHERE id = $1", order, at.to_sqlx())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
