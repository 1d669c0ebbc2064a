//! An incident with everything that messages show of it.

use super::answer::IncidentLine;
use super::incident::{Fingerprint, Incident, Phase};
use super::policy::Severity;
use super::webhook::Labels;
use jiff::Timestamp;

/// An incident and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentView {
    /// The number people say: `ack 42`.
    pub number: i64,
    /// The room list's name.
    pub room_list: String,
    /// The state.
    pub incident: Incident,
    /// The labels the group was made by.
    pub group_labels: Labels,
    /// The labels all its alerts shared in the newest webhook.
    pub common_labels: Labels,
    /// Alertmanager's own page, if known.
    pub external_url: Option<String>,
    /// How many alerts Alertmanager left out of its newest webhook.
    pub truncated: u64,
    /// Every firing or resolved alert, firing ones first, then by severity and the time it began.
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
    /// How bad it is.
    pub severity: Severity,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When the episode began, according to Alertmanager.
    pub starts_at: Timestamp,
    /// When it resolved, by our clock; `None` while it is firing.
    pub cleared_at: Option<Timestamp>,
    /// Where the alert comes from: an `http(s)` URL.
    pub generator_url: Option<String>,
    /// What was wrong with it as Alertmanager sent it.
    pub defect: Option<String>,
}

impl IncidentView {
    /// What the incident is called: the `alertname` its alerts share, or the group's labels, or "unnamed".
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
