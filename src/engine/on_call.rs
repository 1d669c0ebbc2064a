//! Who is on call, from the configuration and from what is stored.

use super::{Engine, EngineError};
use crate::domain::on_call::{Known, OnCallNow, Schedule, Schedules, Serving};
use crate::domain::time::{between, later};
use crate::store::on_call::CalendarState;
use crate::store::{Store, StoreError, Tx, on_call};
use jiff::Timestamp;
use ruma::UserId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How far ahead calendars are checked for names that nobody knows.
const LOOKED_AT: Duration = Duration::from_hours(24 * 28);
/// A calendar may be this old before an operator has to act, or three times its `refresh`.
const TOLERATED: Duration = Duration::from_hours(1);

impl Engine {
    /// Who is on call now in the schedules with these names.
    pub async fn on_call(
        &self,
        tx: &mut Tx,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<OnCallNow, EngineError> {
        let mut on_call = OnCallNow::default();
        if names.is_empty() {
            return Ok(on_call);
        }
        let schedules = self.schedules();
        for name in names {
            match schedules.get(name) {
                Some(schedule) => {
                    let known = on_call::known(tx, schedule, now, now).await?;
                    on_call.add(name, Some((schedule, &known)), now);
                }
                None => on_call.add(name, None, now),
            }
        }
        Ok(on_call)
    }

    /// The schedules in which a user is on call now.
    pub async fn on_call_in(
        &self,
        tx: &mut Tx,
        user: &UserId,
        now: Timestamp,
    ) -> Result<BTreeSet<String>, EngineError> {
        let mut serves = BTreeSet::new();
        for schedule in self.schedules().values() {
            let known = on_call::known(tx, schedule, now, now).await?;
            if schedule.serving(&known, now).includes(user) {
                serves.insert(schedule.name.clone());
            }
        }
        Ok(serves)
    }

    /// A schedule with what is stored about it from `from` to `to`.
    pub async fn known(
        &self,
        tx: &mut Tx,
        schedule: &Schedule,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Known, EngineError> {
        Ok(on_call::known(tx, schedule, from, to).await?)
    }

    /// The configured schedules.
    pub fn schedules(&self) -> Arc<Schedules> {
        self.lists.load().schedules().clone()
    }
}

/// A schedule at an instant, for metrics and probes.
#[derive(Debug, Clone)]
pub struct ScheduleNow {
    /// The schedule.
    pub schedule: Arc<Schedule>,
    /// Who is on call.
    pub serving: Serving,
    /// Names of its calendar in the next four weeks that stand for nobody known.
    pub unknown: BTreeSet<String>,
    /// Its calendar, if it has one that was tried.
    pub calendar: Option<CalendarState>,
}

/// The schedules now.
pub async fn schedules_now(
    store: &Store,
    schedules: &Schedules,
    now: Timestamp,
) -> Result<Vec<ScheduleNow>, StoreError> {
    let mut all = Vec::with_capacity(schedules.len());
    if schedules.is_empty() {
        return Ok(all);
    }
    let mut calendars = store.calendars().await?;
    let mut tx = store.begin().await?;
    for schedule in schedules.values() {
        let known = on_call::known(&mut tx, schedule, now, later(now, LOOKED_AT)).await?;
        let unknown = known.shifts.iter().filter(|shift| shift.person.is_none());
        all.push(ScheduleNow {
            schedule: schedule.clone(),
            serving: schedule.serving(&known, now),
            unknown: unknown.map(|shift| shift.name.clone()).collect(),
            calendar: calendars.remove(&schedule.name).filter(|_| schedule.calendar.is_some()),
        });
    }
    Ok(all)
}

impl ScheduleNow {
    /// How long ago its calendar was read, or if it never was, for how long it could not be; `None`: it has no calendar.
    pub fn calendar_age(&self, now: Timestamp) -> Option<Duration> {
        self.schedule.calendar.as_ref()?;
        let state = self.calendar.as_ref();
        let failing = state.and_then(|state| state.failing.as_ref().map(|(since, _)| *since));
        let since = state.and_then(|state| state.read_at).or(failing);
        Some(since.map_or(Duration::ZERO, |since| between(since, now)))
    }

    /// What an operator has to do about its calendar; `None`: nothing.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        let source = self.schedule.calendar.as_ref()?;
        let (name, state) = (&self.schedule.name, self.calendar.as_ref()?);
        let bound = TOLERATED.max(source.refresh.saturating_mul(3));
        let age = self.calendar_age(now).unwrap_or_default();
        if let Some((_, problem)) = state.failing.as_ref().filter(|_| state.read_at.is_none() || age > bound)
        {
            return Some(match state.read_at {
                Some(read) => format!("the calendar of {name} was last read at {read:.0}: {problem}"),
                None => format!("the calendar of {name} was never read: {problem}"),
            });
        }
        if !self.unknown.is_empty() {
            let names: Vec<&str> = self.unknown.iter().map(String::as_str).take(5).collect();
            return Some(format!(
                "the calendar of {name} names people without a Matrix user: {}",
                names.join(", ")
            ));
        }
        state
            .unreadable
            .first()
            .map(|first| format!("an event in the calendar of {name} cannot be read: {first}"))
    }
}
