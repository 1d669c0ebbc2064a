//! Alertmanager's view of three alerts.

use super::history::AlertStep;
use super::world::severity;
use crate::domain::incident::Fingerprint;
use crate::domain::input::{Evidence, Report, ReportedAlert};
use crate::domain::time::earlier;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What Alertmanager knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Alertmanager {
    /// When each alert's last episode started, and whether it is still firing.
    episodes: BTreeMap<Fingerprint, (Timestamp, bool)>,
}

impl Alertmanager {
    /// Remembers a report that was made elsewhere.
    pub(super) fn reported(&mut self, report: &Report) {
        let alerts = report.alerts.iter();
        self.episodes
            .extend(alerts.map(|alert| (alert.fingerprint.clone(), (alert.starts_at, alert.firing))));
    }

    /// A report, with one step for each alert.
    pub(super) fn next_report(&mut self, alerts: &[AlertStep], now: Timestamp) -> Report {
        let mut report = Report::default();
        for (name, step) in ["a", "b", "c"].into_iter().zip(alerts) {
            let (last_began, goes_on) = self.episodes.get(name).copied().unwrap_or((now, false));
            let before = |seconds| earlier(last_began, Duration::from_secs(seconds));
            let (starts_at, rank, ends_at) = match step {
                AlertStep::Nothing => continue,
                AlertStep::LeftOut => {
                    report.left_out.insert(name.to_owned());
                    continue;
                }
                AlertStep::Fires(rank) => (if goes_on { last_began } else { now }, *rank, None),
                AlertStep::SameEpisode => (last_began, 1, None),
                AlertStep::Restarts => (now, 1, None),
                AlertStep::Clears => (last_began, 1, Some(now)),
                AlertStep::ClearsFromEarlier => (before(100), 1, Some(now)),
                AlertStep::ClearedBefore => (before(100), 1, Some(before(50))),
            };
            let firing = ends_at.is_none();
            if !matches!(step, AlertStep::ClearedBefore) {
                self.episodes.insert(name.to_owned(), (starts_at.max(last_began), firing));
            }
            report.alerts.push(ReportedAlert {
                fingerprint: name.to_owned(),
                firing,
                severity: severity(rank),
                starts_at,
                start_known: true,
                ends_at,
                evidence: Evidence::None,
            });
        }
        report
    }
}
