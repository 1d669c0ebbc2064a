//! Who is on call.
//!
//! A schedule is a rotation or a calendar. A rotation has layers; a later one covers the earlier ones where it applies. A
//! calendar arrives expanded into shifts ([`calendar`]). An override wins over both; of several the newest wins.
//!
//! Everything here is a pure function of the schedule, of what is stored about it ([`Known`]) and of an instant.

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's types list all that calendars may have")]
pub mod calendar;
pub mod planning;
mod times;
mod turns;
pub mod words;

#[cfg(test)]
mod tests;

pub use times::{Clock, HandOff, Window, time_of_day};
pub use turns::{Layer, Turns};

use super::policy::{Mention, RoomReference};
use super::zone::Zone;
use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedUserId, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far ahead the next hand-off is searched.
const HORIZON: SignedDuration = SignedDuration::from_hours(24 * 400);
/// How much of that is looked at first. Each further part is twice as long.
const FIRST_PART: SignedDuration = SignedDuration::from_hours(24 * 8);

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name, which `mention` uses.
    pub name: String,
    /// The zone of its wall clock.
    pub zone: Zone,
    /// The layers of its rotation, the earliest first. Empty: it has a calendar.
    pub layers: Vec<Layer>,
    /// Its calendar.
    pub calendar: Option<calendar::Source>,
    /// The rooms that learn of hand-overs and overrides.
    pub announce: Vec<RoomReference>,
    /// Who is mentioned while nobody is on call.
    pub fallback: Vec<Mention>,
}

/// What is stored about a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// Overrides, in the order in which they were made.
    pub overrides: Vec<Override>,
    /// The shifts of its calendar.
    pub shifts: Vec<Shift>,
}

/// A person who serves instead of whom the schedule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The row.
    pub id: i64,
    /// Who serves.
    pub person: OwnedUserId,
    /// Only instead of this user, while that one serves; `None`: instead of everybody.
    pub instead_of: Option<OwnedUserId>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub made_by: OwnedUserId,
}

/// A shift of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// Who serves; `None`: nobody knows the user of this name.
    pub person: Option<OwnedUserId>,
    /// The name, as the calendar has it.
    pub name: String,
    /// Of overlapping shifts, those of the highest rank count.
    pub rank: i32,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
}

/// Who serves at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Serving {
    /// The users, without duplicates.
    pub people: Vec<OwnedUserId>,
    /// Names in the calendar that stand for no known user.
    pub unknown: Vec<String>,
    /// The newest override that counts.
    pub by_override: Option<i64>,
}

impl Serving {
    fn replace(&mut self, made: &Override) {
        match &made.instead_of {
            None => {
                self.people = vec![made.person.clone()];
                self.unknown.clear();
            }
            Some(replaced) if self.includes(replaced) => {
                self.people.retain(|person| person != replaced && *person != made.person);
                self.people.push(made.person.clone());
            }
            Some(_) => return,
        }
        self.by_override = Some(made.id);
    }

    /// Whether nobody can be mentioned.
    pub fn is_nobody(&self) -> bool {
        self.people.is_empty()
    }

    /// Whether this user serves.
    pub fn includes(&self, user: &UserId) -> bool {
        self.people.iter().any(|person| person == user)
    }
}

/// A span in which the same people serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who.
    pub serving: Serving,
}

impl Schedule {
    /// Who serves at an instant.
    pub fn serving(&self, known: &Known, at: Timestamp) -> Serving {
        let mut serving = self.planned(known, at);
        for made in known.overrides.iter().filter(|made| made.starts_at <= at && at < made.ends_at) {
            serving.replace(made);
        }
        serving
    }

    /// Who would serve without overrides.
    fn planned(&self, known: &Known, at: Timestamp) -> Serving {
        let mut serving = Serving::default();
        if self.calendar.is_none() {
            let mut layers = self.layers.iter().rev();
            let person = layers.find_map(|layer| layer.serving(at, self.zone.time_zone()));
            serving.people.extend(person.cloned());
            return serving;
        }
        let shifts = known.shifts.iter().filter(|shift| shift.starts_at <= at && at < shift.ends_at);
        let highest = shifts.clone().map(|shift| shift.rank).max();
        for shift in shifts.filter(|shift| Some(shift.rank) == highest) {
            match &shift.person {
                Some(person) if !serving.people.contains(person) => serving.people.push(person.clone()),
                None if !serving.unknown.contains(&shift.name) => serving.unknown.push(shift.name.clone()),
                Some(_) | None => {}
            }
        }
        serving
    }

    /// Who serves when from `from` to `to`, without gaps: spans in which nobody serves are spans.
    pub fn spans(&self, known: &Known, from: Timestamp, to: Timestamp) -> Vec<Span> {
        let made = known.overrides.iter().flat_map(|made| [made.starts_at, made.ends_at]);
        let shifts = known.shifts.iter().filter(|_| self.calendar.is_some());
        let shifts = shifts.flat_map(|shift| [shift.starts_at, shift.ends_at]);
        let turns = self.layers.iter().flat_map(|layer| layer.changes(from, to, self.zone.time_zone()));
        let mut starts: Vec<Timestamp> = made.chain(shifts).chain(turns).collect();
        starts.retain(|at| from < *at && *at < to);
        starts.push(from);
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).copied().chain([to]);
        let mut spans: Vec<Span> = Vec::new();
        for (starts_at, ends_at) in starts.iter().copied().zip(ends).filter(|(from, to)| from < to) {
            let serving = self.serving(known, starts_at);
            match spans.last_mut() {
                Some(last) if last.serving == serving => last.ends_at = ends_at,
                _ => spans.push(Span { starts_at, ends_at, serving }),
            }
        }
        spans
    }

    /// When other people serve than at `at`, and who. `None`: not within 400 days.
    pub fn next_hand_off(&self, known: &Known, at: Timestamp) -> Option<Span> {
        let now = self.serving(known, at);
        let last = at.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let (mut from, mut part) = (at, FIRST_PART);
        while from < last {
            let to = from.checked_add(part).unwrap_or(Timestamp::MAX).min(last);
            let mut spans = self.spans(known, from, to).into_iter();
            if let Some(next) = spans.find(|span| span.serving.people != now.people) {
                let ends_at = if next.ends_at == to { self.ends(known, &next) } else { next.ends_at };
                return Some(Span { ends_at, ..next });
            }
            (from, part) = (to, part.saturating_mul(2));
        }
        None
    }

    /// Until when the people of a span serve, at most 400 days.
    fn ends(&self, known: &Known, span: &Span) -> Timestamp {
        let to = span.starts_at.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let mut spans = self.spans(known, span.starts_at, to).into_iter();
        spans.find(|other| other.serving.people != span.serving.people).map_or(to, |other| other.starts_at)
    }

    /// The shifts of its calendar, with the people whom the configuration names.
    pub fn shifts(&self, found: Vec<calendar::Found>) -> Vec<Shift> {
        let Some(calendar) = &self.calendar else { return Vec::new() };
        let shift = |found: calendar::Found| Shift {
            person: found.names.person(&calendar.people),
            name: found.names.label,
            rank: found.names.rank,
            starts_at: found.starts_at,
            ends_at: found.ends_at,
        };
        found.into_iter().map(shift).collect()
    }

    /// Everybody whom the configuration names: people who may be on call, and who is mentioned while nobody is.
    pub fn everybody(&self) -> Vec<Mention> {
        let of_layers = self.layers.iter().flat_map(Layer::people);
        let of_calendar = self.calendar.iter().flat_map(|calendar| calendar.people.users());
        let users = of_layers.chain(of_calendar).cloned().map(Mention::User);
        let mut everybody: Vec<Mention> = Vec::new();
        for mention in users.chain(self.fallback.iter().cloned()) {
            if !everybody.contains(&mention) {
                everybody.push(mention);
            }
        }
        everybody
    }
}

/// The configured schedules by name.
pub type Schedules = BTreeMap<String, Arc<Schedule>>;

/// Who is on call now, for the schedules that a message mentions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnCallNow(BTreeMap<String, State>);

/// A schedule at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// These people serve: at least one.
    People(Vec<OwnedUserId>),
    /// Nobody serves; these are mentioned instead.
    Nobody(Vec<Mention>),
    /// It is not known here who serves.
    Unknown,
}

/// Whom a page mentions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Called {
    /// Users and `@room`, without duplicates and without schedules.
    pub mentions: Vec<Mention>,
    /// The schedules in which nobody is on call. What they fall back to is among the mentions.
    pub nobody: Vec<String>,
}

impl OnCallNow {
    /// Adds a schedule. `None`: no schedule has this name any more.
    pub fn add(&mut self, name: &str, schedule: Option<(&Schedule, &Known)>, now: Timestamp) {
        let state = match schedule {
            Some((schedule, known)) => match schedule.serving(known, now) {
                nobody if nobody.is_nobody() => State::Nobody(schedule.fallback.clone()),
                serving => State::People(serving.people),
            },
            None => State::Nobody(vec![Mention::Room]),
        };
        self.0.insert(name.to_owned(), state);
    }

    /// Adds schedules of which it is not known here who serves: their names stand for them.
    #[must_use]
    pub fn with_unknown(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.0.extend(names.into_iter().map(|name| (name, State::Unknown)));
        self
    }

    /// Without schedules.
    pub fn none() -> &'static Self {
        static NONE: OnCallNow = OnCallNow(BTreeMap::new());
        &NONE
    }

    /// Whether this user is on call in one of the schedules.
    pub fn includes(&self, user: &UserId) -> bool {
        self.0
            .values()
            .any(|state| matches!(state, State::People(people) if people.iter().any(|is| is == user)))
    }

    /// The mentions with people in place of schedules. A schedule that was not added has nobody on call.
    pub fn resolve(&self, mentions: &[Mention]) -> Called {
        let mut called = Called::default();
        let room = [Mention::Room];
        for mention in mentions {
            let Mention::OnCall(name) = mention else {
                called.add(mention.clone());
                continue;
            };
            let fallback = match self.0.get(name) {
                Some(State::People(people)) => {
                    for user in people {
                        called.add(Mention::User(user.clone()));
                    }
                    continue;
                }
                Some(State::Unknown) => {
                    called.add(mention.clone());
                    continue;
                }
                Some(State::Nobody(fallback)) => fallback.as_slice(),
                None => room.as_slice(),
            };
            if !called.nobody.contains(name) {
                called.nobody.push(name.clone());
            }
            for mention in fallback {
                called.add(mention.clone());
            }
        }
        called
    }
}

impl From<Mention> for Called {
    fn from(mention: Mention) -> Self {
        Self { mentions: vec![mention], nobody: Vec::new() }
    }
}

impl Called {
    fn add(&mut self, mention: Mention) {
        if !self.mentions.contains(&mention) {
            self.mentions.push(mention);
        }
    }
}
