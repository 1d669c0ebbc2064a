//! Settles an attempt: one change updates the message, the room and the incident, and claims the room's next message.

use super::digests::{self, Carriage};
use super::dispatch::{Outbox, OutboxError};
use super::pacing::{Verdict, verdict};
use super::sending::Attempt;
use super::sharing::SLOW;
use super::{elsewhere, searching, trouble};
use crate::domain::incident::Rung;
use crate::domain::outgoing::{Outgoing, OutgoingKind};
use crate::domain::time::{between, later};
use crate::domain::totals::Counted;
use crate::engine::{Change, Wake};
use crate::ids;
use crate::matrix::Failure;
use crate::rooms::trouble::{log_user_is_back, log_user_trouble};
use crate::store::enqueue::{self, NewMessage};
use crate::store::settle::Retry;
use crate::store::{Claimed, Head, Lease, claim, incident, left_room, room, settle};
use crate::telemetry::DeliveryOutcome;
use jiff::Timestamp;
use ruma::{EventId, OwnedEventId};
use std::time::Duration;

/// After a slow attempt the room rests for this part of its duration, but no longer than a second.
const RESTS: u32 = 5;
const LONGEST_REST: Duration = Duration::from_secs(1);

impl Outbox {
    /// Records the result of an attempt, and claims the room's next message.
    pub(super) async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        took: Duration,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut change = self.engine.begin().await?;
        let now = change.now();
        let head = &claimed.head;
        let is_page = head.payload.kind() == OutgoingKind::Page;
        // Lock order: the incident comes before its messages.
        let stored = match head.incident {
            Some(number) if is_page => match incident::lock(change.tx(), number).await {
                // It must not stop its room. Its own timer decides once it can be read.
                Err(error) if error.is_unreadable() => None,
                locked => locked?,
            },
            _ => None,
        };
        let carriage = Carriage::lock(&mut change, head).await?;
        settle::check(change.tx(), &claimed.lease).await?;
        let page = stored.as_ref().zip(head.rung);
        let mut is_new_trouble = false;
        let (outcome, claims_next) = match attempt {
            Attempt::NotFound => return self.render_again(change, claimed).await,
            Attempt::Sent { event_id, copies } => {
                self.sent(&mut change, claimed, (event_id, copies), &carriage).await?;
                if let Some((stored, rung)) = page {
                    change.page_sent(stored, rung).await?;
                }
                (DeliveryOutcome::Sent, true)
            }
            Attempt::Failed { failure, uncertain, error } => {
                let failures = settle::failures(change.tx(), &head.room).await?;
                match verdict(*failure, failures, now, rand::random()) {
                    Verdict::Retry { at, counts } => {
                        let retry = Retry { at, uncertain: *uncertain, counts, error };
                        settle::retry(change.tx(), &claimed.lease, &retry, now).await?;
                        digests::failed(&mut change, head, attempt).await?;
                        if counts {
                            change.wake(Wake::Liveness);
                        }
                        (if counts { DeliveryOutcome::Retried } else { DeliveryOutcome::RateLimited }, false)
                    }
                    Verdict::Hold => {
                        let retry = Retry { at: now, uncertain: *uncertain, counts: false, error };
                        settle::retry(change.tx(), &claimed.lease, &retry, now).await?;
                        digests::failed(&mut change, head, attempt).await?;
                        is_new_trouble = trouble::hold(&mut change, head, error).await?;
                        (DeliveryOutcome::Retried, false)
                    }
                    Verdict::GiveUp if head.payload.carries_pages() => {
                        digests::given_up(&mut change, head).await?;
                        (DeliveryOutcome::Retried, true)
                    }
                    Verdict::GiveUp if follow_room(&mut change, claimed, error).await? => {
                        (DeliveryOutcome::Retried, false)
                    }
                    Verdict::GiveUp => {
                        settle::undeliverable(change.tx(), head, error, now).await?;
                        if *failure == Failure::Muted {
                            self.record_muted(&mut change, head, error).await?;
                        }
                        change.wake(Wake::Attendance);
                        if let Some((stored, rung)) = page {
                            change.page_undeliverable(stored, rung).await?;
                        }
                        (DeliveryOutcome::Undeliverable, true)
                    }
                }
            }
        };
        let trouble_is_over = head.checks.is_some() && trouble::is_over(&mut change, head, attempt).await?;
        let next = match claims_next {
            // A slow room rests, so that its list's other rooms are served.
            true if took >= SLOW => {
                let rest = (took / RESTS).min(LONGEST_REST);
                settle::rest(change.tx(), &claimed.lease, later(now, rest)).await?;
                None
            }
            true => self.claim_next(&mut change, &claimed.lease).await?,
            false => None,
        };
        let label = match attempt {
            Attempt::Failed { .. } => room::label(change.tx(), &head.room).await?,
            Attempt::Sent { .. } | Attempt::NotFound => head.room.clone(),
        };
        change.commit().await?;
        self.note(claimed, attempt, &label, outcome, now);
        if outcome == DeliveryOutcome::Sent {
            carriage.enqueued().for_each(|at| self.metrics.page_latency(between(at, now)));
        }
        if is_new_trouble && let Attempt::Failed { error, .. } = attempt {
            log_user_trouble(&head.room_list, &head.user_id, error);
        }
        if trouble_is_over {
            log_user_is_back(&head.room_list, &head.user_id);
        }
        Ok(next)
    }

    /// A message is in its room. `copies`: further events of it.
    async fn sent(
        &self,
        change: &mut Change,
        claimed: &Claimed,
        (event_id, copies): (&EventId, &[OwnedEventId]),
        carriage: &Carriage,
    ) -> Result<(), OutboxError> {
        let (now, head) = (change.now(), &claimed.head);
        let counted = [counted(head), carriage.counted(&head.room_list)].concat();
        let seen = settle::sent(change.tx(), head, claimed.version, event_id.as_str(), &counted, now).await?;
        find_answers(change, head, event_id).await?;
        self.place_reaction(change, head, event_id).await?;
        let seen = seen.and_then(|seen| OwnedEventId::try_from(seen).ok());
        let unknown = seen.filter(|seen| !copies.contains(seen));
        let copies: Vec<OwnedEventId> = copies.iter().cloned().chain(unknown).collect();
        if head.payload.carries_pages() {
            self.digest_sent(change, claimed, (event_id, &copies), carriage).await?;
        }
        if let Some(shown) = searching::shown(head)
            && (claimed.changed || !copies.is_empty())
        {
            change.show_one_state(&shown, &copies).await?;
        }
        Ok(())
    }

    /// Claims the room's next message, or releases the room's lease.
    pub(super) async fn claim_next(
        &self,
        change: &mut Change,
        lease: &Lease,
    ) -> Result<Option<Claimed>, OutboxError> {
        let now = change.now();
        if !self.stopping()
            && let Some(head) = claim::next_head(change.tx(), &lease.room, None, now).await?
            && let Some(next) = self.claim_from(change.tx(), head, Some(lease), now).await?
        {
            return Ok(Some(next));
        }
        settle::release(change.tx(), lease).await?;
        Ok(None)
    }

    /// Enqueues the reaction that people click, for a message that shows an incident.
    async fn place_reaction(
        &self,
        change: &mut Change,
        head: &Head,
        event_id: &EventId,
    ) -> Result<(), OutboxError> {
        let now = change.now();
        let wanted = self.lists.load().get(&head.room_list).is_none_or(|list| list.place_reaction);
        if !wanted || !head.payload.shows_incident() {
            return Ok(());
        }
        let draft = NewMessage {
            id: ids::unique(),
            room_list: &head.room_list,
            room: &head.room,
            payload: Outgoing::AckReaction { to: event_id.to_owned() },
            incident: head.incident,
            rung: None,
            post: head.post,
            not_before: now,
        };
        // This wakes no worker: the room is already being served.
        enqueue::enqueue(change.tx(), draft, now).await?;
        Ok(())
    }

    /// Counts and logs a settled attempt.
    fn note(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        label: &str,
        outcome: DeliveryOutcome,
        now: Timestamp,
    ) {
        let metrics = &self.metrics;
        metrics.delivery(outcome);
        let head = &claimed.head;
        let (message, room, kind) = (head.id, head.room.as_str(), head.payload.kind().as_str());
        match attempt {
            Attempt::NotFound => {}
            Attempt::Sent { event_id, .. } => {
                tracing::info!(outbox_message = %message, room, kind, event = %event_id, incident = head.incident, "{kind} {message} is in {room} as {event_id}");
                if head.payload == Outgoing::Page {
                    metrics.page_latency(between(head.created_at, now));
                }
            }
            Attempt::Failed { error, .. } if outcome == DeliveryOutcome::Undeliverable => {
                tracing::error!(outbox_message = %message, room, kind, incident = head.incident, error, "{kind} {message} cannot be delivered to {label}: {error}");
            }
            Attempt::Failed { error, .. } => {
                tracing::warn!(outbox_message = %message, room, kind, incident = head.incident, attempts = head.attempts, error, "{kind} {message} waits for {label}: {error}");
            }
        }
    }
}

/// What a sent message adds to the totals.
fn counted(head: &Head) -> Vec<Counted> {
    let rung = head.rung.filter(|_| head.payload.kind() == OutgoingKind::Page);
    let paged = |rung: Rung| Counted::Paged { room_list: head.room_list.clone(), level: rung.level };
    rung.map(paged).into_iter().collect()
}

/// Handles again what people answered to the message before matrixbot knew its event id.
async fn find_answers(change: &mut Change, head: &Head, event_id: &EventId) -> Result<(), OutboxError> {
    if head.incident.is_none() || matches!(head.payload.kind(), OutgoingKind::Edit | OutgoingKind::Reaction) {
        return Ok(());
    }
    Ok(change.find_answers(event_id).await?)
}

/// Follows a room that was replaced while the message was being sent, for everybody or for this list. Moves the message to
/// the replacement, or cancels it if it relates to a post in the old room. Returns whether the room was replaced.
async fn follow_room(change: &mut Change, claimed: &Claimed, error: &str) -> Result<bool, OutboxError> {
    let now = change.now();
    let tx = change.tx();
    let room = claimed.head.room.as_str();
    let replacement = room::room_of(tx, room).await?;
    let retry = Retry { at: now, uncertain: false, counts: true, error };
    if replacement == room {
        let head = &claimed.head;
        let moves =
            !head.uncertain && matches!(head.payload.kind(), OutgoingKind::Page | OutgoingKind::Fallback);
        let successor = left_room::successor(tx, &head.room_list, room, head.created_at).await?;
        let Some(successor) = successor.filter(|_| moves) else { return Ok(false) };
        settle::retry(tx, &claimed.lease, &retry, now).await?;
        left_room::move_waiting(tx, &head.room_list, (room, &successor), now).await?;
        if left_room::waits_in(tx, head.id, room).await? {
            // It cannot move, and would be tried here again and again.
            settle::undeliverable(tx, head, error, now).await?;
        }
        return Ok(true);
    }
    settle::retry(tx, &claimed.lease, &retry, now).await?;
    if matches!(
        claimed.head.payload.kind(),
        OutgoingKind::Edit | OutgoingKind::Thread | OutgoingKind::Reaction | OutgoingKind::DigestPart
    ) {
        settle::cancelled(tx, &claimed.head, now).await?;
        elsewhere::show_in(change, &claimed.head, std::slice::from_ref(&replacement)).await?;
    }
    room::note_alias(change.tx(), room, &replacement, now).await?;
    Ok(true)
}
