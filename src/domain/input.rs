//! The inputs of the rules, and the decisions they return.

pub use super::command::Act;
use super::hold::{HeldBy, Hold};
use super::incident::{Fingerprint, Incident, Rung};
use super::policy::Severity;
use super::timeline::Entry;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use strum::{IntoStaticStr, VariantArray};

/// One event that may change an incident. A whole webhook is one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Alertmanager reports on alerts of the incident, or on those that open it.
    Report(Report),
    /// A poll of Alertmanager says something about alerts of the incident.
    Listing(Listing),
    /// The timer `next_at` has passed.
    Tick,
    /// The same while the room list's virtual user cannot send: an unsent page waits for it, however long that takes.
    TickWhileHeld,
    /// The same while nobody polls Alertmanager, such as just after a start: a hold whose end comes may have ended with its
    /// alerts.
    TickWhileUnpolled,
    /// The page of a rung was sent to a room.
    PageSent(Rung),
    /// No room of the rung is reachable.
    PageUndeliverable(Rung),
    /// A person acts on the incident.
    Person(PersonAction),
    /// Alertmanager sent no report on any of its alerts for `Policy::stale_after`. The caller checks this with
    /// `Incident::stale_at` while it holds the incident's lock.
    Stale,
    /// For a while the incident could not be read; now it can.
    ReadableAgain {
        /// The newest incident that its group has had meanwhile: its alerts are there.
        replaced_by: Option<i64>,
    },
    /// Maintenance of the incident started.
    MaintenanceStarted,
    /// Maintenance of the incident ended.
    MaintenanceEnded,
}

/// What one webhook says about one incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The alerts that it contains.
    pub alerts: Vec<ReportedAlert>,
    /// The firing alerts that earlier reports on the same group contained, and that this one leaves out: they are
    /// silenced, inhibited or muted, or Alertmanager cut the report.
    pub left_out: BTreeSet<Fingerprint>,
    /// How long a first page waits for the answer of Alertmanager's API, which the report makes necessary: it may be an old
    /// one. Zero: the page does not wait.
    pub ask: Duration,
    /// Whether Alertmanager can be asked what it holds back.
    pub may_ask: bool,
}

impl From<Vec<ReportedAlert>> for Report {
    fn from(alerts: Vec<ReportedAlert>) -> Self {
        Self { alerts, ..Self::default() }
    }
}

/// One alert of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedAlert {
    /// The alert's identity.
    pub fingerprint: Fingerprint,
    /// Whether the alert is firing; `false`: it is resolved.
    pub firing: bool,
    /// Its severity.
    pub severity: Severity,
    /// When the episode started, according to Alertmanager; if the report does not say, when it arrived.
    pub starts_at: Timestamp,
    /// Whether the report says when the episode started.
    pub start_known: bool,
    /// When the episode ended, according to Alertmanager; `None` while it is firing, or if the report does not say.
    pub ends_at: Option<Timestamp>,
    /// What speaks for it beside the report.
    pub evidence: Evidence,
}

/// What speaks for a reported alert beside the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evidence {
    /// Nothing.
    #[default]
    None,
    /// Polls of Alertmanager have listed it all the time since it is firing: a later start is not another outage.
    Watched,
    /// A poll lists it now, so the report is not an old one.
    Listed,
}

/// What a poll of Alertmanager says about the alerts of one incident. Of an alert that is in none of the sets it says
/// nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Alerts that have ended, although no report may say so.
    pub ended: BTreeSet<Fingerprint>,
    /// Alerts that are listed, held back or not. The time of their last report becomes now.
    pub listed: BTreeSet<Fingerprint>,
    /// Those of them that nothing holds back. Listed alerts that count as resolved are here only if a report in doubt is to
    /// be decided.
    pub active: BTreeSet<Fingerprint>,
    /// Those that are held back; only if `hold` is `Held`.
    pub suppressed: BTreeSet<Fingerprint>,
    /// Whether the poll was made because a first page waits for its answer.
    pub answers_page: bool,
    /// Firing alerts that are not listed, which no restart explains. They may have ended before the report arrived.
    pub missing: BTreeSet<Fingerprint>,
    /// Whether Alertmanager holds the incident back.
    pub hold: HoldNews,
    /// The silences that hold some of its firing alerts, but not all, if these are others than before.
    pub partly: Option<BTreeSet<HeldBy>>,
    /// A silence that matrixbot made again.
    pub again: Option<MadeAgain>,
}

/// A silence that Alertmanager had lost, and that matrixbot made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeAgain {
    /// The Alertmanager.
    pub alertmanager: String,
    /// When it ends.
    pub until: Timestamp,
}

/// What a poll says about the hold of an incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HoldNews {
    /// Nothing.
    #[default]
    Unchanged,
    /// Every firing alert is held back.
    Held(Hold),
    /// Some firing alert is not.
    Over,
}

/// A person's act. The caller has checked the rights and the scope; the inbox ensures that it acts only once (I9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonAction {
    /// The Matrix user.
    pub who: OwnedUserId,
    /// How the person acted.
    pub via: Via,
    /// What the person wants.
    pub act: Act,
    /// The person's comment.
    pub comment: Option<String>,
    /// When the person acted. An act covers the alerts that were firing then, not later ones: an event may arrive late.
    pub acted_at: Timestamp,
}

/// How a person acted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Via {
    /// A command in the room.
    Command,
    /// A reply to one of our messages, or a message in its thread.
    Reply,
    /// A reaction.
    Reaction,
    /// The command line.
    Api,
}

impl Via {
    /// All variants.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in the database, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A policy with its version.
#[derive(Debug, Clone, Copy)]
pub struct PolicyInForce<'a> {
    /// Its row of `policy_version`.
    pub version: i64,
    /// Its rules.
    pub policy: &'a super::policy::Policy,
}

/// What a decision depends on, apart from the incident and the input.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The policy that the incident's run started with; for a new incident the newest.
    pub of_run: PolicyInForce<'a>,
    /// The newest policy of the room list, which a new run uses.
    pub newest: PolicyInForce<'a>,
    /// The zone of times of day of the room list.
    pub zone: &'a TimeZone,
    /// Whether the incident is under maintenance.
    pub maintenance: bool,
    /// The current time.
    pub now: Timestamp,
}

/// The result of an input. The engine commits all of it in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The incident after the input; `None`: there was none, and the input opens none.
    pub incident: Option<Incident>,
    /// The outcome, for the answer to a person, for logs and metrics.
    pub outcome: Outcome,
    /// The new timeline entries: one per version (I8), oldest first. A `late_ack` has no version of its own.
    pub entries: Vec<Entry>,
    /// The effects, in the order in which the engine applies them.
    pub effects: Vec<Effect>,
}

/// A change to the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Cancel the incident's unsent pages, reminders and fallback notices.
    CancelUnsent,
    /// Page every room of a level. Always `Incident::rung()` of the incident after the input.
    Page(Rung),
    /// Post it without mentions to every room of the level that will be paged, except where it is posted already.
    Announce(Rung),
    /// Notify the fallback rooms that nobody acknowledged.
    Fallback,
    /// Remind the last level's rooms and the fallback rooms; counts from 1.
    Reminder(u32),
    /// Remind the ackers that their acknowledgement ends soon.
    AckReminder,
    /// Edit every post of the incident to show its current state.
    Refresh(Urgency),
    /// Post the entry in the thread of every post of the incident.
    PostInThread(Entry),
    /// Notify the fallback rooms that a level is unreachable.
    NotifyFallback(Entry),
}

/// How soon an edit must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Immediately: a person waits for it.
    AtOnce,
    /// After a short delay, so one edit can cover several changes.
    Soon,
}

/// The outcome of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The state changed as asked.
    Done,
    /// A report changed only the time at which its alerts were last seen.
    Repeated,
    /// A report that may be an old one: it counts if nothing resolves its alerts within `Policy::replay_grace`.
    Doubted,
    /// A resolved report for a group without an incident.
    OrphanClear,
    /// The input had no effect: it had no news, or came too early or too late.
    Nothing,
    /// Another person also acknowledged an acknowledged incident.
    JoinedAck,
    /// This person had already acknowledged it.
    AlreadyYours,
    /// Too late: the incident is resolved or closed.
    TooLate,
    /// Every firing alert started after the person acted: there is nothing that the act covers.
    CoversNothing,
    /// There is no acknowledgement to withdraw.
    NotAcknowledged,
    /// There is no snooze to end.
    NotSnoozed,
    /// The person acted on a page that is no longer current.
    StaleRung,
    /// The incident is under maintenance.
    UnderMaintenance,
}
