//! The metrics of alerts that change no incident, and of what matrixbot checks about itself and about others.

use super::metrics::{Metrics, Registrar};
use prometheus::{IntCounter, IntCounterVec};

/// These metrics.
#[derive(Debug, Clone)]
pub(super) struct Checks {
    not_paged: IntCounterVec,
    orphan_clears: IntCounter,
}

impl Checks {
    pub(super) fn new(registrar: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            not_paged: registrar.counters(
                "not_paged_alerts_total",
                "Firing alerts in webhooks that open no incident, because their severity or name does not page, by room list.",
                &["room_list"],
            )?,
            orphan_clears: registrar
                .counter("orphan_clears_total", "Webhooks that resolved a group without a known incident.")?,
        })
    }

    /// Creates every series of a room list.
    pub(super) fn introduce_room_list(&self, room_list: &str) {
        self.not_paged.with_label_values(&[room_list]);
    }
}

impl Metrics {
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
