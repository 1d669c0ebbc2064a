//! What happened to an incident, by whom and when: the story that rooms, logs and the `timeline` command tell.

use super::incident::{Fingerprint, Incident};
use super::input::Via;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// The incident's version afterwards (I8).
    pub version: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum Kind {
    /// A passage of the ladder begins, under the policy it keeps; held back if maintenance covers the incident.
    RunStarted { why: RunReason, policy_version: i64, suppressed: bool },
    /// Alerts joined, left or changed their severity, and nothing else follows from it.
    AlertsChanged { joined: Vec<Fingerprint>, cleared: Vec<Fingerprint>, changed: Vec<Fingerprint> },
    /// A level was paged.
    Paged { loop_no: u32, level: u32 },
    /// The page is in a room: the ladder's timer runs from here.
    Told { loop_no: u32, level: u32 },
    /// No room of a level can be reached.
    Undeliverable { loop_no: u32, level: u32 },
    /// The ladder ran out.
    Unanswered,
    /// An unanswered incident is told once more.
    Reminded { number: u32 },
    /// A person took it.
    Acknowledged { who: OwnedUserId, via: Via, until: Option<Timestamp>, comment: Option<String> },
    /// A further person took it.
    JoinedAck { who: OwnedUserId, via: Via, comment: Option<String> },
    /// A person wanted to take it when it was over.
    LateAck { who: OwnedUserId, via: Via },
    /// The ackers were reminded that their acknowledgement ends.
    AckEndsSoon { until: Timestamp },
    /// A person put it off.
    Snoozed { who: OwnedUserId, via: Via, until: Timestamp, comment: Option<String> },
    /// A person asked for the next level.
    EscalationAsked { who: OwnedUserId, via: Via },
    /// It is over, for now.
    Resolved { why: ResolveReason, lasted: Duration },
    /// It fired again within the reopen window, and the acknowledgement still holds.
    RefiredAcknowledged,
    /// Everything that a forced resolution held back has cleared.
    HoldEnded,
    /// Maintenance holds it back.
    Suppressed,
    /// It is over for good.
    Closed,
}

/// Why a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum RunReason {
    /// The incident is new.
    Fired,
    /// It fired again after it had resolved.
    Refired,
    /// An alert that nobody knew of joined.
    NewAlert { joined: Vec<Fingerprint> },
    /// An alert became worse.
    SeverityRose { fingerprints: Vec<Fingerprint> },
    /// A person gave it back.
    GivenBack { who: OwnedUserId },
    /// The acknowledgement ended.
    AckExpired { ackers: Vec<OwnedUserId> },
    /// The snooze ended.
    SnoozeOver { who: Option<OwnedUserId> },
    /// A person asked for escalation.
    EscalationAsked { who: OwnedUserId },
    /// Maintenance is over.
    MaintenanceOver,
}

/// Why an incident resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum ResolveReason {
    /// Every alert cleared.
    Cleared,
    /// A person resolved it.
    ByHand { who: OwnedUserId, via: Via, comment: Option<String> },
    /// Nothing was heard of it for too long.
    Stale,
}

impl Entry {
    /// The entry of the incident's newest version.
    pub fn of(incident: &Incident, at: Timestamp, kind: Kind) -> Self {
        Self { at, version: incident.version, kind }
    }
}

impl Kind {
    /// The name of the kind, as the database has it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::AlertsChanged { .. } => "alerts_changed",
            Self::Paged { .. } => "paged",
            Self::Told { .. } => "told",
            Self::Undeliverable { .. } => "undeliverable",
            Self::Unanswered => "unanswered",
            Self::Reminded { .. } => "reminded",
            Self::Acknowledged { .. } => "acknowledged",
            Self::JoinedAck { .. } => "joined_ack",
            Self::LateAck { .. } => "late_ack",
            Self::AckEndsSoon { .. } => "ack_ends_soon",
            Self::Snoozed { .. } => "snoozed",
            Self::EscalationAsked { .. } => "escalation_asked",
            Self::Resolved { .. } => "resolved",
            Self::RefiredAcknowledged => "refired_acknowledged",
            Self::HoldEnded => "hold_ended",
            Self::Suppressed => "suppressed",
            Self::Closed => "closed",
        }
    }
}
