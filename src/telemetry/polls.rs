//! The metrics of the polls of Alertmanager, and of silences there.

use super::labels::{Finding, SilenceEvent};
use super::metrics::{Metrics, Registrar};
use prometheus::{IntCounterVec, IntGaugeVec};
use std::time::Duration;

const RESULTS: [&str; 2] = ["answered", "failed"];

/// The metrics of the polls.
#[derive(Debug, Clone)]
pub(super) struct Polls {
    made: IntCounterVec,
    unanswered: IntGaugeVec,
    findings: IntCounterVec,
    silences: IntCounterVec,
}

impl Polls {
    pub(super) fn new(registrar: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let polls = Self {
            made: registrar.counters(
                "alertmanager_polls_total",
                "Polls of Alertmanager by its name in the configuration and by result.",
                &["alertmanager", "result"],
            )?,
            unanswered: registrar.gauges(
                "alertmanager_unanswered_seconds",
                "For how long an Alertmanager has not answered polls; 0: it does, or another process polls it.",
                &["alertmanager"],
            )?,
            findings: registrar.counters(
                "alertmanager_findings_total",
                "What polls of Alertmanager changed in incidents, because no webhook had.",
                &["finding"],
            )?,
            silences: registrar.counters(
                "silences_total",
                "Silences that people asked for, by what happened to them in Alertmanager.",
                &["event"],
            )?,
        };
        for event in SilenceEvent::ALL {
            polls.silences.with_label_values(&[event.as_str()]);
        }
        for finding in Finding::ALL {
            polls.findings.with_label_values(&[finding.as_str()]);
        }
        Ok(polls)
    }
}

impl Metrics {
    /// Creates every series of an Alertmanager.
    pub fn introduce_alertmanager(&self, name: &str) {
        for result in RESULTS {
            self.polls().made.with_label_values(&[name, result]);
        }
        self.polls().unanswered.with_label_values(&[name]);
    }

    /// An Alertmanager was polled. `answered`: by one of its peers.
    pub fn alertmanager_polled(&self, name: &str, answered: bool) {
        let [good, failed] = RESULTS;
        self.polls().made.with_label_values(&[name, if answered { good } else { failed }]).inc();
    }

    /// For how long an Alertmanager has not answered.
    pub fn set_alertmanager_unanswered(&self, name: &str, since: Duration) {
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        self.polls().unanswered.with_label_values(&[name]).set(seconds);
    }

    /// A poll has changed an incident.
    pub fn alertmanager_found(&self, finding: Finding) {
        self.polls().findings.with_label_values(&[finding.as_str()]).inc();
    }

    /// This happened to so many silences.
    pub fn silenced(&self, event: SilenceEvent, silences: usize) {
        let silences = u64::try_from(silences).unwrap_or(u64::MAX);
        self.polls().silences.with_label_values(&[event.as_str()]).inc_by(silences);
    }
}
