//! What an operator decides for one room list: its ladder and the rules around it.
//!
//! A policy is kept with every run of an incident, as JSON in `policy_version`, so that a change of configuration
//! never changes a ladder that is being climbed (I14).

use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A room as the operator names it: a room id (`!…`) or a room alias (`#…:server`).
pub type RoomReference = String;

/// The rules of one room list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The ladder, first level first. Never empty.
    pub levels: Vec<Level>,
    /// How long a new incident waits before its first page. Default: not at all.
    pub initial_delay: Duration,
    /// How often the whole ladder is gone through again after its first passage.
    pub repeat: u32,
    /// How long a page may stay unsent before the ladder goes on without it. Default: 10 minutes.
    pub send_cap: Duration,
    /// Where the fallback notice of an unanswered incident goes.
    pub fallback_rooms: Vec<RoomReference>,
    /// How often an unanswered incident is told again; `None`: never.
    pub remind_every: Option<Duration>,
    /// How many such reminders there are at most.
    pub max_reminders: u32,
    /// How long an acknowledgement holds; `None`: until the incident resolves.
    pub ack_timeout: Option<Duration>,
    /// How long before the end of an acknowledgement its acker is reminded.
    pub ack_reminder: Duration,
    /// What an alert that joins an acknowledged incident does.
    pub on_new_alert: OnNewAlert,
    /// Who may acknowledge.
    pub ack_scope: AckScope,
    /// How long a resolved incident can come back as itself.
    pub reopen_window: Duration,
    /// An acknowledged or snoozed incident is reopened by a new alert at most once in this time.
    pub reopen_min_interval: Duration,
    /// After how long without news from Alertmanager an incident counts as over; `None`: never.
    pub stale_after: Option<Duration>,
    /// A re-fire of an episode that cleared less than this ago waits this long before it pages.
    pub replay_grace: Duration,
    /// How long an incident that was given back waits before it pages again.
    pub unack_delay: Duration,
    /// The longest snooze.
    pub max_snooze: Duration,
    /// The label whose value names an alert's severity.
    pub severity_label: String,
    /// What each severity means, by the label's value.
    pub severities: BTreeMap<String, SeverityRule>,
    /// Who may do more than acknowledge.
    pub permissions: Permissions,
}

/// One position of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The rooms that are paged together. Never empty.
    pub rooms: Vec<RoomReference>,
    /// How long this level has to answer, counted from the moment its page was sent.
    pub escalate_after: Duration,
    /// Whom its page mentions.
    pub mention: Vec<Mention>,
}

/// Somebody whom a page wakes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mention {
    /// One user.
    User(OwnedUserId),
    /// Everybody in the room (`@room`).
    Room,
}

/// What a severity means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeverityRule {
    /// Its place among the severities: a higher rank breaks an acknowledgement.
    pub rank: i32,
    /// Whether incidents of this severity climb the ladder beyond its first level.
    pub escalate: bool,
    /// Whom the pages of this severity mention instead of the level's mentions.
    pub mention: Option<Vec<Mention>>,
}

/// What an alert that joins an acknowledged incident does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewAlert {
    /// It breaks the acknowledgement and starts a run.
    Reopen,
    /// It is shown in the message, and the acknowledgement holds.
    Sticky,
}

/// From which rooms of the list an incident can be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckScope {
    /// From every room that was told of it.
    Notified,
    /// From the rooms of its current level and above.
    CurrentLevel,
}

/// Who has which role. What a role may do is in the table of verbs; see `rights`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// The power level from which a room member counts as a moderator.
    pub moderate_power_level: i64,
    /// What single users may do, whatever their power level.
    pub users: BTreeMap<OwnedUserId, Role>,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look, and change nothing.
    None,
    /// What members may do.
    Respond,
    /// Everything.
    Moderate,
}

/// An alert's severity as the policy understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Severity {
    /// The label's value; `None` if the alert has no such label.
    pub name: Option<String>,
    /// Its rank; 0 for a severity that the policy does not name.
    pub rank: i32,
    /// Whether it climbs the ladder.
    pub escalate: bool,
}

impl Policy {
    /// The policy of a ladder with every other rule at its documented default.
    pub fn with_levels(levels: Vec<Level>) -> Self {
        let minutes = |n: u64| Duration::from_secs(n.saturating_mul(60));
        Self {
            levels,
            initial_delay: Duration::ZERO,
            repeat: 0,
            send_cap: minutes(10),
            fallback_rooms: Vec::new(),
            remind_every: Some(minutes(60)),
            max_reminders: 3,
            ack_timeout: None,
            ack_reminder: minutes(10),
            on_new_alert: OnNewAlert::Reopen,
            ack_scope: AckScope::Notified,
            reopen_window: minutes(10),
            reopen_min_interval: minutes(5),
            stale_after: Some(minutes(8 * 60)),
            replay_grace: minutes(1),
            unack_delay: Duration::from_secs(10),
            max_snooze: minutes(24 * 60),
            severity_label: "severity".to_owned(),
            severities: BTreeMap::new(),
            permissions: Permissions { moderate_power_level: 50, users: BTreeMap::new() },
        }
    }

    /// What `name`, the value of an alert's severity label, means here.
    pub fn severity(&self, name: Option<&str>) -> Severity {
        let rule = name.and_then(|name| self.severities.get(name));
        Severity {
            name: name.map(str::to_owned),
            rank: rule.map_or(0, |rule| rule.rank),
            escalate: rule.is_none_or(|rule| rule.escalate),
        }
    }

    /// The level at `index`, the first being 0.
    pub fn level(&self, index: u32) -> Option<&Level> {
        usize::try_from(index).ok().and_then(|index| self.levels.get(index))
    }
}
