//! Scheduling: which rooms are served, how many at once, and which message each room sends next.

use crate::clock::SharedClock;
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::matrix::Failure;
use crate::rooms::{RoomError, Rooms};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::worker::{self, Gate, Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::sending::{Attempt, Sender};
use super::sharing::{Ended, Places, Taken};

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
    /// How many messages of one room are on their way at once, of different incidents. The rooms of a list that are served
    /// share its places: each may use so many of them as is its part, but always one.
    pub sends_at_once: usize,
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
            sends_at_once: 8,
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
    pub(super) sender: Sender,
    wake: Arc<Notify>,
    /// Changes whenever there may be more to send, for rooms that are being served.
    pub(super) looked: watch::Sender<u64>,
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
                    () = self.wake.notified() => self.looked.send_modify(|times| *times = times.wrapping_add(1)),
                    () = tokio::time::sleep(wait) => self.looked.send_modify(|times| *times = times.wrapping_add(1)),
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
        let (sender, looked, gate) =
            (Sender::new(rooms.clone(), settings.attempt), watch::Sender::new(0), None);
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
            wake,
            looked,
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

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
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

    async fn serve_or_log(&self, room: String) -> (String, Ended) {
        let ended = self.serve(&room).await.unwrap_or_else(|error| {
            tracing::warn!(room, %error, "serving {room} failed and is retried: {error}");
            Ended::Failed
        });
        (room, ended)
    }

    /// Resolves an alias, and moves the alias's messages to the room. If the alias does not exist, they are undeliverable.
    pub(super) async fn resolve(&self, alias: &str) -> Result<(), OutboxError> {
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
                if let Some((lease, message)) = self.claim(alias).await? {
                    // The registration's own user asked: its trouble is none of the list's user.
                    let failure = match error.failure() {
                        limited @ Failure::RateLimited { .. } => limited,
                        _ => Failure::Temporary,
                    };
                    let attempt = Attempt::Failed { failure, uncertain: false, error: error.to_string() };
                    self.settle_alone(&lease, message, attempt).await?;
                }
                Ok(())
            }
        }
    }

    async fn give_up_room(&self, room: &str, error: &str) -> Result<(), OutboxError> {
        let Some((lease, first)) = self.claim(room).await? else { return Ok(()) };
        let mut claimed = Some(first);
        while let Some(message) = claimed {
            let error = error.to_owned();
            let attempt = Attempt::Failed { failure: Failure::NotFound, uncertain: false, error };
            claimed = self.settle_alone(&lease, message, attempt).await?;
        }
        Ok(())
    }
}
