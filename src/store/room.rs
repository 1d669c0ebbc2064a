//! Rooms: resolved references, memberships, and how far reconciliation has read each room.
//!
//! A reference is a room as the configuration names it: an alias or a room id.

use super::{Store, StoreError, Tx, room_name};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;

impl Store {
    /// The known room of a reference; the reference itself if none is known.
    pub async fn room_of(&self, reference: &str) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar!(r#"SELECT room_of($1) AS "room!""#, reference).fetch_one(&self.pool).await?)
    }

    /// The known rooms of references, each once, in order.
    pub async fn rooms_of(&self, references: &[String]) -> Result<Vec<String>, StoreError> {
        read_rooms(&self.pool, references).await
    }

    /// The known references of a room, including the room itself.
    pub async fn references_to(&self, room: &str) -> Result<Vec<String>, StoreError> {
        read_references(&self.pool, room).await
    }

    /// The virtual user's stored membership of a room.
    pub async fn membership(&self, user_id: &str, room: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT membership FROM room_membership WHERE user_id = $1 AND room = $2",
            user_id,
            room
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The references that lead or once led to a room, including the room itself.
    pub async fn origins(&self, room: &str) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar!(r#"SELECT room_origins($1) AS "references!""#, room)
            .fetch_one(&self.pool)
            .await?)
    }

    /// The virtual users that are recorded as joined to a room.
    pub async fn users_in(&self, room: &str) -> Result<Vec<String>, StoreError> {
        read_users(&self.pool, room).await
    }

    /// Stores a virtual user's membership of a room.
    pub async fn note_membership(
        &self,
        user_id: &str,
        room: &str,
        membership: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        note_membership(&mut tx, user_id, room, membership, now).await?;
        Ok(tx.commit().await?)
    }

    /// A virtual user's stored memberships: room and membership.
    pub async fn memberships(&self, user_id: &str) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query!(
            "SELECT room, membership FROM room_membership WHERE user_id = $1 ORDER BY room",
            user_id
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.room, row.membership))
        .collect())
    }

    /// Deletes a virtual user's stored memberships.
    pub async fn forget_memberships(&self, user_id: &str) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM room_membership WHERE user_id = $1", user_id).execute(&self.pool).await?;
        Ok(())
    }

    /// Stores the room of a reference, and moves waiting messages there.
    pub async fn note_alias(&self, reference: &str, room: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        note_alias(&mut tx, reference, room, now).await?;
        Ok(tx.commit().await?)
    }

    /// How far reconciliation has read a room: `origin_server_ts` of the newest event, in milliseconds.
    pub async fn cursor(&self, room: &str) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar!("SELECT ts FROM room_cursor WHERE room = $1", room)
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Stores how far reconciliation has read a room.
    pub async fn note_cursor(&self, room: &str, ts: i64, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO room_cursor (room, ts, checked) VALUES ($1, $2, $3)
             ON CONFLICT (room) DO UPDATE SET ts = greatest(room_cursor.ts, excluded.ts), checked = excluded.checked",
            room,
            ts,
            now.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Whether a virtual user is recorded as joined to a room.
pub async fn is_member(tx: &mut Tx, user_id: &str, room: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM room_membership WHERE user_id = $1 AND room = $2 AND membership = 'join') AS "is!""#,
        user_id,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// The virtual users that are recorded as joined to a room, within a transaction.
pub async fn users_in(tx: &mut Tx, room: &str) -> Result<Vec<String>, StoreError> {
    read_users(&mut **tx, room).await
}

async fn read_users(database: impl PgExecutor<'_>, room: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "SELECT user_id FROM room_membership WHERE room = $1 AND membership = 'join' ORDER BY user_id",
        room
    )
    .fetch_all(database)
    .await?)
}

/// The known room of a reference, within a transaction.
pub async fn room_of(tx: &mut Tx, reference: &str) -> Result<String, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT room_of($1) AS "room!""#, reference).fetch_one(&mut **tx).await?)
}

/// The known rooms of references, each once, in order, within a transaction.
pub async fn rooms_of(tx: &mut Tx, references: &[String]) -> Result<Vec<String>, StoreError> {
    read_rooms(&mut **tx, references).await
}

/// The known references of a room, including the room itself, within a transaction.
pub async fn references_to(tx: &mut Tx, room: &str) -> Result<Vec<String>, StoreError> {
    read_references(&mut **tx, room).await
}

/// A room as people know it: its id after the configured alias that leads to it, or else after what the room calls itself.
pub async fn label(tx: &mut Tx, room: &str) -> Result<String, StoreError> {
    let known = called(tx, room).await?;
    Ok(known.map_or_else(|| room.to_owned(), |known| format!("{known} ({room})")))
}

/// What people call a room: the configured alias that leads to it, or else its name or alias in its own state.
pub async fn called(tx: &mut Tx, room: &str) -> Result<Option<String>, StoreError> {
    let alias =
        references_to(tx, room).await?.into_iter().filter(|reference| reference.starts_with('#')).min();
    match alias {
        Some(alias) => Ok(Some(alias)),
        None => Ok(room_name::find(tx, room).await?.and_then(|known| known.text())),
    }
}

async fn read_rooms(database: impl PgExecutor<'_>, references: &[String]) -> Result<Vec<String>, StoreError> {
    let rooms = sqlx::query_scalar!(
        r#"SELECT room_of(reference) AS "room!" FROM unnest($1::text[]) WITH ORDINALITY AS t (reference, n) ORDER BY n"#,
        references
    )
    .fetch_all(database)
    .await?;
    let mut distinct: Vec<String> = Vec::with_capacity(rooms.len());
    for room in rooms {
        if !distinct.contains(&room) {
            distinct.push(room);
        }
    }
    Ok(distinct)
}

/// Starts at the room and follows aliases and upgrades backwards: the cost depends on this room's aliases and upgrades,
/// not on the number of all references. A room with a successor has no references.
async fn read_references(database: impl PgExecutor<'_>, room: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"WITH RECURSIVE origin (reference, depth) AS (
               SELECT $1::text, 0
               UNION
               SELECT room_alias.reference, origin.depth + 1
               FROM origin JOIN room_alias ON room_alias.room = origin.reference
               WHERE origin.depth < 20
           )
           SELECT DISTINCT reference AS "reference!" FROM origin WHERE room_of(reference) = $1"#,
        room
    )
    .fetch_all(database)
    .await?)
}

/// Stores a virtual user's membership of a room.
pub async fn note_membership(
    tx: &mut Tx,
    user_id: &str,
    room: &str,
    membership: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO room_membership (user_id, room, membership, changed_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id, room) DO UPDATE SET membership = excluded.membership, changed_at = excluded.changed_at",
        user_id,
        room,
        membership,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends the lease on an alias, and makes its message pending again. The message cannot be in flight: the outbox
/// resolves an alias before it sends.
async fn end_lease(tx: &mut Tx, alias: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'pending', event_type = NULL, content = NULL, version = NULL
         WHERE room = $1 AND state = 'sending'",
        alias
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE room_gate SET lease_owner = NULL, lease_until = NULL, message = NULL
         WHERE room = $1 AND message IS NOT NULL",
        alias
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Stores the room of a reference, and moves waiting messages there. Ignores a reference to itself.
pub async fn note_alias(tx: &mut Tx, reference: &str, room: &str, now: Timestamp) -> Result<(), StoreError> {
    if reference == room {
        return Ok(());
    }
    if reference.starts_with('#') {
        end_lease(tx, reference).await?;
    }
    sqlx::query!(
        "INSERT INTO room_alias (reference, room, resolved_at) VALUES ($1, $2, $3)
         ON CONFLICT (reference) DO UPDATE SET room = excluded.room, resolved_at = excluded.resolved_at",
        reference,
        room,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    move_waiting(tx, reference, room, now).await
}

/// Moves what waits for a room, or for an alias, to another room.
pub(super) async fn move_waiting(
    tx: &mut Tx,
    reference: &str,
    room: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    // One query reads everything to move. What another transaction enqueues meanwhile under the old reference is left
    // for the next call: it must not be moved in part, or be cancelled below as a duplicate.
    let waiting = sqlx::query!(
        r#"SELECT ARRAY(SELECT id FROM outbox WHERE room = $1 AND state = 'pending') AS "messages!",
                  ARRAY(SELECT id FROM post WHERE room = $1 AND event_id IS NULL) AS "posts!""#,
        reference
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE post SET room = $2 WHERE id = ANY($1) AND event_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM post AS other WHERE other.incident = post.incident AND other.room = $2)",
        &waiting.posts,
        room
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE outbox SET room = $2 WHERE id = ANY($1) AND room = $3 AND state = 'pending'
         AND (kind NOT IN ('page', 'fallback') OR NOT EXISTS (
             SELECT 1 FROM outbox AS other WHERE other.incident = outbox.incident AND other.room = $2
               AND other.kind = outbox.kind AND other.run_no = outbox.run_no
               AND other.loop_no IS NOT DISTINCT FROM outbox.loop_no AND other.level IS NOT DISTINCT FROM outbox.level))
         AND kind <> 'digest_part'
         AND (kind NOT IN ('edit', 'thread', 'reaction') OR NOT EXISTS (
             SELECT 1 FROM post WHERE post.id = outbox.post AND post.event_id IS NOT NULL))",
        &waiting.messages,
        room,
        reference
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE digest SET room = $2 WHERE room = $1 AND ended_at IS NULL AND event_id IS NULL",
        reference,
        room
    )
    .execute(&mut **tx)
    .await?;
    // A page that was not moved exists in the room already: two references had the same room.
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $3
         WHERE id = ANY($1) AND room = $2 AND state = 'pending' AND kind IN ('page', 'fallback')",
        &waiting.messages,
        reference,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("INSERT INTO room_gate (room) VALUES ($1) ON CONFLICT DO NOTHING", room)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
