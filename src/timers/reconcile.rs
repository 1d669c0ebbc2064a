//! Reads the rooms for events that the homeserver did not push: Synapse loses events if it restarts during a
//! transaction (synapse#11637). This puts the found events into the same inbox, where each event counts once.

use crate::clock::SharedClock;
use crate::domain::time::{between, earlier, later};
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::health::Health;
use crate::matrix::{ClientError, Failure, Identity};
use crate::rooms::{RoomError, Rooms};
use crate::store::{Store, StoreError};
use crate::worker::{HOMESERVER_STEP_LIMIT, Progress, Worker, beat};
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How often the worker reads the rooms while there is no sign of lost events.
const EVERY: Duration = Duration::from_mins(3);
/// How often it also reads the relations of each open incident's messages. This needs one request per message, an alert
/// storm has many messages, and it rarely finds events that reading the rooms does not find.
const POSTS_EVERY: Duration = Duration::from_mins(30);
/// How soon rooms are read again that could not be read.
const RETRY: Duration = Duration::from_secs(10);
/// How many rooms are read side by side.
const SIDE_BY_SIDE: usize = 8;
/// How long reading one room may take.
const READING: Duration = Duration::from_mins(2);
/// After so many requests in a row without an answer, the homeserver counts as unreachable, and the round ends.
const MOST_UNANSWERED: u32 = 5;
/// The number of events per insert into the inbox.
const BATCH: usize = 100;
/// The period that each round reads again, because the clocks of servers differ.
const OVERLAP: Duration = Duration::from_mins(5);
/// The maximum number of pages per room: 5 000 events.
const MOST_PAGES: usize = 50;
/// The maximum number of pages of one message's relations: 1 000 events.
const MOST_RELATION_PAGES: usize = 10;
/// The maximum number of messages whose relations one round reads.
const MOST_POSTS: i64 = 500;

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The found events could not be stored.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A virtual user could not be set up.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// A request to the homeserver failed.
    #[error(transparent)]
    Homeserver(#[from] ClientError),
    /// Reading one room took too long.
    #[error("it was not read within {} s", READING.as_secs())]
    TooSlow,
}

/// The reconciliation worker.
#[derive(Debug)]
pub struct Reconcile {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    lists: CurrentLists,
    rooms: Rooms,
    health: Health,
    last: Mutex<Last>,
}

/// What the worker has read, and when the next rounds are due.
#[derive(Debug, Default, Clone)]
struct Last {
    rooms: Option<Timestamp>,
    posts: Option<Timestamp>,
    /// Rooms that could not be read, for a reason that may pass.
    failing: BTreeSet<OwnedRoomId>,
    /// When the next step is due, unless something wakes it before.
    due: Option<Timestamp>,
}

impl Last {
    /// Whether this round also reads the relations: every half hour, and after an outage, when the round comes early.
    fn posts_are_due(&self, now: Timestamp) -> bool {
        let ago = |at: Option<Timestamp>| at.map_or(Duration::MAX, |at| between(at, now));
        ago(self.rooms) < EVERY || ago(self.posts) >= POSTS_EVERY
    }

    /// Whether this round reads only the rooms that failed: neither is a whole round due, nor has an outage ended, which
    /// wakes the worker early.
    fn retries_only(&self, now: Timestamp) -> bool {
        let whole_round = self.rooms.is_none_or(|at| between(at, now) >= EVERY);
        !self.failing.is_empty() && !whole_round && self.due.is_some_and(|due| now >= due)
    }
}

/// The part of an event that decides whether it goes into the inbox.
#[derive(serde::Deserialize)]
struct EventHeader<'a> {
    origin_server_ts: i64,
    #[serde(borrow, default)]
    sender: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    event_type: Cow<'a, str>,
    #[serde(borrow, default)]
    event_id: Cow<'a, str>,
    #[serde(default)]
    unsigned: Unsigned,
}

#[derive(Default, serde::Deserialize)]
struct Unsigned {
    #[serde(default)]
    transaction_id: serde_json::Value,
    #[serde(default)]
    redacted_because: Option<IgnoredAny>,
}

/// Messages of the reading user with their ids in the outbox.
#[derive(Debug, Default)]
struct Own {
    events: Vec<String>,
    messages: Vec<Uuid>,
}

impl Reconcile {
    /// A worker that reads rooms as the virtual users, and records in `health` when it has.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        lists: CurrentLists,
        rooms: Rooms,
        health: Health,
    ) -> Self {
        Self { engine, store, clock, lists, rooms, health, last: Mutex::default() }
    }

    /// The rooms to read, each with a virtual user that is in it: those of the lists, and those that were left while something
    /// that was posted there is open, because people still react there.
    async fn targets(&self) -> Result<Vec<(OwnedUserId, OwnedRoomId)>, StoreError> {
        let mut targets: BTreeMap<OwnedRoomId, OwnedUserId> = BTreeMap::new();
        for list in self.lists.load().all() {
            for reference in list.references() {
                let room = self.store.room_of(&reference).await?;
                let joined = self.store.membership(list.user_id.as_str(), &room).await?;
                if joined.as_deref() == Some("join")
                    && let Ok(room) = RoomId::parse(&room)
                {
                    targets.entry(room).or_insert_with(|| list.user_id.clone());
                }
            }
        }
        for (user, room) in self.store.rooms_with_open_posts().await? {
            if let (Ok(user), Ok(room)) = (UserId::parse(&user), RoomId::parse(&room)) {
                targets.entry(room).or_insert(user);
            }
        }
        Ok(targets.into_iter().map(|(room, user)| (user, room)).collect())
    }

    /// Reads rooms side by side, each back to the end of its last reading. A room that was never read starts at the current
    /// time: earlier messages are not commands to matrixbot.
    async fn rooms(
        &self,
        round: &mut Round,
        wanted: impl Fn(&RoomId) -> bool + Send,
    ) -> Result<(), ReconcileError> {
        let mut targets = self.targets().await?;
        targets.retain(|(_, room)| wanted(room));
        let reading = targets.into_iter().map(|(user, room)| async move {
            let read = tokio::time::timeout(READING, async {
                let identity = self.rooms.users().identity(&user).await?;
                self.room(&identity, &room).await
            });
            let read = read.await.unwrap_or(Err(ReconcileError::TooSlow));
            (room, read)
        });
        let mut reading = stream::iter(reading).buffer_unordered(SIDE_BY_SIDE);
        while let Some((room, read)) = reading.next().await {
            if round.record(&room, read)? {
                round.failing.insert(room);
            }
        }
        Ok(())
    }

    async fn room(&self, identity: &Identity, room: &RoomId) -> Result<u64, ReconcileError> {
        let now = self.clock.now();
        let Some(cursor) = self.store.cursor(room.as_str()).await? else {
            self.store.note_cursor(room.as_str(), now.as_millisecond(), now).await?;
            return Ok(0);
        };
        let lists = self.lists.load();
        let horizon = earlier(Timestamp::from_millisecond(cursor).unwrap_or(now), OVERLAP).as_millisecond();
        let mut events: Vec<Box<RawValue>> = Vec::new();
        let mut own = Own::default();
        let mut newest = cursor;
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let page = self.rooms.client().messages(identity, room, from.as_deref(), &[]).await?;
            let mut reached_horizon = false;
            for event in page.events {
                let Ok(header) = serde_json::from_str::<EventHeader<'_>>(event.get()) else { continue };
                let EventHeader { origin_server_ts, sender, event_type, event_id, unsigned } = header;
                if origin_server_ts < horizon {
                    reached_horizon = true;
                    continue;
                }
                // Most events in the rooms are from our virtual users.
                if matches!(&*event_type, "m.room.message" | "m.reaction") && lists.of_user(&sender).is_some()
                {
                    let message = unsigned.transaction_id.as_str().and_then(|id| Uuid::parse_str(id).ok());
                    if let (Some(message), None) = (message, unsigned.redacted_because)
                        && *sender == *identity.user_id
                    {
                        own.events.push(event_id.into_owned());
                        own.messages.push(message);
                    }
                    continue;
                }
                // A server whose clock is ahead must not make later rounds skip events.
                newest = newest.max(origin_server_ts.min(now.as_millisecond()));
                events.push(event);
            }
            from = page.next;
            if reached_horizon || from.is_none() {
                break;
            }
        }
        // `/messages` returns the newest event first; the inbox needs the order of arrival.
        events.reverse();
        let mut found = 0;
        for batch in events.chunks(BATCH) {
            found += self.engine.accept_found(batch).await?;
        }
        for (event_id, message) in self.store.unknown_copies(&own.events, &own.messages).await? {
            if let Ok(event_id) = EventId::parse(&event_id) {
                self.engine.own_event(message, room, &identity.user_id, &event_id).await?;
            }
        }
        self.store.note_cursor(room.as_str(), newest, now).await?;
        Ok(found)
    }

    /// Reads the relations of each open incident's messages. Returns whether all were read that can be.
    async fn posts(&self, round: &mut Round) -> Result<bool, ReconcileError> {
        let posts = self.store.open_posts(MOST_POSTS).await?.into_iter().filter_map(|(user, room, event)| {
            Some((UserId::parse(&user).ok()?, RoomId::parse(&room).ok()?, EventId::parse(&event).ok()?))
        });
        let reading = posts.map(|(user, room, event)| async move {
            let read = tokio::time::timeout(READING, async {
                let identity = self.rooms.users().identity(&user).await?;
                self.post(&identity, &room, &event).await
            });
            let read = read.await.unwrap_or(Err(ReconcileError::TooSlow));
            (room, read)
        });
        let mut reading = stream::iter(reading).buffer_unordered(SIDE_BY_SIDE);
        let mut all = true;
        while let Some((room, read)) = reading.next().await {
            all &= !round.record(&room, read)?;
        }
        Ok(all)
    }

    async fn post(
        &self,
        identity: &Identity,
        room: &RoomId,
        event_id: &EventId,
    ) -> Result<u64, ReconcileError> {
        let mut events: Vec<Box<RawValue>> = Vec::new();
        let mut from = None;
        for _ in 0..MOST_RELATION_PAGES {
            let read = self.rooms.client().relations(identity, room, event_id, from.as_deref()).await;
            if let Err(error) = &read
                && error.failure() == Failure::NotFound
            {
                let (event, room, user) = (event_id.as_str(), room.as_str(), identity.user_id.as_str());
                self.store.note_purged(event, room, user, self.clock.now()).await?;
                return Ok(0);
            }
            let page = read?;
            events.extend(page.events);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        events.reverse();
        Ok(self.engine.accept_found(&events).await?)
    }
}

impl Worker for Reconcile {
    type Error = ReconcileError;

    fn name(&self) -> &'static str {
        "reconcile"
    }

    fn limit(&self) -> Duration {
        HOMESERVER_STEP_LIMIT
    }

    async fn step(&self) -> Result<Progress, ReconcileError> {
        let mut round = Round::default();
        let now = self.clock.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.retries_only(now) {
            let failing = std::mem::take(&mut last.failing);
            self.rooms(&mut round, |room| failing.contains(room)).await?;
        } else {
            self.rooms(&mut round, |_| true).await?;
            if last.posts_are_due(now) && self.posts(&mut round).await? {
                last.posts = Some(now);
            }
            last.rooms = Some(now);
            if round.failing.is_empty() {
                self.health.set_rooms_read(now);
            }
        }
        let wait = if round.failing.is_empty() { EVERY } else { RETRY };
        last.failing = round.failing;
        last.due = Some(later(now, wait));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        let found = round.found;
        if found > 0 {
            tracing::debug!(found, "found {found} events that had not been pushed (yet)");
        }
        Ok(Progress::Idle(wait))
    }
}

/// The result of one round.
#[derive(Debug, Default)]
struct Round {
    found: u64,
    /// How many requests in a row got no answer.
    unanswered: u32,
    failing: BTreeSet<OwnedRoomId>,
}

impl Round {
    /// Records the result of reading one room or message. Returns whether it failed in a way that may pass; the round goes on
    /// with the others. The round ends if the database fails, or if nothing answers any more.
    fn record(&mut self, room: &RoomId, read: Result<u64, ReconcileError>) -> Result<bool, ReconcileError> {
        beat();
        let error = match read {
            Ok(found) => {
                self.found += found;
                self.unanswered = 0;
                return Ok(false);
            }
            Err(error) => error,
        };
        let lasts = match &error {
            ReconcileError::Store(cause)
            | ReconcileError::Engine(EngineError::Unavailable(cause))
            | ReconcileError::Room(RoomError::Store(cause))
                if !cause.is_data_error() =>
            {
                return Err(error);
            }
            ReconcileError::Homeserver(cause) | ReconcileError::Room(RoomError::Homeserver(cause)) => {
                self.unanswered = if cause.errcode().is_some() { 0 } else { self.unanswered + 1 };
                !cause.failure().is_temporary()
            }
            ReconcileError::TooSlow => {
                self.unanswered += 1;
                false
            }
            ReconcileError::Store(_) | ReconcileError::Engine(_) | ReconcileError::Room(_) => true,
        };
        if self.unanswered >= MOST_UNANSWERED {
            return Err(error);
        }
        tracing::warn!(room = %room, %error, "{room} could not be read for events that were not pushed: {error}");
        Ok(!lasts)
    }
}
