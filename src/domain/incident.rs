//! The unit people see and acknowledge: one Alertmanager group in one room list.

use super::policy::Severity;
use super::time::later;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Alertmanager's identity of a label set, as 16 hexadecimal digits; or what was computed in its place.
pub type Fingerprint = String;

/// The state that the rules decide on. What rooms see besides (labels, annotations, posts) is kept by `store`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Where the incident stands.
    pub phase: Phase,
    /// The current passage of the ladder.
    pub run: Run,
    /// The only timer: when a tick is due, whatever the phase. See I3.
    pub next_at: Option<Timestamp>,
    /// Who took it, first first. Emptied by a new run.
    pub ackers: Vec<OwnedUserId>,
    /// How often it fired again after it had cleared.
    pub flap_count: u32,
    /// Counts the changes, from 1 (I16).
    pub version: u64,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When a new alert last broke an acknowledgement or a snooze; see `Policy::reopen_min_interval`.
    pub reopened_at: Option<Timestamp>,
    /// The alerts that fire now.
    pub firing: BTreeMap<Fingerprint, Firing>,
    /// The last episode of each alert that cleared and does not fire; forgotten after a day.
    pub cleared: BTreeMap<Fingerprint, Cleared>,
    /// What was firing when a person took the incident: rank by fingerprint. Emptied by a new run.
    pub known_at_ack: BTreeMap<Fingerprint, i32>,
}

/// Where an incident stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Something fires and nobody took it: the ladder is being climbed.
    Firing,
    /// Somebody took it.
    Acknowledged {
        /// Until when; `None`: until it resolves.
        until: Option<Timestamp>,
        /// Whether the acker was reminded that this ends soon; also `true` if it is too short for a reminder.
        reminded: bool,
    },
    /// Somebody put it off.
    Snoozed {
        /// Until when.
        until: Timestamp,
    },
    /// The ladder ran out.
    Unanswered {
        /// How many reminders were given since.
        reminders: u32,
    },
    /// Maintenance holds it back.
    Suppressed,
    /// Nothing fires any more, or a person said so.
    Resolved {
        /// Resolved by a person while alerts still fire: held until they clear or something new fires.
        forced: bool,
        /// Until when the acknowledgement that was in force at the clear holds, if it comes back.
        kept_ack: Option<KeptAck>,
    },
    /// Over for good. A new alert of the same group is another incident.
    Closed,
}

/// An acknowledgement that outlives a clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAck {
    /// Until when it holds; `None`: until the incident resolves.
    pub until: Option<Timestamp>,
}

/// A phase's name, as the database, logs and metrics have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it; `Phase` explains them")]
pub enum PhaseName {
    Firing,
    Acknowledged,
    Snoozed,
    Unanswered,
    Suppressed,
    Resolved,
    Closed,
}

/// One passage of the ladder from its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the runs of the incident, from 1.
    pub no: u32,
    /// The level that was paged last; `None` before the first page.
    pub level: Option<u32>,
    /// How often the ladder was begun again within this run.
    pub loop_no: u32,
    /// Whether the current level's page has reached a room, which armed its timer.
    pub told: bool,
    /// The policy it began with (I14): a row of `policy_version`.
    pub policy_version: i64,
}

/// The place of a page: what makes it unique within its incident, together with its room (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rung {
    /// The run.
    pub run_no: u32,
    /// The loop within the run.
    pub loop_no: u32,
    /// The level, the first being 0.
    pub level: u32,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// How bad it is.
    pub severity: Severity,
    /// When Alertmanager says the episode began: a hint, not an identity.
    pub starts_at: Timestamp,
    /// When a webhook last reported it.
    pub last_seen: Timestamp,
}

/// An alert that cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// When the episode had begun.
    pub starts_at: Timestamp,
    /// When it was cleared, by our clock.
    pub at: Timestamp,
}

impl Phase {
    /// The phase without its data.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Firing => PhaseName::Firing,
            Self::Acknowledged { .. } => PhaseName::Acknowledged,
            Self::Snoozed { .. } => PhaseName::Snoozed,
            Self::Unanswered { .. } => PhaseName::Unanswered,
            Self::Suppressed => PhaseName::Suppressed,
            Self::Resolved { .. } => PhaseName::Resolved,
            Self::Closed => PhaseName::Closed,
        }
    }

    /// Whether the incident is open: neither resolved nor closed.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Resolved { .. } | Self::Closed)
    }
}

impl PhaseName {
    /// Every phase, in the order of an incident's life.
    pub const ALL: [Self; 7] = [
        Self::Firing,
        Self::Acknowledged,
        Self::Snoozed,
        Self::Unanswered,
        Self::Suppressed,
        Self::Resolved,
        Self::Closed,
    ];

    /// The name in the database, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Snoozed => "snoozed",
            Self::Unanswered => "unanswered",
            Self::Suppressed => "suppressed",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

impl Incident {
    /// The severity of the worst alert that fires; `None` if none does.
    pub fn severity(&self) -> Option<&Severity> {
        self.firing.values().map(|alert| &alert.severity).max_by_key(|severity| severity.rank)
    }

    /// Whether any alert that fires climbs the ladder.
    pub fn escalates(&self) -> bool {
        self.firing.values().any(|alert| alert.severity.escalate)
    }

    /// When it counts as over if nothing more is heard of its alerts; `None` if nothing fires.
    pub fn stale_at(&self, stale_after: Duration) -> Option<Timestamp> {
        self.firing.values().map(|alert| alert.last_seen).max().map(|seen| later(seen, stale_after))
    }

    /// The place of the last page; `None` before the first page of the run.
    pub fn rung(&self) -> Option<Rung> {
        self.run.level.map(|level| Rung { run_no: self.run.no, loop_no: self.run.loop_no, level })
    }
}
