//! Silences that people ask for: what to match, what else that would hold, and which silences a room list may see. Pure.

use super::incident::Fingerprint;
use super::webhook::Labels;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The length of a silence if a command has none, and of a reaction.
pub const DEFAULT_LENGTH: Duration = Duration::from_hours(2);
/// The shortest silence.
pub const SHORTEST: Duration = Duration::from_mins(1);
/// The longest silence: 30 days.
pub const LONGEST: Duration = Duration::from_hours(30 * 24);
/// How many alerts get a silence each; more of them get one together.
pub const MOST_SINGLE: usize = 5;
/// How many alerts a refusal names.
const MOST_NAMED: usize = 5;
/// The fewest bytes of a name or value that was cut: names are cut at 256 bytes, values at 4096.
const SHORTEST_CUT: usize = 250;
/// The fewest characters of a shortened id.
const SHORTEST_ID: usize = 4;

/// What a command about silences asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// To silence the firing alerts of an incident, or to move the end of its silences.
    Make {
        /// For how long.
        lasting: Duration,
        /// The person's comment.
        comment: Option<String>,
        /// Whether it may hold other alerts as well.
        confirmed: bool,
    },
    /// To list silences.
    List,
    /// To end one.
    End {
        /// Its id, or the beginning of it.
        id: String,
    },
}

/// What to match in one Alertmanager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The labels of each silence: an alert is held if it has all of them.
    pub matchers: Vec<Labels>,
    /// The incident's alerts that this Alertmanager lists.
    pub own: BTreeSet<Fingerprint>,
    /// Those of the incident's alerts that it lists with labels which matrixbot has cut: a silence with them would hold nothing.
    pub changed: BTreeSet<Fingerprint>,
    /// Descriptions of other listed alerts that would be held.
    pub others: BTreeSet<String>,
}

/// An alert that Alertmanager lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its labels there. Another sender's report of the same alert may have fewer.
    pub labels: Labels,
    /// Whether they are complete and as Alertmanager has them.
    pub exact: bool,
}

/// The firing alerts of an incident, with the labels that were reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firing(pub BTreeMap<Fingerprint, Labels>);

impl Firing {
    /// The labels that all of them have with the same values, and that matrixbot certainly has not cut.
    pub fn shared(&self) -> Labels {
        let mut shared = shared(self.0.values());
        shared.retain(|name, value| is_whole(name) && is_whole(value));
        shared
    }

    /// Whether another program than Alertmanager made all their fingerprints.
    pub fn is_foreign(&self) -> bool {
        let is_foreign = |(fingerprint, labels): (&Fingerprint, &Labels)| {
            *fingerprint != fingerprint_of(labels)
                && labels.iter().all(|(name, value)| is_whole(name) && is_whole(value))
        };
        !self.0.is_empty() && self.0.iter().all(is_foreign)
    }
}

/// Whether a name or value has certainly not been cut, and has no character in place of one that cannot be stored.
fn is_whole(text: &str) -> bool {
    text.len() < SHORTEST_CUT && !text.contains('\u{fffd}')
}

fn shared<'a>(mut all: impl Iterator<Item = &'a Labels>) -> Labels {
    let mut shared = all.next().cloned().unwrap_or_default();
    for labels in all {
        shared.retain(|name, value| labels.get(name) == Some(value));
    }
    shared
}

/// Alertmanager's fingerprint of labels: FNV-1a over names and values in the order of the names, each followed by 0xff.
fn fingerprint_of(labels: &Labels) -> Fingerprint {
    let texts = labels.iter().flat_map(|(name, value)| [name, value]);
    let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// What to match in an Alertmanager. `listed`: what it lists with the labels that the alerts share. An alert is the incident's
/// by its fingerprint, whatever that is a hash of: webhook and API have the same one. If none is, the plan is empty.
pub fn plan(firing: &Firing, listed: &BTreeMap<Fingerprint, Listed>) -> Plan {
    let is_own = |fingerprint: &Fingerprint| firing.0.contains_key(fingerprint);
    let own = || listed.iter().filter(|(fingerprint, _)| is_own(fingerprint));
    let exact = || own().filter(|(_, listed)| listed.exact);
    let matchers: Vec<Labels> = if exact().count() > MOST_SINGLE {
        Some(shared(exact().map(|(_, listed)| &listed.labels)))
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect()
    } else {
        exact().map(|(_, listed)| listed.labels.clone()).collect()
    };
    let others = listed
        .iter()
        .filter(|(fingerprint, other)| {
            !is_own(fingerprint) && matchers.iter().any(|matchers| holds(matchers, &other.labels))
        })
        .map(|(_, other)| described(&other.labels))
        .collect();
    let changed = own().filter(|(_, listed)| !listed.exact);
    Plan {
        own: exact().map(|(fingerprint, _)| fingerprint.clone()).collect(),
        changed: changed.map(|(fingerprint, _)| fingerprint.clone()).collect(),
        matchers,
        others,
    }
}

/// Whether an alert has all these labels.
fn holds(matchers: &Labels, labels: &Labels) -> bool {
    matchers.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// `DiskFull instance=db-1 severity=critical`: enough to recognise an alert.
fn described(labels: &Labels) -> String {
    let name = labels.get("alertname").map_or("", String::as_str);
    let others = labels.iter().filter(|(name, _)| *name != "alertname");
    let others: Vec<String> = others.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{name} {}", others.join(" ")).trim().to_owned()
}

/// Why nothing is silenced because too much would be; `None`: it may be made.
pub fn too_wide<'a>(plans: impl Iterator<Item = &'a Plan> + Clone, confirmed: bool) -> Option<SilenceResult> {
    if plans.clone().any(|plan| !plan.own.is_empty() && plan.matchers.is_empty()) {
        return Some(SilenceResult::NothingShared);
    }
    let others: BTreeSet<&String> = plans.flat_map(|plan| &plan.others).collect();
    if confirmed || others.is_empty() {
        return None;
    }
    let names = others.iter().take(MOST_NAMED).map(|name| (*name).clone()).collect();
    Some(SilenceResult::TooWide { others: others.len() as u64, names })
}

/// A silence, and the open incidents of a room list with alerts that it matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceLine {
    /// Its id.
    pub id: String,
    /// The Alertmanager that has it.
    pub alertmanager: String,
    /// The incidents, by number.
    pub incidents: BTreeSet<i64>,
    /// Who made it, according to itself.
    pub created_by: String,
    /// Its comment.
    pub comment: String,
    /// When it starts; `None`: it has started.
    pub from: Option<Timestamp>,
    /// When it ends.
    pub until: Timestamp,
}

/// The silence that a text means, among those that the list may see.
pub fn find<'a>(lines: &'a [SilenceLine], id: &str) -> Result<&'a SilenceLine, UnsilenceResult> {
    let id = id.to_ascii_lowercase();
    let mut found = lines.iter().filter(|line| line.id.to_ascii_lowercase().starts_with(&id));
    match (found.next(), found.next()) {
        (Some(only), None) if id.len() >= SHORTEST_ID => Ok(only),
        (Some(_), _) => Err(UnsilenceResult::Ambiguous),
        (None, _) => Err(UnsilenceResult::Unknown),
    }
}

/// The answer to a command about silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum SilencingAnswer {
    /// Alerts of an incident.
    Silence {
        /// Its number.
        number: i64,
        /// Its name.
        name: String,
        /// The result.
        #[serde(flatten)]
        result: SilenceResult,
    },
    /// The silences that a room list may see.
    List {
        /// The room lists.
        room_list: String,
        /// The silences, those that end first before the others.
        silences: Vec<SilenceLine>,
        /// The Alertmanagers that gave no answer.
        failed: Vec<Failed>,
    },
    /// The end of a silence.
    Unsilence {
        /// The id that the person typed; the whole id if there is such a silence.
        id: String,
        /// The result.
        #[serde(flatten)]
        result: UnsilenceResult,
        /// The Alertmanagers that gave no answer.
        failed: Vec<Failed>,
    },
    /// No Alertmanager is configured.
    NotConfigured,
}

/// The result of `silence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum SilenceResult {
    /// Alertmanagers were asked to make or prolong silences.
    Made {
        /// Those that did.
        made: Vec<Made>,
        /// Those that did not.
        failed: Vec<Failed>,
        /// How many of its firing alerts are held back now.
        held: u64,
        /// How many are not.
        not_held: u64,
        /// How many were left out because matrixbot has not their exact labels.
        changed: u64,
    },
    /// No Alertmanager lists any of its alerts.
    NotListed {
        /// The Alertmanagers that were asked.
        asked: Vec<String>,
        /// Those of them that gave no answer.
        failed: Vec<Failed>,
        /// Whether another program than Alertmanager sent them.
        #[serde(default)]
        foreign: bool,
    },
    /// It would hold other alerts as well.
    TooWide {
        /// How many.
        others: u64,
        /// Some of them.
        names: Vec<String>,
    },
    /// Its alerts share no label.
    NothingShared,
    /// matrixbot has not the exact labels of its alerts.
    Changed,
    /// It was resolved before.
    Over,
}

/// What one Alertmanager has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The Alertmanager.
    pub alertmanager: String,
    /// The ids of the silences.
    pub ids: Vec<String>,
    /// When the first of them ends.
    pub until: Timestamp,
}

/// An Alertmanager that did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The Alertmanager.
    pub alertmanager: String,
    /// The reason, in its own words where it gave one.
    pub why: String,
}

/// The result of `unsilence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum UnsilenceResult {
    /// It has ended.
    Ended {
        /// The Alertmanager.
        alertmanager: String,
        /// The incidents with alerts that it held.
        incidents: BTreeSet<i64>,
    },
    /// No silence that this list may see has this id.
    Unknown,
    /// Several ids begin like this, or the text is too short.
    Ambiguous,
    /// It could not be ended.
    Failed,
}

impl SilencingAnswer {
    /// The result as log lines word it.
    pub fn in_log(&self) -> &'static str {
        match self {
            Self::Silence { result, .. } => match result {
                SilenceResult::Made { held: 0, .. } => "nothing silenced",
                SilenceResult::Made { .. } if self.is_done() => "silenced",
                SilenceResult::Made { .. } => "partly silenced",
                SilenceResult::NotListed { .. } => "not listed",
                SilenceResult::TooWide { .. } => "too wide",
                SilenceResult::NothingShared => "no shared labels",
                SilenceResult::Changed => "labels cut",
                SilenceResult::Over => "too late",
            },
            Self::List { .. } => "listed",
            Self::Unsilence { result, .. } => match result {
                UnsilenceResult::Ended { .. } => "ended",
                UnsilenceResult::Unknown => "no such silence",
                UnsilenceResult::Ambiguous => "several silences",
                UnsilenceResult::Failed => "not ended",
            },
            Self::NotConfigured => "no Alertmanager configured",
        }
    }

    /// Whether some Alertmanagers have silences, and others failed.
    pub fn is_partly_made(&self) -> bool {
        matches!(self, Self::Silence { result: SilenceResult::Made { made, failed, .. }, .. }
            if !made.is_empty() && !failed.is_empty())
    }

    /// Whether what was asked for was done.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Silence { result: SilenceResult::Made { failed, held, not_held, .. }, .. } => {
                failed.is_empty() && *held > 0 && *not_held == 0
            }
            Self::List { failed, .. } => failed.is_empty(),
            Self::Unsilence { result, .. } => matches!(result, UnsilenceResult::Ended { .. }),
            Self::Silence { .. } | Self::NotConfigured => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(more: &[(&str, &str)]) -> Labels {
        more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn listed(all: impl IntoIterator<Item = Labels>) -> BTreeMap<Fingerprint, Listed> {
        all.into_iter().map(|labels| (fingerprint_of(&labels), Listed { labels, exact: true })).collect()
    }

    fn firing(all: impl IntoIterator<Item = Labels>) -> Firing {
        Firing(all.into_iter().map(|labels| (fingerprint_of(&labels), labels)).collect())
    }

    fn disk(instance: &str) -> Labels {
        labels(&[("alertname", "DiskFull"), ("instance", instance)])
    }

    #[test]
    fn the_fingerprint_is_the_one_that_alertmanager_sends() {
        assert_eq!(fingerprint_of(&Labels::new()), "cbf29ce484222325");
        for body in [
            include_str!("../../tests/fixtures/alertmanager/grouped-3-0.25.0.json"),
            include_str!("../../tests/fixtures/alertmanager/firing-0.33.1.json"),
        ] {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            for alert in body["alerts"].as_array().unwrap() {
                let labels: Labels = serde_json::from_value(alert["labels"].clone()).unwrap();
                assert_eq!(fingerprint_of(&labels), alert["fingerprint"]);
            }
        }
    }

    #[test]
    fn an_alert_whose_labels_were_cut_is_left_out() {
        let firing = firing([disk("db-1"), disk("db-2")]);
        let mut listed = listed([disk("db-1"), disk("db-2")]);
        listed.values_mut().next().unwrap().exact = false;
        let plan = plan(&firing, &listed);
        assert_eq!((plan.matchers.len(), plan.own.len(), plan.changed.len()), (1, 1, 1));
    }

    #[test]
    fn alertmanager_is_asked_only_for_labels_that_were_not_cut() {
        let long = "x".repeat(4096);
        let one =
            labels(&[("alertname", "DiskFull"), ("instance", "db-1"), ("query", &long), ("odd", "\u{fffd}")]);
        assert_eq!(firing([one]).shared(), disk("db-1"));
    }

    #[test]
    fn an_alert_is_known_by_its_fingerprint_and_silenced_by_the_labels_of_the_api() {
        let ours = Firing(BTreeMap::from([("00000000000000aa".to_owned(), disk("db-1"))]));
        assert!(ours.is_foreign() && !firing([disk("db-1")]).is_foreign());
        let mut there = disk("db-1");
        there.insert("private".to_owned(), "yes".to_owned());
        let there = Listed { labels: there, exact: true };
        let plan = plan(&ours, &BTreeMap::from([("00000000000000aa".to_owned(), there.clone())]));
        assert_eq!((plan.matchers, plan.own.len()), (vec![there.labels], 1));
    }

    #[test]
    fn few_alerts_get_a_silence_each_and_nothing_else_is_held() {
        let firing = firing([disk("db-1"), disk("db-2")]);
        let listed = listed([disk("db-1"), disk("db-2"), disk("db-3")]);
        let plan = plan(&firing, &listed);
        assert_eq!((plan.matchers.len(), plan.own.len()), (2, 2));
        assert_eq!(too_wide([&plan].into_iter(), false), None);
    }

    #[test]
    fn an_alert_with_more_labels_is_held_as_well_and_named() {
        let firing = firing([disk("db-1")]);
        let mut more = disk("db-1");
        more.insert("volume".to_owned(), "sda".to_owned());
        let plan = plan(&firing, &listed([disk("db-1"), more]));
        let names = vec!["DiskFull instance=db-1 volume=sda".to_owned()];
        assert_eq!(too_wide([&plan].into_iter(), false), Some(SilenceResult::TooWide { others: 1, names }));
        assert_eq!(too_wide([&plan].into_iter(), true), None);
    }

    #[test]
    fn many_alerts_get_one_silence_of_what_they_share() {
        let name = |n: usize| format!("db-{n}");
        let all: Vec<Labels> = (0..6).map(|n| disk(&name(n))).collect();
        let plan = plan(&firing(all.clone()), &listed(all));
        assert_eq!(plan.matchers, [labels(&[("alertname", "DiskFull")])]);
        let odd: Vec<Labels> = (0..6).map(|n| labels(&[("alertname", &name(n))])).collect();
        let nothing = super::plan(&firing(odd.clone()), &listed(odd));
        assert_eq!(too_wide([&nothing].into_iter(), true), Some(SilenceResult::NothingShared));
    }

    #[test]
    fn the_unique_beginning_of_an_id_is_enough() {
        let line = |id: &str| SilenceLine {
            id: id.to_owned(),
            alertmanager: String::new(),
            incidents: BTreeSet::new(),
            created_by: String::new(),
            comment: String::new(),
            from: None,
            until: Timestamp::UNIX_EPOCH,
        };
        let lines = [line("5f0b1d5c-01"), line("5f0b1d5c-02"), line("8c6c2a4e-01")];
        assert_eq!(find(&lines, "8C6C").unwrap().id, "8c6c2a4e-01");
        assert_eq!(find(&lines, "8").unwrap_err(), UnsilenceResult::Ambiguous);
        assert_eq!(find(&lines, "5f0b1d5c").unwrap_err(), UnsilenceResult::Ambiguous);
        assert_eq!(find(&lines, "ffff").unwrap_err(), UnsilenceResult::Unknown);
    }
}
