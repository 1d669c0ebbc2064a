//! Digests, and the pages that they carry.
//!
//! A page that a digest carries has the message of the digest as its `carrier`. While that is on its way, the page may be in
//! the room: it counts as uncertain, and is not sent by itself. If the carrier ends in any other way than sent, it is.

mod members;
mod reading;

pub use members::{Facts, PageOf, facts, pages_of, waiting};
pub use reading::{
    About, OpenDigest, Shown, about, current, in_room, last_page, of_incident, posted_among, shown, shown_at,
};

use super::{Head, StoreError, Tx, inconsistent};
use crate::domain::digest::Class;
use crate::domain::incident::Rung;
use crate::domain::outgoing::{Outgoing, OutgoingKind};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// A digest with its place.
#[derive(Debug, Clone)]
pub struct Digest {
    /// Its identity: that of its first message.
    pub id: Uuid,
    /// The room list whose pages it carries.
    pub room_list: String,
    /// Its room.
    pub room: String,
}

/// A page in a digest.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The page's message.
    pub id: Uuid,
    /// The incident.
    pub incident: i64,
    /// The rung of a page; the run of a fallback notice.
    pub rung: Rung,
    /// Whether it is a page, not a fallback notice.
    pub is_page: bool,
    /// When it was enqueued.
    pub created_at: Timestamp,
}

/// Begins a digest. Its first message is enqueued, and carries these pages.
pub async fn begin(
    tx: &mut Tx,
    digest: &Digest,
    class: Class,
    pages: &[Uuid],
    look_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO digest (id, room_list, room, class, look_at) VALUES ($1, $2, $3, $4, $5)",
        digest.id,
        digest.room_list,
        digest.room,
        class.as_str(),
        look_at.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    enqueue(tx, digest, digest.id, &Outgoing::Digest, now, now).await?;
    carry(tx, digest.id, digest.id, pages, now).await
}

/// Makes sure that an edit of the digest follows which shows what this transaction changes: no later than now if one waits
/// already, or else at `not_before`. `new` is its id then.
///
/// A waiting edit is locked in a way that any number of transactions share, and that keeps it from being claimed before they
/// end: they hold incidents in no common order, and must not wait for each other here.
pub async fn refresh(
    tx: &mut Tx,
    digest: &Digest,
    new: Uuid,
    not_before: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let waiting = sqlx::query_scalar!(
        "SELECT id FROM outbox
         WHERE digest = $1 AND kind = 'digest_part' AND payload ->> 'what' = 'refresh_digest' AND state = 'pending'
           AND content IS NULL
         LIMIT 1 FOR SHARE SKIP LOCKED",
        digest.id
    )
    .fetch_optional(&mut **tx)
    .await?;
    if waiting.is_some() {
        return Ok(());
    }
    enqueue(tx, digest, new, &Outgoing::RefreshDigest, not_before, now).await
}

/// Enqueues a message of a digest.
pub async fn enqueue(
    tx: &mut Tx,
    digest: &Digest,
    id: Uuid,
    payload: &Outgoing,
    not_before: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::to_value(payload).map_err(|error| inconsistent("outbox", "payload", id, error))?;
    sqlx::query!(
        "INSERT INTO outbox (id, room_list, room, kind, priority, digest, payload, state, not_before, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9)",
        id,
        digest.room_list,
        digest.room,
        payload.kind().as_str(),
        payload.priority(None),
        digest.id,
        json,
        not_before.to_sqlx(),
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Makes a message of a digest carry pages. The caller has locked them.
pub async fn carry(
    tx: &mut Tx,
    digest: Uuid,
    carrier: Uuid,
    pages: &[Uuid],
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET digest = $1, carrier = $2, uncertain = true, first_tried = coalesce(first_tried, $4),
                attempts = attempts + 1
         WHERE id = ANY($3)",
        digest,
        carrier,
        pages,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An edit of the digest that is not rendered yet, locked; a new one if there is none. It is sent before everything else.
pub async fn next_edit(tx: &mut Tx, digest: &Digest, new: Uuid, now: Timestamp) -> Result<Uuid, StoreError> {
    let waiting = sqlx::query_scalar!(
        "UPDATE outbox SET priority = 0, not_before = least(not_before, $2)
         WHERE id = (SELECT id FROM outbox
                     WHERE digest = $1 AND kind = 'digest_part' AND payload ->> 'what' = 'refresh_digest'
                       AND state = 'pending' AND content IS NULL
                     LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id",
        digest.id,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(waiting) = waiting {
        return Ok(waiting);
    }
    enqueue(tx, digest, new, &Outgoing::RefreshDigest, now, now).await?;
    sqlx::query!("UPDATE outbox SET priority = 0 WHERE id = $1", new).execute(&mut **tx).await?;
    Ok(new)
}

/// Lets messages wait until a time: pages for the next edit of their digest, or that edit itself.
pub async fn wait_until(tx: &mut Tx, messages: &[Uuid], at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("UPDATE outbox SET not_before = $2 WHERE id = ANY($1)", messages, at.to_sqlx())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The pages that a message carries and that are not settled, by incident.
pub async fn carried(tx: &mut Tx, carrier: Uuid) -> Result<Vec<Carried>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, incident AS "incident!", run_no AS "run_no!", loop_no AS "loop_no!", level AS "level!", kind,
                  created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM outbox WHERE carrier = $1 AND digest IS NOT NULL AND state = 'pending' ORDER BY incident"#,
        carrier
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let number = |column, value| super::to_u32("outbox", column, row.id, value);
            Ok(Carried {
                id: row.id,
                incident: row.incident,
                rung: Rung {
                    run_no: number("run_no", row.run_no)?,
                    loop_no: number("loop_no", row.loop_no)?,
                    level: number("level", row.level)?,
                },
                is_page: row.kind == OutgoingKind::Page.as_str(),
                created_at: row.created_at.to_jiff(),
            })
        })
        .collect()
}

/// A message of a digest is in its room, as this event: so are the pages that it carries. `shown`: what it shows.
pub async fn sent(
    tx: &mut Tx,
    head: &Head,
    event_id: &str,
    shown: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_first = head.payload == Outgoing::Digest;
    sqlx::query!(
        "UPDATE digest SET event_id = CASE WHEN $3 THEN $2 ELSE event_id END,
                sent_at = CASE WHEN $3 THEN $5 ELSE sent_at END, edited_at = $5, shown = $4
         WHERE id = $1",
        head.digest,
        event_id,
        is_first,
        shown,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE outbox SET state = 'sent', settled_at = $3, error = NULL, uncertain = false,
                event_id = (SELECT event_id FROM digest WHERE digest.id = $2)
         WHERE carrier = $1 AND digest = $2 AND state = 'pending'",
        head.id,
        head.digest,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A message of a digest is certainly not in its room: the pages that it carries wait again. With `alone`, no digest
/// carries them any more.
pub async fn let_go(tx: &mut Tx, head: &Head, alone: bool, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET carrier = NULL, digest = CASE WHEN $2 THEN digest END, uncertain = false
         WHERE carrier = $1 AND state = 'pending'",
        head.id,
        alone
    )
    .execute(&mut **tx)
    .await?;
    if head.payload == Outgoing::Digest {
        sqlx::query!(
            "UPDATE digest SET ended_at = $2 WHERE id = $1 AND event_id IS NULL",
            head.digest,
            now.to_sqlx()
        )
        .execute(&mut **tx)
        .await?;
        sqlx::query!(
            "UPDATE outbox SET state = 'cancelled', settled_at = $2, uncertain = false
             WHERE id = $1 AND state IN ('pending', 'sending')",
            head.id,
            now.to_sqlx()
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Records a further event of a digest: the homeserver accepted its message twice. `id` identifies the event in the outbox,
/// so that reactions to it count.
pub async fn add_copy(
    tx: &mut Tx,
    head: &Head,
    event_id: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"INSERT INTO outbox (id, room_list, room, kind, priority, digest, payload, state, not_before, event_id, created_at,
                  settled_at)
           VALUES ($1, $2, $3, 'digest_part', 5, $4, '{"what": "refresh_digest"}', 'sent', $5, $6, $5, $5)"#,
        id,
        head.room_list,
        head.room,
        head.digest,
        now.to_sqlx(),
        event_id
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A digest whose storm may be over, locked.
#[derive(Debug, Clone)]
pub struct Due {
    /// The digest.
    pub digest: Digest,
    /// Its class.
    pub class: Class,
}

/// Locks a digest whose storm may be over.
pub async fn lock_due(tx: &mut Tx, now: Timestamp) -> Result<Option<Due>, StoreError> {
    let row = sqlx::query!(
        "SELECT id, room_list, room, class FROM digest WHERE ended_at IS NULL AND look_at <= $1
         ORDER BY look_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        let class = row.class.parse().map_err(|error| inconsistent("digest", "class", row.id, error))?;
        Ok(Due { digest: Digest { id: row.id, room_list: row.room_list, room: row.room }, class })
    })
    .transpose()
}

/// Looks at a digest again at a time.
pub async fn look_again(tx: &mut Tx, digest: Uuid, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("UPDATE digest SET look_at = $2 WHERE id = $1", digest, at.to_sqlx())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A post that only digests contain.
#[derive(Debug, Clone)]
pub struct Unposted {
    /// The incident.
    pub incident: i64,
    /// The post.
    pub post: Uuid,
    /// Its room.
    pub room: String,
}

/// Records that the storm of a digest is over. Returns the posts of its open incidents that have no event of their own.
pub async fn end(tx: &mut Tx, digest: Uuid, now: Timestamp) -> Result<Vec<Unposted>, StoreError> {
    sqlx::query!("UPDATE digest SET ended_at = $2 WHERE id = $1", digest, now.to_sqlx())
        .execute(&mut **tx)
        .await?;
    Ok(sqlx::query_as!(
        Unposted,
        r#"SELECT DISTINCT outbox.incident AS "incident!", post.id AS post, post.room
           FROM outbox JOIN incident ON incident.id = outbox.incident JOIN post ON post.id = outbox.post
           WHERE outbox.digest = $1 AND outbox.kind IN ('page', 'fallback') AND outbox.state = 'sent'
             AND incident.phase NOT IN ('resolved', 'closed') AND post.event_id IS NULL
             AND NOT EXISTS (SELECT 1 FROM outbox AS own WHERE own.post = post.id AND own.kind = 'reminder'
                               AND own.payload ->> 'what' = 'own_page' AND own.state IN ('pending', 'sending'))
           ORDER BY 1"#,
        digest
    )
    .fetch_all(&mut **tx)
    .await?)
}
