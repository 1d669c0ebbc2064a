//! Records the result of a send. The lease fences every settlement: a worker that lost its lease changes nothing.

use super::totals::Deltas;
use super::{Head, Store, StoreError, Tx, enqueue};
use crate::domain::incident::Rung;
use crate::domain::post_role::PostRole;
use crate::domain::totals::Counted;
use crate::store::to_i32;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// A lease on a room's gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The room.
    pub room: String,
    /// Who holds the gate: new each time a process begins to.
    pub owner: Uuid,
}

/// What a holder does with a room's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateAction {
    /// It holds the gate until a time. The message is the one that it claimed last.
    Hold {
        /// The end of the lease.
        until: Timestamp,
        /// `None`: it has claimed none since.
        message: Option<Uuid>,
    },
    /// It gives the gate back: nothing is on its way.
    Release,
}

/// What an attempt showed about its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The homeserver answered: no failures in a row.
    Answers,
    /// Nothing may be sent before a time.
    Pause {
        /// The time.
        until: Timestamp,
        /// Whether it counts as a failure; a rate limit does not.
        counts: bool,
    },
    /// Nothing may be sent before a time, because the room is slow.
    Rest {
        /// The time.
        until: Timestamp,
    },
}

/// What to store about a failed attempt of a message that is tried again.
#[derive(Debug, Clone)]
pub struct Retry<'a> {
    /// Whether the homeserver may have accepted the attempt.
    pub uncertain: bool,
    /// Whether it counts as a failure; a rate limit does not.
    pub counts: bool,
    /// The error.
    pub error: &'a str,
}

/// Records that the message is in its room, and adds `counted` to the totals. Returns another event of the message, if the
/// homeserver has shown one.
pub async fn sent(
    tx: &mut Tx,
    head: &Head,
    version: Option<i64>,
    event_id: &str,
    counted: &[Counted],
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let role = head.payload.role(head.is_first()).map(PostRole::as_str);
    let deltas = Deltas::of(counted);
    let seen = sqlx::query_scalar!(
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
         UPDATE outbox SET state = 'sent', event_id = $2, settled_at = $3, error = NULL WHERE id = $1
         RETURNING nullif(seen_event, $2)",
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
    .fetch_optional(&mut **tx)
    .await?;
    Ok(seen.flatten())
}

/// Cancels the message: nobody needs it any more, or it would change nothing in the room. If its post will therefore
/// never exist, this also cancels the messages that refer to the post.
pub async fn cancelled(tx: &mut Tx, head: &Head, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2 WHERE id = $1",
        head.id,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    cancel_dependents(tx, head, now).await
}

/// Gives the message up as undeliverable. If its post will therefore never exist, this also cancels the messages that
/// refer to the post.
pub async fn undeliverable(tx: &mut Tx, head: &Head, error: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'undeliverable', error = $2, settled_at = $3 WHERE id = $1",
        head.id,
        error,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    cancel_dependents(tx, head, now).await
}

async fn cancel_dependents(tx: &mut Tx, head: &Head, now: Timestamp) -> Result<(), StoreError> {
    match head.incident {
        Some(incident) if head.makes_root() => enqueue::cancel_dependents(tx, incident, now).await,
        _ => Ok(()),
    }
}

/// Lets a message wait again. If the homeserver may have accepted it, its content stays frozen: the next attempt must be
/// identical. Otherwise the next attempt renders it again from the state at that time, or cancels it.
pub async fn retry(tx: &mut Tx, message: Uuid, retry: &Retry<'_>, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'pending', uncertain = uncertain OR $2, error = $3,
                attempts = attempts - CASE WHEN $4 THEN 0 ELSE 1 END
         WHERE id = $1",
        message,
        retry.uncertain,
        retry.error,
        retry.counts
    )
    .execute(&mut **tx)
    .await?;
    // An edit that was enqueued meanwhile also shows what this edit would show.
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         WHERE id = $1 AND kind = 'edit' AND NOT uncertain AND EXISTS (
             SELECT 1 FROM outbox AS other WHERE other.post = outbox.post AND other.kind = 'edit'
               AND other.state = 'pending' AND other.content IS NULL)",
        message,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE outbox SET event_type = NULL, content = NULL, version = NULL
         WHERE id = $1 AND state = 'pending' AND NOT uncertain",
        message
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a gate that the caller has locked and found free.
pub async fn take_gate(
    tx: &mut Tx,
    lease: &Lease,
    until: Timestamp,
    message: Uuid,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE room_gate SET lease_owner = $2, lease_until = $3, message = $4 WHERE room = $1",
        lease.room,
        lease.owner,
        until.to_sqlx(),
        message
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Updates a gate under the lease that is held on it. `sign`: what the attempts that this transaction settles showed.
pub async fn gate(
    tx: &mut Tx,
    lease: &Lease,
    action: GateAction,
    sign: Option<Sign>,
) -> Result<(), StoreError> {
    let (holds, until, message) = match action {
        GateAction::Hold { until, message } => (true, Some(until.to_sqlx()), message),
        GateAction::Release => (false, None, None),
    };
    let pause = match sign {
        Some(Sign::Pause { until, .. } | Sign::Rest { until }) => Some(until.to_sqlx()),
        Some(Sign::Answers) | None => None,
    };
    let resets = matches!(sign, Some(Sign::Answers | Sign::Rest { .. }));
    let counts = matches!(sign, Some(Sign::Pause { counts: true, .. }));
    let rows = sqlx::query!(
        "UPDATE room_gate SET
             lease_owner = CASE WHEN $3 THEN lease_owner END,
             lease_until = CASE WHEN $3 THEN $4::timestamptz END,
             message = CASE WHEN $3 THEN coalesce($5, message) END,
             next_allowed_at = greatest(next_allowed_at, $6),
             failures = CASE WHEN $7 THEN 0 WHEN $8 THEN failures + 1 ELSE failures END
         WHERE room = $1 AND lease_owner = $2",
        lease.room,
        lease.owner,
        holds,
        until,
        message,
        pause,
        resets,
        counts
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    fenced(lease, rows)
}

impl Store {
    /// Extends a lease that this worker still owns. A lost lease stays lost: settling reports it.
    pub async fn renew(&self, lease: &Lease, until: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE room_gate SET lease_until = $3 WHERE room = $1 AND lease_owner = $2",
            lease.room,
            lease.owner,
            until.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends the pauses of rooms that failed, after an outage. Returns how many pauses ended. A pause that the
    /// homeserver requested (429) continues, unless the room had other failures.
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

/// The room's number of failures in a row.
pub async fn failures(tx: &mut Tx, room: &str) -> Result<u32, StoreError> {
    let failures = sqlx::query_scalar!("SELECT failures FROM room_gate WHERE room = $1", room)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0))
}

/// Whether every page of a rung is undeliverable or cancelled: none is sent, pending or in flight.
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

/// Fails if the lease is lost. The lease may still be lost afterwards, so settling checks it again.
pub async fn check(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    let held = sqlx::query_scalar!(
        r#"SELECT count(*) AS "held!" FROM room_gate WHERE room = $1 AND lease_owner = $2"#,
        lease.room,
        lease.owner
    )
    .fetch_one(&mut **tx)
    .await?;
    fenced(lease, u64::try_from(held).unwrap_or(0))
}

fn fenced(lease: &Lease, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::LeaseLost { room: lease.room.clone() }) } else { Ok(()) }
}
