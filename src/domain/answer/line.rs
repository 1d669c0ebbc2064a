//! An incident as one line of a list.

use crate::domain::hold::HeldAlerts;
use crate::domain::incident::{Incident, Phase, PhaseName};
use crate::domain::policy::Severity;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

/// One incident in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentLine {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: PhaseName,
    /// The highest severity of its firing alerts.
    pub severity: Option<Severity>,
    /// How many alerts are firing.
    pub alerts: u64,
    /// The level that was paged last, counted from 0; `None` before the first page.
    pub level: Option<u32>,
    /// How many levels there are.
    pub levels: u32,
    /// When it opened.
    pub since: Timestamp,
    /// Who acknowledged it.
    pub ackers: Vec<OwnedUserId>,
    /// When the acknowledgement or snooze ends, if it does.
    pub until: Option<Timestamp>,
    /// Which of its firing alerts Alertmanager holds back; `None`: none, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldAlerts>,
}

impl IncidentLine {
    /// The line of an incident. `levels`: how many the ladder of its run has.
    pub fn of(number: i64, name: String, incident: &Incident, levels: u32) -> Self {
        Self {
            number,
            name,
            phase: incident.phase.name(),
            severity: incident.severity().cloned(),
            alerts: u64::try_from(incident.firing.len()).unwrap_or(u64::MAX),
            level: incident.run.level,
            levels,
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
            held: HeldAlerts::of(incident.hold.as_ref(), &incident.partly_silenced)
                .filter(|_| incident.phase.is_open()),
        }
    }
}
