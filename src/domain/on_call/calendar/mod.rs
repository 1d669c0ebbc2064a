//! Calendars in the iCalendar format (RFC 5545) as a source of shifts.
//!
//! [`expand`] turns the bytes of a calendar into the shifts of a span. It is called once for each download; who is on call
//! is then a question about shifts alone. Only the files of this folder name the library that reads the format.
//!
//! What it decides, where calendars or the standard leave a choice:
//! - A zone is looked up by its name. What the file says about it counts only for names that nobody else knows (`zones`).
//! - An event of a series ends by the same wall clock as the first one, so weekly shifts leave no gap at a change of the
//!   clock. A `DURATION` in days or weeks is counted by the calendar, one in hours exactly.
//! - A person who changes one event of a series replaces that event, whatever the sequence numbers are.
//! - An event that is cancelled, or that has no length, is nobody's.

mod clocks;
mod events;
mod expansion;
mod person;
mod zones;

#[cfg(test)]
mod tests;

pub use person::{Names, People};

use super::super::zone::Zone;
use ical::component::{IcalComponent, IcalComponentKind, IcalComponentName};
use ical::ical::Ical;
use ical::tree::cst::IcalCst;
use jiff::Timestamp;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

/// The largest calendar, in bytes.
pub const LARGEST: usize = 5 * 1024 * 1024;
/// The most events of a calendar.
const MOST_EVENTS: usize = 10_000;
/// The most problems that are listed.
const MOST_PROBLEMS: usize = 20;

/// Where a schedule's calendar is, and how to read it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// How often it is read.
    pub refresh: Duration,
    /// The zone of times without one; `None`: what the calendar names, or else the schedule's.
    pub zone: Option<Zone>,
    /// Who is meant by its names.
    pub people: People,
}

/// Where a calendar is.
#[derive(Debug, Clone)]
pub enum Place {
    /// At an `http(s)` URL, which is a secret.
    Url(SecretString),
    /// In a file.
    File(PathBuf),
}

/// What a calendar holds for a span.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expanded {
    /// The shifts, sorted by their start.
    pub shifts: Vec<Found>,
    /// What could not be read, as sentences without an end.
    pub problems: Vec<String>,
}

/// A shift of a calendar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// What names the person.
    pub names: Names,
}

/// Which shifts to find, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The zone of times without one, if the source has one.
    pub source_zone: Option<&'a Zone>,
    /// The zone of the schedule.
    pub schedule_zone: &'a Zone,
    /// Shifts that end after this,
    pub from: Timestamp,
    /// and begin before this.
    pub to: Timestamp,
}

/// Why a calendar cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is something else.
    #[error("what it holds is no calendar: it has no BEGIN:VCALENDAR, and begins with `{0}`")]
    NoCalendar(String),
    /// It has no end.
    #[error("it ends before its `END:VCALENDAR`: the rest may be missing")]
    Cut,
    /// It is too large.
    #[error("it is larger than {} MiB", LARGEST / (1024 * 1024))]
    TooLarge,
    /// It has too many events.
    #[error("it has more than {MOST_EVENTS} events")]
    TooManyEvents,
    /// Its events take too long.
    #[error("its events could not be computed in time")]
    TooSlow,
}

/// Whether the last calendar is whole: what a download or an editor has cut off says nothing about who is on call.
fn has_end(bytes: &[u8]) -> bool {
    const END: &[u8] = b"END:VCALENDAR";
    let is_end = |line: &[u8]| line.trim_ascii().eq_ignore_ascii_case(END);
    bytes
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .rfind(|line| !line.trim_ascii().is_empty())
        .is_some_and(is_end)
}

/// The shifts of a calendar. `is_late` says when time is up.
pub fn expand(bytes: &[u8], wanted: Wanted<'_>, is_late: &dyn Fn() -> bool) -> Result<Expanded, Unusable> {
    if bytes.len() > LARGEST {
        return Err(Unusable::TooLarge);
    }
    // Some programs write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(bytes);
    let mut expanded = Expanded::default();
    let parsed: Vec<IcalCst<'_>> = match IcalCst::parse_many(bytes).collect() {
        Ok(parsed) => parsed,
        Err(problem) => {
            expanded.problems.push(format!("some of its lines cannot be read: {problem}"));
            IcalCst::parse_recovering(bytes).calendars
        }
    };
    let calendars: Vec<Ical<'_>> = parsed
        .iter()
        .filter(|calendar| calendar.begin.as_ref().is_some_and(|begin| is_calendar(&begin.raw_value_str())))
        .map(IcalCst::decode)
        .collect();
    if calendars.is_empty() {
        let beginning: String = String::from_utf8_lossy(bytes).trim_start().chars().take(20).collect();
        return Err(Unusable::NoCalendar(beginning.replace(['\r', '\n', '`'], " ").trim().to_owned()));
    }
    if !has_end(bytes) {
        return Err(Unusable::Cut);
    }
    let events = calendars.iter().flat_map(|calendar| &calendar.components).filter(|it| is_event(it));
    if events.count() > MOST_EVENTS {
        return Err(Unusable::TooManyEvents);
    }
    for calendar in &calendars {
        expansion::expand(calendar, wanted, is_late, &mut expanded)?;
    }
    expanded.shifts.sort_unstable();
    expanded.shifts.dedup();
    expanded.problems.dedup();
    expanded.problems.truncate(MOST_PROBLEMS);
    Ok(expanded)
}

fn is_calendar(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("VCALENDAR")
}

fn is_event(component: &IcalComponent<'_>) -> bool {
    matches!(component.name, IcalComponentName::Kind(IcalComponentKind::VEvent))
}
