//! The schedules: who is on call now, and whether each calendar can be read.

use super::report::Report;
use crate::calendars;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::on_call::calendar::Source;
use crate::domain::on_call::{Known, Schedule};
use crate::domain::time::later;
use crate::store::{Store, on_call};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

const CHECK: &str = "on call";
/// How far ahead shifts are looked at.
const AHEAD: Duration = Duration::from_hours(24 * 28);

/// Reads each calendar, and lists who is on call.
pub(super) async fn examine(report: &mut Report, config: &Config, store: Option<&Store>) {
    let now = SystemClock.now();
    for schedule in config.on_call.iter().map(crate::config::OnCallConfig::schedule) {
        let mut known = match store {
            Some(store) => stored(store, &schedule, now).await,
            None => Known::default(),
        };
        if let Some(source) = &schedule.calendar
            && !calendar(report, &schedule, source, now, &mut known).await
        {
            continue;
        }
        let name = Some(schedule.name.as_str());
        let serving = schedule.serving(&known, now);
        if serving.is_nobody() {
            let detail = "nobody is on call now: pages mention its fallback_mention instead";
            let remedy = "Ignore this if the schedule has gaps on purpose; otherwise correct it, or type `oncall take` in its room.";
            report.warning(CHECK, name, detail, remedy);
        } else {
            let people: Vec<String> = serving.people.iter().map(ToString::to_string).collect();
            let until = schedule.next_hand_off(&known, now).map(|next| {
                let local = next.starts_at.to_zoned(schedule.zone.time_zone().clone());
                format!(", until {}", local.strftime("%a %F %H:%M"))
            });
            report.ok(CHECK, name, format!("{} is on call{}", people.join(", "), until.unwrap_or_default()));
        }
    }
}

async fn stored(store: &Store, schedule: &Schedule, now: Timestamp) -> Known {
    match store.begin().await {
        Ok(mut tx) => on_call::known(&mut tx, schedule, now, later(now, AHEAD)).await.unwrap_or_default(),
        Err(_) => Known::default(),
    }
}

/// Reads a calendar now. Returns whether it can be read.
async fn calendar(
    report: &mut Report,
    schedule: &Schedule,
    source: &Source,
    now: Timestamp,
    known: &mut Known,
) -> bool {
    let name = Some(schedule.name.as_str());
    let expanded = match calendars::read(source, &schedule.zone, now, later(now, AHEAD)).await {
        Ok(expanded) => expanded,
        Err(error) => {
            let detail = format!("its calendar cannot be read: {error}");
            let remedy = "Correct `calendar` in `on_call`: `url` (or the content of `url_file`), or `file`.";
            report.failed(CHECK, name, detail, remedy);
            return false;
        }
    };
    for problem in &expanded.problems {
        let remedy = "Correct the event in the calendar.";
        report.warning(CHECK, name, format!("an event of its calendar cannot be read: {problem}"), remedy);
    }
    known.shifts = schedule.shifts(expanded.shifts);
    let unknown: BTreeSet<&str> =
        known.shifts.iter().filter(|shift| shift.person.is_none()).map(|shift| shift.name.as_str()).collect();
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        let detail = format!("nobody knows the Matrix user of: {names}");
        report.warning(CHECK, name, detail, "Add them to `people` of the schedule's `calendar`.");
    }
    true
}
