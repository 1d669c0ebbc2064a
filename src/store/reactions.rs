//! Reactions that acknowledged incidents, and redactions.

use super::{Store, StoreError, Tx};
use crate::domain::outgoing::Outgoing;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A reaction that acknowledged an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckReaction {
    /// The reaction's event.
    pub event_id: String,
    /// The incident that it acknowledged.
    pub incident: i64,
    /// The run that it acknowledged.
    pub run_no: i32,
    /// The person who reacted.
    pub user_id: String,
    /// The room of the reaction; `None` if a release before 0.2.0 stored it and its event is forgotten.
    pub room: Option<String>,
    /// How many other acknowledging reactions this person still has in that run.
    pub others: i64,
}

/// Records that a reaction acknowledged an incident.
pub async fn remember(
    tx: &mut Tx,
    event_id: &str,
    room: &str,
    incident: i64,
    run_no: u32,
    user_id: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO ack_reaction (event_id, room, incident, run_no, user_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        event_id,
        room,
        incident,
        super::to_i32(run_no),
        user_id
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Records that the homeserver does not have one of our events any more, as `user` sees the room.
    pub async fn note_purged(
        &self,
        event_id: &str,
        room: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        remember_redacted(&mut tx, event_id, room, user, now).await?;
        super::commit(tx).await
    }

    /// The reaction with this event id, if it acknowledged an incident, the first of those of a digest; without a lock.
    pub async fn ack_reaction(&self, event_id: &str) -> Result<Option<AckReaction>, StoreError> {
        Ok(read(&self.pool, event_id).await?.into_iter().next())
    }
}

/// Enqueues the removal of the reactions that people would click on an incident's messages: each once. A reaction that is not
/// sent yet is obsolete itself.
pub async fn remove_placed(tx: &mut Tx, incident: i64, now: Timestamp) -> Result<(), StoreError> {
    let priority = Outgoing::RemoveReaction { message: Uuid::nil() }.priority(None);
    sqlx::query!(
        "INSERT INTO outbox (id, room_list, room, kind, priority, incident, post, payload, state, not_before, created_at)
         SELECT md5(id::text || 'removed')::uuid, room_list, room, kind, $2, incident, post,
                jsonb_build_object('what', 'remove_reaction', 'message', id), 'pending', $3, $3
         FROM outbox
         WHERE incident = $1 AND kind = 'reaction' AND payload ->> 'what' = 'ack_reaction'
           AND (state IN ('sending', 'sent') OR (state = 'pending' AND uncertain))
         ORDER BY seq
         ON CONFLICT DO NOTHING",
        incident,
        priority,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Enqueues the removal of the reaction that people would click on a digest.
pub async fn remove_placed_on_digest(tx: &mut Tx, digest: Uuid, now: Timestamp) -> Result<(), StoreError> {
    let priority = Outgoing::RemoveDigestReaction { message: Uuid::nil() }.priority(None);
    sqlx::query!(
        "INSERT INTO outbox (id, room_list, room, kind, priority, digest, payload, state, not_before, created_at)
         SELECT md5(id::text || 'removed')::uuid, room_list, room, kind, $2, digest,
                jsonb_build_object('what', 'remove_digest_reaction', 'message', id), 'pending', $3, $3
         FROM outbox
         WHERE digest = $1 AND kind = 'digest_part' AND payload ->> 'what' = 'digest_reaction' AND state <> 'cancelled'
         ON CONFLICT DO NOTHING",
        digest,
        priority,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The event of a reaction that we placed, if it was sent.
pub async fn placed(tx: &mut Tx, message: Uuid) -> Result<Option<String>, StoreError> {
    let event = sqlx::query_scalar!("SELECT event_id FROM outbox WHERE id = $1 AND state = 'sent'", message)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(event.flatten())
}

/// What the reaction with this event id acknowledged, by number: one incident, or those of a digest.
pub async fn find(tx: &mut Tx, event_id: &str) -> Result<Vec<AckReaction>, StoreError> {
    read(&mut **tx, event_id).await
}

async fn read(database: impl PgExecutor<'_>, event_id: &str) -> Result<Vec<AckReaction>, StoreError> {
    Ok(sqlx::query_as!(
        AckReaction,
        r#"SELECT event_id, incident, run_no, user_id,
                  coalesce(room, (SELECT inbox.room FROM inbox WHERE inbox.event_id = ack_reaction.event_id)) AS room,
                  (SELECT count(*) FROM ack_reaction AS other
                   WHERE (other.incident, other.run_no, other.user_id) =
                         (ack_reaction.incident, ack_reaction.run_no, ack_reaction.user_id)
                     AND other.event_id <> ack_reaction.event_id) AS "others!"
           FROM ack_reaction WHERE event_id = $1 ORDER BY incident"#,
        event_id
    )
    .fetch_all(database)
    .await?)
}

/// Forgets a reaction that acknowledged an incident.
pub async fn forget(tx: &mut Tx, event_id: &str) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM ack_reaction WHERE event_id = $1", event_id).execute(&mut **tx).await?;
    Ok(())
}

/// Records that a person redacted an event of a room.
pub async fn remember_redacted(
    tx: &mut Tx,
    event_id: &str,
    room: &str,
    by_user: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO redacted (event_id, room, by_user, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        event_id,
        room,
        by_user,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the sender of an event has redacted it in its room. Earlier releases recorded neither room nor sender.
pub async fn is_redacted(tx: &mut Tx, event_id: &str, room: &str, sender: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM redacted WHERE event_id = $1
                          AND (room IS NULL OR (room = $2 AND by_user = $3))) AS "redacted!""#,
        event_id,
        room,
        sender
    )
    .fetch_one(&mut **tx)
    .await?)
}
