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
use crate::store::{Claimed, Kind, Payload, StoredIncident, Tx, claim, commit, incident, settle};
use crate::telemetry::DeliveryOutcome;

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
        let (followed, outcome, goes_on) = match attempt {
            Attempt::Sent(event_id) => {
                settle::sent(&mut tx, head, claimed.version, event_id.as_str(), now).await?;
                (self.follow_sent(&mut tx, claimed, stored).await?, DeliveryOutcome::Sent, true)
            }
            Attempt::Failed { failure, uncertain, error } => {
                let failures = settle::failures(&mut tx, &head.room).await?;
                match verdict(*failure, failures, now, rand::random()) {
                    Verdict::Retry { at, counts } => {
                        let uncertain = *uncertain;
                        settle::retry(&mut tx, &claimed.lease, &Retry { at, uncertain, counts, error })
                            .await?;
                        let outcome =
                            if counts { DeliveryOutcome::Retried } else { DeliveryOutcome::RateLimited };
                        (None, outcome, false)
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
            settle::release(&mut tx, &claimed.lease).await?;
            if !self.stopping()
                && let Some(head) = claim::next_head(&mut tx, &claimed.lease.room, None, now).await?
            {
                next = self.take(&mut tx, head).await?;
            }
        }
        commit(tx).await?;
        self.tell(claimed, attempt, outcome, followed.as_ref());
        Ok(next)
    }

    async fn follow_sent(
        &self,
        tx: &mut Tx,
        claimed: &Claimed,
        stored: Option<StoredIncident>,
    ) -> Result<Followed, OutboxError> {
        let head = &claimed.head;
        let now = self.engine.clock().now();
        let makes_root = head.root.is_none() && matches!(head.payload, Payload::Page | Payload::Fallback);
        let place = self.engine.lists().get(&head.room_list).is_none_or(|list| list.place_reaction);
        if makes_root && place {
            let draft = Draft {
                id: ids::unique(),
                room_list: &head.room_list,
                room: &head.room,
                payload: Payload::AckReaction,
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
