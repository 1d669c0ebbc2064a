//! What a room that does not let matrixbot write would have been sent: another room gets it instead.
//!
//! An upgraded room is read-only, and people with enough power still act there. They get their answers where pages go now.
//! What another room gets is a message of its own kind: it is never passed on a second time.

use super::dispatch::OutboxError;
use crate::domain::lists::ListSettings;
use crate::domain::outgoing::{Outgoing, OutgoingKind};
use crate::engine::Change;
use crate::ids;
use crate::rooms::{departed, trouble};
use crate::store::enqueue::NewMessage;
use crate::store::settle::{self, Retry};
use crate::store::{Claimed, Head, left_room, post, room};

/// Enqueues an answer, or a timeline entry that no other room shows, for `rooms` instead of the message's own room. Other
/// messages belong to their room alone.
pub(super) async fn show_in(change: &mut Change, head: &Head, rooms: &[String]) -> Result<(), OutboxError> {
    let (now, label) = (change.now(), room::label(change.tx(), &head.room).await?);
    let payload = match &head.payload {
        Outgoing::Answer { answer, .. } => Outgoing::AnswerElsewhere { room: label, answer: answer.clone() },
        Outgoing::Show { .. } => Outgoing::ShowElsewhere,
        Outgoing::ThreadEntry { entry } => {
            let Some(incident) = head.incident else { return Ok(()) };
            if post::is_also_elsewhere(change.tx(), incident, &head.room).await? {
                return Ok(());
            }
            Outgoing::EntryElsewhere { room: label, entry: entry.clone() }
        }
        _ => return Ok(()),
    };
    for room in rooms {
        let message = NewMessage {
            id: ids::unique(),
            room_list: &head.room_list,
            room,
            payload: payload.clone(),
            incident: head.incident,
            rung: None,
            post: None,
            not_before: now,
        };
        change.enqueue(message).await?;
    }
    Ok(())
}

/// The same, for the room that the list posts in instead of the message's room, or for the list's other rooms.
pub(super) async fn show(change: &mut Change, head: &Head, list: &ListSettings) -> Result<(), OutboxError> {
    let rooms = match departed::replacement(change.tx(), list, &head.room).await? {
        Some(replacement) => vec![replacement],
        None => trouble::others(change.tx(), list, &head.room).await?,
    };
    show_in(change, head, &rooms).await
}

/// Follows a room that was replaced while the message was being sent, for everybody or for this list. Moves the message to
/// the replacement, or cancels it if it relates to a post in the old room. Returns whether the room was replaced.
pub(super) async fn follow_room(
    change: &mut Change,
    claimed: &Claimed,
    error: &str,
) -> Result<bool, OutboxError> {
    let now = change.now();
    let tx = change.tx();
    let room = claimed.head.room.as_str();
    let replacement = room::room_of(tx, room).await?;
    let retry = Retry { uncertain: false, counts: true, error };
    let head = &claimed.head;
    if replacement == room {
        let moves =
            !head.uncertain && matches!(head.payload.kind(), OutgoingKind::Page | OutgoingKind::Fallback);
        let successor = left_room::successor(tx, &head.room_list, room, head.created_at).await?;
        let Some(successor) = successor.filter(|_| moves) else { return Ok(false) };
        settle::retry(tx, head.id, &retry, now).await?;
        left_room::move_waiting(tx, &head.room_list, (room, &successor), now).await?;
        if left_room::waits_in(tx, head.id, room).await? {
            // It cannot move, and would be tried here again and again.
            settle::undeliverable(tx, head, error, now).await?;
        }
        return Ok(true);
    }
    settle::retry(tx, head.id, &retry, now).await?;
    if matches!(
        head.payload.kind(),
        OutgoingKind::Edit | OutgoingKind::Thread | OutgoingKind::Reaction | OutgoingKind::DigestPart
    ) {
        settle::cancelled(tx, head, now).await?;
        show_in(change, head, std::slice::from_ref(&replacement)).await?;
    }
    room::note_alias(change.tx(), room, &replacement, now).await?;
    Ok(true)
}
