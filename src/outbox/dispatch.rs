//! Scheduling: which rooms are served, and how many at once.

use crate::domain::time::later;
use crate::engine::{Engine, EngineError};
use crate::ids;
use crate::matrix::Failure;
use crate::rooms::{RoomError, Rooms};
use crate::store::{Claimed, Lease, StoreError};
use crate::worker::{self, Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pacing::pause;
use super::sending::Attempt;

/// How often settling is tried while the database is away: for about a minute. After that the message is sent again
/// under the same id, when the lease has run out.
const MOST_SETTLING: u32 = 10;
const LONGEST_SETTLING_PAUSE: Duration = Duration::from_secs(10);

/// How soon a room is retried that could not be served.
const AGAIN: Duration = Duration::from_millis(200);

/// How the outbox works.
#[derive(Debug, Clone, Copy)]
pub struct OutboxSettings {
    /// How long a claim holds if it is not renewed: how long a room waits when the process that served it dies.
    pub lease: Duration,
    /// How often a claim is renewed while its message is being sent: several times in a lease.
    pub renewal: Duration,
    /// How long an attempt may take, with everything that is mended in its course. Longer than a request to the
    /// homeserver may take.
    pub attempt: Duration,
    /// How many rooms are served at once.
    pub rooms_at_once: usize,
    /// How often rooms with something to send are looked up, without a notification.
    pub poll: Duration,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renewal: Duration::from_secs(5),
            attempt: Duration::from_mins(2),
            rooms_at_once: 32,
            poll: Duration::from_secs(1),
        }
    }
}

/// Why a message could not be dispatched. It stays where it is, and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not take what became of a message.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A virtual user is not as it must be.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// A message has a content that JSON cannot hold.
    #[error("the message cannot be written as JSON")]
    Content(#[from] serde_json::Error),
}

impl OutboxError {
    /// Whether the message itself is at fault, so that a retry cannot help.
    pub(super) fn is_inconsistent(&self) -> bool {
        matches!(
            self,
            Self::Content(_)
                | Self::Store(StoreError::Inconsistent { .. })
                | Self::Engine(EngineError::Unavailable(StoreError::Inconsistent { .. }))
        )
    }
}

/// Sends what the outbox holds.
#[derive(Debug)]
pub struct Outbox {
    pub(super) engine: Engine,
    pub(super) rooms: Rooms,
    pub(super) settings: OutboxSettings,
    pub(super) owner: Uuid,
    shutdown: CancellationToken,
}

/// A room that may be served again.
struct Served {
    room: String,
    failed: bool,
}

/// A step serves rooms, `rooms_at_once` side by side, until none has anything to send. Rooms that get something
/// to send meanwhile are served in the same step, so a slow room holds up no other.
impl Worker for Outbox {
    type Error = OutboxError;

    fn name(&self) -> &'static str {
        "outbox"
    }

    async fn step(&self) -> Result<Progress, OutboxError> {
        let mut progress = Progress::Idle(self.settings.poll);
        let mut serving = FuturesUnordered::new();
        let mut busy: Vec<String> = Vec::new();
        let mut failures = 0;
        loop {
            let mut wait = self.settings.poll;
            let mut ended = Vec::new();
            let free = self.settings.rooms_at_once.saturating_sub(busy.len());
            if free > 0 && !self.stopping() {
                let (now, limit) = (self.engine.clock().now(), i64::try_from(free).unwrap_or(i64::MAX));
                let found = {
                    let mut lookup = pin!(self.engine.store().rooms_to_serve(now, limit, &busy));
                    // Sending continues meanwhile.
                    loop {
                        tokio::select! {
                            found = &mut lookup => break found,
                            Some(room) = serving.next(), if !serving.is_empty() => ended.push(room),
                        }
                    }
                };
                match found {
                    Ok(rooms) => {
                        failures = 0;
                        busy.extend(rooms.iter().cloned());
                        serving.extend(rooms.into_iter().map(|room| self.serve_or_log(room)));
                    }
                    Err(error) if serving.is_empty() => return Err(error.into()),
                    Err(error) => {
                        failures += 1;
                        wait = worker::pause(failures, rand::random());
                        tracing::warn!(%error, failures, "the outbox cannot be read: {error}");
                    }
                }
            }
            if ended.is_empty() && !serving.is_empty() {
                tokio::select! {
                    Some(room) = serving.next() => ended.push(room),
                    () = self.engine.wakers().outbox.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                    () = self.shutdown.cancelled(), if !self.stopping() => {}
                }
            }
            for Served { room, failed } in ended {
                busy.retain(|other| *other != room);
                progress = match progress {
                    Progress::Idle(_) if failed => Progress::Idle(Duration::ZERO),
                    _ => Progress::More,
                };
            }
            if serving.is_empty() {
                return Ok(progress);
            }
        }
    }
}

impl Outbox {
    /// An outbox that finishes its messages in flight, and claims no more, once `shutdown` is cancelled.
    pub fn new(engine: Engine, rooms: Rooms, settings: OutboxSettings, shutdown: CancellationToken) -> Self {
        Self { engine, rooms, settings, owner: ids::unique(), shutdown }
    }

    /// Whether no more messages are claimed.
    pub(super) fn stopping(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Sends what a room holds, one message after another, until its queue is empty or it must wait.
    async fn serve(&self, room: &str) -> Result<(), OutboxError> {
        if room.starts_with('#') {
            return self.resolve(room).await;
        }
        let mut claimed = self.claim(room).await?;
        while let Some(message) = claimed {
            let attempt = tokio::select! {
                attempt = self.send(&message) => attempt,
                never = self.keep(&message.lease) => match never {},
            };
            claimed = self.settle_fenced(&message, &attempt).await?;
        }
        Ok(())
    }

    async fn serve_or_log(&self, room: String) -> Served {
        let served = self.serve(&room).await;
        if let Err(error) = &served {
            tracing::warn!(room, %error, "serving {room} failed and is retried: {error}");
            tokio::time::sleep(AGAIN).await;
        }
        Served { room, failed: served.is_err() }
    }

    /// Renews a lease for as long as this is polled. One that cannot be renewed may be taken over, and is settled by
    /// whoever took it.
    async fn keep(&self, lease: &Lease) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.renewal).await;
            let until = later(self.engine.clock().now(), self.settings.lease);
            if let Err(error) = self.engine.store().renew(lease, until).await {
                tracing::warn!(outbox_message = %lease.message, room = lease.room, %error, "the lease on {} cannot be renewed: {error}", lease.room);
            }
        }
    }

    /// Settles an attempt. While the database is away this waits for it: the message may be in its room, and nobody else
    /// must be made to ask for that.
    async fn settle_fenced(
        &self,
        message: &Claimed,
        attempt: &Attempt,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut tries = 0;
        loop {
            match self.settle(message, attempt).await {
                Err(OutboxError::Store(StoreError::LeaseLost { room })) => {
                    self.engine.metrics().delivery(crate::telemetry::DeliveryOutcome::LeaseLost);
                    tracing::warn!(outbox_message = %message.head.id, room, "the lease on {room} ran out while {} was sent", message.head.id);
                    return Ok(None);
                }
                Err(
                    OutboxError::Store(StoreError::Database(error))
                    | OutboxError::Engine(EngineError::Unavailable(StoreError::Database(error))),
                ) if tries < MOST_SETTLING => {
                    tracing::warn!(outbox_message = %message.head.id, %error, "{} is settled as soon as the database is back: {error}", message.head.id);
                    tokio::time::sleep(pause(tries, rand::random()).min(LONGEST_SETTLING_PAUSE)).await;
                    tries += 1;
                }
                settled => return settled,
            }
        }
    }

    /// Finds the room behind an alias, and moves what waits for it there. An alias that leads nowhere makes what waits
    /// for it undeliverable.
    async fn resolve(&self, alias: &str) -> Result<(), OutboxError> {
        let now = self.engine.clock().now();
        match self.rooms.resolve(alias, now).await {
            Ok(resolved) if resolved.is_new => {
                tracing::info!(alias, room = resolved.room, "{alias} is {}", resolved.room);
                Ok(())
            }
            // Enqueued by somebody who did not know yet where the alias leads.
            Ok(resolved) => Ok(self.engine.store().note_alias(alias, &resolved.room, now).await?),
            Err(RoomError::Store(error)) => Err(error.into()),
            Err(RoomError::Homeserver(error))
                if matches!(
                    error.failure(),
                    Failure::NotFound | Failure::Forbidden | Failure::BadRequest
                ) =>
            {
                self.give_up_room(alias, &error.to_string()).await
            }
            Err(RoomError::Homeserver(error)) => {
                if let Some(message) = self.claim(alias).await? {
                    self.settle_fenced(&message, &Attempt::unsent(&error)).await?;
                }
                Ok(())
            }
        }
    }

    async fn give_up_room(&self, room: &str, error: &str) -> Result<(), OutboxError> {
        let mut claimed = self.claim(room).await?;
        while let Some(message) = claimed {
            let error = error.to_owned();
            let attempt = Attempt::Failed { failure: Failure::NotFound, uncertain: false, error };
            claimed = self.settle_fenced(&message, &attempt).await?;
        }
        Ok(())
    }
}
