//! Compares the machine's clock with the database's, which all processes share.
//!
//! A process whose clock is wrong would resolve open incidents as stale, or send hours late. While the clocks are further
//! apart than `clock::MOST_APART`, the workers that decide or send pause (`Registered::only_while`); webhooks and events
//! are stored, with the database's time ([`ComparedClock`]). They also pause once the clock has jumped, by the machine's
//! monotonic clock, until the next comparison, which follows at once.

use crate::clock::{ComparedClock, agrees};
use crate::engine::Wakers;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use crate::worker::{Progress, Worker};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(10);

/// The clock that ours is compared with.
pub trait DatabaseClock: Debug + Send + Sync + 'static {
    /// What it shows.
    fn read(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>>;
}

impl DatabaseClock for Store {
    fn read(&self) -> BoxFuture<'_, Result<Timestamp, StoreError>> {
        Box::pin(self.clock())
    }
}

/// The worker that compares the clocks.
#[derive(Debug)]
pub struct ClockCheck {
    database: Arc<dyn DatabaseClock>,
    clock: Arc<ComparedClock>,
    metrics: Arc<Metrics>,
    wakers: Wakers,
}

impl ClockCheck {
    /// Compares `clock` with the database's. When they agree again, it wakes the workers.
    pub fn new(
        database: Arc<dyn DatabaseClock>,
        clock: Arc<ComparedClock>,
        metrics: Arc<Metrics>,
        wakers: Wakers,
    ) -> Self {
        Self { database, clock, metrics, wakers }
    }

    /// Compares the clocks. The last comparison counts until the next one succeeds.
    pub async fn compare(&self) -> Result<(), StoreError> {
        let was_wrong = self.clock.ahead().is_some_and(|ahead| !agrees(ahead));
        let paused = was_wrong || self.clock.jump().is_some();
        let before = self.clock.read();
        let database = self.database.read().await?;
        let ahead = self.clock.compare(before, database);
        self.metrics.set_clock_skew(ahead.as_secs_f64());
        if agrees(ahead) {
            if paused {
                tracing::info!(
                    "the clock of this machine agrees with the database's again: the workers continue"
                );
                self.wakers.wake_all();
            }
        } else if !was_wrong {
            let difference = difference(ahead);
            tracing::error!(
                skew_seconds = ahead.as_secs(),
                "the clock of this machine is {difference} the database's: the workers pause until it is right"
            );
        }
        Ok(())
    }
}

impl Worker for ClockCheck {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "clock"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        self.compare().await?;
        Ok(Progress::Idle(EVERY))
    }
}

/// How far a clock is from another one: "32400 s ahead of".
pub fn difference(ahead: SignedDuration) -> String {
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("{} s {side}", ahead.unsigned_abs().as_secs())
}
