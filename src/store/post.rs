//! Posts: which Matrix event shows which incident in which room.

use super::{Head, Store, StoreError, Tx};
use crate::domain::outgoing::Outgoing;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use uuid::Uuid;

/// What one of our messages is about; a person answered it or reacted to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The incident.
    pub incident: i64,
    /// The run of the page; `None` for other messages.
    pub run_no: Option<i32>,
    /// The loop of the page.
    pub loop_no: Option<i32>,
    /// The level of the page.
    pub level: Option<i32>,
    /// The room's post of the incident: the root of its thread.
    pub root: Option<String>,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
}

/// A post that edits, thread messages and reactions can refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its identity.
    pub id: Uuid,
    /// Its room.
    pub room: String,
    /// Its event, once sent.
    pub event_id: Option<String>,
    /// The version it shows.
    pub shown: i64,
    /// Whether it is in its room, or may be: if so, later changes must update it.
    pub live: bool,
    /// Whether a message that pages the incident again is in the room, or may be.
    pub again: bool,
    /// Whether such a message is in the room, so that only the newest of them shows the incident.
    pub replaced: bool,
}

/// The posts of an incident.
pub async fn of_incident(tx: &mut Tx, incident: i64) -> Result<Vec<Target>, StoreError> {
    Ok(sqlx::query_as!(
        Target,
        r#"SELECT id, room, event_id, shown, (event_id IS NOT NULL OR on_its_way) AS "live!",
                  (newest IS NOT NULL OR (event_id IS NOT NULL AND on_its_way)) AS "again!",
                  EXISTS (SELECT 1 FROM outbox AS newer
                          WHERE newer.event_id = of_incident.newest AND newer.post = of_incident.id
                            AND newer.kind IN ('page', 'fallback', 'reminder', 'notice')) AS "replaced!"
           FROM (SELECT *, EXISTS (
                     SELECT 1 FROM outbox WHERE outbox.post = post.id
                       AND kind IN ('page', 'fallback', 'reminder', 'notice') AND carrier IS NULL
                       AND (state = 'sending' OR (state = 'pending' AND uncertain))) AS on_its_way
                 FROM post WHERE incident = $1) AS of_incident
           ORDER BY created_at, id"#,
        incident
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// A newer message of the incident is in the room of the message `newer`: enqueues the last edit of those before it.
pub async fn replace(tx: &mut Tx, newer: &Head, now: Timestamp) -> Result<(), StoreError> {
    let earlier: Vec<String> = newer.root.iter().chain(&newer.newest).cloned().collect();
    let priority = Outgoing::RefreshNewest.priority(None);
    // What would show the present state in one of them comes too late.
    sqlx::query!(
        "WITH obsolete AS (
             UPDATE outbox SET state = 'cancelled', settled_at = $7
             WHERE post = $5 AND kind = 'edit' AND state = 'pending' AND content IS NULL AND payload ->> 'what' = 'refresh'
         )
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, post, payload, state, not_before, created_at)
         SELECT DISTINCT md5(event || 'replaced')::uuid, $1, $2, 'edit', $3::smallint, $4::bigint, $5::uuid,
                jsonb_build_object('what', 'replaced', 'of', event), 'pending', $7::timestamptz, $7::timestamptz
         FROM unnest($6::text[]) AS earlier (event)
         ON CONFLICT DO NOTHING",
        newer.room_list,
        newer.room,
        priority,
        newer.incident,
        newer.post,
        &earlier,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether an event of a room was deleted: somebody redacted it, or the homeserver does not have it any more.
pub async fn is_gone(tx: &mut Tx, room: &str, event_id: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM redacted WHERE event_id = $1 AND room = $2) AS "gone!""#,
        event_id,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Enqueues a message that shows the incident instead of one that was deleted, which `edit` would have edited: once.
pub async fn show_anew(tx: &mut Tx, edit: &Head, deleted: &str, now: Timestamp) -> Result<(), StoreError> {
    let kind = Outgoing::Anew.kind().as_str();
    sqlx::query!(
        r#"INSERT INTO outbox (id, room_list, room, kind, priority, incident, post, payload, state, not_before, created_at)
           VALUES (md5($1 || 'anew')::uuid, $2, $3, $4, $5, $6, $7, '{"what": "anew"}', 'pending', $8, $8)
           ON CONFLICT DO NOTHING"#,
        deleted,
        edit.room_list,
        edit.room,
        kind,
        Outgoing::Anew.priority(None),
        edit.incident,
        edit.post,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What our event `event_id` in a room is about. `None`: it is not ours, or it is about no incident; a digest is about many
/// (`digest::about`).
pub async fn about(tx: &mut Tx, room: &str, event_id: &str) -> Result<Option<About>, StoreError> {
    Ok(sqlx::query!(
        r#"SELECT outbox.incident AS "incident!", outbox.run_no, outbox.loop_no, outbox.level, post.event_id AS "root?",
                  outbox.settled_at
           FROM outbox LEFT JOIN post ON post.incident = outbox.incident AND post.room = outbox.room
           WHERE outbox.event_id = $2 AND (outbox.room = $1 OR room_of(outbox.room) = $1) AND outbox.incident IS NOT NULL
             AND (outbox.carrier IS NULL OR outbox.digest IS NULL)
           ORDER BY outbox.seq LIMIT 1"#,
        room,
        event_id
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(|row| About {
        incident: row.incident,
        run_no: row.run_no,
        loop_no: row.loop_no,
        level: row.level,
        root: row.root,
        sent_at: row.settled_at.map(SqlTimestamp::to_jiff),
    }))
}

/// Whether a message may be in a room although we do not know its event id yet.
pub async fn is_on_its_way(tx: &mut Tx, room: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM room_gate WHERE room = $1 AND message IS NOT NULL)
               OR EXISTS (SELECT 1 FROM outbox WHERE room = $1 AND state = 'pending' AND uncertain) AS "is!""#,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Whether a room was notified of an incident, or may have been: people see a message as soon as the homeserver accepts
/// it, possibly long before we learn that.
pub async fn was_notified(tx: &mut Tx, incident: i64, room: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM post JOIN incident ON incident.id = post.incident
                          WHERE incident.id = $1 AND event_id IS NOT NULL
                            AND counts_in(incident.room_list, post.room, post.created_at, $2))
               OR EXISTS (SELECT 1 FROM outbox WHERE incident = $1 AND counts_in(room_list, room, created_at, $2)
                            AND kind IN ('page', 'fallback', 'reminder', 'notice')
                            AND (state IN ('sending', 'sent') OR (state = 'pending' AND uncertain))) AS "told!""#,
        incident,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Whether another room than `room` has a post of an incident, so that its timeline is seen there.
pub async fn is_also_elsewhere(tx: &mut Tx, incident: i64, room: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM post WHERE incident = $1 AND room <> $2 AND event_id IS NOT NULL) AS "is!""#,
        incident,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

impl Store {
    /// Digests of storms that go on, and posts of open incidents, the newest incident first, at most `limit`: user id, room
    /// and event id. Reconciliation requests their relations. The room is the one with the event, whatever room has replaced it since; posts in rooms
    /// that the user has left are missing, because it cannot read them.
    pub async fn open_posts(&self, limit: i64) -> Result<Vec<(String, String, String)>, StoreError> {
        let digests = sqlx::query!(
            r#"SELECT room_list.user_id, digest.room, digest.event_id AS "event_id!"
               FROM digest JOIN room_list ON room_list.name = digest.room_list
               WHERE digest.ended_at IS NULL AND digest.event_id IS NOT NULL
                 AND EXISTS (SELECT 1 FROM room_membership AS member WHERE member.user_id = room_list.user_id
                             AND member.room = digest.room AND member.membership = 'join')"#
        )
        .fetch_all(&self.pool)
        .await?;
        let posts = sqlx::query!(
            r#"SELECT room_list.user_id, post.room AS "room!", post.event_id AS "event_id!"
               FROM incident
               -- OFFSET 0: looked up for each open incident, however few posts there are.
               JOIN LATERAL (SELECT post.room, post.event_id FROM post
                             WHERE post.incident = incident.id AND post.event_id IS NOT NULL OFFSET 0) AS post ON true
               JOIN room_list ON room_list.name = incident.room_list
               WHERE incident.phase NOT IN ('resolved', 'closed')
                 AND EXISTS (SELECT 1 FROM room_membership AS member WHERE member.user_id = room_list.user_id
                             AND member.room = post.room AND member.membership = 'join')
               ORDER BY incident.id DESC LIMIT $1"#,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let digests = digests.into_iter().map(|row| (row.user_id, row.room, row.event_id));
        Ok(digests.chain(posts.into_iter().map(|row| (row.user_id, row.room, row.event_id))).collect())
    }

    /// The rooms with posts of open incidents, each with a virtual user that is in it: user id and room.
    pub async fn rooms_with_open_posts(&self) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT DISTINCT ON (post.room) member.user_id, post.room
               FROM incident
               JOIN LATERAL (SELECT post.room FROM post
                             WHERE post.incident = incident.id AND post.event_id IS NOT NULL OFFSET 0) AS post ON true
               JOIN room_list ON room_list.name = incident.room_list
               JOIN room_membership AS member ON member.user_id = room_list.user_id AND member.room = post.room
                                             AND member.membership = 'join'
               WHERE incident.phase NOT IN ('resolved', 'closed')
               ORDER BY post.room, member.user_id"#
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.user_id, row.room))
        .collect())
    }
}
