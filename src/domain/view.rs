//! An incident with all the details that messages show.

use super::incident::{Fingerprint, Incident};
use super::policy::Severity;
use super::webhook::Labels;
use jiff::Timestamp;

/// An incident and its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentView {
    /// The number that people type: `ack 42`.
    pub number: i64,
    /// The room list's name.
    pub room_list: String,
    /// The state.
    pub incident: Incident,
    /// The labels that Alertmanager grouped by.
    pub group_labels: Labels,
    /// The labels that all its alerts shared in the newest webhook.
    pub common_labels: Labels,
    /// The URL of Alertmanager, if known.
    pub external_url: Option<String>,
    /// How many alerts Alertmanager left out of its newest webhook.
    pub truncated: u64,
    /// The first of its firing and resolved alerts: firing ones first, then by severity and start time.
    pub alerts: Vec<AlertView>,
    /// The rest of them.
    pub omitted: Omitted,
    /// When it resolved, if it is resolved or closed.
    pub resolved_at: Option<Timestamp>,
    /// The earliest start of its alerts that it knew when it resolved last; `None`: not read.
    pub began_at: Option<Timestamp>,
    /// How many levels the ladder of its run has.
    pub levels: u32,
}

/// One alert of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertView {
    /// Its identity within the incident.
    pub fingerprint: Fingerprint,
    /// Whether it is firing.
    pub firing: bool,
    /// Its severity.
    pub severity: Severity,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When the episode started, according to Alertmanager.
    pub starts_at: Timestamp,
    /// When it resolved, by our clock; `None` while it is firing.
    pub cleared_at: Option<Timestamp>,
    /// Since when Alertmanager no longer reports it, although it is firing.
    pub left_out_since: Option<Timestamp>,
    /// The `http(s)` URL of the alert's source.
    pub generator_url: Option<String>,
    /// The problem with the alert as Alertmanager sent it.
    pub defect: Option<String>,
}

/// The alerts of an incident that are not in its view, which has a limited number of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Omitted {
    /// How many of them are firing.
    pub firing: u64,
    /// How many are resolved. Of most of these only the state is kept.
    pub cleared: u64,
    /// What those with details have in common, of the firing ones if any alert of the incident is firing. `None`: there
    /// are none.
    pub shared: Option<Shared>,
}

/// What several alerts have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// The labels that are the same in all.
    pub labels: Labels,
    /// The annotations that are the same in all.
    pub annotations: Labels,
    /// The source URL that all have.
    pub generator_url: Option<String>,
}

impl Shared {
    /// What `alerts` and those of `others` have in common.
    pub fn of<'a>(alerts: impl IntoIterator<Item = &'a AlertView>, others: Option<&Self>) -> Self {
        let mut shared = others.cloned();
        for alert in alerts {
            match &mut shared {
                Some(shared) => shared.narrow(alert),
                None => shared = Some(Self::from(alert)),
            }
        }
        shared.unwrap_or_default()
    }

    /// Keeps what `alert` has, too.
    pub fn narrow(&mut self, alert: &AlertView) {
        self.labels.retain(|key, value| alert.labels.get(key) == Some(value));
        self.annotations.retain(|key, value| alert.annotations.get(key) == Some(value));
        if self.generator_url != alert.generator_url {
            self.generator_url = None;
        }
    }
}

impl From<&AlertView> for Shared {
    fn from(alert: &AlertView) -> Self {
        Self {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            generator_url: alert.generator_url.clone(),
        }
    }
}

/// The labels that name a place, the most precise first.
const PLACES: [&str; 14] = [
    "instance",
    "host",
    "hostname",
    "node",
    "pod",
    "container",
    "device",
    "mountpoint",
    "service",
    "job",
    "namespace",
    "cluster",
    "region",
    "environment",
];

/// The place: at most two shared labels that name a place, or else of the group's labels: `instance=db-1, job=node`. A bare
/// value does not say what it is.
pub fn place(shared: &Labels, group_labels: &Labels, severity_label: &str) -> String {
    let mut labels: Vec<(&str, &str)> = Vec::new();
    for label in PLACES {
        if let Some(value) = shared.get(label).filter(|value| !value.is_empty())
            && !labels.iter().any(|(_, known)| known == value)
            && labels.len() < 2
        {
            labels.push((label, value));
        }
    }
    if labels.is_empty() {
        labels = group_labels
            .iter()
            .filter(|(label, _)| *label != "alertname" && **label != severity_label)
            .map(|(label, value)| (label.as_str(), value.as_str()))
            .take(2)
            .collect();
    }
    labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(", ")
}

/// An incident's name: the `alertname` of its group, or else that all its alerts share, or else that of an alert, or
/// else the group's labels, or "unnamed".
pub fn name(group_labels: &Labels, common_labels: &Labels, of_an_alert: Option<&str>) -> String {
    let shared = group_labels.get("alertname").or_else(|| common_labels.get("alertname"));
    if let Some(name) = shared.map(String::as_str).or(of_an_alert) {
        return name.to_owned();
    }
    if group_labels.is_empty() {
        return "unnamed".to_owned();
    }
    group_labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

impl IncidentView {
    /// The incident's name. Alerts of several names are counted: `DiskFull and 2 others`.
    pub fn name(&self) -> String {
        let names = self.alert_names();
        let name = name(&self.group_labels, &self.common_labels, names.first().copied());
        match names.len() {
            0 | 1 => name,
            _ if names.first() != Some(&name.as_str()) => name,
            2 => format!("{name} and 1 other"),
            several => format!("{name} and {} others", several.saturating_sub(1)),
        }
    }

    /// The `alertname`s of the alerts that are firing, or of all if none is, each once, in the order of the alerts. Alerts
    /// that the view omits have no other ones if the group or its alerts share one.
    pub fn alert_names(&self) -> Vec<&str> {
        let firing = self.alerts.iter().any(|alert| alert.firing);
        let mut names = Vec::new();
        for alert in self.alerts.iter().filter(|alert| alert.firing == firing) {
            if let Some(name) = alert.labels.get("alertname").map(String::as_str)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}
