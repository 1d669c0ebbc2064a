//! The worker of the inbox: rooms are served side by side, so that a slow one delays no other, and the places are shared
//! between the room lists.
//!
//! A step serves rooms until none has an event to handle, but lasts a second at most: rooms that are being served by then
//! outlive it.

use super::serving::Served;
use super::{Inbox, InboxError};
use crate::domain::fairness::admit;
use crate::worker::{Progress, Worker};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Polling interval for events, when nothing wakes the worker.
const POLL: Duration = Duration::from_secs(1);
/// How many rooms are served side by side.
const PLACES: usize = 32;
/// How long shutdown waits for the rooms that are being served. What is not finished by then stays in the inbox.
const LONGEST_END: Duration = Duration::from_secs(5);

/// Serves the rooms of the inbox.
#[derive(Debug)]
pub struct InboxWorker {
    inbox: Arc<Inbox>,
    wake: Arc<Notify>,
    serving: Mutex<Serving>,
}

/// The rooms that are being served, each with the room list that its place counts for; empty for rooms of no list.
#[derive(Debug, Default)]
struct Serving {
    rooms: FuturesUnordered<BoxFuture<'static, Served>>,
    owners: BTreeMap<String, String>,
}

impl InboxWorker {
    /// A worker that looks for events when `wake` is notified.
    pub fn new(inbox: Inbox, wake: Arc<Notify>) -> Self {
        Self { inbox: Arc::new(inbox), wake, serving: Mutex::default() }
    }

    /// The rooms to serve now, without those in `serving`, each with the list that its place counts for.
    async fn rooms_to_serve(
        &self,
        owners: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, String)>, InboxError> {
        let inbox = &self.inbox;
        inbox.engine.refresh_lists().await?;
        let busy: Vec<String> = owners.keys().cloned().collect();
        let waiting = inbox.store.rooms_with_events(inbox.clock.now(), &busy).await?;
        let lists = inbox.lists.load();
        let waiting = waiting.into_iter().map(|waiting| {
            let owner = lists.naming(&waiting.references).first().map(|list| list.name.clone());
            let owner = owner.unwrap_or_default();
            ((waiting.room, owner.clone()), owner)
        });
        let mut held: BTreeMap<String, usize> = BTreeMap::new();
        for owner in owners.values() {
            let held = held.entry(owner.clone()).or_default();
            *held = held.saturating_add(1);
        }
        Ok(admit(waiting, &held, PLACES))
    }
}

impl Worker for InboxWorker {
    type Error = InboxError;

    fn name(&self) -> &'static str {
        "inbox"
    }

    async fn step(&self) -> Result<Progress, InboxError> {
        let Serving { rooms, owners } = &mut *self.serving.lock().await;
        let mut progress = Progress::Idle(POLL);
        let mut time_is_up = pin!(tokio::time::sleep(POLL));
        loop {
            let mut ended = Vec::new();
            let found = {
                let known = owners.clone();
                let mut lookup = pin!(self.rooms_to_serve(&known));
                // Rooms are served meanwhile: they may hold the connections that the lookup needs.
                loop {
                    tokio::select! {
                        found = &mut lookup => break found,
                        Some(room) = rooms.next(), if !rooms.is_empty() => ended.push(room),
                    }
                }
            };
            match found {
                Ok(found) => {
                    for (room, owner) in found {
                        rooms.push(Box::pin(Arc::clone(&self.inbox).serve(room.clone())));
                        owners.insert(room, owner);
                    }
                }
                Err(error) if rooms.is_empty() && ended.is_empty() => return Err(error),
                Err(error) => tracing::warn!(%error, "the inbox cannot be read: {error}"),
            }
            if ended.is_empty() {
                if rooms.is_empty() {
                    return Ok(progress);
                }
                tokio::select! {
                    Some(room) = rooms.next() => ended.push(room),
                    () = self.wake.notified() => {}
                    () = &mut time_is_up => return Ok(Progress::More),
                }
            }
            for Served { room, result } in ended {
                progress = Progress::More;
                owners.remove(&room);
                if let Err(error) = result {
                    // The database is unavailable: the other rooms end in the same way.
                    if rooms.is_empty() {
                        return Err(error);
                    }
                    tracing::warn!(room, %error, "events of {room} cannot be handled now: {error}");
                }
            }
            if time_is_up.is_elapsed() {
                return Ok(Progress::More);
            }
        }
    }

    async fn end(&self) {
        let serving = &mut *self.serving.lock().await;
        let finish = async { while serving.rooms.next().await.is_some() {} };
        tokio::time::timeout(LONGEST_END, finish).await.ok();
        *serving = Serving::default();
    }
}
