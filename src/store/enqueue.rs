//! Enqueues messages in the outbox, and cancels unsent ones.
//!
//! Enqueuing does not lock the room: the incident's own lock orders the messages of one incident, and the order between
//! incidents does not matter. A room's queue is read by (priority, seq).

use super::{StoreError, Tx, inconsistent, to_i32};
use crate::domain::incident::Rung;
use crate::domain::outgoing::Outgoing;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// A message to enqueue.
#[derive(Debug)]
pub struct NewMessage<'a> {
    /// Its identity and Matrix transaction id.
    pub id: Uuid,
    /// The room list whose virtual user sends it.
    pub room_list: &'a str,
    /// The room that receives it (already resolved by `room_of`).
    pub room: &'a str,
    /// Its content before rendering.
    pub payload: Outgoing,
    /// The incident it is about.
    pub incident: Option<i64>,
    /// The rung of a page; the run of a fallback notice.
    pub rung: Option<Rung>,
    /// The post that it creates or refers to.
    pub post: Option<Uuid>,
    /// The earliest time to send it.
    pub not_before: Timestamp,
}

/// A message that shows an incident, to enqueue for several rooms.
#[derive(Debug)]
pub struct IncidentMessage<'a> {
    /// The room list whose virtual user sends it.
    pub room_list: &'a str,
    /// The incident.
    pub incident: i64,
    /// Its content before rendering.
    pub payload: &'a Outgoing,
    /// The rung of a page; the run of a fallback notice.
    pub rung: Rung,
    /// The rooms, as the configuration names them.
    pub references: &'a [String],
}

/// Enqueues a message once for each room. A room has one post for each incident; this creates the post if it is
/// missing. `new_id` makes the ids of messages and posts.
pub async fn enqueue_for_rooms(
    tx: &mut Tx,
    message: &IncidentMessage<'_>,
    new_id: impl Fn() -> Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    let payload = serde_json::to_value(message.payload)
        .map_err(|error| inconsistent("outbox", "payload", message.incident, error))?;
    let ids = || message.references.iter().map(|_| new_id()).collect::<Vec<_>>();
    sqlx::query!(
        "WITH target AS MATERIALIZED (
             SELECT DISTINCT ON (room) room, message, post, n
             FROM (SELECT room_of(reference) AS room, message, post, n
                   FROM unnest($1::text[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS t (reference, message, post, n)) AS led
             ORDER BY room, n
         ), made AS (
             INSERT INTO post (id, incident, room, created_at) SELECT post, $4, room, $5 FROM target
             ON CONFLICT (incident, room) DO NOTHING RETURNING id, room
         ), shown AS (
             SELECT id, room FROM made UNION ALL
             SELECT post.id, post.room FROM post JOIN target ON target.room = post.room WHERE post.incident = $4
         ), gate AS (
             INSERT INTO room_gate (room) SELECT room FROM target ORDER BY room ON CONFLICT (room) DO NOTHING
         )
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload,
                state, not_before, created_at)
         SELECT target.message, $6, target.room, $7, $8, $4, $9, $10, $11, shown.id, $12, 'pending', $5, $5
         FROM target JOIN shown ON shown.room = target.room ORDER BY target.n
         ON CONFLICT DO NOTHING",
        message.references,
        &ids(),
        &ids(),
        message.incident,
        now.to_sqlx(),
        message.room_list,
        message.payload.kind().as_str(),
        message.payload.priority(Some(message.rung)),
        to_i32(message.rung.run_no),
        to_i32(message.rung.loop_no),
        to_i32(message.rung.level),
        payload
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Enqueues a message. A page or a fallback notice exists once (I4, I15): enqueuing it again changes nothing.
pub async fn enqueue(tx: &mut Tx, message: NewMessage<'_>, now: Timestamp) -> Result<(), StoreError> {
    let payload = serde_json::to_value(&message.payload)
        .map_err(|error| inconsistent("outbox", "payload", message.id, error))?;
    sqlx::query!(
        "WITH gate AS (INSERT INTO room_gate (room) VALUES ($3) ON CONFLICT (room) DO NOTHING)
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload,
                state, not_before, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', $12, $13)
         ON CONFLICT DO NOTHING",
        message.id,
        message.room_list,
        message.room,
        message.payload.kind().as_str(),
        message.payload.priority(message.rung),
        message.incident,
        message.rung.map(|rung| to_i32(rung.run_no)),
        message.rung.map(|rung| to_i32(rung.loop_no)),
        message.rung.map(|rung| to_i32(rung.level)),
        message.post,
        payload,
        message.not_before.to_sqlx(),
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Moves an enqueued edit of the post, not yet rendered, forward to `not_before`. Returns whether there is such an
/// edit: it will also show what `payload` would show.
pub async fn bring_edit_forward(
    tx: &mut Tx,
    post: Uuid,
    payload: &Outgoing,
    not_before: Timestamp,
) -> Result<bool, StoreError> {
    let payload =
        serde_json::to_value(payload).map_err(|error| inconsistent("outbox", "payload", post, error))?;
    let updated = sqlx::query!(
        "UPDATE outbox SET not_before = least(not_before, $2)
         WHERE post = $1 AND kind = 'edit' AND state = 'pending' AND content IS NULL AND payload ->> 'what' = $3::jsonb ->> 'what'",
        post,
        not_before.to_sqlx(),
        payload
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(updated > 0)
}

/// Cancels an incident's unsent pages, reminders and fallback notices. A message that the homeserver may have accepted
/// stays: it may be in the room already. So does the page that follows a storm: it shows what became of the incident.
pub async fn cancel_unsent(tx: &mut Tx, incident: i64, now: Timestamp) -> Result<u64, StoreError> {
    let cancelled = sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         WHERE incident = $1 AND state = 'pending' AND NOT uncertain
           AND kind IN ('page', 'reminder', 'fallback', 'notice') AND payload ->> 'what' <> 'own_page'",
        incident,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if cancelled > 0 {
        cancel_dependents(tx, incident, now).await?;
    }
    Ok(cancelled)
}

/// Cancels the edits, thread messages and reactions of posts that will never exist: the post has no event, and no
/// message that would create it is left.
pub async fn cancel_dependents(tx: &mut Tx, incident: i64, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         FROM post
         WHERE outbox.incident = $1 AND outbox.state = 'pending' AND outbox.kind IN ('edit', 'thread', 'reaction')
           AND post.id = outbox.post AND post.event_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM outbox AS root WHERE root.post = post.id
                             AND root.kind IN ('page', 'fallback', 'reminder', 'notice') AND root.state IN ('pending', 'sending'))",
        incident,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
