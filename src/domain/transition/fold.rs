//! Merges a report into the incident's alerts.
//!
//! Alertmanager delivers at least once, every peer of a cluster delivers, and an old report can arrive after a newer
//! one (prometheus/alertmanager#2447). A start is only a hint: Alertmanager moves it in both directions. A report does
//! not resolve the alerts that it leaves out. matrixbot ignores the group's status and uses each alert's status only.

use crate::domain::incident::{Cleared, Doubt, Fingerprint, Firing, Incident, Phase};
use crate::domain::input::{Evidence, Report, ReportedAlert, Surroundings};
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::domain::timeline::AlertsChanged;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many resolved episodes an incident keeps in any case: those that resolved last, by fingerprint where several did.
/// More than a message lists.
pub const KEPT_EPISODES: usize = 50;

/// What a report changed.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// What happened to the alerts.
    pub(super) alerts: AlertsChanged,
    /// Those of `alerts.changed` whose severity rose.
    pub(super) rose: Vec<Fingerprint>,
    /// Those of `alerts.joined` whose episode resolved just before: the report is probably an old one that arrived
    /// late.
    pub(super) replayed: BTreeSet<Fingerprint>,
    /// Whether it says that resolved alerts are firing, and may be an old one.
    pub(super) doubted: bool,
    /// How long a first page waits for Alertmanager's answer.
    pub(super) ask: Duration,
}

impl Folded {
    /// Whether the report changed any alert.
    pub(super) fn is_news(&self) -> bool {
        self.alerts != AlertsChanged::default()
    }

    /// Whether the report added a reason to page.
    pub(super) fn is_worse(&self) -> bool {
        !(self.alerts.joined.is_empty() && self.alerts.renewed.is_empty() && self.rose.is_empty())
    }
}

/// How long an alert waits that is reported as firing just after it resolved. That is a little longer than
/// `Policy::replay_grace`: the other peer of a cluster takes its report back one `group_interval` later, which has the
/// same default.
pub(super) fn replay_wait(policy: &Policy) -> Duration {
    policy.replay_grace.saturating_add(policy.replay_grace.checked_div(20).unwrap_or_default())
}

/// Merges a report into the incident's alerts.
pub(super) fn fold(incident: &mut Incident, report: &Report, around: Surroundings<'_>) -> Folded {
    forget_old(incident, around);
    let mut folded = Folded::default();
    for alert in &report.alerts {
        if alert.firing {
            fires(incident, alert, around, &mut folded);
        } else {
            clears(incident, alert, around.now, &mut folded);
        }
    }
    if !incident.firing.is_empty() {
        // The incident is firing anyway, so there is nothing to wait for.
        for fingerprint in doubted(incident) {
            folded.replayed.insert(fingerprint.clone());
            believe(incident, &fingerprint, around.now);
            folded.alerts.joined.push(fingerprint);
        }
    }
    for fingerprint in &report.left_out {
        let firing = incident.firing.get_mut(fingerprint).filter(|alert| alert.left_out_since.is_none());
        if let Some(firing) = firing {
            firing.left_out_since = Some(around.now);
            folded.alerts.left_out.push(fingerprint.clone());
        }
    }
    folded
}

fn fires(incident: &mut Incident, alert: &ReportedAlert, around: Surroundings<'_>, folded: &mut Folded) {
    let fingerprint = &alert.fingerprint;
    if incident.firing.contains_key(fingerprint) {
        still_fires(incident, alert, around.now, folded);
        return;
    }
    let (now, grace) = (around.now, around.of_run.policy.replay_grace);
    // Only a later firing alert opens a closed incident again: its wait would have no timer.
    let can_wait = matches!(incident.phase, Phase::Resolved { forced: false, .. });
    if let Some(cleared) = incident.cleared.get_mut(fingerprint) {
        let just_resolved =
            alert.evidence != Evidence::Listed && (now < later(cleared.at, grace) || cleared.doubt.is_some());
        if just_resolved && alert.starts_at < cleared.starts_at {
            return;
        }
        if just_resolved && alert.starts_at == cleared.starts_at {
            if can_wait {
                folded.doubted = true;
                let doubt = Doubt { severity: alert.severity.clone(), since: now };
                cleared.doubt.get_or_insert(doubt).severity = alert.severity.clone();
                return;
            }
            folded.replayed.insert(fingerprint.clone());
        }
    }
    // An acknowledgement covers an alert that flaps, and not its next outage. What is long over may be forgotten.
    let cleared = incident.cleared.remove(fingerprint);
    if cleared.is_none_or(|cleared| now >= later(cleared.at, around.of_run.policy.reopen_window)) {
        incident.known_at_ack.remove(fingerprint);
    }
    folded.alerts.joined.push(fingerprint.clone());
    let firing = Firing {
        severity: alert.severity.clone(),
        starts_at: alert.starts_at,
        start_known: alert.start_known,
        since: now,
        last_seen: now,
        left_out_since: None,
    };
    incident.firing.insert(fingerprint.clone(), firing);
}

/// A report that a firing alert is firing. If it started later than known, and it was not reported as resolved, it is
/// another outage; it may also be the same one after a restart of Prometheus and Alertmanager, which looks the same unless
/// Alertmanager is polled.
fn still_fires(incident: &mut Incident, alert: &ReportedAlert, now: Timestamp, folded: &mut Folded) {
    let fingerprint = &alert.fingerprint;
    let Some(current) = incident.firing.get_mut(fingerprint) else { return };
    current.last_seen = now;
    if current.left_out_since.take().is_some() {
        folded.alerts.returned.push(fingerprint.clone());
    }
    if alert.start_known && alert.starts_at < current.starts_at {
        return;
    }
    if alert.severity != current.severity {
        folded.alerts.changed.push(fingerprint.clone());
    }
    if alert.severity.rank > current.severity.rank {
        folded.rose.push(fingerprint.clone());
    }
    current.severity = alert.severity.clone();
    if !alert.start_known {
        return;
    }
    if current.start_known && alert.starts_at > current.starts_at && alert.evidence == Evidence::None {
        current.since = now;
        incident.known_at_ack.remove(fingerprint);
        folded.alerts.renewed.push(fingerprint.clone());
    }
    current.starts_at = alert.starts_at;
    current.start_known = true;
}

fn clears(incident: &mut Incident, alert: &ReportedAlert, now: Timestamp, folded: &mut Folded) {
    let fingerprint = &alert.fingerprint;
    if let Some(current) = incident.firing.get_mut(fingerprint) {
        current.last_seen = now;
        if is_of_an_earlier_episode(alert, current) {
            return;
        }
        let starts_at = alert.starts_at.max(current.starts_at);
        incident.firing.remove(fingerprint);
        incident.cleared.insert(fingerprint.clone(), Cleared { starts_at, at: now, doubt: None });
        folded.alerts.cleared.push(fingerprint.clone());
        return;
    }
    match incident.cleared.get_mut(fingerprint) {
        // A report in doubt was an old one.
        Some(cleared) if alert.starts_at <= cleared.starts_at => cleared.doubt = None,
        // Also if it was never firing here: its firing report may still arrive.
        Some(_) | None => {
            let cleared = Cleared { starts_at: alert.starts_at, at: now, doubt: None };
            incident.cleared.insert(fingerprint.clone(), cleared);
        }
    }
}

/// Whether a resolved report is about an episode before the current one: it had ended when the current one started.
/// An earlier start alone says nothing: Alertmanager keeps the earliest start of overlapping reports.
fn is_of_an_earlier_episode(alert: &ReportedAlert, current: &Firing) -> bool {
    alert.starts_at < current.starts_at && alert.ends_at.is_some_and(|end| end < current.starts_at)
}

/// The resolved alerts of which a report in doubt says that they are firing.
fn doubted(incident: &Incident) -> Vec<Fingerprint> {
    let doubted = incident.cleared.iter().filter(|(_, cleared)| cleared.doubt.is_some());
    doubted.map(|(fingerprint, _)| fingerprint.clone()).collect()
}

/// If the first wait of a resolved incident's alerts is over, all that wait are firing. Returns whether it is.
pub(super) fn believe_waited(incident: &mut Incident, around: Surroundings<'_>) -> bool {
    let is_over = wait_ends_at(incident, around.of_run.policy).is_some_and(|at| at <= around.now);
    for fingerprint in doubted(incident).iter().filter(|_| is_over) {
        believe(incident, fingerprint, around.now);
    }
    is_over
}

/// A resolved alert is firing after all.
pub(super) fn believe(incident: &mut Incident, fingerprint: &Fingerprint, now: Timestamp) {
    let Some(Cleared { starts_at, doubt: Some(doubt), .. }) = incident.cleared.remove(fingerprint) else {
        return;
    };
    let firing = Firing {
        severity: doubt.severity,
        starts_at,
        start_known: true,
        since: now,
        last_seen: now,
        left_out_since: None,
    };
    incident.firing.insert(fingerprint.clone(), firing);
}

/// When the first wait of a resolved incident's alerts is over; `None`: none is waiting.
pub(super) fn wait_ends_at(incident: &Incident, policy: &Policy) -> Option<Timestamp> {
    let doubts = incident.cleared.values().filter_map(|cleared| cleared.doubt.as_ref());
    doubts.map(|doubt| later(doubt.since, replay_wait(policy))).min()
}

/// Treats all firing alerts as resolved.
pub(super) fn clear_all(incident: &mut Incident, now: Timestamp) {
    for (fingerprint, firing) in std::mem::take(&mut incident.firing) {
        let cleared = Cleared { starts_at: firing.starts_at, at: now, doubt: None };
        incident.cleared.insert(fingerprint, cleared);
    }
}

/// Forgets resolved episodes, except the newest ones, once a report about them can no longer be an old one that arrived
/// late, and the incident could no longer have reopened.
fn forget_old(incident: &mut Incident, around: Surroundings<'_>) {
    let policy = around.newest.policy;
    let memory = policy.reopen_window.max(policy.replay_grace);
    let mut newest: Vec<_> =
        incident.cleared.iter().map(|(name, cleared)| (Reverse(cleared.at), name)).collect();
    newest.sort_unstable();
    let Some(last_kept) =
        newest.get(KEPT_EPISODES.saturating_sub(1)).map(|(at, name)| (*at, (*name).clone()))
    else {
        return;
    };
    incident.cleared.retain(|name, cleared| {
        (Reverse(cleared.at), name) <= (last_kept.0, &last_kept.1)
            || later(cleared.at, memory) > around.now
            || cleared.doubt.is_some()
    });
}
