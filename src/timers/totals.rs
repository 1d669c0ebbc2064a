//! Adds up the totals of all processes. One process at a time exports them.
//!
//! The process that holds the lease exports all totals. The others export none, so `sum` over the replicas is correct.
//! When the process ends, another one exports the same totals within [`LEASE`], so they never decrease.

use crate::clock::SharedClock;
use crate::domain::time::later;
use crate::ids;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::worker::{Progress, Worker};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The interval: below a scrape interval.
const EVERY: Duration = Duration::from_secs(5);
/// How long a process that cannot reach the database keeps exporting its last totals, and how long the others wait for
/// it.
const LEASE: Duration = Duration::from_secs(20);

/// The worker of the totals.
#[derive(Debug)]
pub struct Totals {
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    owner: Uuid,
}

impl Totals {
    /// A worker that exports through `metrics`.
    pub fn new(store: Store, clock: SharedClock, metrics: Arc<Metrics>) -> Self {
        Self { store, clock, metrics, owner: ids::unique() }
    }
}

impl Worker for Totals {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "totals"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        let now = self.clock.now();
        let until = later(now, LEASE);
        match self.store.add_up_totals(self.owner, now, until).await? {
            Some(totals) => self.metrics.export_totals(totals, until),
            None => self.metrics.withdraw_totals(),
        }
        Ok(Progress::Idle(EVERY))
    }

    /// Lets another process export the totals immediately.
    async fn end(&self) {
        self.metrics.withdraw_totals();
        // If the database does not answer, the lease ends on its own.
        drop(self.store.release_totals(self.owner).await);
    }
}
