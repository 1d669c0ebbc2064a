//! What the severity of an alert decides: its rank, who is mentioned, how fast the ladder goes and where it starts, and
//! whether it pages at all.

use super::policy::{Level, Mention, Policy};
use super::time::next_time_of_day;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The key with the rules of severities that are not listed.
const DEFAULT: &str = "default";
/// The severity whose alerts page nobody unless it is listed.
const NONE: &str = "none";

/// The rules of a severity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SeverityRule {
    /// An alert of a higher rank reopens an acknowledged incident.
    #[schemars(range(min = -1000, max = 1000))]
    pub rank: i32,
    /// Whether its incidents escalate; if false, they stay on the first level.
    pub escalate: bool,
    /// Who is mentioned by its pages, instead of the level's `mention`.
    #[schemars(with = "Option<Vec<String>>", extend("items" = {"format": "user, schedule or \"@room\""}))]
    pub mention: Option<Vec<Mention>>,
    /// `escalate_after` of each level is multiplied by it: 2 gives people twice the time, 0.5 half of it.
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub delay_multiplier: f64,
    /// The level on which its incidents start; the first one is 1.
    #[schemars(range(min = 1, max = 1000))]
    pub start_level: u32,
    /// The mark of its incidents in messages instead of the built-in one.
    #[schemars(extend("format" = "text (emoji)"))]
    pub emoji: Option<String>,
    /// Its incidents page at this time of day. Until then they are posted to the first room without mentions, as a
    /// notice. An incident that also has an alert without `hold_until` pages at once.
    #[schemars(with = "Option<String>", extend("format" = "time of day"))]
    pub hold_until: Option<Time>,
    /// Whether its alerts page; if false, they open no incident.
    pub page: bool,
}

impl Default for SeverityRule {
    fn default() -> Self {
        Self {
            rank: 0,
            escalate: true,
            mention: None,
            delay_multiplier: 1.0,
            start_level: 1,
            emoji: None,
            hold_until: None,
            page: true,
        }
    }
}

/// The rules of the severities that a policy knows without a configuration.
pub(super) fn defaults() -> BTreeMap<String, SeverityRule> {
    let rule =
        |(name, rank): (&str, i32)| (name.to_owned(), SeverityRule { rank, ..SeverityRule::default() });
    let mut rules: BTreeMap<_, _> = [("critical", 2), ("warning", 1), ("info", 0)].map(rule).into();
    rules.insert(NONE.to_owned(), SeverityRule { page: false, ..SeverityRule::default() });
    rules
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
    /// The rules of a severity; `None`: those of a severity without any.
    fn rule(&self, name: Option<&str>) -> Option<&SeverityRule> {
        let named = name.and_then(|name| self.severities.get(name));
        named.or_else(|| self.severities.get(DEFAULT))
    }

    /// What `name`, the value of an alert's severity label, means here.
    pub fn severity(&self, name: Option<&str>) -> Severity {
        let rule = self.rule(name);
        Severity {
            name: name.map(str::to_owned),
            rank: rule.map_or(0, |rule| rule.rank),
            escalate: rule.is_none_or(|rule| rule.escalate),
        }
    }

    /// The severity of an alert with these labels.
    pub fn severity_of(&self, labels: &BTreeMap<String, String>) -> Severity {
        self.severity(labels.get(&self.severity_label).map(String::as_str))
    }

    /// What the name of a severity means here; the empty name is that of an alert without a severity.
    pub fn severity_by_name(&self, name: &str) -> Severity {
        self.severity(Some(name).filter(|name| !name.is_empty()))
    }

    /// Whether an alert with these labels pages.
    pub fn pages(&self, labels: &BTreeMap<String, String>) -> bool {
        if labels.get("alertname").is_some_and(|name| self.never_page.contains(name)) {
            return false;
        }
        match labels.get(&self.severity_label).map(String::as_str) {
            Some(NONE) => self.severities.get(NONE).is_some_and(|rule| rule.page),
            name => self.rule(name).is_none_or(|rule| rule.page),
        }
    }

    /// Who is mentioned by a page of a level about alerts of these severities: what the severities of the highest rank
    /// say, each of them instead of the level's mentions. Without alerts, the level's mentions.
    pub fn mentions<'a>(&self, severities: impl Iterator<Item = &'a Severity>, level: u32) -> Vec<Mention> {
        let of_level = self.level(level).map(|level| level.mention.as_slice()).unwrap_or_default();
        let mut mentions = Vec::new();
        let mut is_empty = true;
        for rule in self.highest(severities) {
            is_empty = false;
            for mention in rule.and_then(|rule| rule.mention.as_deref()).unwrap_or(of_level) {
                if !mentions.contains(mention) {
                    mentions.push(mention.clone());
                }
            }
        }
        if is_empty { of_level.to_vec() } else { mentions }
    }

    /// The rules of the severities of the highest rank.
    fn highest<'a>(&self, severities: impl Iterator<Item = &'a Severity>) -> Vec<Option<&SeverityRule>> {
        let severities: Vec<&Severity> = severities.collect();
        let highest = severities.iter().map(|severity| severity.rank).max();
        let top = severities.into_iter().filter(|severity| Some(severity.rank) == highest);
        top.map(|severity| self.rule(severity.name.as_deref())).collect()
    }

    /// How long a level has to acknowledge alerts of these severities: by the shortest of those of the highest rank.
    pub fn time_to_answer<'a>(
        &self,
        severities: impl Iterator<Item = &'a Severity>,
        level: &Level,
    ) -> Duration {
        let multiplier = self
            .highest(severities)
            .into_iter()
            .map(|rule| rule.map_or(1.0, |rule| rule.delay_multiplier))
            .reduce(f64::min)
            .unwrap_or(1.0);
        let seconds = level.escalate_after.as_secs_f64() * multiplier;
        Duration::try_from_secs_f64(seconds).unwrap_or(level.escalate_after)
    }

    /// The level, counted from 0, on which an incident with alerts of these severities starts: the highest of those of
    /// the highest rank, as far as there is such a level.
    pub fn start_level<'a>(&self, severities: impl Iterator<Item = &'a Severity>) -> u32 {
        let rules = self.highest(severities);
        let wanted =
            rules.into_iter().flatten().map(|rule| rule.start_level.saturating_sub(1)).max().unwrap_or(0);
        let last = u32::try_from(self.levels.len()).unwrap_or(u32::MAX).saturating_sub(1);
        wanted.min(last)
    }

    /// Until when an incident with alerts of these severities waits before it pages; `None`: it does not. `zone`: that of
    /// times of day.
    pub fn held_until<'a>(
        &self,
        severities: impl Iterator<Item = &'a Severity>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let mut until = None;
        for severity in severities {
            let at = self.rule(severity.name.as_deref())?.hold_until?;
            let next = next_time_of_day(now, at, zone);
            until = Some(until.map_or(next, |until: Timestamp| until.min(next)));
        }
        until
    }

    /// The emoji of a severity, if the configuration has one.
    pub fn emoji(&self, severity: &Severity) -> Option<&str> {
        self.rule(severity.name.as_deref())?.emoji.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    fn policy() -> Policy {
        let rule = SeverityRule::default();
        let level = |minutes| Level {
            rooms: vec!["!a:example.org".to_owned()],
            escalate_after: Duration::from_mins(minutes),
            mention: vec![Mention::Room],
        };
        let mut policy = Policy::with_levels(vec![level(10), level(20)]);
        policy.severities = [
            ("critical", SeverityRule { rank: 2, start_level: 9, delay_multiplier: 0.5, ..rule.clone() }),
            ("page", SeverityRule { rank: 2, mention: Some(Vec::new()), ..rule.clone() }),
            ("info", SeverityRule { hold_until: Some(jiff::civil::time(9, 0, 0, 0)), ..rule.clone() }),
            ("low", SeverityRule { hold_until: Some(jiff::civil::time(7, 30, 0, 0)), ..rule.clone() }),
            ("default", SeverityRule { rank: -1, escalate: false, emoji: Some("🥱".to_owned()), ..rule }),
        ]
        .map(|(name, rule)| (name.to_owned(), rule))
        .into();
        policy
    }

    fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_severity_that_is_not_named_has_the_rules_of_default() {
        let policy = policy();
        for severity in [policy.severity(Some("odd")), policy.severity(None)] {
            assert_eq!((severity.rank, severity.escalate), (-1, false));
            assert_eq!(policy.emoji(&severity), Some("🥱"));
        }
        assert_eq!(policy.severity(Some("critical")).rank, 2);
        assert_eq!(Policy::default().severity(Some("odd")).rank, 0);
    }

    #[test]
    fn none_and_the_watchdog_do_not_page_unless_that_is_configured() {
        let mut policy = policy();
        let none = labels(&[("alertname", "InfoInhibitor"), ("severity", "none")]);
        let watchdog = labels(&[("alertname", "Watchdog"), ("severity", "critical")]);
        assert!(!policy.pages(&none) && !Policy::default().pages(&none));
        assert!(!policy.pages(&watchdog) && !Policy::default().pages(&watchdog));
        assert!(policy.pages(&labels(&[("alertname", "Disk")])));
        policy.severities.insert("none".to_owned(), SeverityRule::default());
        policy.never_page.clear();
        assert!(policy.pages(&none) && policy.pages(&watchdog));
        policy
            .severities
            .insert("default".to_owned(), SeverityRule { page: false, ..SeverityRule::default() });
        assert!(!policy.pages(&labels(&[("alertname", "Disk")])));
    }

    #[test]
    fn the_severities_of_the_highest_rank_decide_on_the_start_and_the_pace() {
        let policy = policy();
        let (critical, page, info) =
            (policy.severity(Some("critical")), policy.severity(Some("page")), policy.severity(Some("info")));
        let level = policy.level(1).unwrap();
        assert_eq!(policy.start_level([&critical, &info].into_iter()), 1, "the last level at most");
        assert_eq!(policy.start_level(iter::once(&info)), 0);
        assert_eq!(policy.time_to_answer([&critical, &page].into_iter(), level), Duration::from_mins(10));
        assert_eq!(policy.time_to_answer([&page, &info].into_iter(), level), Duration::from_mins(20));
        assert_eq!(policy.mentions([&critical, &page].into_iter(), 0), [Mention::Room]);
        assert_eq!(policy.mentions([&page, &info].into_iter(), 0), []);
    }

    #[test]
    fn only_severities_that_all_wait_hold_an_incident_until_the_first_morning() {
        let policy = policy();
        let (info, low) = (policy.severity(Some("info")), policy.severity(Some("low")));
        let critical = policy.severity(Some("critical"));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let night = at("2026-11-24T23:15:00Z");
        assert_eq!(
            policy.held_until(iter::once(&info), night, &TimeZone::UTC),
            Some(at("2026-11-25T09:00:00Z"))
        );
        assert_eq!(
            policy.held_until([&info, &low].into_iter(), night, &TimeZone::UTC),
            Some(at("2026-11-25T07:30:00Z"))
        );
        assert_eq!(policy.held_until([&info, &critical].into_iter(), night, &TimeZone::UTC), None);
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(policy.held_until(iter::once(&info), night, &berlin), Some(at("2026-11-25T08:00:00Z")));
        let morning = at("2026-11-25T09:00:00Z");
        assert_eq!(
            policy.held_until(iter::once(&info), morning, &TimeZone::UTC),
            Some(at("2026-11-26T09:00:00Z"))
        );
    }
}
