//! Reads the calendars of schedules. The last one that could be read stays valid, and its age is visible.

use crate::calendars;
use crate::clock::SharedClock;
use crate::domain::on_call::Schedule;
use crate::domain::on_call::calendar::{Place, Source};
use crate::domain::time::{earlier, later};
use crate::engine::Engine;
use crate::store::on_call::READING;
use crate::store::{Store, StoreError};
use crate::worker::{Progress, Worker};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::time::Duration;

/// The polling interval.
const EVERY: Duration = Duration::from_secs(20);
/// How far ahead shifts are stored, and how far back.
const AHEAD: Duration = Duration::from_hours(24 * 200);
const BACK: Duration = Duration::from_hours(24 * 7);
/// After a failure a calendar is read again after this time, or after its usual one if that is shorter.
const RETRY: Duration = Duration::from_mins(5);

/// The worker that reads calendars.
#[derive(Debug)]
pub struct Calendars {
    engine: Engine,
    store: Store,
    clock: SharedClock,
}

impl Calendars {
    /// A worker that reads the calendars of the configured schedules.
    pub fn new(engine: Engine, store: Store, clock: SharedClock) -> Self {
        Self { engine, store, clock }
    }

    async fn read(&self, schedule: &Schedule, source: &Source) -> Result<(), StoreError> {
        let (name, now) = (schedule.name.as_str(), self.clock.now());
        let until = later(now, AHEAD);
        match calendars::read(source, &schedule.zone, earlier(now, BACK), until).await {
            Ok(expanded) => {
                let due_at = later(now, source.refresh);
                let shifts = expanded.shifts.len();
                let is_news = self.store.store_calendar(name, &expanded, now, (until, due_at)).await?;
                if is_news {
                    tracing::info!(
                        schedule = name,
                        shifts,
                        "the calendar of {name} can be read: {shifts} shifts"
                    );
                }
                if is_news && let Some(problem) = expanded.problems.first() {
                    let problems = expanded.problems.len();
                    tracing::warn!(
                        schedule = name,
                        problems,
                        "the calendar of {name} has {problems} events that cannot be read; the first: {problem}"
                    );
                }
            }
            Err(error) => {
                let due_at = later(now, source.refresh.min(RETRY));
                let is_news = self.store.calendar_failed(name, &error.to_string(), now, due_at).await?;
                if is_news {
                    tracing::error!(schedule = name, %error, "the calendar of {name} cannot be read, the last one stays valid: {error}");
                }
            }
        }
        Ok(())
    }
}

impl Worker for Calendars {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "calendars"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        for schedule in self.engine.schedules().values() {
            let Some(source) = &schedule.calendar else { continue };
            let now = self.clock.now();
            let identity = identity(schedule, source);
            if self.store.claim_calendar(&schedule.name, &identity, now, later(now, READING)).await? {
                self.read(schedule, source).await?;
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Idle(EVERY))
    }
}

/// A text that differs if the calendar is another one, or is read otherwise. It does not reveal the URL.
fn identity(schedule: &Schedule, source: &Source) -> String {
    let place = match &source.place {
        Place::Url(url) => url.expose_secret().to_owned(),
        Place::File(file) => file.display().to_string(),
    };
    let zone = source.zone.as_ref().map_or("", |zone| zone.name());
    let hash = Sha256::digest(format!("{place}\n{zone}\n{}", schedule.zone.name()));
    let mut text = String::new();
    for byte in hash {
        write!(text, "{byte:02x}").ok();
    }
    text
}
