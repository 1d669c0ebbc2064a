//! Recording what became of a send. Every settlement is fenced by the lease: a worker whose lease was taken over
//! changes nothing.

use super::totals::Deltas;
use super::{Head, Store, StoreError, Tx, enqueue};
use crate::domain::incident::Rung;
use crate::domain::outgoing::PostRole;
use crate::domain::totals::Counted;
use crate::store::to_i32;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// A claim on a room's gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The room.
    pub room: String,
    /// Who holds it.
    pub owner: Uuid,
    /// The message that is being sent.
    pub message: Uuid,
}

/// How soon the room may be tried again, and what is remembered of the failure.
#[derive(Debug, Clone)]
pub struct Retry<'a> {
    /// When the room may be tried again.
    pub at: Timestamp,
    /// Whether the attempt may have been accepted.
    pub uncertain: bool,
    /// Whether it counts as a failure; a rate limit does not.
    pub counts: bool,
    /// What went wrong.
    pub error: &'a str,
}

/// The message is in its room, and `counted` is added to the totals.
pub async fn sent(
    tx: &mut Tx,
    head: &Head,
    version: Option<i64>,
    event_id: &str,
    counted: &[Counted],
    now: Timestamp,
) -> Result<(), StoreError> {
    let role = head.payload.role(head.is_first()).map(PostRole::as_str);
    let deltas = Deltas::of(counted);
    sqlx::query!(
        "WITH shown AS (
             UPDATE post SET
                 event_id = CASE WHEN $6 = 'root' THEN $2 ELSE event_id END,
                 shown = CASE WHEN $6 IN ('root', 'edit') THEN greatest(shown, $5) ELSE shown END,
                 newest = CASE WHEN $6 = 'again' THEN $2 ELSE newest END,
                 newest_shown = CASE $6 WHEN 'again' THEN $5 WHEN 'edit_again' THEN greatest(newest_shown, $5)
                                        ELSE newest_shown END
             WHERE id = $4 AND (event_id IS NULL OR $6 <> 'root')
               AND ($6 <> 'edit_again'
                    OR newest = (SELECT content #>> '{m.relates_to,event_id}' FROM outbox WHERE outbox.id = $1))
         ), counted AS (
             INSERT INTO total_delta (metric, room_list, label, seconds)
             SELECT * FROM unnest($7::text[], $8::text[], $9::text[], $10::float8[])
         )
         UPDATE outbox SET state = 'sent', event_id = $2, settled_at = $3, error = NULL WHERE id = $1",
        head.id,
        event_id,
        now.to_sqlx(),
        head.post.filter(|_| role.is_some()),
        version.unwrap_or(0),
        role.unwrap_or_default(),
        &deltas.metrics,
        &deltas.room_lists,
        &deltas.labels,
        &deltas.seconds
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The message will not be sent: it is not wanted any more, or it shows nothing that is not shown. What hangs on a post
/// that will not be is cancelled with it.
pub async fn cancelled(tx: &mut Tx, head: &Head, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2 WHERE id = $1",
        head.id,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    without_root(tx, head, now).await
}

/// The message cannot be sent. What hangs on a post that will not be is cancelled with it.
pub async fn undeliverable(tx: &mut Tx, head: &Head, error: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'undeliverable', error = $2, settled_at = $3 WHERE id = $1",
        head.id,
        error,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    without_root(tx, head, now).await
}

async fn without_root(tx: &mut Tx, head: &Head, now: Timestamp) -> Result<(), StoreError> {
    match head.incident {
        Some(incident) if head.makes_root() => enqueue::cancel_hanging(tx, incident, now).await,
        _ => Ok(()),
    }
}

/// The message stays at the head of its queue, and the room waits. What may have been accepted stays frozen: the next
/// attempt must be the same one. What was certainly refused is rendered again when its time comes, so that it tells
/// the state of that time, or nothing if nothing is wanted any more.
pub async fn retry(tx: &mut Tx, lease: &Lease, retry: &Retry<'_>, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'pending', uncertain = uncertain OR $2, error = $3,
                attempts = attempts - CASE WHEN $4 THEN 0 ELSE 1 END
         WHERE id = $1",
        lease.message,
        retry.uncertain,
        retry.error,
        retry.counts
    )
    .execute(&mut **tx)
    .await?;
    // An edit that was put into the outbox meanwhile covers what this one would show.
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         WHERE id = $1 AND kind = 'edit' AND NOT uncertain AND EXISTS (
             SELECT 1 FROM outbox AS other WHERE other.post = outbox.post AND other.kind = 'edit'
               AND other.state = 'pending' AND other.content IS NULL)",
        lease.message,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE outbox SET event_type = NULL, content = NULL, version = NULL
         WHERE id = $1 AND state = 'pending' AND NOT uncertain",
        lease.message
    )
    .execute(&mut **tx)
    .await?;
    let rows = sqlx::query!(
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL, next_allowed_at = $4,
                failures = failures + CASE WHEN $5 THEN 1 ELSE 0 END
         WHERE room = $1 AND lease_owner = $2 AND message = $3",
        lease.room,
        lease.owner,
        lease.message,
        retry.at.to_sqlx(),
        retry.counts
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    fenced(lease, rows)
}

impl Store {
    /// Prolongs a lease that is still held. One that was lost stays lost: settling will say so.
    pub async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE room_gate SET lease_until = $4 WHERE room = $1 AND lease_owner = $2 AND message = $3",
            lease.room,
            lease.owner,
            lease.message,
            until.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends the pauses of rooms that failed: what they failed for is over. Returns how many there were. A pause that the
    /// homeserver asked for goes on, unless the room had failed as well.
    pub async fn end_pauses(&self, now: Timestamp) -> Result<u64, StoreError> {
        let ended = sqlx::query!(
            "UPDATE room_gate SET next_allowed_at = $1, failures = 0
             WHERE room IN (
                 SELECT room FROM room_gate WHERE failures > 0 AND next_allowed_at > $1 AND message IS NULL
                 FOR UPDATE SKIP LOCKED)",
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected())
    }
}

/// Gives the room's gate back after a message was settled.
pub async fn release(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL, failures = 0
         WHERE room = $1 AND lease_owner = $2 AND message = $3",
        lease.room,
        lease.owner,
        lease.message
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    fenced(lease, rows)
}

/// How often in a row the room failed.
pub async fn failures(tx: &mut Tx, room: &str) -> Result<u32, StoreError> {
    let failures = sqlx::query_scalar!("SELECT failures FROM room_gate WHERE room = $1", room)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0))
}

/// Whether every page of a rung has been given up or cancelled, none sent and none waiting.
pub async fn rung_failed(tx: &mut Tx, incident: i64, rung: Rung) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE kind = 'page' AND incident = $1 AND run_no = $2
               AND loop_no = $3 AND level = $4 AND state IN ('pending', 'sending', 'sent')) AS "failed!""#,
        incident,
        to_i32(rung.run_no),
        to_i32(rung.loop_no),
        to_i32(rung.level)
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Whether the lease is still held. It may be lost right after: what is settled under it is fenced besides.
pub async fn check(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    let held = sqlx::query_scalar!(
        r#"SELECT count(*) AS "held!" FROM room_gate WHERE room = $1 AND lease_owner = $2 AND message = $3"#,
        lease.room,
        lease.owner,
        lease.message
    )
    .fetch_one(&mut **tx)
    .await?;
    fenced(lease, u64::try_from(held).unwrap_or(0))
}

pub(super) fn fenced(lease: &Lease, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::LeaseLost { room: lease.room.clone() }) } else { Ok(()) }
}
