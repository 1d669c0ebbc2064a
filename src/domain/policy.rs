//! The rules of one room list: its ladder and everything around it.
//!
//! A policy is stored with every run of an incident, as JSON in `policy_version`: a change of the configuration never
//! changes a ladder in progress (I14). The doc comments of these types are the documentation of the configuration, and
//! `Default` has its defaults; see `config::shape`.

use super::severity;
pub use super::severity::{Severity, SeverityRule};
use ruma::OwnedUserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A room as the operator names it: a room id (`!…`) or a room alias (`#…:server`).
pub type RoomReference = String;

/// The rules of one room list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["levels"]))]
pub struct Policy {
    /// At least one, in order. An incident that nobody acknowledges escalates from one to the next.
    #[schemars(length(min = 1), extend("x-group" = "The ladder"))]
    #[schemars(extend("x-continued" = "- rooms: [\"!managers:example.org\"]\n  escalate_after: 30m\n  mention: [\"@room\"]"))]
    pub levels: Vec<Level>,
    /// How long a new incident waits before its first page.
    pub initial_delay: Duration,
    /// How often the ladder is repeated from its first level.
    #[schemars(range(max = 100))]
    pub repeat: u32,
    /// If a page cannot be sent for that long, because its room or the homeserver is unreachable, the ladder continues
    /// without it.
    pub send_cap: Duration,
    /// Rooms notified (with `@room`) when nobody acknowledged. `@room` needs power level 50 for the virtual user there.
    #[schemars(extend("x-group" = "When nobody answers", "items" = {"format": "room"}, "uniqueItems" = true))]
    #[schemars(extend("x-example" = "[\"#ops:example.org\"]"))]
    pub fallback_rooms: Vec<RoomReference>,
    /// The interval of reminders about an unanswered incident, or `none`.
    pub remind_every: Option<Duration>,
    /// The maximum number of reminders.
    #[schemars(range(max = 1000))]
    pub max_reminders: u32,
    /// How long an acknowledgement is valid, or `none`: until the incident is resolved.
    #[schemars(extend("x-group" = "Acknowledging"))]
    pub ack_timeout: Option<Duration>,
    /// How long before the acknowledgement ends its owner is reminded. Must be shorter than `ack_timeout`; the default
    /// is half of `ack_timeout` if that is shorter than 10m.
    pub ack_reminder: Duration,
    /// What a new alert in an acknowledged incident does: `reopen` restarts the ladder, at most once per
    /// `reopen_min_interval`; `sticky` only shows the alert.
    pub on_new_alert: OnNewAlert,
    /// The minimum time between two restarts by `on_new_alert: reopen`.
    pub reopen_min_interval: Duration,
    /// Where an incident can be acknowledged: in every notified room (`notified`), or only in the rooms of the current
    /// level and later ones (`current_level`).
    pub ack_scope: AckScope,
    /// How long an incident waits before it pages again after `unack`.
    pub unack_delay: Duration,
    /// The longest snooze.
    pub max_snooze: Duration,
    /// How long after it was resolved an incident is reopened, if its alerts fire again, instead of a new incident. An
    /// acknowledgement from before applies again; nobody is paged.
    #[schemars(extend("x-group" = "Reopening and resolving"))]
    pub reopen_window: Duration,
    /// A report that an alert is firing with its old start time, within this time after it was resolved, is probably an
    /// old one or that of another Alertmanager of the cluster. It counts after that time, and a twentieth of it, unless a
    /// resolved report follows. Should not be shorter than `group_interval`. A later start time never waits.
    pub replay_grace: Duration,
    /// An incident without updates from Alertmanager for that long is resolved as stale; `none` disables this. Must be
    /// longer than `repeat_interval` plus `group_interval` of its routes, because matrixbot would otherwise resolve
    /// alerts that are still firing. `matrixbot doctor` checks this for the Alertmanagers in `alertmanagers`.
    pub stale_after: Option<Duration>,
    /// The label that has an alert's severity.
    #[schemars(extend("x-group" = "Severities and permissions"))]
    pub severity_label: String,
    /// The rules of each severity. If an incident has several, those of the highest rank decide. `default` has the rules of
    /// every other severity, and of alerts without one. Alerts of the severity `none` page nobody unless it is listed here.
    #[schemars(extend("propertyNames" = {"format": "severity"}))]
    #[schemars(extend("x-example" = "critical: {rank: 2}\nwarning: {rank: 1, delay_multiplier: 2}\n\
        # This one stays on the first level, mentions nobody, and waits for the morning.\n\
        info: {rank: 0, escalate: false, mention: [], hold_until: 09:00}\nnone: {page: false}"))]
    pub severities: BTreeMap<String, SeverityRule>,
    /// The names (label `alertname`) of alerts that page nobody and open no incident, because they fire all the time.
    #[schemars(extend("uniqueItems" = true))]
    pub never_page: Vec<String>,
    /// Permissions beyond acknowledging.
    pub permissions: Permissions,
}

/// One level of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Level {
    /// At least one; all are paged together. A room that is also on a later level is paged again there.
    #[schemars(length(min = 1), extend("items" = {"format": "room"}, "uniqueItems" = true))]
    #[schemars(extend("x-example" = "[\"#finance-ops:example.org\"]"))]
    pub rooms: Vec<RoomReference>,
    /// How long the level has to acknowledge before the next one is paged, counted from when its page was sent.
    #[serde(default = "escalate_after")]
    #[schemars(extend("format" = "time-to-answer"))]
    pub escalate_after: Duration,
    /// Who is mentioned by its pages: users, names of schedules (`on_call`), which stand for those who are on call when the
    /// page is sent, or `"@room"`, which needs power level 50 there. Default: nobody.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("items" = {"format": "user, schedule or \"@room\""}))]
    #[schemars(extend("x-example" = "[\"@alice:example.org\"]"))]
    pub mention: Vec<Mention>,
}

fn escalate_after() -> Duration {
    Duration::from_mins(15)
}

/// Who is mentioned by a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mention {
    /// One user.
    User(OwnedUserId),
    /// Everybody in the room (`@room`).
    Room,
    /// Those who are on call in the schedule with this name when the page is sent.
    OnCall(String),
}

/// The effect of a new alert in an acknowledged incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNewAlert {
    /// It ends the acknowledgement and starts a run.
    Reopen,
    /// It is shown in the message, and the acknowledgement stays.
    Sticky,
}

/// The rooms of the list in which an incident can be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AckScope {
    /// Every notified room.
    Notified,
    /// The rooms of its current level and of later ones.
    CurrentLevel,
}

/// Who has which role. What a role may do is in the table of verbs; see `rights`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Permissions {
    /// The power level in the room from which a member may resolve by hand and snooze for longer than an hour.
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub moderate_power_level: i64,
    /// Permissions of single users, whatever their power level: `none`, `respond` (acknowledge, snooze up to an hour,
    /// escalate) or `moderate` (everything).
    #[schemars(with = "BTreeMap<String, Role>", extend("propertyNames" = {"format": "user"}))]
    #[schemars(extend("x-example" = "\"@alice:example.org\": moderate"))]
    pub users: BTreeMap<OwnedUserId, Role>,
    /// The least permission of those who are on call now, in a schedule that the list's `mention` names: `moderate`, or
    /// `respond`, which every member has.
    pub on_call: Role,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look, and change nothing.
    None,
    /// What members may do.
    Respond,
    /// Everything.
    Moderate,
}

/// When a room gets a digest instead of single pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DigestRule {
    /// How many first pages a room gets one by one within that time.
    #[schemars(range(min = 1, max = 1000))]
    pub above: u32,
    /// The time. The storm ends when no page has come for that long.
    #[schemars(extend("format" = "time-to-answer"))]
    pub within: Duration,
}

impl Default for DigestRule {
    fn default() -> Self {
        Self { above: 8, within: Duration::from_mins(1) }
    }
}

/// The documented defaults, without a ladder.
impl Default for Policy {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            initial_delay: Duration::ZERO,
            repeat: 0,
            send_cap: Duration::from_mins(10),
            fallback_rooms: Vec::new(),
            remind_every: Some(Duration::from_hours(1)),
            max_reminders: 3,
            ack_timeout: None,
            ack_reminder: Duration::from_mins(10),
            on_new_alert: OnNewAlert::Reopen,
            ack_scope: AckScope::Notified,
            reopen_window: Duration::from_mins(10),
            reopen_min_interval: Duration::from_mins(5),
            stale_after: Some(Duration::from_hours(8)),
            replay_grace: Duration::from_mins(5),
            unack_delay: Duration::from_secs(10),
            max_snooze: Duration::from_hours(24),
            severity_label: "severity".to_owned(),
            severities: severity::defaults(),
            never_page: vec!["Watchdog".to_owned()],
            permissions: Permissions::default(),
        }
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self { moderate_power_level: 50, users: BTreeMap::new(), on_call: Role::Respond }
    }
}

/// The schedules that mentions name, without duplicates.
pub fn schedules<'a>(mentions: impl IntoIterator<Item = &'a Mention>) -> BTreeSet<String> {
    let named = mentions.into_iter().filter_map(|mention| match mention {
        Mention::OnCall(schedule) => Some(schedule.clone()),
        Mention::User(_) | Mention::Room => None,
    });
    named.collect()
}

impl Policy {
    /// The policy of a ladder, with the documented defaults of everything else.
    pub fn with_levels(levels: Vec<Level>) -> Self {
        Self { levels, ..Self::default() }
    }

    /// The schedules that its mentions name, without duplicates.
    pub fn schedules(&self) -> BTreeSet<String> {
        let of_levels = self.levels.iter().flat_map(|level| &level.mention);
        let of_severities = self.severities.values().filter_map(|rule| rule.mention.as_ref()).flatten();
        schedules(of_levels.chain(of_severities))
    }

    /// The level at `index`, the first being 0.
    pub fn level(&self, index: u32) -> Option<&Level> {
        usize::try_from(index).ok().and_then(|index| self.levels.get(index))
    }
}
