//! The history of an incident. Rooms, logs and the `timeline` command show it.

use super::hold::{HeldBy, Hold};
use super::incident::{Fingerprint, Incident};
use super::input::Via;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use strum::IntoStaticStr;

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// The incident's version after it (I8).
    pub version: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A run of the ladder started, with the policy that it keeps. `suppressed`: maintenance is active, nobody is
    /// paged. `from`: where it starts, if not at the first level. `held_until`: when it pages, if its severity waits for
    /// a time of day.
    RunStarted {
        why: RunReason,
        policy_version: i64,
        suppressed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Place>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held_until: Option<Timestamp>,
    },
    /// Alerts joined, resolved or changed their severity, started anew without an end, were left out of a report or
    /// are in it again, without any other effect.
    AlertsChanged(AlertsChanged),
    /// The pages of a level were enqueued.
    Paged { loop_no: u32, level: u32 },
    /// The first page of the level was sent: the level's time runs from here.
    #[serde(rename = "told")]
    #[strum(serialize = "told")]
    PageSent { loop_no: u32, level: u32 },
    /// No room of a level is reachable.
    Undeliverable { loop_no: u32, level: u32 },
    /// Nobody acknowledged on any level.
    Unanswered,
    /// A reminder of an unanswered incident was sent.
    Reminded { number: u32 },
    /// A person acknowledged it.
    Acknowledged { who: OwnedUserId, via: Via, until: Option<Timestamp>, comment: Option<String> },
    /// Another person also acknowledged it.
    JoinedAck { who: OwnedUserId, via: Via, comment: Option<String> },
    /// A person acknowledged it after it was resolved.
    LateAck { who: OwnedUserId, via: Via },
    /// The ackers were reminded that their acknowledgement ends.
    AckEndsSoon { until: Timestamp },
    /// A person snoozed it.
    Snoozed { who: OwnedUserId, via: Via, until: Timestamp, comment: Option<String> },
    /// A person escalated it.
    EscalationAsked { who: OwnedUserId, via: Via },
    /// It is resolved.
    Resolved {
        why: ResolveReason,
        lasted: Duration,
        /// The earliest start that the incident knew of its alerts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// It fired again within the reopen window and is still acknowledged.
    RefiredAcknowledged,
    /// It was resolved by hand, and now all its alerts are resolved.
    HoldEnded,
    /// Alertmanager holds back all firing alerts, or does so for another reason than before: it does not escalate.
    HeldBack { hold: Hold },
    /// Alertmanager no longer holds them back. It is snoozed, so nobody is paged.
    Released { by: BTreeSet<HeldBy> },
    /// These silences hold some of its firing alerts, and others do not; without any, none does any more.
    PartlySilenced { by: BTreeSet<HeldBy> },
    /// Alertmanager had lost a silence of ours, and matrixbot made it again.
    SilencedAgain { alertmanager: String, until: Timestamp },
    /// Maintenance is active: nobody is paged.
    Suppressed,
    /// It is closed: if its alerts fire again, matrixbot opens a new incident.
    Closed,
}

/// A place in the ladder, within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The loop.
    pub loop_no: u32,
    /// The level, counted from 0.
    pub level: u32,
}

/// What happened to the alerts of an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsChanged {
    /// They started firing.
    pub joined: Vec<Fingerprint>,
    /// They resolved.
    pub cleared: Vec<Fingerprint>,
    /// They are still firing, with another severity.
    pub changed: Vec<Fingerprint>,
    /// They are firing with a later start, and they were not reported as resolved in between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renewed: Vec<Fingerprint>,
    /// Alertmanager no longer reports them, and has not resolved them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Fingerprint>,
    /// Alertmanager reports them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<Fingerprint>,
}

/// Why a run started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum RunReason {
    /// The incident is new.
    Fired,
    /// It fired again after it was resolved.
    Refired,
    /// Alerts are firing with a later start, and they were not reported as resolved in between: another outage.
    Renewed { fingerprints: Vec<Fingerprint> },
    /// A new alert joined.
    NewAlert { joined: Vec<Fingerprint> },
    /// The severity of an alert rose.
    SeverityRose { fingerprints: Vec<Fingerprint> },
    /// A person withdrew the acknowledgement.
    GivenBack { who: OwnedUserId },
    /// The acknowledgement ended.
    AckExpired { ackers: Vec<OwnedUserId> },
    /// The snooze ended.
    SnoozeOver { who: Option<OwnedUserId> },
    /// A person escalated it.
    EscalationAsked { who: OwnedUserId },
    /// Alertmanager no longer holds its alerts back, and they are still firing.
    Released { by: BTreeSet<HeldBy> },
    /// Maintenance ended.
    MaintenanceOver,
}

/// Why an incident resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum ResolveReason {
    /// Every alert resolved.
    Cleared,
    /// A person resolved it.
    ByHand { who: OwnedUserId, via: Via, comment: Option<String> },
    /// Alertmanager sent no updates for too long.
    Stale,
    /// Alertmanager no longer lists any of its alerts.
    NotListed,
    /// It could not be read for a while, and another incident has had its alerts since.
    Replaced { by: i64 },
}

impl Entry {
    /// The entry of the incident's newest version.
    pub fn of(incident: &Incident, at: Timestamp, kind: Kind) -> Self {
        Self { at, version: incident.version, kind }
    }
}

impl Kind {
    /// The name in the database.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }
}

/// The earliest start of its alerts that an incident knew when it resolved last. `story`: its timeline, at least the end of it.
pub fn began(story: &[Entry]) -> Option<Timestamp> {
    let resolved = story
        .iter()
        .rev()
        .find_map(|entry| if let Kind::Resolved { since, .. } = &entry.kind { Some(*since) } else { None });
    resolved.flatten()
}
