//! An incident with all the details that messages show.

use super::answer::IncidentLine;
use super::incident::{Fingerprint, Incident, Phase};
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
    /// All firing and resolved alerts: firing ones first, then by severity and start time.
    pub alerts: Vec<AlertView>,
    /// When it resolved, if it is resolved or closed.
    pub resolved_at: Option<Timestamp>,
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
    /// The `http(s)` URL of the alert's source.
    pub generator_url: Option<String>,
    /// The problem with the alert as Alertmanager sent it.
    pub defect: Option<String>,
}

impl IncidentView {
    /// The incident's name: the `alertname` that its alerts share, or the group's labels, or "unnamed".
    pub fn name(&self) -> String {
        let shared = self.group_labels.get("alertname").or_else(|| self.common_labels.get("alertname"));
        let first = || self.alerts.first().and_then(|alert| alert.labels.get("alertname"));
        if let Some(name) = shared.or_else(first) {
            return name.clone();
        }
        if self.group_labels.is_empty() {
            return "unnamed".to_owned();
        }
        self.group_labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    }

    /// The incident as one line of a list.
    pub fn line(&self) -> IncidentLine {
        let incident = &self.incident;
        IncidentLine {
            number: self.number,
            name: self.name(),
            phase: incident.phase.name(),
            severity: incident.severity().cloned(),
            alerts: u64::try_from(incident.firing.len()).unwrap_or(u64::MAX),
            level: incident.run.level,
            levels: self.levels,
            since: incident.opened_at,
            ackers: incident.ackers.clone(),
            until: match incident.phase {
                Phase::Acknowledged { until, .. } => until,
                Phase::Snoozed { until } => Some(until),
                Phase::Firing
                | Phase::Unanswered { .. }
                | Phase::Suppressed
                | Phase::Resolved { .. }
                | Phase::Closed => None,
            },
        }
    }
}
