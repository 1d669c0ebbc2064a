//! The inbox: every event of the homeserver, stored once.

use super::{Store, StoreError, Tx};
use crate::domain::retry::Retry;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;
use std::collections::BTreeSet;

/// An event as the homeserver sent it.
#[derive(Debug, Clone)]
pub struct InboxEvent {
    /// Its event id, or a substitute for an event without one.
    pub event_id: String,
    /// Its room; empty if it has none.
    pub room: String,
    /// The event.
    pub event: serde_json::Value,
    /// The problem, if the event cannot be used at all.
    pub malformed: Option<&'static str>,
}

/// An event to handle.
#[derive(Debug, Clone)]
pub struct WaitingEvent {
    /// Its position in the order of arrival.
    pub seq: i64,
    /// Its event id.
    pub event_id: String,
    /// The event.
    pub event: serde_json::Value,
    /// How often handling it has failed.
    pub failures: u32,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// A room that has an event to handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRoom {
    /// The room.
    pub room: String,
    /// The references that lead to the room or led to it, the room itself included.
    pub references: Vec<String>,
}

impl Store {
    /// Stores events in the order of `events`, each event id once. Returns how many were new.
    ///
    /// The query numbers them in the order of arrival but inserts them by event id: two callers with the same events
    /// in different orders wait for each other and do not deadlock.
    pub async fn store_events(
        &self,
        events: &[InboxEvent],
        source: &'static str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if events.is_empty() {
            return Ok(0);
        }
        let ids: Vec<String> = events.iter().map(|event| event.event_id.clone()).collect();
        let rooms: Vec<String> = events.iter().map(|event| event.room.clone()).collect();
        let bodies: Vec<serde_json::Value> = events.iter().map(|event| event.event.clone()).collect();
        let malformed: Vec<Option<String>> =
            events.iter().map(|event| event.malformed.map(str::to_owned)).collect();
        Ok(sqlx::query!(
            "WITH arrived AS MATERIALIZED (
                 SELECT nextval(pg_get_serial_sequence('inbox', 'seq')) AS seq, t.*
                 FROM (SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[]) WITH ORDINALITY
                           AS t (event_id, room, event, malformed, n)
                       ORDER BY n) AS t
             )
             INSERT INTO inbox (seq, event_id, room, event, source, received_at, state, result)
             OVERRIDING SYSTEM VALUE
             SELECT seq, event_id, room, event, $5, $6,
                    CASE WHEN malformed IS NULL THEN 'waiting' ELSE 'malformed' END, malformed
             FROM arrived ORDER BY event_id, seq
             ON CONFLICT (event_id) DO NOTHING",
            &ids,
            &rooms,
            &bodies,
            &malformed as _,
            source,
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?
        .rows_affected())
    }

    /// Rooms with an event to handle at `now`, except those in `busy`, each with the references that lead or led to it.
    /// The cost grows with the number of rooms that have waiting events, whatever the length of their queues.
    pub async fn rooms_with_events(
        &self,
        now: Timestamp,
        busy: &[String],
    ) -> Result<Vec<WaitingRoom>, StoreError> {
        Ok(sqlx::query_as!(
            WaitingRoom,
            r#"WITH RECURSIVE waiting (room) AS (
                   (SELECT room FROM inbox WHERE state = 'waiting' AND set_aside_at IS NULL ORDER BY room LIMIT 1)
                   UNION ALL
                   SELECT (SELECT inbox.room FROM inbox
                           WHERE state = 'waiting' AND set_aside_at IS NULL AND inbox.room > waiting.room
                           ORDER BY inbox.room LIMIT 1)
                   FROM waiting WHERE waiting.room IS NOT NULL
               ), due (room, seq) AS (
                   SELECT waiting.room, head.seq
                   FROM waiting, LATERAL (
                       SELECT seq, not_before FROM inbox
                       WHERE inbox.room = waiting.room AND state = 'waiting' AND set_aside_at IS NULL
                       ORDER BY seq LIMIT 1) AS head
                   WHERE waiting.room IS NOT NULL AND (head.not_before IS NULL OR head.not_before <= $1)
                   UNION ALL
                   SELECT room, seq FROM inbox
                   WHERE state = 'waiting' AND set_aside_at IS NOT NULL AND not_before <= $1
               )
               SELECT room AS "room!", room_origins(room) AS "references!"
               FROM (SELECT room, min(seq) AS seq FROM due WHERE NOT room = ANY($2) GROUP BY room) AS room
               ORDER BY seq"#,
            now.to_sqlx(),
            busy
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Reads the event of a room that is handled next, without a lock.
    pub async fn peek_event(&self, room: &str, now: Timestamp) -> Result<Option<WaitingEvent>, StoreError> {
        next_event(&self.pool, room, now).await
    }

    /// An event of a room, if it has arrived.
    pub async fn event(&self, event_id: &str, room: &str) -> Result<Option<serde_json::Value>, StoreError> {
        Ok(sqlx::query_scalar!("SELECT event FROM inbox WHERE event_id = $1 AND room = $2", event_id, room)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Whether events wait that can be handled at `now`.
    pub async fn events_wait(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT EXISTS (SELECT 1 FROM inbox WHERE state = 'waiting' AND (not_before IS NULL OR not_before <= $1)) AS \"waits!\"",
            now.to_sqlx()
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Lets an event wait in its place until `not_before`; nothing has failed.
    pub async fn event_waits(&self, seq: i64, not_before: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE inbox SET not_before = $2 WHERE seq = $1 AND state = 'waiting'",
            seq,
            not_before.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records that handling an event failed, and when it is retried.
    pub async fn event_failed(
        &self,
        seq: i64,
        failure: &str,
        retry: Retry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (not_before, set_aside) = match retry {
            Retry::Wait(at) => (Some(at), false),
            Retry::SetAside(at) => (Some(at), true),
            Retry::GiveUp => (None, false),
        };
        sqlx::query!(
            "UPDATE inbox SET failures = failures + 1, failure = $2, not_before = coalesce($3, not_before),
                    set_aside_at = CASE WHEN $4 THEN coalesce(set_aside_at, $5) ELSE set_aside_at END,
                    state = CASE WHEN $3::timestamptz IS NULL THEN 'handled' ELSE state END,
                    result = CASE WHEN $3::timestamptz IS NULL THEN 'failed: ' || $2 ELSE result END
             WHERE seq = $1 AND state = 'waiting'",
            seq,
            failure,
            not_before.map(ToSqlx::to_sqlx) as _,
            set_aside,
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many events are set aside, and the error of the one that was set aside first.
    pub async fn set_aside_events(&self) -> Result<(i64, Option<String>), StoreError> {
        let row = sqlx::query!(
            r#"SELECT count(*) AS "count!",
                      (SELECT failure FROM inbox WHERE state = 'waiting' AND set_aside_at IS NOT NULL
                       ORDER BY set_aside_at, seq LIMIT 1) AS failure
               FROM inbox WHERE state = 'waiting' AND set_aside_at IS NOT NULL"#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((row.count, row.failure))
    }
}

/// The event of a room that is handled next: the first of its queue, or one that is set aside and is due again.
async fn next_event(
    database: impl PgExecutor<'_>,
    room: &str,
    now: Timestamp,
) -> Result<Option<WaitingEvent>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT seq AS "seq!", event_id AS "event_id!", event AS "event!", failures AS "failures!",
                received_at AS "received_at!"
         FROM ((SELECT * FROM inbox WHERE room = $1 AND state = 'waiting' AND set_aside_at IS NULL ORDER BY seq LIMIT 1)
               UNION ALL
               (SELECT * FROM inbox WHERE room = $1 AND state = 'waiting' AND set_aside_at IS NOT NULL
                ORDER BY not_before LIMIT 1)) AS next
         WHERE not_before IS NULL OR not_before <= $2
         ORDER BY set_aside_at NULLS FIRST LIMIT 1"#,
        room,
        now.to_sqlx()
    )
    .fetch_optional(database)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(WaitingEvent {
        seq: row.seq,
        event_id: row.event_id,
        event: row.event,
        failures: u32::try_from(row.failures).unwrap_or(0),
        received_at: row.received_at.to_jiff(),
    }))
}

/// Locks a room's queue until the transaction ends, and reads its next event. `None`: there is no event, or another worker
/// has the lock.
pub async fn lock_next(tx: &mut Tx, room: &str, now: Timestamp) -> Result<Option<WaitingEvent>, StoreError> {
    let ours =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1)) AS "ours!""#, room)
            .fetch_one(&mut **tx)
            .await?;
    if ours { next_event(&mut **tx, room, now).await } else { Ok(None) }
}

/// Notes what became of an event. `target`: what it hangs on, if that is not known to be ours. `incidents`: what it is
/// about; it is kept until they are closed.
pub async fn handled(
    tx: &mut Tx,
    seq: i64,
    result: &str,
    target: Option<&str>,
    incidents: &BTreeSet<i64>,
) -> Result<(), StoreError> {
    let incidents: Vec<i64> = incidents.iter().copied().collect();
    sqlx::query!(
        "UPDATE inbox SET state = 'handled', result = $2, target = $3, incidents = $4 WHERE seq = $1",
        seq,
        result,
        target,
        &incidents
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a message was edited into a command. Returns false if the message was a command, or has become one before.
pub async fn edited_into_command(tx: &mut Tx, event_id: &str, room: &str) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "UPDATE inbox SET result = 'ignored: edited into a command', target = NULL
         WHERE event_id = $1 AND room = $2 AND state = 'handled' AND result IN ('ignored: chatter', 'not understood')",
        event_id,
        room
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(updated > 0)
}

/// Locks event ids until the transaction ends. The inbox holds such a lock while it checks whether the event is ours
/// and records that it is unknown; the outbox holds it while it stores the event id of a sent message. Without the
/// lock, each could miss the other's write.
pub async fn lock_targets(tx: &mut Tx, event_ids: &[String]) -> Result<(), StoreError> {
    // Postgres takes them in the order of the array.
    let mut sorted = event_ids.to_vec();
    sorted.sort_unstable();
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended(event_id, 2)) FROM unnest($1::text[]) AS event_id",
        &sorted
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reopens the events that wait for an incident to be readable again: they refer to one of its messages. Returns how many.
pub async fn reopen_answers(tx: &mut Tx, incident: i64) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        "UPDATE inbox SET state = 'waiting', result = NULL, target = NULL, failures = 0, failure = NULL, not_before = NULL,
                set_aside_at = NULL
         WHERE target = ANY (ARRAY(SELECT event_id FROM outbox WHERE incident = $1 AND event_id IS NOT NULL))",
        incident
    )
    .execute(&mut **tx)
    .await?
    .rows_affected())
}

/// Reopens the events that refer to `event_ids`, which are ours: people may have answered them before we knew their ids.
/// Returns how many events the inbox worker handles again.
pub async fn reopen(tx: &mut Tx, event_ids: &[String]) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        "UPDATE inbox SET state = 'waiting', result = NULL, target = NULL, failures = 0, failure = NULL, not_before = NULL,
                set_aside_at = NULL
         WHERE target = ANY($1)",
        event_ids
    )
    .execute(&mut **tx)
    .await?
    .rows_affected())
}
