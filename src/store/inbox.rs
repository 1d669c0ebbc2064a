//! The inbox: every event of the homeserver, stored once.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
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

/// An event to handle. The transaction that read it has its room's queue locked.
#[derive(Debug, Clone)]
pub struct WaitingEvent {
    /// Its position in the order of arrival.
    pub seq: i64,
    /// Its event id.
    pub event_id: String,
    /// The event.
    pub event: serde_json::Value,
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

    /// Rooms with waiting events, at most `limit`.
    pub async fn rooms_with_events(&self, limit: i64) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"WITH RECURSIVE waiting (room) AS (
                   (SELECT room FROM inbox WHERE state = 'waiting' ORDER BY room LIMIT 1)
                   UNION ALL
                   SELECT (SELECT inbox.room FROM inbox
                           WHERE state = 'waiting' AND inbox.room > waiting.room ORDER BY inbox.room LIMIT 1)
                   FROM waiting WHERE waiting.room IS NOT NULL
               )
               SELECT room AS "room!" FROM waiting WHERE room IS NOT NULL LIMIT $1"#,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Reads a room's oldest waiting event without a lock.
    pub async fn peek_event(&self, room: &str) -> Result<Option<serde_json::Value>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT event FROM inbox WHERE room = $1 AND state = 'waiting' ORDER BY seq LIMIT 1",
            room
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Locks a room's queue until the transaction ends, and reads its oldest waiting event. `None`: there is no event, or
/// another worker has the lock.
pub async fn lock_next(tx: &mut Tx, room: &str) -> Result<Option<WaitingEvent>, StoreError> {
    let ours =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1)) AS "ours!""#, room)
            .fetch_one(&mut **tx)
            .await?;
    if !ours {
        return Ok(None);
    }
    Ok(sqlx::query_as!(
        WaitingEvent,
        "SELECT seq, event_id, event FROM inbox WHERE room = $1 AND state = 'waiting' ORDER BY seq LIMIT 1",
        room
    )
    .fetch_optional(&mut **tx)
    .await?)
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

/// Locks an event id until the transaction ends. The inbox holds this lock while it checks whether the event is ours
/// and records that it is unknown; the outbox holds it while it stores the event id of a sent message. Without the
/// lock, each could miss the other's write.
pub async fn lock_target(tx: &mut Tx, event_id: &str) -> Result<(), StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", event_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Reopens the events that refer to `event_id`, which is ours: people may have answered it before we knew its id.
/// Returns how many events the inbox worker handles again.
pub async fn reopen(tx: &mut Tx, event_id: &str) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        "UPDATE inbox SET state = 'waiting', result = NULL, target = NULL WHERE target = $1",
        event_id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected())
}

/// Records that a reaction acknowledged an incident.
pub async fn remember_reaction(
    tx: &mut Tx,
    event_id: &str,
    incident: i64,
    run_no: u32,
    user_id: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO ack_reaction (event_id, incident, run_no, user_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        event_id,
        incident,
        super::to_i32(run_no),
        user_id
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A redacted reaction that had acknowledged an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactedReaction {
    /// The incident that it acknowledged.
    pub incident: i64,
    /// The run that it acknowledged.
    pub run_no: i32,
    /// The person who reacted.
    pub user_id: String,
    /// How many other acknowledging reactions this person still has in that run.
    pub others: i64,
}

/// Forgets a reaction that acknowledged an incident. `None`: it did not acknowledge one.
pub async fn forget_reaction(tx: &mut Tx, event_id: &str) -> Result<Option<RedactedReaction>, StoreError> {
    Ok(sqlx::query_as!(
        RedactedReaction,
        r#"WITH taken AS (DELETE FROM ack_reaction WHERE event_id = $1 RETURNING incident, run_no, user_id)
           SELECT incident, run_no, user_id,
                  (SELECT count(*) FROM ack_reaction AS other
                   WHERE (other.incident, other.run_no, other.user_id) = (taken.incident, taken.run_no, taken.user_id)
                     AND other.event_id <> $1) AS "others!"
           FROM taken"#,
        event_id
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Records that somebody redacted an event.
pub async fn remember_redacted(tx: &mut Tx, event_id: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO redacted (event_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        event_id,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether an event is recorded as redacted.
pub async fn is_redacted(tx: &mut Tx, event_id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM redacted WHERE event_id = $1) AS "redacted!""#,
        event_id
    )
    .fetch_one(&mut **tx)
    .await?)
}
