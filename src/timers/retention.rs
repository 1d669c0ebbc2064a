//! Deletes closed incidents and handled events after their retention period.

use crate::clock::SharedClock;
use crate::domain::time::earlier;
use crate::store::{Store, StoreError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// The polling interval.
const EVERY: Duration = Duration::from_mins(10);
/// The number of rows per delete: small enough not to block other transactions.
const BATCH: i64 = 500;
/// How long a person's rate of commands in a room is kept after the last command: far longer than the span it limits.
const IDLE_RATE: Duration = Duration::from_hours(1);

/// The retention worker.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    clock: SharedClock,
    incidents: Option<Duration>,
    events: Option<Duration>,
}

impl Retention {
    /// A worker that keeps closed incidents with their messages, and handled events, for this long; `None`: forever.
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
        let mut deleted = 0;
        if let Some(keep) = self.incidents {
            deleted += self.store.forget_incidents(earlier(now, keep), BATCH).await?;
        }
        if let Some(keep) = self.events {
            deleted += self.store.forget_events(earlier(now, keep), BATCH).await?;
            deleted += self.store.forget_overrides(earlier(now, keep), BATCH).await?;
        }
        self.store.forget_command_rates(earlier(now, IDLE_RATE)).await?;
        Ok(if deleted > 0 { Progress::More } else { Progress::Idle(EVERY) })
    }
}
