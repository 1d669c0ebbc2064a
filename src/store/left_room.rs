//! Rooms that a room list left because its alias leads elsewhere now. What waits for the room is sent to the new one, and
//! what was posted there counts as posted in the new one: for this list alone, because the room may have other lists.

use super::{StoreError, Tx, enqueue};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use uuid::Uuid;

/// Records that a list leaves a room for another one, and moves there what waits for the room.
pub async fn leave(
    tx: &mut Tx,
    room_list: &str,
    (from, to): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM left_room WHERE room_list = $1 AND room = $2", room_list, to)
        .execute(&mut **tx)
        .await?;
    // The rooms before this one lead to the newest, too.
    sqlx::query!(
        "UPDATE left_room SET successor = $3 WHERE room_list = $1 AND successor = $2",
        room_list,
        from,
        to
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO left_room (room_list, room, successor, since) VALUES ($1, $2, $3, $4)
         ON CONFLICT (room_list, room) DO UPDATE SET successor = excluded.successor, since = excluded.since",
        room_list,
        from,
        to,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    move_waiting(tx, room_list, (from, to), now).await
}

/// The room that a list posts in instead of one that it left after a message was enqueued for it.
pub async fn successor(
    tx: &mut Tx,
    room_list: &str,
    room: &str,
    enqueued_at: Timestamp,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT room_of(successor) AS "room!" FROM left_room
           WHERE room_list = $1 AND room = $2 AND since >= $3"#,
        room_list,
        room,
        enqueued_at.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// The room that a list posts in instead of one that it has left.
pub async fn successor_of(tx: &mut Tx, room_list: &str, room: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT room_of(successor) AS "room!" FROM left_room WHERE room_list = $1 AND room = $2"#,
        room_list,
        room
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Whether a message waits to be sent to a room.
pub async fn waits_in(tx: &mut Tx, message: Uuid, room: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE id = $1 AND room = $2 AND state = 'pending') AS "waits!""#,
        message,
        room
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Moves what a list has to send from one room to another: pages, notices, and what belongs to a post that is not sent yet.
/// Stays: what may be in the room already, answers to people in the room, and updates of what was posted there. A page
/// that was given up moves as well, so that it can be made pending again.
pub async fn move_waiting(
    tx: &mut Tx,
    room_list: &str,
    (from, to): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    // One query reads everything to move, as in `room::move_waiting`.
    let waiting = sqlx::query!(
        r#"SELECT ARRAY(
                  SELECT id FROM outbox WHERE room = $2 AND room_list = $1 AND state = 'pending' AND NOT uncertain
                  UNION ALL
                  SELECT outbox.id FROM outbox JOIN incident ON incident.id = outbox.incident
                  WHERE outbox.room = $2 AND outbox.room_list = $1 AND state = 'undeliverable' AND NOT uncertain
                    AND kind IN ('page', 'fallback', 'notice') AND incident.phase IN ('firing', 'unanswered')
              ) AS "messages!",
              ARRAY(
                  SELECT post.id FROM post JOIN incident ON incident.id = post.incident
                  WHERE post.room = $2 AND event_id IS NULL AND incident.room_list = $1
                    AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.post = post.id AND outbox.room = $2
                                      AND (state = 'sending' OR (state = 'pending' AND uncertain)))
              ) AS "posts!""#,
        room_list,
        from
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE post SET room = $2 WHERE id = ANY($1) AND event_id IS NULL
         AND NOT EXISTS (SELECT 1 FROM post AS other WHERE other.incident = post.incident AND other.room = $2)",
        &waiting.posts,
        to
    )
    .execute(&mut **tx)
    .await?;
    // A page of an incident that was posted in the old room needs a post of its own in the new one.
    sqlx::query!(
        "INSERT INTO post (id, incident, room, created_at)
         SELECT DISTINCT ON (incident) md5(id::text || $2 || $3::timestamptz::text)::uuid, incident, $2, $3 FROM outbox
         WHERE id = ANY($1) AND incident IS NOT NULL AND post IS NOT NULL
           AND kind IN ('page', 'fallback', 'reminder', 'notice') AND payload ->> 'what' <> 'ack_reminder'
         ORDER BY incident, seq
         ON CONFLICT (incident, room) DO NOTHING",
        &waiting.messages,
        to,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE outbox SET room = $2, event_type = NULL, content = NULL, version = NULL,
                post = CASE WHEN post IS NULL THEN NULL
                            ELSE (SELECT id FROM post AS there WHERE there.incident = outbox.incident AND there.room = $2) END
         WHERE id = ANY($1) AND room = $3 AND state IN ('pending', 'undeliverable') AND NOT uncertain
           AND kind IN ('page', 'fallback', 'reminder', 'notice') AND payload ->> 'what' <> 'ack_reminder'
           AND (kind NOT IN ('page', 'fallback') OR NOT EXISTS (
               SELECT 1 FROM outbox AS other WHERE other.incident = outbox.incident AND other.room = $2
                 AND other.kind = outbox.kind AND other.run_no = outbox.run_no
                 AND (outbox.kind = 'fallback' OR (other.loop_no, other.level)
                      IS NOT DISTINCT FROM (outbox.loop_no, outbox.level))))",
        &waiting.messages,
        to,
        from
    )
    .execute(&mut **tx)
    .await?;
    // Notices about rooms, and what refers to a post that moved.
    sqlx::query!(
        "UPDATE outbox SET room = $2, event_type = NULL, content = NULL, version = NULL
         WHERE id = ANY($1) AND room = $3 AND state = 'pending' AND NOT uncertain
           AND ((kind = 'answer' AND NOT payload ? 'to')
                OR (kind IN ('edit', 'thread', 'reaction')
                    AND EXISTS (SELECT 1 FROM post WHERE post.id = outbox.post AND post.room = $2)))",
        &waiting.messages,
        to,
        from
    )
    .execute(&mut **tx)
    .await?;
    // The new room already has, or gets, the same page by another name of it. Any other page is sent where it is: better
    // there than nowhere.
    let cancelled = sqlx::query_scalar!(
        r#"UPDATE outbox SET state = 'cancelled', settled_at = $4
           WHERE id = ANY($1) AND room = $3 AND state = 'pending' AND NOT uncertain AND kind IN ('page', 'fallback')
             AND EXISTS (
                 SELECT 1 FROM outbox AS other WHERE other.incident = outbox.incident AND other.room = $2
                   AND other.kind = outbox.kind AND other.run_no = outbox.run_no
                   AND (outbox.kind = 'fallback' OR (other.loop_no, other.level)
                        IS NOT DISTINCT FROM (outbox.loop_no, outbox.level))
                   AND other.state IN ('pending', 'sending', 'sent'))
           RETURNING incident AS "incident!""#,
        &waiting.messages,
        to,
        from,
        now.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    for incident in cancelled {
        enqueue::cancel_dependents(tx, incident, now).await?;
    }
    sqlx::query!("INSERT INTO room_gate (room) VALUES ($1) ON CONFLICT DO NOTHING", to)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
