//! The inbox: every event the homeserver gave us, once.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

/// An event as it came.
#[derive(Debug, Clone)]
pub struct InboxEvent {
    /// Its identity; for an event without one, something that stands for it.
    pub event_id: String,
    /// Its room; empty if it has none.
    pub room: String,
    /// The event.
    pub event: serde_json::Value,
    /// What is wrong with it, if it cannot be used at all.
    pub malformed: Option<&'static str>,
}

/// An event that waits to be handled; its room is ours until the transaction ends.
#[derive(Debug, Clone)]
pub struct WaitingEvent {
    /// Its place in the order of arrival.
    pub seq: i64,
    /// Its identity.
    pub event_id: String,
    /// The event.
    pub event: serde_json::Value,
}

impl Store {
    /// Keeps events, each event id once, in the order of `events`. Returns how many were new.
    ///
    /// They are numbered as they came and inserted by event id, so that two callers with the same events in different
    /// orders wait for each other instead of dying of a deadlock.
    pub async fn keep_events(
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

    /// Rooms that have events waiting, `limit` at most.
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

    /// Looks at a room's oldest waiting event without locking it.
    pub async fn peek_event(&self, room: &str) -> Result<Option<serde_json::Value>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT event FROM inbox WHERE room = $1 AND state = 'waiting' ORDER BY seq LIMIT 1",
            room
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Takes a room's oldest waiting event. `None`: there is none, or another worker has the room.
pub async fn take(tx: &mut Tx, room: &str) -> Result<Option<WaitingEvent>, StoreError> {
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

/// Notes what became of an event. `target`: what it hangs on, if that is not known to be ours.
pub async fn handled(tx: &mut Tx, seq: i64, result: &str, target: Option<&str>) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE inbox SET state = 'handled', result = $2, target = $3 WHERE seq = $1",
        seq,
        result,
        target
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps others from learning whose an event is until this transaction ends. Whoever finds an event unknown, and whoever
/// makes it known, does so under this lock: otherwise each could miss what the other writes.
pub async fn lock_target(tx: &mut Tx, event_id: &str) -> Result<(), StoreError> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", event_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// An event turns out to be ours: people may have seen it, and answered it, before we knew. Returns how many such answers
/// are to be handled again.
pub async fn reopen(tx: &mut Tx, event_id: &str) -> Result<u64, StoreError> {
    Ok(sqlx::query!(
        "UPDATE inbox SET state = 'waiting', result = NULL, target = NULL WHERE target = $1",
        event_id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected())
}

/// Notes that a reaction acknowledged an incident.
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

/// A reaction that acknowledged and that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenReaction {
    /// What it acknowledged.
    pub incident: i64,
    /// In which run.
    pub run_no: i32,
    /// Whose it is.
    pub user_id: String,
    /// How many others of the same person still stand for that run.
    pub others: i64,
}

/// Forgets a reaction that acknowledged. `None`: it did not.
pub async fn take_reaction(tx: &mut Tx, event_id: &str) -> Result<Option<TakenReaction>, StoreError> {
    Ok(sqlx::query_as!(
        TakenReaction,
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

/// Notes that an event was taken back.
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

/// Whether an event is known to have been taken back.
pub async fn is_redacted(tx: &mut Tx, event_id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM redacted WHERE event_id = $1) AS "redacted!""#,
        event_id
    )
    .fetch_one(&mut **tx)
    .await?)
}
