//! Metrics of schedules, by their name.

use super::metrics::{Metrics, Registrar};
use prometheus::IntGaugeVec;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// The gauges of schedules.
#[derive(Debug)]
pub(super) struct OnCallMetrics {
    people: IntGaugeVec,
    unknown_people: IntGaugeVec,
    calendar_age: IntGaugeVec,
    /// The schedules and calendars whose series exist.
    known: Mutex<BTreeSet<String>>,
}

/// A schedule at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// Its name.
    pub name: String,
    /// How many people are on call.
    pub people: usize,
    /// How many names of the next four weeks stand for no known user.
    pub unknown_people: usize,
    /// How long ago its calendar was read; `None`: it has none.
    pub calendar_age: Option<Duration>,
}

impl OnCallMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            people: registrar.gauges(
                "on_call_people",
                "How many people are on call in a schedule now.",
                &["schedule"],
            )?,
            unknown_people: registrar.gauges(
                "on_call_unknown_people",
                "Names in a schedule's calendar in the next four weeks that stand for no known user.",
                &["schedule"],
            )?,
            calendar_age: registrar.gauges(
                "on_call_calendar_age_seconds",
                "How long ago the calendar of a schedule was last read.",
                &["schedule"],
            )?,
            known: Mutex::default(),
        })
    }
}

impl Metrics {
    /// Sets the gauges of all schedules. Those of former schedules go.
    pub fn set_schedules(&self, schedules: &[ScheduleState]) {
        let gauges = self.on_call();
        let mut known = gauges.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for former in known.iter().filter(|name| !schedules.iter().any(|schedule| schedule.name == **name)) {
            for gauge in [&gauges.people, &gauges.unknown_people, &gauges.calendar_age] {
                // A schedule without a calendar has no age.
                gauge.remove_label_values(&[former.as_str()]).ok();
            }
        }
        *known = schedules.iter().map(|schedule| schedule.name.clone()).collect();
        for schedule in schedules {
            let name = &[schedule.name.as_str()];
            let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            gauges.people.with_label_values(name).set(count(schedule.people));
            gauges.unknown_people.with_label_values(name).set(count(schedule.unknown_people));
            if let Some(age) = schedule.calendar_age {
                let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
                gauges.calendar_age.with_label_values(name).set(age);
            }
        }
    }
}
