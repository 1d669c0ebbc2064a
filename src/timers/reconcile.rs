//! Reads the rooms for events that the homeserver did not push: Synapse loses events if it restarts during a
//! transaction (synapse#11637). This puts the found events into the same inbox, where each event counts once.

use crate::clock::SharedClock;
use crate::domain::time::{between, earlier};
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::matrix::{ClientError, Identity};
use crate::rooms::{RoomError, Rooms};
use crate::store::{Store, StoreError};
use crate::worker::{Progress, Worker};
use jiff::Timestamp;
use ruma::{EventId, RoomId, UserId};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the worker reads the rooms while there is no sign of lost events.
const EVERY: Duration = Duration::from_mins(3);
/// How often it also reads the relations of each open incident's messages. This needs one request per message, an alert
/// storm has many messages, and it rarely finds events that reading the rooms does not find.
const POSTS_EVERY: Duration = Duration::from_mins(30);
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
}

/// The reconciliation worker.
#[derive(Debug)]
pub struct Reconcile {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    lists: CurrentLists,
    rooms: Rooms,
    last: Mutex<Last>,
}

/// When the worker last read rooms and relations.
#[derive(Debug, Default, Clone, Copy)]
struct Last {
    rooms: Option<Timestamp>,
    posts: Option<Timestamp>,
}

impl Last {
    /// Whether this round also reads the relations: every half hour, and after an outage, when the round comes early.
    fn posts_are_due(self, now: Timestamp) -> bool {
        let ago = |at: Option<Timestamp>| at.map_or(Duration::MAX, |at| between(at, now));
        ago(self.rooms) < EVERY || ago(self.posts) >= POSTS_EVERY
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
}

impl Reconcile {
    /// A worker that reads rooms as the virtual users.
    pub fn new(engine: Engine, store: Store, clock: SharedClock, lists: CurrentLists, rooms: Rooms) -> Self {
        Self { engine, store, clock, lists, rooms, last: Mutex::default() }
    }

    /// Reads each room back to the end of the last round. A room that was never read starts at the current time:
    /// earlier messages are not commands to matrixbot.
    async fn rooms(&self, round: &mut Round) -> Result<(), ReconcileError> {
        let mut read = BTreeSet::new();
        for list in self.lists.load().iter() {
            for reference in list.references() {
                let room = self.store.room_of(&reference).await?;
                let joined = self.store.membership(list.user_id.as_str(), &room).await?;
                if joined.as_deref() != Some("join") || !read.insert(room.clone()) {
                    continue;
                }
                let Ok(room_id) = <&RoomId>::try_from(room.as_str()) else { continue };
                let identity = self.rooms.users().identity(&list.user_id).await?;
                round.record(self.room(&identity, room_id).await)?;
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
        let mut newest = cursor;
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let page = self.rooms.client().messages(identity, room, from.as_deref(), &[]).await?;
            let mut reached_horizon = false;
            for event in page.events {
                let Ok(EventHeader { origin_server_ts, sender, event_type }) =
                    serde_json::from_str(event.get())
                else {
                    continue;
                };
                if origin_server_ts < horizon {
                    reached_horizon = true;
                    continue;
                }
                // Most events in the rooms are from our virtual users.
                if matches!(&*event_type, "m.room.message" | "m.reaction") && lists.of_user(&sender).is_some()
                {
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
        self.store.note_cursor(room.as_str(), newest, now).await?;
        Ok(found)
    }

    /// Reads the relations of each open incident's messages.
    async fn posts(&self, round: &mut Round) -> Result<(), ReconcileError> {
        for (user_id, room, event_id) in self.store.open_posts(MOST_POSTS).await? {
            let (Ok(user_id), Ok(room), Ok(event_id)) = (
                UserId::parse(&user_id),
                <&RoomId>::try_from(room.as_str()),
                <&EventId>::try_from(event_id.as_str()),
            ) else {
                continue;
            };
            let identity = self.rooms.users().identity(&user_id).await?;
            round.record(self.post(&identity, room, event_id).await)?;
        }
        Ok(())
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
            let page = self.rooms.client().relations(identity, room, event_id, from.as_deref()).await?;
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

    async fn step(&self) -> Result<Progress, ReconcileError> {
        let mut round = Round::default();
        let now = self.clock.now();
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.rooms(&mut round).await?;
        let posts = if last.posts_are_due(now) {
            self.posts(&mut round).await?;
            Some(now)
        } else {
            last.posts
        };
        if round.failed.is_none() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Last { rooms: Some(now), posts };
        }
        let found = round.found;
        if found > 0 {
            tracing::debug!(found, "found {found} events that had not been pushed (yet)");
        }
        round.failed.map_or(Ok(Progress::Idle(EVERY)), Err)
    }
}

/// The result of one round.
#[derive(Debug, Default)]
struct Round {
    found: u64,
    failed: Option<ReconcileError>,
}

impl Round {
    /// Records the result of reading one room or message. If the homeserver rejects the request, the round continues
    /// with the others. If the homeserver does not answer, the round ends.
    fn record(&mut self, read: Result<u64, ReconcileError>) -> Result<(), ReconcileError> {
        match read {
            Ok(found) => self.found += found,
            Err(ReconcileError::Homeserver(error)) if error.errcode().is_some() => {
                tracing::debug!(%error, "reading a room failed: {error}");
                if error.failure().is_temporary() {
                    self.failed.get_or_insert(error.into());
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
