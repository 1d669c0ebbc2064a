//! The incident: a group of alerts in one room list. It is what people see and acknowledge.

use super::hold::{HeldBy, Hold};
use super::policy::Severity;
use super::time::later;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strum::{IntoStaticStr, VariantArray};

/// Alertmanager's identity of a label set, as 16 hexadecimal digits; or a substitute that matrixbot computed.
pub type Fingerprint = String;

/// The state that the rules decide on. `store` keeps the other details that rooms see (labels, annotations, posts).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The phase.
    pub phase: Phase,
    /// The current run of the ladder.
    pub run: Run,
    /// The only timer: when the next tick is due, in every phase. See I3.
    pub next_at: Option<Timestamp>,
    /// Who acknowledged or snoozed it, earliest first. A new run clears it.
    pub ackers: Vec<OwnedUserId>,
    /// How often it fired again after it was resolved.
    pub flap_count: u32,
    /// Counts the changes, from 1 (I16).
    pub version: u64,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When a new alert last ended an acknowledgement or a snooze; see `Policy::reopen_min_interval`.
    pub reopened_at: Option<Timestamp>,
    /// The firing alerts.
    pub firing: BTreeMap<Fingerprint, Firing>,
    /// The last episode of each resolved alert; deleted after a day.
    pub cleared: BTreeMap<Fingerprint, Cleared>,
    /// The alerts that were firing when a person acknowledged, snoozed or resolved it: rank by fingerprint. A new run
    /// clears it.
    pub known_at_ack: BTreeMap<Fingerprint, i32>,
    /// Why Alertmanager holds back all its firing alerts; `None`: it does not, or nobody has polled it. Until the hold
    /// ends, the incident does not escalate.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The silences that hold some of its firing alerts, but not all. It escalates all the same.
    #[serde(default)]
    pub partly_silenced: BTreeSet<HeldBy>,
}

/// The phase of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Alerts are firing and nobody acknowledged: the ladder is running.
    Firing,
    /// A person acknowledged it.
    Acknowledged {
        /// When the acknowledgement ends; `None`: when the incident resolves.
        until: Option<Timestamp>,
        /// Whether the ackers were reminded that it ends soon; also `true` if it is too short for a reminder.
        reminded: bool,
    },
    /// A person snoozed it.
    Snoozed {
        /// When the snooze ends.
        until: Timestamp,
    },
    /// Nobody acknowledged on any level.
    Unanswered {
        /// How many reminders were sent since.
        reminders: u32,
    },
    /// Maintenance is active: nobody is paged.
    Suppressed,
    /// No alert is firing, or a person resolved it by hand.
    Resolved {
        /// A person resolved it while alerts were firing. It stays resolved until they resolve or another alert fires.
        forced: bool,
        /// The acknowledgement from before, which applies again if the incident fires again.
        kept_ack: Option<KeptAck>,
    },
    /// Final. If the group fires again, matrixbot opens another incident.
    Closed,
}

/// An acknowledgement that matrixbot keeps while its incident is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAck {
    /// When it ends; `None`: when the incident resolves.
    pub until: Option<Timestamp>,
}

/// The name of a phase in the database, in logs and in metrics.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`Phase` explains them")]
#[strum(serialize_all = "snake_case")]
pub enum PhaseName {
    Firing,
    Acknowledged,
    Snoozed,
    Unanswered,
    Suppressed,
    Resolved,
    Closed,
}

/// One run of the ladder, from its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Counts the runs of the incident, from 1.
    pub no: u32,
    /// The level that was paged last; `None` before the first page.
    pub level: Option<u32>,
    /// How often this run has repeated the ladder.
    pub loop_no: u32,
    /// Whether the current level's page was sent to a room, which armed the level's timer.
    #[serde(rename = "told")]
    pub notified: bool,
    /// The policy it started with (I14): a row of `policy_version`.
    pub policy_version: i64,
    /// The level of its first page: 0, or the level that the run before had reached.
    #[serde(default)]
    pub start_level: u32,
    /// The severities that its pages have named; an alert without a severity has the empty name. `None`: not
    /// known, because an earlier release started the run.
    #[serde(default)]
    pub severities: Option<BTreeSet<String>>,
}

/// The place of a page in the ladder. Together with the room, it is unique within an incident (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rung {
    /// The run.
    pub run_no: u32,
    /// The loop within the run.
    pub loop_no: u32,
    /// The level, counted from 0.
    pub level: u32,
}

/// A firing alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// Its severity.
    pub severity: Severity,
    /// When the episode started, according to Alertmanager: a hint, not an identity. It only moves forward.
    pub starts_at: Timestamp,
    /// Whether Alertmanager gave that start. If not, it is when the alert arrived.
    pub start_known: bool,
    /// When the first report of this episode arrived.
    pub since: Timestamp,
    /// When a webhook last reported on it.
    pub last_seen: Timestamp,
    /// Since when the reports on its group leave it out, although none has resolved it.
    pub left_out_since: Option<Timestamp>,
}

/// A resolved alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// When the episode started, according to Alertmanager.
    pub starts_at: Timestamp,
    /// When it resolved, by our clock.
    pub at: Timestamp,
    /// A later report that it is still firing, which may be an old one.
    pub doubt: Option<Doubt>,
}

/// A report that a resolved alert is firing, with the start of the episode that has ended: it may have overtaken the
/// resolution, or be the copy of another peer. It counts if nothing resolves it within `Policy::replay_grace`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The alert's severity.
    pub severity: Severity,
    /// When the report arrived.
    pub since: Timestamp,
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

    /// Whether somebody may still have to acknowledge the incident: it is open, and nobody has.
    pub fn asks_for_acknowledgement(&self) -> bool {
        self.is_open() && !matches!(self, Self::Acknowledged { .. })
    }

    /// Whether the incident is open: neither resolved nor closed.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Resolved { .. } | Self::Closed)
    }

    /// Whether the end of a hold pages again.
    pub fn pages_after_hold(&self) -> bool {
        matches!(self, Self::Firing | Self::Unanswered { .. } | Self::Acknowledged { .. })
    }
}

impl PhaseName {
    /// Whether the incident is open: neither resolved nor closed.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Resolved | Self::Closed)
    }

    /// Every phase, in the order of an incident's life.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in the database, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Incident {
    /// The earliest start of its alerts, as far as reports gave one since it opened; when it opened, if none is earlier.
    pub fn earliest_start(&self) -> Timestamp {
        let firing = self.firing.values().map(|alert| alert.starts_at);
        let cleared = self.cleared.values().filter(|cleared| cleared.at >= self.opened_at);
        firing.chain(cleared.map(|cleared| cleared.starts_at)).fold(self.opened_at, Timestamp::min)
    }

    /// The highest severity of the firing alerts; `None` if none is firing.
    pub fn severity(&self) -> Option<&Severity> {
        self.firing.values().map(|alert| &alert.severity).max_by_key(|severity| severity.rank)
    }

    /// The severities of the firing alerts.
    pub fn severities(&self) -> impl Iterator<Item = &Severity> {
        self.firing.values().map(|alert| &alert.severity)
    }

    /// Whether any firing alert escalates beyond the first level.
    pub fn escalates(&self) -> bool {
        self.firing.values().any(|alert| alert.severity.escalate)
    }

    /// When it becomes stale if Alertmanager sends no more reports on its alerts; `None` if no alert is firing.
    pub fn stale_at(&self, stale_after: Duration) -> Option<Timestamp> {
        self.firing.values().map(|alert| alert.last_seen).max().map(|seen| later(seen, stale_after))
    }

    /// The place of the last page; `None` before the first page of the run.
    pub fn rung(&self) -> Option<Rung> {
        self.run.level.map(|level| Rung { run_no: self.run.no, loop_no: self.run.loop_no, level })
    }
}
