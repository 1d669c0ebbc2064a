//! Scheduling and claiming: which rooms are served, how many at once, and which message each room sends next.

use crate::clock::SharedClock;
use crate::domain::outgoing::Outgoing;
use crate::domain::reaction;
use crate::domain::time::later;
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::ids;
use crate::matrix::Failure;
use crate::rooms::{RoomError, Rooms};
use crate::store::{
    Claimed, Head, Lease, Store, StoreError, StoredIncident, Tx, claim, commit, incident, settle, timeline,
};
use crate::telemetry::{DeliveryOutcome, Metrics};
use crate::worker::{self, Gate, Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::pacing::pause;
use super::rendering::{Rendered, Source, Subject, render, render_reaction};
use super::sending::{Attempt, Sender};

/// How often settling is retried while the database is unavailable: for about a minute. After that, the message is sent
/// again with the same transaction id once the lease expires.
const MOST_SETTLING: u32 = 10;
const LONGEST_SETTLING_PAUSE: Duration = Duration::from_secs(10);

/// The maximum number of timeline entries for rendering a message.
const STORY: i64 = 200;

/// The delay before a room is retried after an error.
const AGAIN: Duration = Duration::from_millis(200);

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
    /// How many rooms are served at once.
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
    store: Store,
    clock: SharedClock,
    rooms: Rooms,
    sender: Sender,
    settings: OutboxSettings,
    owner: Uuid,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
    gate: Option<Gate>,
}

/// A room that is no longer being served.
struct Served {
    room: String,
    failed: bool,
}

/// A step serves up to `rooms_at_once` rooms in parallel, until no room has messages to send. It also serves rooms that
/// get messages in the meantime, so a slow room does not delay the others.
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
                let (now, limit) = (self.clock.now(), i64::try_from(free).unwrap_or(i64::MAX));
                let found = {
                    let mut lookup = pin!(self.store.rooms_to_serve(now, limit, &busy));
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
                    () = self.wake.notified() => {}
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
        let (wake, shutdown, gate) = (Arc::default(), CancellationToken::new(), None);
        let (sender, owner) = (Sender::new(rooms.clone(), settings.attempt), ids::unique());
        Self { engine, metrics, lists, store, clock, rooms, sender, settings, owner, wake, shutdown, gate }
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

    /// Sends a room's messages, one after another, until its queue is empty or it must wait.
    async fn serve(&self, room: &str) -> Result<(), OutboxError> {
        if room.starts_with('#') {
            return self.resolve(room).await;
        }
        let mut claimed = self.claim(room).await?;
        while let Some(message) = claimed {
            let attempt = tokio::select! {
                attempt = self.sender.send(&message, self.clock.now()) => attempt,
                never = self.renew_lease(&message.lease) => match never {},
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

    /// Renews a lease for as long as this is polled. If the renewal fails, another worker may claim the message and
    /// then settles it.
    async fn renew_lease(&self, lease: &Lease) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.renewal).await;
            let until = later(self.clock.now(), self.settings.lease);
            if let Err(error) = self.store.renew(lease, until).await {
                tracing::warn!(outbox_message = %lease.message, room = lease.room, %error, "the lease on {} cannot be renewed: {error}", lease.room);
            }
        }
    }

    /// Settles an attempt. While the database is unavailable, this retries, because the message may already be in its
    /// room and no other worker should have to look for it.
    async fn settle_fenced(
        &self,
        message: &Claimed,
        attempt: &Attempt,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut tries = 0;
        loop {
            match self.settle(message, attempt).await {
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

    /// Claims the head of a room's queue: renders, freezes and leases it in one transaction. `None`: no message is due,
    /// or the room pauses or is leased.
    async fn claim(&self, room: &str) -> Result<Option<Claimed>, OutboxError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some(head) = claim::lock_head(&mut tx, room, now).await? else { return Ok(None) };
        let claimed = self.claim_from(&mut tx, head, None, now).await?;
        commit(tx).await?;
        Ok(claimed)
    }

    /// Claims a message; if it is obsolete, the next one. The caller's transaction must have locked the room's gate, or
    /// `held` must be our lease on it.
    pub(super) async fn claim_from(
        &self,
        tx: &mut Tx,
        head: Head,
        held: Option<&Lease>,
        now: Timestamp,
    ) -> Result<Option<Claimed>, OutboxError> {
        let mut head = head;
        loop {
            match self.freeze(tx, &head, now).await {
                Ok(Some((event_type, content, version))) => {
                    let lease = Lease { room: head.room.clone(), owner: self.owner, message: head.id };
                    let until = later(now, self.settings.lease);
                    let frozen = (event_type.as_str(), &content);
                    claim::freeze(tx, &head, (&lease, held), until, frozen, version, now).await?;
                    return Ok(Some(Claimed { head, event_type, content, version, lease }));
                }
                Ok(None) => settle::cancelled(tx, &head, now).await?,
                // One invalid row must not block its room forever.
                Err(error) if error.is_inconsistent() => {
                    tracing::error!(outbox_message = %head.id, room = head.room, %error, "{} cannot be rendered and is given up: {error}", head.id);
                    self.metrics.delivery(DeliveryOutcome::Undeliverable);
                    settle::undeliverable(tx, &head, &error.to_string(), now).await?;
                }
                Err(error) => return Err(error),
            }
            match claim::next_head(tx, &head.room, None, now).await? {
                Some(next) => head = next,
                None => return Ok(None),
            }
        }
    }

    /// The message's frozen content, or else its content rendered now. `None`: the message is obsolete.
    async fn freeze(
        &self,
        tx: &mut Tx,
        head: &Head,
        now: Timestamp,
    ) -> Result<Option<(String, serde_json::Value, Option<i64>)>, OutboxError> {
        if let Some((event_type, content)) = &head.frozen {
            return Ok(Some((event_type.clone(), content.clone(), head.version)));
        }
        let lists = self.lists.load();
        let list = lists.get(&head.room_list);
        let ack_reaction = list.map_or(reaction::default_ack(), |list| list.ack_reaction());
        if let Outgoing::AckReaction { to } = &head.payload {
            return Ok(ready(render_reaction(head, to, ack_reaction)?, None));
        }
        let none = BTreeMap::new();
        let templates = list.map_or(&none, |list| &list.templates);
        let source = |policy, subject| Source {
            room_list: &head.room_list,
            subject,
            policy,
            templates,
            ack_reaction,
            now,
        };
        let Some(number) = head.incident else {
            let Some(list) = list else { return Ok(None) };
            return Ok(ready(render(head, &source(&list.policy, None))?, None));
        };
        let Some(stored) = incident::load(tx, number).await? else { return Ok(None) };
        let policy =
            self.engine.policy_or_current(&stored.room_list, stored.incident.run.policy_version).await?;
        let story = timeline::read(tx, number, STORY).await?;
        let view = stored.view(u32::try_from(policy.levels.len()).unwrap_or(u32::MAX));
        let subject = Subject { view: &view, story: &story };
        Ok(ready(render(head, &source(&policy, Some(subject)))?, Some(version_of(&stored))))
    }

    /// Resolves an alias, and moves the alias's messages to the room. If the alias does not exist, they are
    /// undeliverable.
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

/// The content of a rendered message, with the incident's version that it shows.
fn ready(rendered: Rendered, version: Option<i64>) -> Option<(String, serde_json::Value, Option<i64>)> {
    match rendered {
        Rendered::Ready(event_type, content) => Some((event_type.to_owned(), content, version)),
        Rendered::Obsolete => None,
    }
}

fn version_of(stored: &StoredIncident) -> i64 {
    i64::try_from(stored.incident.version).unwrap_or(i64::MAX)
}
