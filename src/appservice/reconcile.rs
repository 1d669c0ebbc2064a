//! Asks the homeserver what it did not tell us: Synapse loses events when it restarts while a transaction is under
//! way (synapse#11637). What is found goes into the same inbox, where each event counts once.

use crate::domain::time::{between, earlier};
use crate::engine::{Engine, EngineError};
use crate::matrix::{ClientError, Identity};
use crate::rooms::{UserError, VirtualUsers};
use crate::store::StoreError;
use crate::worker::{Progress, Worker};
use jiff::Timestamp;
use ruma::{EventId, RoomId, UserId};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often rooms are read while nothing hints at a loss.
const EVERY: Duration = Duration::from_mins(3);
/// How often, besides, what hangs on each open incident's messages: it is one request for each, of which an alert storm
/// has many, and what reading the rooms does not find is rare.
const POSTS_EVERY: Duration = Duration::from_mins(30);
/// How many events are handed on at once.
const AT_ONCE: usize = 100;
/// Events of different servers come with clocks that differ: so far back is read again.
const OVERLAP: Duration = Duration::from_mins(5);
/// How many pages of a room are read at most: 5 000 events.
const MOST_PAGES: usize = 50;
/// How many pages of what hangs on one post are read at most: 1 000 events.
const MOST_RELATION_PAGES: usize = 10;
/// How many posts are asked about in one round.
const MOST_POSTS: i64 = 500;

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was found could not be kept.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A virtual user is not as it must be.
    #[error(transparent)]
    User(#[from] UserError),
    /// The homeserver does not answer.
    #[error(transparent)]
    Homeserver(#[from] ClientError),
}

/// The worker of reconciliation.
#[derive(Debug)]
pub struct Reconcile {
    engine: Engine,
    users: VirtualUsers,
    last: Mutex<Last>,
}

/// When it was read the last time.
#[derive(Debug, Default, Clone, Copy)]
struct Last {
    rooms: Option<Timestamp>,
    posts: Option<Timestamp>,
}

impl Last {
    /// Whether the posts are read, too: whenever there was an outage, for which a round is made out of turn.
    fn takes_posts(self, now: Timestamp) -> bool {
        let ago = |at: Option<Timestamp>| at.map_or(Duration::MAX, |at| between(at, now));
        ago(self.rooms) < EVERY || ago(self.posts) >= POSTS_EVERY
    }
}

/// As much of an event as tells whether it is looked at.
#[derive(serde::Deserialize)]
struct Glance<'a> {
    origin_server_ts: i64,
    #[serde(borrow, default)]
    sender: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    event_type: Cow<'a, str>,
}

impl Reconcile {
    /// A worker that reads rooms as our virtual users.
    pub fn new(engine: Engine, users: VirtualUsers) -> Self {
        Self { engine, users, last: Mutex::default() }
    }

    /// Reads each room back to where it was read before. A room that was never read starts now: what was said before
    /// we came is not for us.
    async fn rooms(&self, round: &mut Round) -> Result<(), ReconcileError> {
        let mut read = BTreeSet::new();
        for list in self.engine.lists().iter() {
            for reference in list.references() {
                let room = self.engine.store().room_of(&reference).await?;
                let joined = self.engine.store().membership(list.user_id.as_str(), &room).await?;
                if joined.as_deref() != Some("join") || !read.insert(room.clone()) {
                    continue;
                }
                let Ok(room_id) = <&RoomId>::try_from(room.as_str()) else { continue };
                let identity = self.users.identity(&list.user_id).await?;
                round.note(self.room(&identity, room_id).await)?;
            }
        }
        Ok(())
    }

    async fn room(&self, identity: &Identity, room: &RoomId) -> Result<u64, ReconcileError> {
        let now = self.engine.clock().now();
        let Some(cursor) = self.engine.store().cursor(room.as_str()).await? else {
            self.engine.store().note_cursor(room.as_str(), now.as_millisecond(), now).await?;
            return Ok(0);
        };
        let lists = self.engine.lists();
        let horizon = earlier(Timestamp::from_millisecond(cursor).unwrap_or(now), OVERLAP).as_millisecond();
        let mut events: Vec<Box<RawValue>> = Vec::new();
        let mut newest = cursor;
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let page = self.users.client().messages(identity, room, from.as_deref(), &[]).await?;
            let mut passed = false;
            for event in page.events {
                let Ok(Glance { origin_server_ts, sender, event_type }) = serde_json::from_str(event.get())
                else {
                    continue;
                };
                if origin_server_ts < horizon {
                    passed = true;
                    continue;
                }
                // Most of what is in a room of ours is our own.
                if matches!(&*event_type, "m.room.message" | "m.reaction") && lists.of_user(&sender).is_some()
                {
                    continue;
                }
                // A server with a clock that runs ahead must not make us skip what comes after.
                newest = newest.max(origin_server_ts.min(now.as_millisecond()));
                events.push(event);
            }
            from = page.next;
            if passed || from.is_none() {
                break;
            }
        }
        // `/messages` gives the newest first; the inbox wants them as they happened.
        events.reverse();
        let mut found = 0;
        for some in events.chunks(AT_ONCE) {
            found += self.engine.accept_found(some).await?;
        }
        self.engine.store().note_cursor(room.as_str(), newest, now).await?;
        Ok(found)
    }

    /// Reads what hangs on each open incident's messages.
    async fn posts(&self, round: &mut Round) -> Result<(), ReconcileError> {
        for (user_id, room, event_id) in self.engine.store().open_posts(MOST_POSTS).await? {
            let (Ok(user_id), Ok(room), Ok(event_id)) = (
                UserId::parse(&user_id),
                <&RoomId>::try_from(room.as_str()),
                <&EventId>::try_from(event_id.as_str()),
            ) else {
                continue;
            };
            let identity = self.users.identity(&user_id).await?;
            round.note(self.post(&identity, room, event_id).await)?;
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
            let page = self.users.client().relations(identity, room, event_id, from.as_deref()).await?;
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
        let now = self.engine.clock().now();
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.rooms(&mut round).await?;
        let posts = if last.takes_posts(now) {
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
            tracing::debug!(found, "{found} events were read that had not been pushed (yet)");
        }
        round.failed.map_or(Ok(Progress::Idle(EVERY)), Err)
    }
}

/// What one round comes to.
#[derive(Debug, Default)]
struct Round {
    found: u64,
    failed: Option<ReconcileError>,
}

impl Round {
    /// Notes what reading one room or post came to. One that the homeserver does not let us read, now or any more, keeps
    /// no other from being read; a homeserver that does not answer ends the round.
    fn note(&mut self, read: Result<u64, ReconcileError>) -> Result<(), ReconcileError> {
        match read {
            Ok(found) => self.found += found,
            Err(ReconcileError::Homeserver(error)) if error.errcode().is_some() => {
                tracing::debug!(%error, "a room cannot be read back: {error}");
                if error.failure().is_temporary() {
                    self.failed.get_or_insert(error.into());
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
