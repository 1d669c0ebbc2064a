//! Putting messages into the outbox, and taking unsent ones back.
//!
//! Enqueuing takes no lock on the room: messages of one incident are ordered by the incident's own lock, and the
//! order between incidents is free. A room's queue is read by (priority, seq).

use super::{StoreError, Tx, inconsistent, to_i32};
use crate::domain::answer::Answer;
use crate::domain::incident::Rung;
use crate::domain::timeline::Entry;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ruma::OwnedEventId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a message is to say, besides the state of its incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Payload {
    /// A page.
    Page,
    /// Nobody answered.
    Fallback,
    /// Still nobody answered.
    Reminder {
        /// Counts from 1.
        number: u32,
        /// Whether it is for a fallback room: then it calls everybody there.
        last_resort: bool,
    },
    /// The acknowledgement ends soon.
    AckReminder,
    /// Bring the post up to date.
    Refresh,
    /// Bring the newest message that pages it again beside its post up to date.
    RefreshNewest,
    /// Tell a story in the post's thread.
    Tell {
        /// The story.
        entry: Entry,
    },
    /// Tell a story to a room that may have no post.
    TellFallback {
        /// The story.
        entry: Entry,
    },
    /// The reaction that people tap.
    AckReaction {
        /// On which message.
        to: OwnedEventId,
    },
    /// An answer to a command.
    Answer {
        /// What it says.
        answer: Answer,
        /// The event that it answers.
        to: OwnedEventId,
        /// The thread that event is in.
        thread: Option<OwnedEventId>,
    },
    /// The incident as it stands, in answer to a command.
    Show {
        /// The event that it answers.
        to: OwnedEventId,
        /// The thread that event is in.
        thread: Option<OwnedEventId>,
    },
    /// The room takes the place of another one.
    RoomMoved {
        /// The room it replaces.
        from: String,
    },
    /// A room of the list cannot be reached.
    RoomUnreachable {
        /// The room, as the configuration names it.
        room: String,
        /// What the homeserver says.
        why: String,
    },
    /// A room of the list can be reached again.
    RoomReachable {
        /// The room, as the configuration names it.
        room: String,
    },
}

/// The kind of a message, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "`Payload` explains them")]
pub enum Kind {
    Page,
    Fallback,
    Reminder,
    Edit,
    Thread,
    Notice,
    Reaction,
    Answer,
}

impl Kind {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Fallback => "fallback",
            Self::Reminder => "reminder",
            Self::Edit => "edit",
            Self::Thread => "thread",
            Self::Notice => "notice",
            Self::Reaction => "reaction",
            Self::Answer => "answer",
        }
    }
}

impl Payload {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Page => Kind::Page,
            Self::Fallback => Kind::Fallback,
            Self::Reminder { .. } | Self::AckReminder => Kind::Reminder,
            Self::Refresh | Self::RefreshNewest => Kind::Edit,
            Self::Tell { .. } => Kind::Thread,
            Self::TellFallback { .. } => Kind::Notice,
            Self::AckReaction { .. } => Kind::Reaction,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => Kind::Answer,
        }
    }

    /// Whether it shows its incident: the first of these in a room is the room's post of it.
    pub fn shows_incident(&self) -> bool {
        match self {
            Self::Page | Self::Fallback | Self::Reminder { .. } | Self::TellFallback { .. } => true,
            Self::AckReminder
            | Self::Refresh
            | Self::RefreshNewest
            | Self::Tell { .. }
            | Self::AckReaction { .. }
            | Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => false,
        }
    }

    /// Smaller goes first: first pages, escalations, what replaces them, answers that a person waits for, and then
    /// what only keeps the picture up to date.
    pub fn priority(&self, rung: Option<Rung>) -> i16 {
        match self {
            Self::Page if rung.is_some_and(|rung| rung.level == 0 && rung.loop_no == 0) => 0,
            Self::Page => 1,
            Self::Fallback | Self::Reminder { .. } | Self::AckReminder | Self::TellFallback { .. } => 2,
            Self::Answer { .. }
            | Self::Show { .. }
            | Self::RoomMoved { .. }
            | Self::RoomUnreachable { .. }
            | Self::RoomReachable { .. } => 3,
            Self::AckReaction { .. } => 4,
            Self::Refresh | Self::RefreshNewest => 5,
            Self::Tell { .. } => 6,
        }
    }
}

/// A message to be put into the outbox.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Its identity and Matrix transaction id.
    pub id: Uuid,
    /// Whose virtual user sends it.
    pub room_list: &'a str,
    /// To which room (already led through `room_of`).
    pub room: &'a str,
    /// What it says.
    pub payload: Payload,
    /// The incident it is about.
    pub incident: Option<i64>,
    /// The rung of a page; the run of a fallback notice.
    pub rung: Option<Rung>,
    /// The post it makes, or hangs on.
    pub post: Option<Uuid>,
    /// When it may be sent.
    pub not_before: Timestamp,
}

/// A message that shows an incident, for each room that references of the configuration lead to.
#[derive(Debug)]
pub struct Showing<'a> {
    /// Whose virtual user sends it.
    pub room_list: &'a str,
    /// The incident.
    pub incident: i64,
    /// What it says.
    pub payload: &'a Payload,
    /// The rung of a page; the run of a fallback notice.
    pub rung: Rung,
    /// The references.
    pub references: &'a [String],
}

/// Puts a message into the outbox for each room once, on the room's one post of the incident, which is made if there is
/// none. `fresh` makes the identities.
pub async fn show(
    tx: &mut Tx,
    showing: &Showing<'_>,
    fresh: impl Fn() -> Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    let payload = serde_json::to_value(showing.payload)
        .map_err(|error| inconsistent("outbox", "payload", showing.incident, error))?;
    let ids = || showing.references.iter().map(|_| fresh()).collect::<Vec<_>>();
    sqlx::query!(
        "WITH target AS MATERIALIZED (
             SELECT DISTINCT ON (room) room, message, post, n
             FROM (SELECT room_of(reference) AS room, message, post, n
                   FROM unnest($1::text[], $2::uuid[], $3::uuid[]) WITH ORDINALITY AS t (reference, message, post, n)) AS led
             ORDER BY room, n
         ), made AS (
             INSERT INTO post (id, incident, room, created_at) SELECT post, $4, room, $5 FROM target
             ON CONFLICT (incident, room) DO NOTHING RETURNING id, room
         ), shown AS (
             SELECT id, room FROM made UNION ALL
             SELECT post.id, post.room FROM post JOIN target ON target.room = post.room WHERE post.incident = $4
         ), gate AS (
             INSERT INTO room_gate (room) SELECT room FROM target ORDER BY room ON CONFLICT (room) DO NOTHING
         )
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload,
                state, not_before, created_at)
         SELECT target.message, $6, target.room, $7, $8, $4, $9, $10, $11, shown.id, $12, 'pending', $5, $5
         FROM target JOIN shown ON shown.room = target.room ORDER BY target.n
         ON CONFLICT DO NOTHING",
        showing.references,
        &ids(),
        &ids(),
        showing.incident,
        now.to_sqlx(),
        showing.room_list,
        showing.payload.kind().as_str(),
        showing.payload.priority(Some(showing.rung)),
        to_i32(showing.rung.run_no),
        to_i32(showing.rung.loop_no),
        to_i32(showing.rung.level),
        payload
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts a message into the outbox. Returns whether it is new: a page or a fallback notice exists once (I4, I15), and
/// an edit that waits already covers what this one would show.
pub async fn enqueue(tx: &mut Tx, draft: Draft<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let kind = draft.payload.kind();
    let payload = serde_json::to_value(&draft.payload)
        .map_err(|error| inconsistent("outbox", "payload", draft.id, error))?;
    if kind == Kind::Edit
        && sqlx::query!(
            "UPDATE outbox SET not_before = least(not_before, $2)
             WHERE post = $1 AND kind = 'edit' AND state = 'pending' AND content IS NULL AND payload ->> 'what' = $3::jsonb ->> 'what'",
            draft.post,
            draft.not_before.to_sqlx(),
            payload
        )
        .execute(&mut **tx)
        .await?
        .rows_affected()
            > 0
    {
        return Ok(false);
    }
    let enqueued = sqlx::query!(
        "WITH gate AS (INSERT INTO room_gate (room) VALUES ($3) ON CONFLICT (room) DO NOTHING)
         INSERT INTO outbox (id, room_list, room, kind, priority, incident, run_no, loop_no, level, post, payload,
                state, not_before, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', $12, $13)
         ON CONFLICT DO NOTHING",
        draft.id,
        draft.room_list,
        draft.room,
        kind.as_str(),
        draft.payload.priority(draft.rung),
        draft.incident,
        draft.rung.map(|rung| to_i32(rung.run_no)),
        draft.rung.map(|rung| to_i32(rung.loop_no)),
        draft.rung.map(|rung| to_i32(rung.level)),
        draft.post,
        payload,
        draft.not_before.to_sqlx(),
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(enqueued > 0)
}

/// Cancels an incident's pages, reminders and fallback notices that were never tried, or whose every attempt is known
/// to have failed. One that may have been accepted stays: it may be in the room already.
pub async fn cancel_unsent(tx: &mut Tx, incident: i64, now: Timestamp) -> Result<u64, StoreError> {
    let cancelled = sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         WHERE incident = $1 AND state = 'pending' AND NOT uncertain
           AND kind IN ('page', 'reminder', 'fallback', 'notice')",
        incident,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if cancelled > 0 {
        cancel_hanging(tx, incident, now).await?;
    }
    Ok(cancelled)
}

/// Cancels what hangs on an incident's posts that will not be: nothing of them is in a room, and nothing that would make
/// them is left.
pub async fn cancel_hanging(tx: &mut Tx, incident: i64, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE outbox SET state = 'cancelled', settled_at = $2
         FROM post
         WHERE outbox.incident = $1 AND outbox.state = 'pending' AND outbox.kind IN ('edit', 'thread', 'reaction')
           AND post.id = outbox.post AND post.event_id IS NULL
           AND NOT EXISTS (SELECT 1 FROM outbox AS root WHERE root.post = post.id
                             AND root.kind IN ('page', 'fallback', 'reminder', 'notice') AND root.state IN ('pending', 'sending'))",
        incident,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
