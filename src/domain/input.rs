//! What can happen to an incident, and what the rules answer.

pub use super::command::Act;
use super::incident::{Fingerprint, Incident, Rung};
use super::policy::Severity;
use super::timeline::Entry;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// One thing that happens. A whole webhook is one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Alertmanager reports on the group.
    Report(Vec<ReportedAlert>),
    /// The timer `next_at` has passed.
    Tick,
    /// The page of a rung is in a room.
    PageSent(Rung),
    /// No room of the rung can be reached.
    PageUndeliverable(Rung),
    /// A person acts.
    Person(PersonAction),
    /// Nothing was heard of any of its alerts for `Policy::stale_after` (`Incident::stale_at` has passed, under the
    /// incident's lock), or Alertmanager says that they are gone.
    Stale,
    /// Maintenance covers the incident from now on.
    MaintenanceStarted,
    /// No maintenance covers the incident any more.
    MaintenanceEnded,
}

/// One alert of a webhook, understood as far as it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedAlert {
    /// Whose report it is.
    pub fingerprint: Fingerprint,
    /// Whether the alert fires; `false`: it is resolved.
    pub firing: bool,
    /// How bad it is.
    pub severity: Severity,
    /// When the episode began, according to Alertmanager.
    pub starts_at: Timestamp,
}

/// A person's act. Rights and scope are checked before it gets here; that it acts once is the inbox's duty (I9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonAction {
    /// The Matrix user.
    pub who: OwnedUserId,
    /// How it was said.
    pub via: Via,
    /// What is wanted.
    pub act: Act,
    /// What was said with it.
    pub comment: Option<String>,
}

/// How a person acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// A command in the room.
    Command,
    /// A reply to, or a message in the thread of, one of our messages.
    Reply,
    /// A reaction.
    Reaction,
    /// The command line.
    Api,
}

impl Via {
    /// Every way there is.
    pub const ALL: [Self; 4] = [Self::Command, Self::Reply, Self::Reaction, Self::Api];

    /// The name in the database, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Reply => "reply",
            Self::Reaction => "reaction",
            Self::Api => "api",
        }
    }
}

/// The policy in force, and its row.
#[derive(Debug, Clone, Copy)]
pub struct PolicyInForce<'a> {
    /// Its row of `policy_version`.
    pub version: i64,
    /// Its rules.
    pub policy: &'a super::policy::Policy,
}

/// What surrounds a decision.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The policy that the incident's run began with; for a new incident the newest.
    pub of_run: PolicyInForce<'a>,
    /// The newest policy of the room list: what a new run begins with.
    pub newest: PolicyInForce<'a>,
    /// Whether maintenance covers the incident.
    pub maintenance: bool,
    /// The present instant.
    pub now: Timestamp,
}

/// What the rules make of an input. Everything in it is committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The incident afterwards; `None`: there is none, before and after.
    pub incident: Option<Incident>,
    /// What happened, for the answer to a person, for logs and metrics.
    pub outcome: Outcome,
    /// The new entries of the timeline: one per version (I8), oldest first. A `late_ack` has no version of its own.
    pub entries: Vec<Entry>,
    /// What follows, in this order.
    pub effects: Vec<Effect>,
}

/// Something that must be sent, or must no longer be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Cancel the incident's pages, reminders and fallback notices that are not sent yet.
    CancelUnsent,
    /// Page every room of a level. Always `Incident::rung()` of the incident afterwards.
    Page(Rung),
    /// Tell the fallback rooms that nobody answered.
    Fallback,
    /// Tell the last level's rooms and the fallback rooms once more; counts from 1.
    Reminder(u32),
    /// Tell the ackers that their acknowledgement ends soon.
    AckReminder,
    /// Bring every message of the incident up to date.
    Refresh(Urgency),
    /// Tell the last entry's story in the thread of every message of the incident.
    Tell(Entry),
    /// Tell the fallback rooms that a level cannot be reached.
    TellFallback(Entry),
}

/// How soon an edit is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A person waits for it.
    AtOnce,
    /// It may be joined with others.
    Soon,
}

/// What an input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The state changed as asked.
    Done,
    /// A report changed nothing but when its alerts were last seen.
    Repeated,
    /// A resolved report about a group that has no incident.
    OrphanClear,
    /// The input said nothing new, or came too early or too late to matter.
    Nothing,
    /// A further person took an incident that was taken.
    JoinedAck,
    /// This person had taken it before.
    AlreadyYours,
    /// Too late: the incident is resolved or closed.
    TooLate,
    /// There is nothing to give back: nobody took it.
    NotAcknowledged,
    /// There is no snooze to end.
    NotSnoozed,
    /// The page that this was said of is no longer the last one.
    StaleRung,
    /// Maintenance holds the incident back.
    UnderMaintenance,
}
