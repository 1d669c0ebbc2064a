//! Ticks every incident whose timer is due: ladders, acknowledgements, snoozes, reminders, closings.
//!
//! A timer that is late shows that this process, the database or the machine stood still, and people may have acknowledged
//! meanwhile. What they did is read and handled first, so that their acknowledgement stops the escalation.

use crate::clock::SharedClock;
use crate::domain::time::between;
use crate::engine::{Engine, EngineError, TIMERS_POLL};
use crate::health::Health;
use crate::store::Store;
use crate::worker::{Progress, Worker};
use jiff::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A timer that is handled so much after its time is late.
const LATE: Duration = Duration::from_secs(5);
/// How often late timers look whether the rooms have been read.
const CATCHING_UP_POLL: Duration = Duration::from_millis(100);
/// The longest time that late timers wait for the rooms to be read.
const LONGEST_CATCHING_UP: Duration = Duration::from_secs(15);

/// The worker of the incidents' timers.
#[derive(Debug)]
pub struct Ladder {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    health: Health,
    reconcile: Arc<Notify>,
    /// Since when late timers wait for the rooms to be read.
    catching_up: Mutex<Option<Timestamp>>,
}

impl Ladder {
    /// A worker that ticks through `engine`. `health` has when rooms were read; `reconcile` wakes what reads them.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        health: Health,
        reconcile: Arc<Notify>,
    ) -> Self {
        Self { engine, store, clock, health, reconcile, catching_up: Mutex::default() }
    }

    /// Whether the timers have to wait until the rooms have been read: they are late, the rooms have not been read since they
    /// were due, or what was read is not handled yet.
    async fn catches_up(&self) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let late = self.store.next_due().await?.filter(|due| between(*due, now) > LATE);
        let Some(due) = late else {
            *self.catching_up() = None;
            return Ok(false);
        };
        let were_read = self.health.rooms_read_at().is_some_and(|at| at >= due);
        if were_read && !self.store.events_wait(now).await? {
            return Ok(false);
        }
        let mut catching_up = self.catching_up();
        let since = *catching_up.get_or_insert_with(|| {
            self.reconcile.notify_one();
            now
        });
        Ok(between(since, now) < LONGEST_CATCHING_UP)
    }

    fn catching_up(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.catching_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker for Ladder {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "ladder"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        if self.catches_up().await? {
            return Ok(Progress::Idle(CATCHING_UP_POLL));
        }
        if self.engine.tick_one().await? {
            return Ok(Progress::More);
        }
        let next = self.store.next_due().await?;
        let wait = next.map_or(TIMERS_POLL, |next| between(self.clock.now(), next));
        Ok(Progress::Idle(wait.clamp(Duration::from_millis(5), TIMERS_POLL)))
    }
}
