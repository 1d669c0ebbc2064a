//! Forgets what is over for longer than the operator wants to keep it.

use crate::clock::SharedClock;
use crate::domain::time::earlier;
use crate::store::{Store, StoreError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// How often it is looked for.
const EVERY: Duration = Duration::from_mins(10);
/// How many rows of a table go at once: few enough to lock nobody out.
const BATCH: i64 = 500;

/// The worker of retention.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    clock: SharedClock,
    incidents: Option<Duration>,
    events: Option<Duration>,
}

impl Retention {
    /// Keeps closed incidents with their messages, and handled events, for so long; `None`: for ever.
    pub fn new(
        store: Store,
        clock: SharedClock,
        incidents: Option<Duration>,
        events: Option<Duration>,
    ) -> Self {
        Self { store, clock, incidents, events }
    }
}

impl Worker for Retention {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "retention"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        let now = self.clock.now();
        let mut gone = 0;
        if let Some(keep) = self.incidents {
            gone += self.store.forget_incidents(earlier(now, keep), BATCH).await?;
        }
        if let Some(keep) = self.events {
            gone += self.store.forget_events(earlier(now, keep), BATCH).await?;
        }
        Ok(if gone > 0 { Progress::More } else { Progress::Idle(EVERY) })
    }
}
