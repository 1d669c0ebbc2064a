//! Merges a report into the incident's alerts.
//!
//! Alertmanager delivers at least once, every peer of a cluster delivers, and an old report can arrive after a newer
//! one (prometheus/alertmanager#2447). A report does not resolve the alerts that it leaves out. matrixbot ignores the
//! group's status and uses each alert's status only.

use crate::domain::incident::{Cleared, Fingerprint, Firing, Incident};
use crate::domain::input::{ReportedAlert, Surroundings};
use crate::domain::time::later;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How many resolved episodes an incident keeps in any case: those that resolved last, by fingerprint where several did.
/// More than a message lists.
pub const KEPT_EPISODES: usize = 50;

/// What a report changed.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// The alerts that started firing.
    pub(super) joined: Vec<Fingerprint>,
    /// The alerts that resolved.
    pub(super) cleared: Vec<Fingerprint>,
    /// The alerts that are still firing, with another severity.
    pub(super) changed: Vec<Fingerprint>,
    /// Those of `changed` whose severity rose.
    pub(super) rose: Vec<Fingerprint>,
    /// Those of `joined` whose episode resolved just before: the report is probably an old one that arrived late.
    pub(super) replayed: BTreeSet<Fingerprint>,
}

impl Folded {
    /// Whether the report changed any alert.
    pub(super) fn is_news(&self) -> bool {
        !(self.joined.is_empty() && self.cleared.is_empty() && self.changed.is_empty())
    }

    /// Whether the report added a reason to page.
    pub(super) fn is_worse(&self) -> bool {
        !(self.joined.is_empty() && self.rose.is_empty())
    }
}

/// Merges a report into the incident's alerts.
pub(super) fn fold(incident: &mut Incident, report: &[ReportedAlert], around: Surroundings<'_>) -> Folded {
    forget_old(incident, around);
    let mut folded = Folded::default();
    for alert in report {
        if alert.firing {
            fires(incident, alert, around, &mut folded);
        } else {
            clears(incident, alert, around.now, &mut folded);
        }
    }
    folded
}

fn fires(incident: &mut Incident, alert: &ReportedAlert, around: Surroundings<'_>, folded: &mut Folded) {
    let (now, grace) = (around.now, around.newest.policy.replay_grace);
    let fingerprint = &alert.fingerprint;
    if let Some(current) = incident.firing.get_mut(fingerprint) {
        if alert.starts_at < current.starts_at {
            return;
        }
        if alert.severity != current.severity {
            folded.changed.push(fingerprint.clone());
        }
        if alert.severity.rank > current.severity.rank {
            folded.rose.push(fingerprint.clone());
        }
        current.severity = alert.severity.clone();
        current.starts_at = alert.starts_at;
        current.last_seen = now;
        return;
    }
    if let Some(cleared) = incident.cleared.get(fingerprint) {
        if alert.starts_at < cleared.starts_at {
            return;
        }
        if alert.starts_at == cleared.starts_at && now < later(cleared.at, grace) {
            folded.replayed.insert(fingerprint.clone());
        }
        incident.cleared.remove(fingerprint);
    }
    folded.joined.push(fingerprint.clone());
    let firing = Firing { severity: alert.severity.clone(), starts_at: alert.starts_at, last_seen: now };
    incident.firing.insert(fingerprint.clone(), firing);
}

fn clears(incident: &mut Incident, alert: &ReportedAlert, now: Timestamp, folded: &mut Folded) {
    let fingerprint = &alert.fingerprint;
    let newer_than = |starts_at: Timestamp| alert.starts_at > starts_at;
    if let Some(current) = incident.firing.get(fingerprint) {
        if alert.starts_at < current.starts_at {
            return;
        }
        incident.firing.remove(fingerprint);
        folded.cleared.push(fingerprint.clone());
    } else if !incident.cleared.get(fingerprint).is_none_or(|cleared| newer_than(cleared.starts_at)) {
        return;
    }
    // Also if it was never firing here: its firing report may still arrive.
    incident.cleared.insert(fingerprint.clone(), Cleared { starts_at: alert.starts_at, at: now });
}

/// Treats all firing alerts as resolved.
pub(super) fn clear_all(incident: &mut Incident, now: Timestamp) {
    for (fingerprint, firing) in std::mem::take(&mut incident.firing) {
        incident.cleared.insert(fingerprint, Cleared { starts_at: firing.starts_at, at: now });
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
        (Reverse(cleared.at), name) <= (last_kept.0, &last_kept.1) || later(cleared.at, memory) > around.now
    });
}
