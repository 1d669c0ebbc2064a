//! Ticks every incident whose timer is due: ladders, acknowledgements, snoozes, reminders, closings.

use crate::clock::SharedClock;
use crate::domain::time::between;
use crate::engine::{Engine, EngineError, TIMERS_POLL};
use crate::store::Store;
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// The worker of the incidents' timers.
#[derive(Debug)]
pub struct Ladder {
    engine: Engine,
    store: Store,
    clock: SharedClock,
}

impl Ladder {
    /// A worker that ticks through `engine`.
    pub fn new(engine: Engine, store: Store, clock: SharedClock) -> Self {
        Self { engine, store, clock }
    }
}

impl Worker for Ladder {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "ladder"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        if self.engine.tick_one().await? {
            return Ok(Progress::More);
        }
        let next = self.store.next_due().await?;
        let wait = next.map_or(TIMERS_POLL, |next| between(self.clock.now(), next));
        Ok(Progress::Idle(wait.clamp(Duration::from_millis(5), TIMERS_POLL)))
    }
}
