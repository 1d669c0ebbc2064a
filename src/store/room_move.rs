//! Rooms that moved: what their tombstones name, and whether matrixbot follows.

use super::{Store, StoreError, Tx, room};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// Whether matrixbot follows a room to the successor that its tombstone names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Not yet, for this reason: the successor cannot be joined. Attendance tries again.
    Waiting(String),
    /// It does.
    Followed,
    /// Never, for this reason: the successor is not one.
    Refused(String),
    /// An operator took the move back.
    Undone,
}

impl Move {
    fn state(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "waiting",
            Self::Followed => "followed",
            Self::Refused(_) => "refused",
            Self::Undone => "undone",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Waiting(why) | Self::Refused(why) => Some(why),
            Self::Followed | Self::Undone => None,
        }
    }
}

/// A room with a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMove {
    /// The room.
    pub room: String,
    /// The room that its tombstone names.
    pub successor: String,
    /// Whether matrixbot follows.
    pub is: Move,
    /// Since when.
    pub since: Timestamp,
}

struct Row {
    room: String,
    successor: String,
    state: String,
    why: Option<String>,
    since: SqlTimestamp,
}

impl From<Row> for RoomMove {
    fn from(row: Row) -> Self {
        let why = row.why.unwrap_or_default();
        let is = match row.state.as_str() {
            "followed" => Move::Followed,
            "undone" => Move::Undone,
            "refused" => Move::Refused(why),
            _ => Move::Waiting(why),
        };
        Self { room: row.room, successor: row.successor, is, since: row.since.to_jiff() }
    }
}

impl Store {
    /// What is known about the tombstone of a room.
    pub async fn room_move(&self, room: &str) -> Result<Option<RoomMove>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "SELECT room, successor, state, why, since FROM room_move WHERE room = $1",
            room
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(RoomMove::from))
    }

    /// Every room with a tombstone, by its id.
    pub async fn room_moves(&self) -> Result<Vec<RoomMove>, StoreError> {
        let rows =
            sqlx::query_as!(Row, "SELECT room, successor, state, why, since FROM room_move ORDER BY room")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(RoomMove::from).collect())
    }

    /// The rooms among these whose successor waits to be joined, with that successor.
    pub async fn waiting_successors(&self, rooms: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        Ok(sqlx::query!(
            "SELECT room, successor FROM room_move WHERE state = 'waiting' AND room = ANY($1) ORDER BY room",
            rooms
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.room, row.successor))
        .collect())
    }
}

/// Records whether matrixbot follows a room to its successor. Returns whether that changes anything: a move that an
/// operator took back stays undone, until a tombstone names another successor.
pub async fn record(
    tx: &mut Tx,
    room: &str,
    successor: &str,
    is: &Move,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let changed = sqlx::query!(
        "INSERT INTO room_move AS known (room, successor, state, why, since) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (room) DO UPDATE SET successor = excluded.successor, state = excluded.state, why = excluded.why,
                since = excluded.since
         WHERE known.successor <> excluded.successor
            OR (known.state <> 'undone' AND (known.state, known.why) IS DISTINCT FROM (excluded.state, excluded.why))",
        room,
        successor,
        is.state(),
        is.why(),
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(changed > 0)
}

/// The room that lists post in again because an operator took back its move to this one. `None`: there is none.
pub async fn taken_back_to(tx: &mut Tx, successor: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT room_of(room) AS "room!" FROM room_move WHERE successor = $1 AND state = 'undone'
           ORDER BY since DESC, room LIMIT 1"#,
        successor
    )
    .fetch_optional(&mut **tx)
    .await?)
}

/// Whether a room leads, through aliases and moves, to another one.
pub async fn leads_to(tx: &mut Tx, from: &str, to: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"SELECT $1 = ANY(room_origins($2)) AS "leads!""#, from, to)
        .fetch_one(&mut **tx)
        .await?)
}

/// Takes back a move that matrixbot followed, or waits to follow. What waits to be sent to the successor goes to the room
/// again if `bring_back`. Returns the successor; `None`: the room has not moved.
pub async fn undo(
    tx: &mut Tx,
    room: &str,
    bring_back: bool,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let successor = sqlx::query_scalar!(
        "UPDATE room_move SET state = 'undone', why = NULL, since = $2 WHERE room = $1 AND state <> 'undone'
         RETURNING successor",
        room,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(successor) = successor else { return Ok(None) };
    sqlx::query!("DELETE FROM room_alias WHERE reference = $1", room).execute(&mut **tx).await?;
    if bring_back {
        room::move_waiting(tx, &successor, room, now).await?;
    }
    Ok(Some(successor))
}
