//! Visits the rooms of every list at start, after a reload, and periodically, more often while a room is unreachable.

use crate::clock::SharedClock;
use crate::engine::{CurrentLists, Wakers};
use crate::health::{Health, RoomHealth};
use crate::rooms::Rooms;
use crate::store::StoreError;
use crate::telemetry::Metrics;
use crate::worker::{HOMESERVER_STEP_LIMIT, Progress, Worker, beat};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The interval while all rooms are reachable. The homeserver may have lost the event of a removal from a room.
const EVERY: Duration = Duration::from_mins(5);
/// The interval while a room is unreachable.
const WHILE_UNREACHABLE: Duration = Duration::from_secs(20);

/// How many lists are visited side by side.
const LISTS_AT_ONCE: usize = 8;
/// How many names of rooms are read side by side.
const NAMES_AT_ONCE: usize = 8;

/// The worker that keeps the virtual users in their rooms.
#[derive(Debug)]
pub struct Attendance {
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    wakers: Wakers,
    rooms: Rooms,
    health: Health,
    /// The unreachable rooms of the last visit, and why, to log changes only.
    unreachable: Mutex<BTreeMap<String, String>>,
}

impl Attendance {
    /// A worker that records unreachable rooms in `health`.
    pub fn new(
        clock: SharedClock,
        metrics: Arc<Metrics>,
        lists: CurrentLists,
        wakers: Wakers,
        rooms: Rooms,
        health: Health,
    ) -> Self {
        Self { clock, metrics, lists, wakers, rooms, health, unreachable: Mutex::default() }
    }

    /// `labels`: what people call rooms that the configuration names by id.
    fn log_changes(&self, unreachable: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) {
        let mut before = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        for (room, why) in unreachable.iter().filter(|(room, why)| before.get(*room) != Some(*why)) {
            let label = labels.get(room).unwrap_or(room);
            tracing::warn!(room, why, "{label} cannot be reached: {why}");
        }
        for room in before.keys().filter(|room| !unreachable.contains_key(*room)) {
            tracing::info!(room, "{room} can be reached again");
        }
        before.clone_from(unreachable);
    }
}

impl Worker for Attendance {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "attendance"
    }

    fn limit(&self) -> Duration {
        HOMESERVER_STEP_LIMIT
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        let (mut unreachable, mut wanting) = (BTreeMap::new(), BTreeMap::new());
        let (mut labels, mut silent_lists, mut entered) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut users_act = true;
        let lists = self.lists.load();
        let all = &*lists;
        self.health.begin_visit(lists.iter().map(|list| list.name.clone()));
        let visiting = lists.iter().cloned().map(|list| async move {
            let reached = || self.health.reached(&list.name);
            let visit = self.rooms.visit((all, &list), &reached, self.clock.now()).await;
            (list, visit)
        });
        let mut visiting = stream::iter(visiting).buffer_unordered(LISTS_AT_ONCE);
        let mut failed = None;
        while let Some((list, visit)) = visiting.next().await {
            beat();
            let visit = match visit {
                Ok(visit) => visit,
                // The other lists are visited all the same.
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            if visit.can_send {
                self.wakers.outbox.notify_one();
            }
            self.metrics.set_rooms_unreachable(&list.name, visit.unreachable.len());
            self.metrics.set_room_moves_incomplete(&list.name, visit.wanting.len());
            unreachable.extend(visit.unreachable);
            wanting.extend(visit.wanting);
            labels.extend(visit.labels);
            entered.extend(visit.entered.into_values().map(|room| (list.user_id.clone(), room)));
            users_act &= visit.user_trouble.is_none();
            if !visit.can_page && visit.user_trouble.is_none() {
                silent_lists.insert(list.name.clone());
            }
        }
        drop(visiting);
        if let Some(error) = failed {
            return Err(error);
        }
        self.log_changes(&unreachable, &labels);
        let wait = if unreachable.is_empty() && users_act { EVERY } else { WHILE_UNREACHABLE };
        let labelled = |rooms: BTreeMap<String, String>| {
            let label = |room: String| labels.get(&room).cloned().unwrap_or(room);
            rooms.into_iter().map(|(room, why)| (label(room), why)).collect()
        };
        let (unreachable, wanting) = (labelled(unreachable), labelled(wanting));
        self.health.set_rooms(RoomHealth { unreachable, wanting, silent_lists });
        // Last, because nothing waits for names.
        let learning = entered.into_iter().map(|(user, room)| async move {
            let learned = self.rooms.learn_name(&user, &room, self.clock.now()).await;
            beat();
            learned
        });
        stream::iter(learning).buffer_unordered(NAMES_AT_ONCE).try_collect::<()>().await?;
        Ok(Progress::Idle(wait))
    }
}
