//! Messages that a homeserver accepted twice: each has more events than the one that was settled.

use super::{Store, StoreError, Tx, claim};
use crate::domain::post_role::PostRole;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// A message that shows an incident, with its place.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its identity and Matrix transaction id.
    pub id: Uuid,
    /// The room list whose virtual user sent it.
    pub room_list: String,
    /// Its room.
    pub room: String,
    /// The incident.
    pub incident: Option<i64>,
    /// The post that it is, or edits.
    pub post: Uuid,
    /// Its relation to that post.
    pub role: PostRole,
}

/// What follows from an event of a virtual user that carries the id of a message.
#[derive(Debug)]
pub enum Found {
    /// Nothing: it is known, or it is no event of a message that shows an incident.
    Nothing,
    /// The message is not settled; it will be, with this event.
    Noted,
    /// The message was settled with another event.
    Copy(Shown),
}

/// Looks up the message of which `event_id` is an event, sent by `user_id` in a room, and locks it. Notes the event if the
/// message is not settled and an attempt to send it is uncertain.
pub async fn find(
    tx: &mut Tx,
    id: Uuid,
    room: &str,
    user_id: &str,
    event_id: &str,
) -> Result<Found, StoreError> {
    let row = sqlx::query!(
        r#"SELECT outbox.room_list, outbox.room, outbox.incident, outbox.kind, outbox.payload, outbox.post,
                  outbox.state, outbox.uncertain,
                  EXISTS (SELECT 1 FROM post WHERE post.id = outbox.post AND post.event_id = outbox.event_id) AS "is_root!",
                  EXISTS (SELECT 1 FROM outbox AS known WHERE known.event_id = $4) AS "known!"
           FROM outbox JOIN room_list ON room_list.name = outbox.room_list
           WHERE outbox.id = $1 AND outbox.room = $2 AND room_list.user_id = $3
           FOR UPDATE OF outbox"#,
        id,
        room,
        user_id,
        event_id
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row.filter(|row| !row.known) else { return Ok(Found::Nothing) };
    match row.state.as_str() {
        "pending" | "sending" if row.uncertain => {
            sqlx::query!("UPDATE outbox SET seen_event = $2 WHERE id = $1", id, event_id)
                .execute(&mut **tx)
                .await?;
            Ok(Found::Noted)
        }
        "sent" => {
            let payload = claim::payload(id, &row.kind, row.payload)?;
            let shown = row.post.zip(payload.role(row.is_root)).map(|(post, role)| {
                let (room_list, room, incident) = (row.room_list, row.room, row.incident);
                Shown { id, room_list, room, incident, post, role }
            });
            let is_post = |shown: &Shown| matches!(shown.role, PostRole::Root | PostRole::Again);
            Ok(shown.filter(is_post).map_or(Found::Nothing, Found::Copy))
        }
        _ => Ok(Found::Nothing),
    }
}

/// Records a further event of a message that was sent: the homeserver accepted it twice. Unless the post has a newer message
/// already, this one is kept up to date like it. `id` identifies the event in the outbox, so that reactions to it count.
pub async fn add(
    tx: &mut Tx,
    message: &Shown,
    event_id: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"WITH shown AS (
               UPDATE post SET newest = $2,
                      newest_shown = coalesce((SELECT version FROM outbox WHERE outbox.id = $1), 0)
               WHERE id = $5 AND (newest IS NULL OR newest = (SELECT event_id FROM outbox WHERE outbox.id = $1))
           )
           INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload, state,
                  not_before, attempts, first_tried, event_type, content, version, event_id, created_at, settled_at)
           SELECT $3, room_list, room, 'edit', priority, incident, run_no, loop_no, level, post,
                  '{"what": "refresh_newest"}', 'sent', $4, attempts, first_tried, event_type, content, version, $2, created_at, $4
           FROM outbox WHERE outbox.id = $1"#,
        message.id,
        event_id,
        id,
        now.to_sqlx(),
        message.post
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Of these events of virtual users, each with its transaction id: those that belong to a message and were not settled
    /// as one.
    pub async fn unknown_copies(
        &self,
        events: &[String],
        messages: &[Uuid],
    ) -> Result<Vec<(String, Uuid)>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT found.event_id AS "event_id!", found.id AS "id!"
               FROM unnest($1::text[], $2::uuid[]) AS found (event_id, id)
               JOIN outbox ON outbox.id = found.id
               WHERE NOT EXISTS (SELECT 1 FROM outbox AS known WHERE known.event_id = found.event_id)
                 AND outbox.seen_event IS DISTINCT FROM found.event_id"#,
            events,
            messages
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.event_id, row.id))
        .collect())
    }
}
