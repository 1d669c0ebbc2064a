//! What rooms learn about who is on call. The database stores these with messages, so their tags must not change.

use super::planning::{NewOverride, NoPlan};
use super::{Known, Schedule, Span};
use crate::domain::answer::{IncidentLine, Need};
use crate::domain::policy::Mention;
use crate::domain::zone::Zone;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// An answer to a command about who is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on_call", rename_all = "snake_case")]
pub enum OnCallAnswer {
    /// Who is on call now, and who is next.
    Who {
        /// The schedules.
        schedules: Vec<Now>,
    },
    /// The next shifts.
    Next {
        /// The schedules.
        schedules: Vec<Ahead>,
    },
    /// The change counts.
    Changed {
        /// The change.
        of: Changed,
    },
    /// The change comes to nothing.
    NoPlan {
        /// The schedule.
        schedule: String,
        /// Its zone.
        zone: Zone,
        /// Why.
        of: NoPlan,
    },
    /// The person has no change that could be undone.
    NothingToUndo,
    /// The person may not change these shifts.
    NotPermitted {
        /// What the person lacks.
        needs: Need,
        /// Whose shifts they are.
        others: Vec<OwnedUserId>,
    },
    /// No schedule belongs to the room.
    NoSchedule,
    /// The command must name one of several schedules, or names another one.
    WhichSchedule {
        /// What the person typed.
        typed: Option<String>,
        /// The schedules of the room.
        names: Vec<String>,
    },
    /// Nobody in the room has this name, or several have.
    WhoIsThat {
        /// What the person typed.
        typed: String,
    },
}

/// Who is on call now in a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// The schedule.
    pub schedule: String,
    /// Its zone.
    pub zone: Zone,
    /// Who is on call.
    pub people: Vec<OwnedUserId>,
    /// Names of the calendar that stand for nobody known.
    pub unknown: Vec<String>,
    /// Whether somebody serves instead of whom the schedule names.
    pub instead: bool,
    /// Who is next, and from when; `None`: nobody else for a year.
    pub next: Option<ShiftSpan>,
    /// Since when its calendar cannot be read.
    pub failing_since: Option<Timestamp>,
}

/// The next shifts of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The schedule.
    pub schedule: String,
    /// Its zone.
    pub zone: Zone,
    /// The shifts.
    pub shifts: Vec<ShiftSpan>,
}

/// A span as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftSpan {
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who serves.
    pub people: Vec<OwnedUserId>,
    /// Names of the calendar that stand for nobody known.
    pub unknown: Vec<String>,
}

/// A change that a person made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The schedule.
    pub schedule: String,
    /// Its zone.
    pub zone: Zone,
    /// Who made it.
    pub by: OwnedUserId,
    /// The overrides.
    pub overrides: Vec<NewOverride>,
    /// Whose shifts it changed, apart from those of whom the overrides name.
    pub others: Vec<OwnedUserId>,
    /// Whether they were undone.
    pub undone: bool,
}

/// Another person is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// The schedule.
    pub schedule: String,
    /// Its zone.
    pub zone: Zone,
    /// Who is on call now; empty: nobody.
    pub people: Vec<OwnedUserId>,
    /// Names of the calendar that stand for nobody known.
    pub unknown: Vec<String>,
    /// Who was on call before.
    pub before: Vec<OwnedUserId>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Who is mentioned while nobody is on call.
    pub fallback: Vec<Mention>,
    /// What is open in the room.
    pub incidents: Vec<IncidentLine>,
    /// How many more incidents are open.
    pub more: u64,
}

impl From<Span> for ShiftSpan {
    fn from(span: Span) -> Self {
        let Span { starts_at, ends_at, serving } = span;
        Self { starts_at, ends_at, people: serving.people, unknown: serving.unknown }
    }
}

impl Now {
    /// Who is on call in a schedule at `now`. `known` reaches 400 days ahead.
    pub fn of(schedule: &Schedule, known: &Known, now: Timestamp, failing_since: Option<Timestamp>) -> Self {
        let serving = schedule.serving(known, now);
        Self {
            schedule: schedule.name.clone(),
            zone: schedule.zone.clone(),
            people: serving.people,
            unknown: serving.unknown,
            instead: serving.by_override.is_some(),
            next: schedule.next_hand_off(known, now).map(ShiftSpan::from),
            failing_since,
        }
    }
}
