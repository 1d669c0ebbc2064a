//! Which rooms the outbox serves next: fair between room lists, so that no list with many slow rooms delays another.

use super::{Store, StoreError};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use std::collections::BTreeMap;

/// The rooms that are being served, each with the room list whose message is being sent, and rooms that rest.
#[derive(Debug, Default)]
pub struct Busy {
    /// The rooms that are not to be served now.
    pub rooms: Vec<String>,
    /// How many rooms are being served for each list.
    pub lists: BTreeMap<String, i64>,
}

impl Store {
    /// Rooms with messages to send and a free gate, at most `limit`, each with the list of its first message. At most
    /// `for_one_list` rooms are served for one list at the same time. The lists that are served least come first; of one
    /// list, the rooms with the most urgent messages, and among these the ones that have rested longest.
    ///
    /// The cost grows with the number of rooms that have messages to send, not with the length of their queues.
    pub async fn rooms_to_serve(
        &self,
        now: Timestamp,
        limit: i64,
        for_one_list: i64,
        busy: &Busy,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let lists: Vec<String> = busy.lists.keys().cloned().collect();
        let counts: Vec<i64> = busy.lists.values().copied().collect();
        Ok(sqlx::query!(
            r#"WITH RECURSIVE waiting (room) AS (
                   (SELECT room FROM outbox WHERE state = 'pending' ORDER BY room LIMIT 1)
                   UNION ALL
                   SELECT (SELECT outbox.room FROM outbox
                           WHERE state = 'pending' AND outbox.room > waiting.room ORDER BY outbox.room LIMIT 1)
                   FROM waiting WHERE waiting.room IS NOT NULL
               ), lost (room) AS (
                   SELECT room FROM room_gate WHERE lease_until < $1
               ), free (room, since, room_list, priority) AS (
                   SELECT gate.room, gate.next_allowed_at, first.room_list, first.priority
                   FROM (SELECT room FROM waiting WHERE room IS NOT NULL UNION SELECT room FROM lost) AS candidate
                   JOIN room_gate AS gate ON gate.room = candidate.room
                   JOIN LATERAL (
                       -- The message of a lost lease comes first. It may be deleted; then its gate is given back.
                       SELECT coalesce((SELECT outbox.room_list FROM outbox WHERE outbox.id = gate.message), '') AS room_list,
                              0 AS priority
                       WHERE gate.message IS NOT NULL
                       UNION ALL
                       (SELECT outbox.room_list, outbox.priority FROM outbox LEFT JOIN post ON post.id = outbox.post
                        WHERE gate.message IS NULL
                          AND outbox.room = gate.room AND outbox.state = 'pending' AND outbox.not_before <= $1
                          AND (outbox.kind NOT IN ('edit', 'thread', 'reaction') OR post.event_id IS NOT NULL)
                          AND (outbox.carrier IS NULL OR NOT EXISTS (
                               SELECT 1 FROM outbox AS carrier WHERE carrier.id = outbox.carrier AND carrier.state IN ('pending', 'sending')))
                          AND NOT EXISTS (SELECT 1 FROM user_trouble AS trouble
                                          WHERE trouble.room_list = outbox.room_list AND trouble.next_check > $1)
                        ORDER BY outbox.priority, outbox.seq LIMIT 1)
                   ) AS first ON true
                   WHERE gate.next_allowed_at <= $1 AND (gate.lease_until IS NULL OR gate.lease_until < $1)
                     AND NOT gate.room = ANY($3)
               ), placed (room, room_list, place) AS (
                   SELECT free.room, free.room_list,
                          coalesce(served.rooms, 0) + row_number() OVER
                              (PARTITION BY free.room_list ORDER BY free.priority, free.since, free.room)
                   FROM free LEFT JOIN unnest($5::text[], $6::bigint[]) AS served (room_list, rooms)
                        ON served.room_list = free.room_list
               )
               SELECT room AS "room!", room_list AS "room_list!" FROM placed
               WHERE place <= $4 ORDER BY place, room LIMIT $2"#,
            now.to_sqlx(),
            limit,
            &busy.rooms,
            for_one_list,
            &lists,
            &counts
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.room, row.room_list))
        .collect())
    }
}
