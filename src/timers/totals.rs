//! Adds up the totals of all processes, and exports them from one of them at a time.
//!
//! The process that holds the lease exports every total; the others export none, so that `sum` over the replicas is the
//! truth. When it ends, another one takes over within [`LEASE`] and goes on from the same numbers: they only grow.

use crate::clock::SharedClock;
use crate::domain::time::later;
use crate::ids;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::worker::{Progress, Worker};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often: below a scrape interval.
const EVERY: Duration = Duration::from_secs(5);
/// How long a process that cannot reach the database still exports what it knows, and how long the others wait for it.
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
