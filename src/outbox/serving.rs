//! Serving a room: this process holds its gate, and has several messages of different incidents on their way.
//!
//! Whenever attempts have ended, one transaction settles them and claims other messages, while the remaining ones go on: the
//! longer a transaction takes, the more attempts the next one settles. Once an attempt pauses the room, no other message is
//! claimed, and the gate is given back when the last one has ended.

use super::dispatch::{Outbox, OutboxError};
use super::pacing::pause;
use super::sending::Attempt;
use super::settling::{Done, Settled, Then};
use super::sharing::{Ended, SLOW};
use super::width::Width;
use crate::domain::time::{between, later};
use crate::engine::EngineError;
use crate::store::{Claimed, Lease, StoreError};
use crate::telemetry::DeliveryOutcome;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

/// How often settling is retried while the database is unavailable: for about a minute. After that, the messages are sent
/// again with the same transaction ids once the lease expires.
const MOST_SETTLING: u32 = 10;
const LONGEST_SETTLING_PAUSE: Duration = Duration::from_secs(10);

/// What is known about a hold of a gate.
#[derive(Debug)]
struct Hold {
    width: Width,
    /// Attempts that have ended and are not settled.
    done: Vec<Done>,
    /// Whether the room pauses.
    pauses: bool,
    /// Whether attempts are settled one by one: one of them cannot be settled.
    one_by_one: bool,
    ended: Ended,
    /// Why an attempt could not be settled. Its message is searched for once the lease expires.
    failed: Option<OutboxError>,
}

impl Hold {
    fn note(&mut self, done: Done) {
        self.ended = if done.took < SLOW { Ended::Well } else { Ended::Slow };
        match done.attempt {
            Attempt::Sent { .. } => self.width.sent(done.took),
            Attempt::NotFound => {}
            Attempt::Failed { .. } => self.width.failed(),
        }
        self.done.push(done);
    }

    /// The attempts that the next transaction settles: all plain ones, or else one.
    fn batch(&mut self) -> Vec<Done> {
        if self.one_by_one || !self.done.first().is_some_and(Done::is_plain) {
            return self.done.drain(..self.done.len().min(1)).collect();
        }
        let (plain, others) = std::mem::take(&mut self.done).into_iter().partition(Done::is_plain);
        self.done = others;
        plain
    }
}

impl Outbox {
    /// Sends a room's messages, until its queue is empty or it must wait.
    pub(super) async fn serve(&self, room: &str) -> Result<Ended, OutboxError> {
        if room.starts_with('#') {
            return self.resolve(room).await.map(|()| Ended::Well);
        }
        let Some((lease, first)) = self.claim(room).await? else { return Ok(Ended::Well) };
        tokio::select! {
            ended = self.hold(&lease, first) => ended,
            never = self.renew_lease(&lease) => match never {},
        }
    }

    async fn hold(&self, lease: &Lease, first: Claimed) -> Result<Ended, OutboxError> {
        let mut on_their_way = FuturesUnordered::new();
        on_their_way.push(self.attempt(first).boxed());
        let mut looked = self.looked.subscribe();
        let mut hold = Hold {
            width: Width::new(self.settings.sends_at_once),
            done: Vec::new(),
            pauses: false,
            one_by_one: false,
            ended: Ended::Well,
            failed: None,
        };
        loop {
            if hold.done.is_empty() {
                let has_place = self.free(lease, &hold, on_their_way.len()) > 0;
                tokio::select! {
                    Some(done) = on_their_way.next() => hold.note(done),
                    Ok(()) = looked.changed(), if has_place => {}
                }
            }
            while let Some(Some(done)) = on_their_way.next().now_or_never() {
                hold.note(done);
            }
            looked.mark_unchanged();
            let batch = hold.batch();
            let others = on_their_way.len().saturating_add(hold.done.len());
            let then = Then {
                free: self.free(lease, &hold, others),
                releases: others == 0 && hold.failed.is_none(),
                pauses: hold.pauses,
            };
            let settled = {
                let mut settling = pin!(self.settle_fenced(lease, &batch, then));
                // Sending continues meanwhile.
                loop {
                    tokio::select! {
                        settled = &mut settling => break settled,
                        Some(done) = on_their_way.next(), if !on_their_way.is_empty() => hold.note(done),
                    }
                }
            };
            match settled {
                Ok(Some(Settled { next, pauses })) => {
                    hold.pauses |= pauses;
                    on_their_way.extend(next.into_iter().map(|message| self.attempt(message).boxed()));
                }
                // The next holder of the gate looks for the messages.
                Ok(None) => return Ok(hold.ended),
                Err(error) if batch.len() > 1 && !is_of_database(&error) => {
                    hold.one_by_one = true;
                    hold.done.extend(batch);
                }
                Err(error) => {
                    hold.pauses = true;
                    if batch.is_empty() {
                        tracing::warn!(room = lease.room, %error, "no message can be claimed: {error}");
                    } else {
                        hold.failed = Some(error);
                    }
                }
            }
            if on_their_way.is_empty() && hold.done.is_empty() {
                return hold.failed.map_or(Ok(hold.ended), Err);
            }
        }
    }

    /// How many more messages may be claimed, beside so many others.
    fn free(&self, lease: &Lease, hold: &Hold, others: usize) -> usize {
        if hold.pauses || self.stopping() {
            return 0;
        }
        let part = self.places().part_of(&lease.room, self.settings.rooms_at_once);
        hold.width.get().min(part).saturating_sub(others)
    }

    async fn attempt(&self, message: Claimed) -> Done {
        let began = self.clock.now();
        let attempt = self.sender.send(&message, began).await;
        Done { message, attempt, took: between(began, self.clock.now()) }
    }

    /// Renews a lease for as long as this is polled. If the renewal fails, another worker may take the gate, and then settles
    /// the messages.
    async fn renew_lease(&self, lease: &Lease) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.renewal).await;
            let until = later(self.clock.now(), self.settings.lease);
            if let Err(error) = self.store.renew(lease, until).await {
                tracing::warn!(room = lease.room, %error, "the lease on {} cannot be renewed: {error}", lease.room);
            }
        }
    }

    /// Settles attempts. While the database is unavailable, this retries, because the messages may already be in their room
    /// and no other worker should have to look for them. `None`: the lease is lost.
    async fn settle_fenced(
        &self,
        lease: &Lease,
        done: &[Done],
        then: Then,
    ) -> Result<Option<Settled>, OutboxError> {
        let mut tries = 0;
        loop {
            match self.settle(lease, done, then).await {
                Err(OutboxError::Store(StoreError::LeaseLost { room })) => {
                    for message in done.iter().map(|done| done.message.head.id) {
                        self.metrics.delivery(DeliveryOutcome::LeaseLost);
                        tracing::warn!(outbox_message = %message, room, "the lease on {room} ran out while {message} was sent");
                    }
                    return Ok(None);
                }
                Err(error) if is_of_database(&error) && !done.is_empty() && tries < MOST_SETTLING => {
                    for message in done.iter().map(|done| done.message.head.id) {
                        tracing::warn!(outbox_message = %message, %error, "{message} is settled as soon as the database is back: {error}");
                    }
                    tokio::time::sleep(pause(tries, rand::random()).min(LONGEST_SETTLING_PAUSE)).await;
                    tries += 1;
                }
                settled => return settled.map(Some),
            }
        }
    }

    /// Settles an attempt of the only message that is on its way, and claims at most one other.
    pub(super) async fn settle_alone(
        &self,
        lease: &Lease,
        message: Claimed,
        attempt: Attempt,
    ) -> Result<Option<Claimed>, OutboxError> {
        let done = [Done { message, attempt, took: Duration::ZERO }];
        let free = usize::from(!self.stopping());
        let settled = self.settle_fenced(lease, &done, Then { free, releases: true, pauses: false }).await?;
        Ok(settled.and_then(|settled| settled.next.into_iter().next()))
    }
}

/// Whether the database could not be reached, or returned an error.
fn is_of_database(error: &OutboxError) -> bool {
    matches!(
        error,
        OutboxError::Store(StoreError::Database(_))
            | OutboxError::Engine(EngineError::Unavailable(StoreError::Database(_)))
    )
}
