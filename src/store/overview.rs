//! Open incidents and the outbox backlog, for commands that list and for metrics.
//!
//! A list reads only as many rows as it returns, from an index on room list and phase: its cost does not grow with the
//! number of open incidents.

use super::{Store, StoreError, Tx};
use crate::domain::incident::PhaseName;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// The outbox backlog.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backlog {
    /// Number of pending messages.
    pub pending: i64,
    /// Number of messages in flight.
    pub sending: i64,
    /// Number of undeliverable messages that retention has not deleted yet.
    pub undeliverable: i64,
    /// Since when the oldest due message waits.
    pub oldest: Option<Timestamp>,
}

/// The numbers of the open incidents of room lists in these phases, oldest first, at most `limit`, and the total, which
/// is counted up to 1,000 for each list and phase. Skips incidents below `min_level`; an incident without a page yet
/// has level -1.
pub async fn open_from_level(
    tx: &mut Tx,
    room_lists: &[String],
    phases: &[String],
    min_level: i32,
    limit: i64,
) -> Result<(Vec<i64>, i64), StoreError> {
    let numbers = sqlx::query_scalar!(
        "SELECT first.id
         FROM unnest($1::text[]) AS list (name), unnest($2::text[]) AS wanted (phase), LATERAL (
             SELECT id, opened_at FROM incident
             WHERE room_list = list.name AND phase = wanted.phase AND phase NOT IN ('resolved', 'closed')
               AND (coalesce(level, -1) >= $3 OR ($3 > 0 AND phase = 'unanswered'))
             ORDER BY opened_at, id LIMIT $4) AS first
         ORDER BY first.opened_at, first.id LIMIT $4",
        room_lists,
        phases,
        min_level,
        limit
    )
    .fetch_all(&mut **tx)
    .await?;
    let found = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
    if found < limit {
        return Ok((numbers, found));
    }
    let total = sqlx::query_scalar!(
        r#"SELECT least(count(*), 1000) AS "count!"
           FROM unnest($1::text[]) AS list (name), unnest($2::text[]) AS wanted (phase), LATERAL (
               SELECT 1 FROM incident
               WHERE room_list = list.name AND phase = wanted.phase AND phase NOT IN ('resolved', 'closed')
                 AND (coalesce(level, -1) >= $3 OR ($3 > 0 AND phase = 'unanswered'))
               ORDER BY opened_at LIMIT 1000) AS first"#,
        room_lists,
        phases,
        min_level
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((numbers, total))
}

/// The numbers of the open incidents of room lists in these phases, oldest first, at most `limit`.
pub async fn open_numbers(
    tx: &mut Tx,
    room_lists: &[String],
    phases: &[String],
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT first.id
         FROM unnest($1::text[]) AS list (name), unnest($2::text[]) AS wanted (phase), LATERAL (
             SELECT id, opened_at FROM incident
             WHERE room_list = list.name AND phase = wanted.phase AND phase NOT IN ('resolved', 'closed')
             ORDER BY opened_at, id LIMIT $3) AS first
         ORDER BY first.opened_at, first.id LIMIT $3",
        room_lists,
        phases,
        limit
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// An open incident, and whether a room may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncident {
    /// Its number.
    pub number: i64,
    /// Its room list.
    pub room_list: String,
    /// Whether it was posted in the room, or may have been; see `post::was_notified`.
    pub posted: bool,
}

/// All open incidents of room lists in some phases, by number.
pub async fn open_around(
    tx: &mut Tx,
    room_lists: &[String],
    phases: &[String],
    room: &str,
) -> Result<Vec<OpenIncident>, StoreError> {
    Ok(sqlx::query_as!(
        OpenIncident,
        r#"SELECT current.id AS "number!", list.name AS "room_list!",
                  coalesce(shown.is_so, on_its_way.is_so, false) AS "posted!"
           FROM unnest($1::text[]) AS list (name), unnest($2::text[]) AS wanted (phase)
           CROSS JOIN LATERAL (
               SELECT id FROM incident
               WHERE room_list = list.name AND phase = wanted.phase AND phase NOT IN ('resolved', 'closed')
               OFFSET 0) AS current
           -- LIMIT 1: looked up for each incident, however few there are.
           LEFT JOIN LATERAL (
               SELECT true AS is_so FROM post
               WHERE incident = current.id AND event_id IS NOT NULL
                 AND counts_in(list.name, room, created_at, room_of($3))
               LIMIT 1) AS shown ON true
           LEFT JOIN LATERAL (
               SELECT true AS is_so FROM outbox
               WHERE incident = current.id AND counts_in(list.name, room, created_at, room_of($3))
                 AND kind IN ('page', 'fallback', 'reminder', 'notice')
                 AND (state IN ('sending', 'sent') OR (state = 'pending' AND uncertain))
               LIMIT 1) AS on_its_way ON true
           ORDER BY current.id"#,
        room_lists,
        phases,
        room
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// The numbers of the open incidents of room lists in some phases above `after`, lowest first, `limit` at most.
pub async fn open_after(
    tx: &mut Tx,
    room_lists: &[String],
    phases: &[String],
    after: i64,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT current.id AS "id!"
           FROM unnest($1::text[]) AS list (name), unnest($2::text[]) AS wanted (phase), LATERAL (
               SELECT id FROM incident
               WHERE room_list = list.name AND phase = wanted.phase AND phase NOT IN ('resolved', 'closed')
                 AND id > $3
               OFFSET 0) AS current
           ORDER BY current.id LIMIT $4"#,
        room_lists,
        phases,
        after,
        limit
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// How many incidents of room lists are in a phase.
pub async fn count(tx: &mut Tx, room_lists: &[String], phase: PhaseName) -> Result<u64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM incident WHERE room_list = ANY ($1) AND phase = $2"#,
        room_lists,
        phase.as_str()
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The numbers of the newest incidents of room lists in these phases, open or not, newest first, at most `limit`.
pub async fn newest_numbers(
    tx: &mut Tx,
    room_lists: &[String],
    phases: &[String],
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM incident WHERE room_list = ANY ($1) AND phase = ANY ($2) ORDER BY id DESC LIMIT $3",
        room_lists,
        phases,
        limit
    )
    .fetch_all(&mut **tx)
    .await?)
}

impl Store {
    /// The number of open incidents by room list and phase.
    pub async fn phase_counts(&self) -> Result<Vec<(String, String, i64)>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT room_list, phase, count(*) AS "count!" FROM incident WHERE phase NOT IN ('resolved', 'closed')
               GROUP BY room_list, phase"#
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.room_list, row.phase, row.count))
        .collect())
    }

    /// The outbox backlog.
    pub async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE state = 'pending') AS "pending!",
                      (SELECT count(*) FROM outbox WHERE state = 'sending') AS "sending!",
                      (SELECT count(*) FROM outbox WHERE state = 'undeliverable') AS "undeliverable!",
                      min(not_before) FILTER (WHERE not_before <= $1) AS oldest
               FROM outbox WHERE state = 'pending'"#,
            now.to_sqlx()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Backlog {
            pending: row.pending,
            sending: row.sending,
            undeliverable: row.undeliverable,
            oldest: row.oldest.map(SqlTimestamp::to_jiff),
        })
    }
}
