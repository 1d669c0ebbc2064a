//! Settling an attempt: what it means for the message, the room and the incident, in one transaction that also
//! claims the room's next message.

use super::dispatch::{Outbox, OutboxError};
use super::pacing::{Verdict, verdict};
use super::sending::Attempt;
use crate::domain::input::Decision;
use crate::domain::time::between;
use crate::ids;
use crate::store::enqueue::{self, Draft};
use crate::store::settle::Retry;
use crate::store::{
    Claimed, Head, Kind, Payload, StoredIncident, Tx, claim, commit, inbox, incident, room, settle,
};
use crate::telemetry::DeliveryOutcome;
use ruma::EventId;

type Followed = Option<(StoredIncident, Decision)>;

impl Outbox {
    /// Records what became of an attempt, and claims what the room has to send next.
    pub(super) async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
    ) -> Result<Option<Claimed>, OutboxError> {
        let now = self.engine.clock().now();
        let mut tx = self.engine.store().begin().await?;
        let head = &claimed.head;
        let is_page = head.payload.kind() == Kind::Page;
        // Lock order: the incident comes before its messages.
        let stored = match head.incident {
            Some(number) if is_page => incident::lock(&mut tx, number).await?,
            _ => None,
        };
        settle::check(&mut tx, &claimed.lease).await?;
        let mut answered = 0;
        let (followed, outcome, goes_on) = match attempt {
            Attempt::Sent(event_id) => {
                settle::sent(&mut tx, head, claimed.version, event_id.as_str(), now).await?;
                answered = self.find_answers(&mut tx, head, event_id).await?;
                (self.follow_sent(&mut tx, claimed, event_id, stored).await?, DeliveryOutcome::Sent, true)
            }
            Attempt::Failed { failure, uncertain, error } => {
                let failures = settle::failures(&mut tx, &head.room).await?;
                match verdict(*failure, failures, now, rand::random()) {
                    Verdict::Retry { at, counts } => {
                        let uncertain = *uncertain;
                        settle::retry(&mut tx, &claimed.lease, &Retry { at, uncertain, counts, error }, now)
                            .await?;
                        if counts {
                            self.engine.wakers().liveness.notify_one();
                        }
                        let outcome =
                            if counts { DeliveryOutcome::Retried } else { DeliveryOutcome::RateLimited };
                        (None, outcome, false)
                    }
                    Verdict::GiveUp if self.follow_room(&mut tx, claimed, error).await? => {
                        (None, DeliveryOutcome::Retried, false)
                    }
                    Verdict::GiveUp => {
                        settle::undeliverable(&mut tx, head, error, now).await?;
                        (
                            self.follow_undeliverable(&mut tx, claimed, stored).await?,
                            DeliveryOutcome::Undeliverable,
                            true,
                        )
                    }
                }
            }
        };
        let mut next = None;
        if goes_on {
            if !self.stopping()
                && let Some(head) = claim::next_head(&mut tx, &claimed.lease.room, None, now).await?
            {
                next = self.take(&mut tx, head, Some(&claimed.lease)).await?;
            }
            if next.is_none() {
                settle::release(&mut tx, &claimed.lease).await?;
            }
        }
        commit(tx).await?;
        if outcome == DeliveryOutcome::Undeliverable {
            self.engine.wakers().attendance.notify_one();
        }
        if answered > 0 {
            self.engine.wakers().inbox.notify_one();
        }
        self.tell(claimed, attempt, outcome, followed.as_ref());
        Ok(next)
    }

    /// What people said to the message before we knew that it is ours is handled again. They can see it as soon as the
    /// homeserver has it, which may be long before its reply reaches us.
    async fn find_answers(&self, tx: &mut Tx, head: &Head, event_id: &EventId) -> Result<u64, OutboxError> {
        if head.incident.is_none() || matches!(head.payload.kind(), Kind::Edit | Kind::Reaction) {
            return Ok(0);
        }
        inbox::lock_target(tx, event_id.as_str()).await?;
        Ok(inbox::reopen(tx, event_id.as_str()).await?)
    }

    /// Follows a room that was replaced while the message was on its way to it: what stands on its own goes to the
    /// replacement, and what hangs on a post of the old room has nowhere to go. Returns whether it was.
    async fn follow_room(&self, tx: &mut Tx, claimed: &Claimed, error: &str) -> Result<bool, OutboxError> {
        let now = self.engine.clock().now();
        let room = claimed.head.room.as_str();
        let replacement = room::room_of(tx, room).await?;
        if replacement == room {
            return Ok(false);
        }
        let retry = Retry { at: now, uncertain: false, counts: true, error };
        settle::retry(tx, &claimed.lease, &retry, now).await?;
        if matches!(claimed.head.payload.kind(), Kind::Edit | Kind::Thread | Kind::Reaction) {
            settle::cancelled(tx, &claimed.head, now).await?;
        }
        room::note_alias(tx, room, &replacement, now).await?;
        Ok(true)
    }

    async fn follow_sent(
        &self,
        tx: &mut Tx,
        claimed: &Claimed,
        event_id: &EventId,
        stored: Option<StoredIncident>,
    ) -> Result<Followed, OutboxError> {
        let head = &claimed.head;
        let now = self.engine.clock().now();
        let place = self.engine.lists().get(&head.room_list).is_none_or(|list| list.place_reaction);
        if head.payload.shows_incident() && place {
            let draft = Draft {
                id: ids::unique(),
                room_list: &head.room_list,
                room: &head.room,
                payload: Payload::AckReaction { to: event_id.to_owned() },
                incident: head.incident,
                rung: None,
                post: head.post,
                not_before: now,
            };
            enqueue::enqueue(tx, draft, now).await?;
        }
        let (Some(stored), Some(rung)) = (stored, head.rung) else { return Ok(None) };
        let decision = self.engine.page_sent(tx, &stored, rung).await?;
        Ok(Some((stored, decision)))
    }

    async fn follow_undeliverable(
        &self,
        tx: &mut Tx,
        claimed: &Claimed,
        stored: Option<StoredIncident>,
    ) -> Result<Followed, OutboxError> {
        let (Some(stored), Some(rung)) = (stored, claimed.head.rung) else { return Ok(None) };
        let decision = self.engine.page_undeliverable(tx, &stored, rung).await?;
        Ok(decision.map(|decision| (stored, decision)))
    }

    fn tell(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        outcome: DeliveryOutcome,
        followed: Option<&(StoredIncident, Decision)>,
    ) {
        let metrics = self.engine.metrics();
        metrics.delivery(outcome);
        let head = &claimed.head;
        let (message, room, kind) = (head.id, head.room.as_str(), head.payload.kind().as_str());
        match attempt {
            Attempt::Sent(event_id) => {
                tracing::info!(outbox_message = %message, room, kind, event = %event_id, incident = head.incident, "{kind} {message} is in {room} as {event_id}");
                if let (Payload::Page, Some(rung)) = (&head.payload, head.rung) {
                    metrics.paged(&head.room_list, rung.level);
                    metrics.page_latency(between(head.created_at, self.engine.clock().now()));
                }
            }
            Attempt::Failed { error, .. } if outcome == DeliveryOutcome::Undeliverable => {
                tracing::error!(outbox_message = %message, room, kind, incident = head.incident, error, "{kind} {message} cannot be delivered to {room}: {error}");
            }
            Attempt::Failed { error, .. } => {
                tracing::warn!(outbox_message = %message, room, kind, incident = head.incident, attempts = head.attempts, error, "{kind} {message} waits for {room}: {error}");
            }
        }
        if let Some((stored, decision)) = followed {
            self.engine.delivered(stored, decision);
        }
    }
}
