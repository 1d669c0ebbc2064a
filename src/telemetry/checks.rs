//! The metrics of alerts that change no incident, and of what matrixbot checks about itself and about others.

use super::labels::OwnBeat;
use super::metrics::{Metrics, Registrar};
use crate::domain::audit::AuditCheck;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// These metrics.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    not_paged: IntCounterVec,
    orphan_clears: IntCounter,
    audit_failures: IntCounterVec,
    audit_violations: IntGaugeVec,
    own_heartbeats: IntCounterVec,
}

impl Checks {
    pub(super) fn new(registrar: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let checks = Self {
            not_paged: registrar.counters(
                "not_paged_alerts_total",
                "Firing alerts in webhooks that open no incident, because their severity or name does not page, by room list.",
                &["room_list"],
            )?,
            orphan_clears: registrar
                .counter("orphan_clears_total", "Webhooks that resolved a group without a known incident.")?,
            audit_failures: registrar.counters(
                "audit_failures_total",
                "Violations that the audit of the database has found, by what it checks.",
                &["check"],
            )?,
            audit_violations: registrar.gauges(
                "audit_violations",
                "Violations that the audit of the database finds now, by what it checks.",
                &["check"],
            )?,
            own_heartbeats: registrar.counters(
                "own_heartbeats_total",
                "Calls of the URL of own_heartbeat, by result.",
                &["result"],
            )?,
        };
        for result in OwnBeat::ALL {
            checks.own_heartbeats.with_label_values(&[result.as_str()]);
        }
        for check in AuditCheck::ALL {
            checks.audit_failures.with_label_values(&[check.as_str()]);
            checks.audit_violations.with_label_values(&[check.as_str()]);
        }
        Ok(checks)
    }

    /// Creates every series of a room list.
    pub(super) fn introduce_room_list(&self, room_list: &str) {
        self.not_paged.with_label_values(&[room_list]);
    }
}

impl Metrics {
    /// The URL of our own heartbeat was called, or not.
    pub fn own_beat(&self, result: OwnBeat) {
        self.checks().own_heartbeats.with_label_values(&[result.as_str()]).inc();
    }

    /// The audit has found a violation that it had not found before.
    pub fn audit_failed(&self, check: AuditCheck) {
        self.checks().audit_failures.with_label_values(&[check.as_str()]).inc();
    }

    /// So many violations of a check exist.
    pub fn set_audit_violations(&self, check: AuditCheck, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.checks().audit_violations.with_label_values(&[check.as_str()]).set(count);
    }

    /// A webhook resolved a group without a known incident.
    pub fn orphan_clear(&self) {
        self.checks().orphan_clears.inc();
    }

    /// A webhook for a room list contained so many firing alerts that do not page.
    pub fn not_paged(&self, room_list: &str, alerts: usize) {
        let alerts = u64::try_from(alerts).unwrap_or(u64::MAX);
        self.checks().not_paged.with_label_values(&[room_list]).inc_by(alerts);
    }
}
