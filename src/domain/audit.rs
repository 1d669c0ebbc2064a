//! The audit of what is stored: states that no rule allows, or that should have passed long ago.
//!
//! A violation counts once two audits in a row have found it (`CONFIRMED`): a transaction may be on its way.

use super::time::earlier;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The interval of the audit.
pub const EVERY: Duration = Duration::from_mins(1);
/// How long a violation exists before it counts.
const CONFIRMED: Duration = Duration::from_secs(50);
/// How long a violation lasts before the fallback rooms are notified.
const LASTING: Duration = Duration::from_mins(5);
/// How late a timer, a message or a lease may be.
const PATIENCE: Duration = Duration::from_mins(5);
/// How far ahead the end of a lease may be.
const LONGEST_LEASE: Duration = Duration::from_mins(10);

/// What is checked. The names are those of metrics, of `/readyz` and of the database.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    IntoStaticStr,
    EnumString,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AuditCheck {
    /// An incident that something must happen to later has no timer.
    IncidentWithoutTimer,
    /// The timer of an incident passed long ago, and it is not set aside.
    TimerOverdue,
    /// An incident is firing on a level of which no page was ever enqueued.
    PageWithoutMessage,
    /// A page is due for long, and no attempt is made to send it.
    PageNotSent,
    /// A room is reserved for a message for too long, so that nothing else is sent to it.
    LeaseWithoutEnd,
    /// The newest change of an open incident is not in its timeline.
    TimelineGap,
    /// No room of a room list can be reached on any level.
    ListWithoutRoom,
}

impl AuditCheck {
    /// All checks.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in the database, in metrics and in `/readyz`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What is wrong with the subject of a violation, as people read it after its name.
    pub fn words(self) -> &'static str {
        match self {
            Self::IncidentWithoutTimer => "has no timer, so it never escalates",
            Self::TimerOverdue => "should have escalated, and did not",
            Self::PageWithoutMessage => "is firing, and its page was never enqueued",
            Self::PageNotSent => "has a page that nothing tries to send",
            Self::LeaseWithoutEnd => {
                "is reserved for a message that is never settled, so nothing is sent there"
            }
            Self::TimelineGap => "has changed without an entry in its timeline",
            Self::ListWithoutRoom => "has no reachable room on any level, so none of its pages arrives",
        }
    }
}

/// One violation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// What was checked.
    pub check: AuditCheck,
    /// What it is about: `#42`, a room, a room list.
    pub subject: String,
    /// The room list that it concerns, if one is known.
    pub room_list: Option<String>,
}

/// The limits of an audit at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditTimes {
    /// What is due before is late.
    pub late: Timestamp,
    /// A lease that ends later never ends.
    pub lease: Timestamp,
    /// What was found before counts.
    pub confirmed: Timestamp,
    /// What was found before lasts: the fallback rooms are notified.
    pub lasting: Timestamp,
}

impl AuditTimes {
    /// The limits at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            late: earlier(now, PATIENCE),
            lease: super::time::later(now, LONGEST_LEASE),
            confirmed: earlier(now, CONFIRMED),
            lasting: earlier(now, LASTING),
        }
    }
}
