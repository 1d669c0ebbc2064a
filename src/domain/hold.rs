//! Alertmanager holds alerts back: by a silence, an inhibition, or a mute interval. They are firing, and it sends no
//! webhook about them.

use super::time::{between, later};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// An end that is handled so much later came while matrixbot was not running.
const MISSED: Duration = Duration::from_secs(10);
/// How long a missed end waits for the polls: the lease of a process that was killed, and some.
const FIRST_POLLS: Duration = Duration::from_secs(90);
/// How long an end waits for the answer of Alertmanager, which is asked for two seconds.
pub const ASKED: Duration = Duration::from_secs(5);
/// How much the end of a silence moves at most without that people see it.
pub const UNSEEN: Duration = Duration::from_mins(1);

/// Why Alertmanager holds back every firing alert of an incident, as its last poll says. The incident does not escalate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What holds them, without duplicates, in this order.
    pub by: BTreeSet<HeldBy>,
    /// When it ends as far as is known. Then the incident pages again, also if Alertmanager does not answer. An inhibition
    /// or a mute interval has no end of its own: each poll extends the hold.
    pub until: Timestamp,
    /// Whether it has outlasted an end, until Alertmanager answers or polls settle it. It does that once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlasted: bool,
}

/// Whether Alertmanager is being polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polls {
    /// Yes.
    Run,
    /// Not now: matrixbot has just started, or the process that polled has ended.
    Rest,
}

/// What holds alerts back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum HeldBy {
    /// A silence.
    Silence {
        /// Its id.
        id: String,
        /// Who made it, according to itself; anybody may write anything.
        created_by: String,
        /// Its comment.
        comment: String,
        /// When it ends.
        until: Timestamp,
    },
    /// Another alert inhibits them.
    Inhibition,
    /// A time interval of the route.
    TimeInterval {
        /// Its name.
        name: String,
    },
}

impl Hold {
    /// What follows it when its end is handled. `None`: nothing. The alerts may have ended since the last poll, or the silence
    /// may last longer: Alertmanager is asked, and has five seconds to answer. If nobody polled when the hold ended, it lasts
    /// until polls could find what has ended, or else for 90 seconds.
    pub fn after_its_end(&self, now: Timestamp, polls: Polls) -> Option<Self> {
        let missed = polls == Polls::Rest || between(self.until, now) > MISSED;
        (!self.outlasted).then(|| self.outlasting(now, if missed { FIRST_POLLS } else { ASKED }))
    }

    /// What follows it when a webhook says that its alerts are firing: Alertmanager is asked, because one whose routes have
    /// just been read again sends what is inhibited, before it knows that (0.25).
    #[must_use]
    pub fn doubted(&self, now: Timestamp) -> Self {
        if self.outlasted { self.clone() } else { self.outlasting(now, ASKED) }
    }

    fn outlasting(&self, now: Timestamp, pause: Duration) -> Self {
        Self { by: self.by.clone(), until: later(now, pause), outlasted: true }
    }

    /// Whether people see another reason or another end than before. The end of a hold without a silence is not seen.
    pub fn looks_different(&self, before: &Self) -> bool {
        look_different(&self.by, &before.by)
    }
}

/// Whether people see other reasons. They see no ids, and minutes: ends that differ by less look alike, because
/// Alertmanager's clock is known to a second or two.
pub fn look_different(these: &BTreeSet<HeldBy>, before: &BTreeSet<HeldBy>) -> bool {
    let sorted = |all: &BTreeSet<HeldBy>| {
        let mut seen: Vec<Seen> = all.iter().map(HeldBy::seen).collect();
        seen.sort();
        seen
    };
    let are_alike = |((what, until), (same, before)): (&Seen, &Seen)| {
        what == same && between(*until, *before).max(between(*before, *until)) < UNSEEN
    };
    these.len() != before.len() || !sorted(these).iter().zip(&sorted(before)).all(are_alike)
}

/// What people see of it, and until when.
type Seen = ((String, String), Timestamp);

impl HeldBy {
    fn seen(&self) -> Seen {
        let (what, until) = match self {
            Self::Silence { created_by, comment, until, .. } => {
                ((created_by.clone(), comment.clone()), *until)
            }
            Self::Inhibition => (("an inhibition".to_owned(), String::new()), Timestamp::MAX),
            Self::TimeInterval { name } => (("a time interval".to_owned(), name.clone()), Timestamp::MAX),
        };
        (what, until)
    }
}

/// Which firing alerts of an incident Alertmanager holds back, as lists show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "alerts", rename_all = "snake_case")]
pub enum HeldAlerts {
    /// All of them.
    All {
        /// When the first silence ends; `None`: no silence holds them.
        until: Option<Timestamp>,
    },
    /// Some of them, by silences.
    Some,
}

impl HeldAlerts {
    /// Those of an incident that is held back (`hold`), or of which silences hold some alerts (`partly`); `None`: none.
    pub fn of(hold: Option<&Hold>, partly: &BTreeSet<HeldBy>) -> Option<Self> {
        let end = |by: &HeldBy| match by {
            HeldBy::Silence { until, .. } => Some(*until),
            HeldBy::Inhibition | HeldBy::TimeInterval { .. } => None,
        };
        let all = |hold: &Hold| Self::All { until: hold.by.iter().filter_map(end).min() };
        hold.map(all).or_else(|| (!partly.is_empty()).then_some(Self::Some))
    }
}
