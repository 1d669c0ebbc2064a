//! What is known about digests: for the room that sends next, and for people who answer one.

use super::super::{StoreError, Tx};
use super::Digest;
use crate::domain::digest::Class;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use uuid::Uuid;

/// The digest of a room that was sent last, if its storm is not over.
#[derive(Debug, Clone)]
pub struct OpenDigest {
    /// The digest.
    pub id: Uuid,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was last sent or edited.
    pub edited_at: Timestamp,
}

/// How many pages of a class are due in a room, how many were posted there since `since` or are on their way, each counted
/// up to `most`, and the digest that more may join.
pub async fn current(
    tx: &mut Tx,
    (room_list, room): (&str, &str),
    class: Class,
    since: Timestamp,
    most: i64,
    now: Timestamp,
) -> Result<(i64, i64, Option<OpenDigest>), StoreError> {
    let (kind, priority) = class.queue();
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM (
                       SELECT 1 FROM outbox WHERE room = $1 AND state = 'pending' AND priority = $4 AND room_list = $2
                         AND kind = $3 AND not_before <= $5 AND carrier IS NULL LIMIT $7) AS due) AS "due!",
                  (SELECT count(*) FROM (
                       SELECT 1 FROM outbox WHERE room = $1 AND state = 'sent' AND kind IN ('page', 'fallback')
                         AND settled_at > $6 AND kind = $3 AND priority = $4 AND room_list = $2 LIMIT $7) AS lately)
                  + (SELECT count(*) FROM outbox WHERE room = $1 AND state = 'sending' AND kind = $3 AND priority = $4
                       AND room_list = $2) AS "lately!",
                  open.id AS "id?", open.sent_at AS "sent_at?", open.edited_at AS "edited_at?"
           FROM (SELECT 1) AS one LEFT JOIN LATERAL (
               SELECT id, sent_at, edited_at FROM digest
               WHERE room = $1 AND room_list = $2 AND class = $8 AND ended_at IS NULL AND event_id IS NOT NULL
               ORDER BY sent_at DESC LIMIT 1) AS open ON true"#,
        room,
        room_list,
        kind.as_str(),
        priority,
        now.to_sqlx(),
        since.to_sqlx(),
        most,
        class.as_str()
    )
    .fetch_one(&mut **tx)
    .await?;
    let open = row.id.zip(row.sent_at).zip(row.edited_at).map(|((id, sent_at), edited_at)| OpenDigest {
        id,
        sent_at: SqlTimestamp::to_jiff(sent_at),
        edited_at: SqlTimestamp::to_jiff(edited_at),
    });
    Ok((row.due, row.lately, open))
}

/// When a page of the class was last posted in a room, and whether one waits there.
pub async fn last_page(
    tx: &mut Tx,
    digest: &Digest,
    class: Class,
) -> Result<(Option<Timestamp>, bool), StoreError> {
    let (kind, priority) = class.queue();
    let row = sqlx::query!(
        r#"SELECT (SELECT settled_at FROM outbox WHERE room = $1 AND state = 'sent' AND kind IN ('page', 'fallback')
                     AND kind = $3 AND priority = $4 AND room_list = $2
                   ORDER BY settled_at DESC LIMIT 1) AS "last: SqlTimestamp",
                  EXISTS (SELECT 1 FROM outbox WHERE room = $1 AND state IN ('pending', 'sending') AND kind = $3
                            AND priority = $4 AND room_list = $2) AS "waits!""#,
        digest.room,
        digest.room_list,
        kind.as_str(),
        priority
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok((row.last.map(SqlTimestamp::to_jiff), row.waits))
}

/// What a digest's next edit depends on, apart from its incidents.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its class, as the database has it.
    pub class: String,
    /// Its event, once sent.
    pub event_id: Option<String>,
    /// What it shows.
    pub shown: Option<i64>,
    edited_at: Option<SqlTimestamp>,
    /// Whether its storm is over.
    pub is_over: bool,
}

impl Shown {
    /// When it was last sent or edited.
    pub fn edited_at(&self) -> Option<Timestamp> {
        self.edited_at.map(SqlTimestamp::to_jiff)
    }
}

/// What a digest's next edit depends on, apart from its incidents.
pub async fn shown(tx: &mut Tx, digest: Uuid) -> Result<Option<Shown>, StoreError> {
    Ok(sqlx::query_as!(
        Shown,
        r#"SELECT class, event_id, shown, edited_at, ended_at IS NOT NULL AS "is_over!" FROM digest WHERE id = $1"#,
        digest
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// The digests that tell an incident, each with the time of its last edit.
pub async fn of_incident(tx: &mut Tx, incident: i64) -> Result<Vec<(Digest, Timestamp)>, StoreError> {
    Ok(sqlx::query!(
        r#"SELECT DISTINCT digest.id, digest.room_list, digest.room, digest.edited_at AS "edited_at!: SqlTimestamp"
           FROM outbox JOIN digest ON digest.id = outbox.digest
           WHERE outbox.incident = $1 AND outbox.state = 'sent' AND outbox.digest IS NOT NULL
             AND digest.edited_at IS NOT NULL"#,
        incident
    )
    .fetch_all(&mut **tx)
    .await?
    .into_iter()
    .map(|row| {
        let digest = Digest { id: row.id, room_list: row.room_list, room: row.room };
        (digest, row.edited_at.to_jiff())
    })
    .collect())
}

/// A digest that a person answered or reacted to.
#[derive(Debug, Clone)]
pub struct About {
    /// The digest.
    pub id: Uuid,
    /// Its room list.
    pub room_list: String,
    /// Its event: the root of its thread.
    pub event_id: String,
    /// When it was sent.
    pub sent_at: Timestamp,
}

/// The digest that an event in a room shows; `None`: it shows none.
pub async fn about(tx: &mut Tx, room: &str, event_id: &str) -> Result<Option<About>, StoreError> {
    Ok(sqlx::query!(
        r#"SELECT digest.id, digest.room_list, digest.event_id AS "event_id!", digest.sent_at AS "sent_at!: SqlTimestamp"
           FROM outbox JOIN digest ON digest.id = outbox.digest
           WHERE outbox.event_id = $2 AND outbox.kind IN ('digest', 'digest_part') AND digest.event_id IS NOT NULL
             AND (outbox.room = $1 OR room_of(outbox.room) = $1)
           LIMIT 1"#,
        room,
        event_id
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(|row| About {
        id: row.id,
        room_list: row.room_list,
        event_id: row.event_id,
        sent_at: row.sent_at.to_jiff(),
    }))
}

/// The incidents that a digest certainly showed at a time, by number. Nobody saw it before it was sent. Without those that are
/// snoozed, which people name.
pub async fn shown_at(tx: &mut Tx, about: &About, at: Timestamp) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT incident AS "incident!" FROM outbox JOIN incident ON incident.id = outbox.incident
           WHERE digest = $1 AND kind IN ('page', 'fallback') AND state = 'sent' AND settled_at <= $2
             AND incident.phase <> 'snoozed'
           ORDER BY 1"#,
        about.id,
        at.max(about.sent_at).to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// The open incidents that the digests of a room tell for these lists, by number: those of storms that go on, or else those
/// of the last one.
pub async fn in_room(tx: &mut Tx, room_lists: &[String], room: &str) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT outbox.incident AS "incident!"
           FROM digest JOIN outbox ON outbox.digest = digest.id JOIN incident ON incident.id = outbox.incident
           WHERE digest.room = $2 AND digest.room_list = ANY($1) AND outbox.kind IN ('page', 'fallback')
             AND outbox.state = 'sent' AND incident.phase NOT IN ('resolved', 'closed')
             AND (digest.ended_at IS NULL OR NOT EXISTS (
                 SELECT 1 FROM digest AS newer WHERE newer.room = $2 AND newer.room_list = digest.room_list
                   AND (newer.ended_at IS NULL OR newer.ended_at > digest.ended_at)))
           ORDER BY 1"#,
        room_lists,
        room
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Of the incidents whose numbers are in these ranges: those that were posted in a room, or may have been, by number, each
/// with its phase.
pub async fn posted_among(
    tx: &mut Tx,
    (first, last): (&[i64], &[i64]),
    room: &str,
) -> Result<Vec<(i64, String)>, StoreError> {
    Ok(sqlx::query!(
        r#"SELECT incident.id, incident.phase FROM unnest($1::bigint[], $2::bigint[]) AS named (first, last)
           JOIN incident ON incident.id BETWEEN named.first AND named.last
           WHERE EXISTS (SELECT 1 FROM post WHERE post.incident = incident.id AND post.event_id IS NOT NULL
                           AND counts_in(incident.room_list, post.room, post.created_at, $3))
              OR EXISTS (SELECT 1 FROM outbox WHERE outbox.incident = incident.id
                           AND kind IN ('page', 'fallback', 'reminder', 'notice')
                           AND counts_in(outbox.room_list, outbox.room, outbox.created_at, $3)
                           AND (state IN ('sending', 'sent') OR (state = 'pending' AND uncertain)))
           ORDER BY incident.id"#,
        first,
        last,
        room
    )
    .fetch_all(&mut **tx)
    .await?
    .into_iter()
    .map(|row| (row.id, row.phase))
    .collect())
}
