//! Scheduling: which rooms are served, how many at once, and which message each room sends next.

use crate::clock::SharedClock;
use crate::domain::time::{between, later};
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::ids;
use crate::matrix::Failure;
use crate::rooms::{RoomError, Rooms};
use crate::store::{Claimed, Lease, Store, StoreError};
use crate::telemetry::{DeliveryOutcome, Metrics};
use crate::worker::{self, Gate, Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pacing::pause;
use super::sending::{Attempt, Sender};
use super::sharing::{Ended, Places, SLOW, Taken};

/// How often settling is retried while the database is unavailable: for about a minute. After that, the message is sent
/// again with the same transaction id once the lease expires.
const MOST_SETTLING: u32 = 10;
const LONGEST_SETTLING_PAUSE: Duration = Duration::from_secs(10);

/// The settings of the outbox.
#[derive(Debug, Clone, Copy)]
pub struct OutboxSettings {
    /// How long a claim is valid without a renewal. A room waits this long if the process that serves it dies.
    pub lease: Duration,
    /// How often a claim is renewed while its message is being sent: several times per lease.
    pub renewal: Duration,
    /// The timeout of an attempt, including joins and registrations. It must be longer than the timeout of a request to
    /// the homeserver.
    pub attempt: Duration,
    /// How many rooms of one list are served at once, a fourth of them slow ones. All lists together have places for four
    /// times as many, and share them fairly.
    pub rooms_at_once: usize,
    /// The polling interval for rooms with messages to send, if no notification arrives.
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

/// Why a message could not be dispatched. It stays in the outbox and is retried.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database is unavailable, or returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not record the outcome.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A room or a virtual user could not be set up.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// A message's content cannot be serialized as JSON.
    #[error("the message cannot be written as JSON")]
    Content(#[from] serde_json::Error),
}

impl OutboxError {
    /// Whether the message itself is invalid, so a retry cannot help.
    pub(super) fn is_inconsistent(&self) -> bool {
        matches!(
            self,
            Self::Content(_)
                | Self::Store(StoreError::Inconsistent { .. })
                | Self::Engine(EngineError::Unavailable(StoreError::Inconsistent { .. }))
        )
    }
}

/// Sends the messages of the outbox.
#[derive(Debug)]
pub struct Outbox {
    pub(super) engine: Engine,
    pub(super) metrics: Arc<Metrics>,
    pub(super) lists: CurrentLists,
    pub(super) settings: OutboxSettings,
    places: Mutex<Places>,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    rooms: Rooms,
    sender: Sender,
    pub(super) owner: Uuid,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
    gate: Option<Gate>,
}

/// A step serves up to `rooms_at_once` rooms in parallel, until no room has messages to send. It also serves rooms that get
/// messages in the meantime, so a slow room does not delay the others.
impl Worker for Outbox {
    type Error = OutboxError;

    fn name(&self) -> &'static str {
        "outbox"
    }

    async fn step(&self) -> Result<Progress, OutboxError> {
        // A step that was stopped at its limit has given no place back.
        self.places().clear();
        let mut progress = Progress::Idle(self.settings.poll);
        let mut serving = FuturesUnordered::new();
        let mut failures = 0;
        loop {
            // The step goes on for as long as there are messages.
            worker::beat();
            let mut wait = self.settings.poll;
            let mut ended = Vec::new();
            let free = self.places().free(self.settings.rooms_at_once);
            if free > 0 && !self.stopping() {
                let found = {
                    let mut lookup = pin!(self.look_up(free));
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
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                    () = self.shutdown.cancelled(), if !self.stopping() => {}
                }
            }
            for (room, how) in ended {
                self.places().give_back(&room, how, self.clock.now(), rand::random());
                progress = match progress {
                    Progress::Idle(_) if how == Ended::Failed => Progress::Idle(Duration::ZERO),
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
    /// An outbox without shutdown and notifications.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        lists: CurrentLists,
        rooms: Rooms,
        settings: OutboxSettings,
    ) -> Self {
        let (places, wake, shutdown) = (Mutex::default(), Arc::default(), CancellationToken::new());
        let (sender, owner, gate) = (Sender::new(rooms.clone(), settings.attempt), ids::unique(), None);
        Self {
            engine,
            metrics,
            lists,
            settings,
            places,
            store,
            clock,
            rooms,
            sender,
            owner,
            wake,
            shutdown,
            gate,
        }
    }

    /// Once `shutdown` is cancelled, the outbox finishes its in-flight messages and claims no more.
    #[must_use]
    pub fn stopped_by(self, shutdown: CancellationToken) -> Self {
        Self { shutdown, ..self }
    }

    /// The outbox claims no message while the gate is closed.
    #[must_use]
    pub fn only_while(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The outbox looks for messages when it is notified.
    #[must_use]
    pub fn woken_by(self, wake: Arc<Notify>) -> Self {
        Self { wake, ..self }
    }

    /// Whether the outbox is shutting down and claims no more messages.
    pub(super) fn stopping(&self) -> bool {
        self.shutdown.is_cancelled() || self.gate.as_ref().is_some_and(|gate| !gate.is_open())
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds rooms to serve, and takes their places.
    async fn look_up(&self, free: usize) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        let for_one_list = self.settings.rooms_at_once;
        let count = |rooms: usize| i64::try_from(rooms).unwrap_or(i64::MAX);
        let mut rooms = Vec::new();
        loop {
            let busy = self.places().busy(now, for_one_list);
            let found = self.store.rooms_to_serve(now, count(free), count(for_one_list), &busy).await?;
            let mut any_too_slow = false;
            let mut places = self.places();
            for (room, list) in found {
                match places.take(&room, &list, for_one_list) {
                    Taken::Yes => rooms.push(room),
                    Taken::No => {}
                    Taken::TooSlow => any_too_slow = true,
                }
            }
            if !any_too_slow {
                return Ok(rooms);
            }
            // They stood before others. The next lookup leaves them out.
        }
    }

    /// Sends a room's messages, one after another, until its queue is empty or it must wait.
    async fn serve(&self, room: &str) -> Result<Ended, OutboxError> {
        if room.starts_with('#') {
            return self.resolve(room).await.map(|()| Ended::Well);
        }
        let mut claimed = self.claim(room).await?;
        let mut ended = Ended::Well;
        while let Some(message) = claimed {
            let began = self.clock.now();
            let attempt = tokio::select! {
                attempt = self.sender.send(&message, began) => attempt,
                never = self.renew_lease(&message.lease) => match never {},
            };
            let took = between(began, self.clock.now());
            claimed = self.settle_fenced(&message, &attempt, took).await?;
            ended = if took < SLOW { Ended::Well } else { Ended::Slow };
        }
        Ok(ended)
    }

    async fn serve_or_log(&self, room: String) -> (String, Ended) {
        let ended = self.serve(&room).await.unwrap_or_else(|error| {
            tracing::warn!(room, %error, "serving {room} failed and is retried: {error}");
            Ended::Failed
        });
        (room, ended)
    }

    /// Renews a lease for as long as this is polled. If the renewal fails, another worker may claim the message and then
    /// settles it.
    async fn renew_lease(&self, lease: &Lease) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.renewal).await;
            let until = later(self.clock.now(), self.settings.lease);
            if let Err(error) = self.store.renew(lease, until).await {
                tracing::warn!(outbox_message = %lease.message, room = lease.room, %error, "the lease on {} cannot be renewed: {error}", lease.room);
            }
        }
    }

    /// Settles an attempt. While the database is unavailable, this retries, because the message may already be in its room
    /// and no other worker should have to look for it.
    async fn settle_fenced(
        &self,
        message: &Claimed,
        attempt: &Attempt,
        took: Duration,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut tries = 0;
        loop {
            match self.settle(message, attempt, took).await {
                Err(OutboxError::Store(StoreError::LeaseLost { room })) => {
                    self.metrics.delivery(DeliveryOutcome::LeaseLost);
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

    /// Resolves an alias, and moves the alias's messages to the room. If the alias does not exist, they are undeliverable.
    async fn resolve(&self, alias: &str) -> Result<(), OutboxError> {
        let now = self.clock.now();
        match self.rooms.resolve(alias, now).await {
            Ok(resolved) if resolved.is_new => {
                tracing::info!(alias, room = resolved.room, "{alias} is {}", resolved.room);
                Ok(())
            }
            // A transaction that did not know the alias's room yet enqueued these messages.
            Ok(resolved) => Ok(self.store.note_alias(alias, &resolved.room, now).await?),
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
                    // The registration's own user asked: its trouble is none of the list's user.
                    let failure = match error.failure() {
                        limited @ Failure::RateLimited { .. } => limited,
                        _ => Failure::Temporary,
                    };
                    let attempt = Attempt::Failed { failure, uncertain: false, error: error.to_string() };
                    self.settle_fenced(&message, &attempt, Duration::ZERO).await?;
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
            claimed = self.settle_fenced(&message, &attempt, Duration::ZERO).await?;
        }
        Ok(())
    }
}
