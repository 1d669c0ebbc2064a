//! Claims messages to send: one message in flight per room, under a lease that is committed before the request.

use super::settle::{self, Lease};
use super::{StoreError, Tx, forms, to_u32, user_trouble};
use crate::domain::incident::Rung;
use crate::domain::outgoing::Outgoing;
use crate::domain::time::later;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::time::Duration;
use uuid::Uuid;

/// How long no other message of a list in trouble is sent while one checks whether the trouble is over.
const CHECK: Duration = Duration::from_secs(15);

/// The message at the head of a room's queue.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its identity and Matrix transaction id.
    pub id: Uuid,
    /// The room list whose virtual user sends it.
    pub room_list: String,
    /// That virtual user's Matrix id.
    pub user_id: String,
    /// The room that receives it.
    pub room: String,
    /// Its content before rendering.
    pub payload: Outgoing,
    /// The incident it is about.
    pub incident: Option<i64>,
    /// The rung of a page.
    pub rung: Option<Rung>,
    /// The post that it creates or refers to.
    pub post: Option<Uuid>,
    /// That post's event, once sent.
    pub root: Option<String>,
    /// The incident's version that the post shows.
    pub shown: i64,
    /// The event of the newest message that paged the incident again in this room.
    pub newest: Option<String>,
    /// The incident's version that this newest message shows.
    pub newest_shown: i64,
    /// Event type and content, if a worker tried to send it before.
    pub frozen: Option<(String, serde_json::Value)>,
    /// The version that the frozen content shows.
    pub version: Option<i64>,
    /// The number of attempts.
    pub attempts: i32,
    /// The time of the first attempt.
    pub first_tried: Option<Timestamp>,
    /// Whether the homeserver may have accepted an earlier attempt.
    pub uncertain: bool,
    /// An event of it that the homeserver has shown since.
    pub seen_event: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// Whether the database has the virtual user as joined to the room.
    pub joined: bool,
    /// Whether its incident is open; `false` without an incident.
    pub open: bool,
    /// The digest that it is or belongs to; of a page, one that no longer carries it.
    pub digest: Option<Uuid>,
    /// How often a message was sent to check whether its virtual user can send again: this one is a check as well. `None`:
    /// nothing is known of any trouble.
    pub checks: Option<i32>,
}

impl Head {
    /// Whether its post has no event in the room yet.
    pub fn is_first(&self) -> bool {
        self.root.is_none() && self.post.is_some()
    }

    /// Whether its event becomes the root of its post.
    pub fn makes_root(&self) -> bool {
        self.is_first() && self.payload.shows_incident()
    }
}

/// A message that this worker may send until the lease expires.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The message.
    pub head: Head,
    /// Its event type.
    pub event_type: String,
    /// Its content: identical in every attempt.
    pub content: serde_json::Value,
    /// The incident's version that the content shows.
    pub version: Option<i64>,
    /// The lease.
    pub lease: Lease,
    /// Whether an earlier attempt was searched for in the room and not found, and the content was rendered again since.
    pub searched: bool,
    /// Whether it shows another version then: should the earlier attempt arrive nevertheless, it is outdated.
    pub changed: bool,
}

struct Row {
    id: Uuid,
    room_list: String,
    user_id: String,
    room: String,
    kind: String,
    payload: serde_json::Value,
    incident: Option<i64>,
    run_no: Option<i32>,
    loop_no: Option<i32>,
    level: Option<i32>,
    post: Option<Uuid>,
    root: Option<String>,
    shown: Option<i64>,
    newest: Option<String>,
    newest_shown: Option<i64>,
    event_type: Option<String>,
    content: Option<serde_json::Value>,
    version: Option<i64>,
    attempts: i32,
    first_tried: Option<SqlTimestamp>,
    uncertain: bool,
    seen_event: Option<String>,
    created_at: SqlTimestamp,
    joined: bool,
    open: bool,
    digest: Option<Uuid>,
    checks: Option<i32>,
}

/// Locks a room's gate if it is free and open, and the message at the head of its queue: the message of an expired
/// lease if there is one, otherwise the first message that is due. `None`: nothing to send there now.
pub async fn lock_head(tx: &mut Tx, room: &str, now: Timestamp) -> Result<Option<Head>, StoreError> {
    let gate = sqlx::query!(
        "SELECT message FROM room_gate
         WHERE room = $1 AND next_allowed_at <= $2 AND (lease_until IS NULL OR lease_until < $2)
         FOR UPDATE SKIP LOCKED",
        room,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(gate) = gate else { return Ok(None) };
    let Some(in_flight) = gate.message else { return next_head(tx, room, None, now).await };
    // The worker whose lease expired may have sent the message.
    let found =
        sqlx::query!("UPDATE outbox SET uncertain = true WHERE id = $1 AND state = 'sending'", in_flight)
            .execute(&mut **tx)
            .await?
            .rows_affected();
    if found > 0 {
        return next_head(tx, room, Some(in_flight), now).await;
    }
    // Retention deleted the message with its incident.
    sqlx::query!(
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL WHERE room = $1",
        room
    )
    .execute(&mut **tx)
    .await?;
    next_head(tx, room, None, now).await
}

/// Locks the head of the queue of a room whose gate this transaction holds. Gives up a row that cannot be read: it
/// must not block its room for ever.
pub async fn next_head(
    tx: &mut Tx,
    room: &str,
    in_flight: Option<Uuid>,
    now: Timestamp,
) -> Result<Option<Head>, StoreError> {
    let mut in_flight = in_flight;
    let mut held: Vec<String> = Vec::new();
    while let Some(row) = lock_row(tx, room, in_flight, &held, now).await? {
        let id = row.id;
        let is_check = row.checks.is_some() && in_flight.is_none();
        if is_check && !user_trouble::take_check(tx, &row.room_list, later(now, CHECK), now).await? {
            // Another room's message is the check.
            held.push(row.room_list);
            continue;
        }
        match head(row) {
            Ok(head) => return Ok(Some(head)),
            Err(error) => {
                tracing::error!(outbox_message = %id, room, %error, "{id} cannot be read and is given up: {error}");
                give_up(tx, id, &error.to_string(), now).await?;
                in_flight = None;
            }
        }
    }
    Ok(None)
}

async fn give_up(tx: &mut Tx, id: Uuid, error: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'undeliverable', error = $2, settled_at = $3 WHERE id = $1",
        id,
        error,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL
         WHERE message = $1 AND room = (SELECT room FROM outbox WHERE id = $1)",
        id
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn lock_row(
    tx: &mut Tx,
    room: &str,
    in_flight: Option<Uuid>,
    held: &[String],
    now: Timestamp,
) -> Result<Option<Row>, StoreError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT outbox.id, outbox.room_list, room_list.user_id, outbox.room, outbox.kind, outbox.payload, outbox.incident,
                  outbox.run_no, outbox.loop_no, outbox.level, outbox.post AS "post?", post.event_id AS "root?",
                  post.shown AS "shown?", post.newest AS "newest?", post.newest_shown AS "newest_shown?", outbox.event_type, outbox.content, outbox.version, outbox.attempts,
                  outbox.first_tried, outbox.uncertain, outbox.seen_event, outbox.created_at, outbox.digest,
                  EXISTS (SELECT 1 FROM room_membership AS member WHERE member.user_id = room_list.user_id
                          AND member.room = outbox.room AND member.membership = 'join') AS "joined!",
                  EXISTS (SELECT 1 FROM incident WHERE incident.id = outbox.incident
                          AND incident.phase NOT IN ('resolved', 'closed')) AS "open!",
                  (SELECT trouble.checks FROM user_trouble AS trouble WHERE trouble.room_list = outbox.room_list) AS "checks?"
           FROM outbox
           JOIN room_list ON room_list.name = outbox.room_list
           LEFT JOIN post ON post.id = outbox.post
           WHERE outbox.id = coalesce($3, (
                 SELECT queued.id FROM outbox AS queued LEFT JOIN post AS root ON root.id = queued.post
                 WHERE queued.room = $1 AND queued.state = 'pending' AND queued.not_before <= $2
                   AND (queued.kind NOT IN ('edit', 'thread', 'reaction') OR root.event_id IS NOT NULL)
                   AND (queued.carrier IS NULL OR NOT EXISTS (
                        SELECT 1 FROM outbox AS carrier WHERE carrier.id = queued.carrier AND carrier.state IN ('pending', 'sending')))
                   AND NOT queued.room_list = ANY($4)
                   AND NOT EXISTS (SELECT 1 FROM user_trouble AS trouble
                                   WHERE trouble.room_list = queued.room_list AND trouble.next_check > $2)
                 ORDER BY queued.priority, queued.seq LIMIT 1
                 FOR UPDATE OF queued SKIP LOCKED))
           FOR UPDATE OF outbox SKIP LOCKED"#,
        room,
        now.to_sqlx(),
        in_flight,
        held
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Freezes a message's content, counts the attempt and leases the room's gate. The gate is free, or this worker has it
/// (`held`) for a message that this transaction settled. The caller commits before it sends.
pub async fn freeze(
    tx: &mut Tx,
    head: &Head,
    (lease, held): (&Lease, Option<&Lease>),
    until: Timestamp,
    (event_type, content): (&str, &serde_json::Value),
    version: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let leased = sqlx::query!(
        "WITH frozen AS (
             UPDATE outbox SET state = 'sending', event_type = $2, content = $3, version = $4, attempts = attempts + 1,
                    first_tried = coalesce(first_tried, $5)
             WHERE id = $1
         )
         UPDATE room_gate SET lease_owner = $7, lease_until = $8, message = $1,
                failures = CASE WHEN $9::uuid IS NULL THEN failures ELSE 0 END
         WHERE room = $6 AND ($9::uuid IS NULL OR (lease_owner = $9 AND message = $10))",
        head.id,
        event_type,
        content,
        version,
        now.to_sqlx(),
        lease.room,
        lease.owner,
        until.to_sqlx(),
        held.map(|held| held.owner),
        held.map(|held| held.message)
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    settle::fenced(lease, leased)
}

/// Freezes a message's content again, under the lease that is held for it: no earlier attempt brought it into its room.
pub async fn freeze_again(
    tx: &mut Tx,
    lease: &Lease,
    until: Timestamp,
    (event_type, content): (&str, &serde_json::Value),
    version: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET event_type = $2, content = $3, version = $4 WHERE id = $1",
        lease.message,
        event_type,
        content,
        version
    )
    .execute(&mut **tx)
    .await?;
    let leased = sqlx::query!(
        "UPDATE room_gate SET lease_until = $4 WHERE room = $1 AND lease_owner = $2 AND message = $3",
        lease.room,
        lease.owner,
        lease.message,
        until.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    settle::fenced(lease, leased)
}

fn head(row: Row) -> Result<Head, StoreError> {
    const TABLE: &str = "outbox";
    let id = row.id;
    let rung = match (row.run_no, row.loop_no, row.level) {
        (Some(run_no), Some(loop_no), Some(level)) => Some(Rung {
            run_no: to_u32(TABLE, "run_no", id, run_no)?,
            loop_no: to_u32(TABLE, "loop_no", id, loop_no)?,
            level: to_u32(TABLE, "level", id, level)?,
        }),
        _ => None,
    };
    Ok(Head {
        id,
        room_list: row.room_list,
        user_id: row.user_id,
        room: row.room,
        payload: payload(id, &row.kind, row.payload)?,
        incident: row.incident,
        rung,
        post: row.post,
        root: row.root,
        shown: row.shown.unwrap_or(0),
        newest: row.newest,
        newest_shown: row.newest_shown.unwrap_or(0),
        frozen: row.event_type.zip(row.content),
        version: row.version,
        attempts: row.attempts,
        first_tried: row.first_tried.map(SqlTimestamp::to_jiff),
        uncertain: row.uncertain,
        seen_event: row.seen_event,
        created_at: row.created_at.to_jiff(),
        joined: row.joined,
        open: row.open,
        digest: row.digest,
        checks: row.checks,
    })
}

/// What a message says. If that cannot be read, its kind stands for it where the kind alone is enough: a page is never
/// given up for that.
pub(super) fn payload(id: Uuid, kind: &str, payload: serde_json::Value) -> Result<Outgoing, StoreError> {
    let by_kind = match kind {
        "page" => Some(Outgoing::Page),
        "fallback" => Some(Outgoing::Fallback),
        "edit" => Some(Outgoing::Refresh),
        _ => None,
    };
    match (forms::read("outbox", "payload", id, payload), by_kind) {
        (Err(error), Some(payload)) => {
            tracing::warn!(outbox_message = %id, kind, %error, "{id} is sent as a plain {kind}: {error}");
            Ok(payload)
        }
        (read, _) => read,
    }
}
