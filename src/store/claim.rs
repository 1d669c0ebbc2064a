//! Claims messages to send. One process holds a room's gate, under a lease that is committed before the first request, and
//! has several messages on their way: at most one of each incident, so that an incident's messages keep their order.

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
    /// Whether its incident is open and not acknowledged; `false` without an incident.
    pub to_acknowledge: bool,
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

    /// The message that it edits to show its incident.
    pub fn edited(&self) -> Option<&str> {
        match self.payload {
            Outgoing::Refresh => self.root.as_deref(),
            Outgoing::RefreshNewest => self.newest.as_deref(),
            _ => None,
        }
    }

    /// Whether its event becomes the root of its post.
    pub fn makes_root(&self) -> bool {
        self.is_first() && self.payload.shows_incident()
    }
}

/// A message that this process may send while it holds the room's gate.
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
    to_acknowledge: bool,
    digest: Option<Uuid>,
    checks: Option<i32>,
}

/// Locks a room's gate if it is free and open. What a holder whose lease expired had on its way waits again, as uncertain.
/// Returns whether the caller may claim.
pub async fn lock_gate(tx: &mut Tx, room: &str, now: Timestamp) -> Result<bool, StoreError> {
    let gate = sqlx::query!(
        "SELECT lease_owner FROM room_gate
         WHERE room = $1 AND next_allowed_at <= $2 AND (lease_until IS NULL OR lease_until < $2)
         FOR UPDATE SKIP LOCKED",
        room,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    if gate.as_ref().is_some_and(|gate| gate.lease_owner.is_some()) {
        // The trigger `room_gate_changes_hands` does the rest.
        sqlx::query!(
            "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL WHERE room = $1",
            room
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(gate.is_some())
}

/// Locks the head of the queue of a room whose gate the caller holds: the first message that is due, and whose incident has
/// no other one on its way. While a message of a digest is on its way, there is none. Gives up a row that cannot be read: it
/// must not block its room for ever.
pub async fn next_head(tx: &mut Tx, room: &str, now: Timestamp) -> Result<Option<Head>, StoreError> {
    let mut held: Vec<String> = Vec::new();
    while let Some(row) = lock_row(tx, room, None, &held, now).await? {
        if row.checks.is_some()
            && !user_trouble::take_check(tx, &row.room_list, later(now, CHECK), now).await?
        {
            // Another room's message is the check.
            held.push(row.room_list);
            continue;
        }
        if let Some(head) = head_or_give_up(tx, row, now).await? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// What locking a certain message leads to.
#[derive(Debug)]
pub enum Locked {
    /// The message.
    Head(Box<Head>),
    /// It cannot be read, and is given up.
    GivenUp,
    /// Another transaction has it locked, or it is deleted.
    Missing,
}

/// Locks a message of a room whose gate the caller holds.
pub async fn lock(tx: &mut Tx, room: &str, message: Uuid, now: Timestamp) -> Result<Locked, StoreError> {
    Ok(match lock_row(tx, room, Some(message), &[], now).await? {
        Some(row) => {
            head_or_give_up(tx, row, now).await?.map_or(Locked::GivenUp, |head| Locked::Head(Box::new(head)))
        }
        None => Locked::Missing,
    })
}

async fn head_or_give_up(tx: &mut Tx, row: Row, now: Timestamp) -> Result<Option<Head>, StoreError> {
    let (id, room) = (row.id, row.room.clone());
    match head(row) {
        Ok(head) => Ok(Some(head)),
        Err(error) => {
            tracing::error!(outbox_message = %id, room, %error, "{id} cannot be read and is given up: {error}");
            sqlx::query!(
                "UPDATE outbox SET state = 'undeliverable', error = $2, settled_at = $3 WHERE id = $1",
                id,
                error.to_string(),
                now.to_sqlx()
            )
            .execute(&mut **tx)
            .await?;
            Ok(None)
        }
    }
}

async fn lock_row(
    tx: &mut Tx,
    room: &str,
    message: Option<Uuid>,
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
                          AND incident.phase NOT IN ('acknowledged', 'resolved', 'closed')) AS "to_acknowledge!",
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
                   AND NOT EXISTS (
                        SELECT 1 FROM outbox AS other WHERE other.room = $1 AND other.state = 'sending'
                          AND (other.kind IN ('digest', 'digest_part') OR other.incident IS NOT DISTINCT FROM queued.incident))
                   AND NOT queued.room_list = ANY($4)
                   AND NOT EXISTS (SELECT 1 FROM user_trouble AS trouble
                                   WHERE trouble.room_list = queued.room_list AND trouble.next_check > $2)
                 ORDER BY queued.priority, queued.seq LIMIT 1
                 FOR UPDATE OF queued SKIP LOCKED))
           FOR UPDATE OF outbox SKIP LOCKED"#,
        room,
        now.to_sqlx(),
        message,
        held
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Freezes a message's content and counts the attempt: it is on its way once the caller, which holds the room's gate,
/// commits.
pub async fn freeze(
    tx: &mut Tx,
    head: &Head,
    (event_type, content): (&str, &serde_json::Value),
    version: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'sending', event_type = $2, content = $3, version = $4, attempts = attempts + 1,
                first_tried = coalesce(first_tried, $5)
         WHERE id = $1",
        head.id,
        event_type,
        content,
        version,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Freezes the content of a message that is on its way again: no earlier attempt brought it into its room.
pub async fn freeze_again(
    tx: &mut Tx,
    message: Uuid,
    (event_type, content): (&str, &serde_json::Value),
    version: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET event_type = $2, content = $3, version = $4 WHERE id = $1",
        message,
        event_type,
        content,
        version
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
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
        to_acknowledge: row.to_acknowledge,
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
