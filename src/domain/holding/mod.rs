//! Which incident of a room list holds which alert.
//!
//! Alertmanager's groups move: a renamed receiver, an edited route or `group_by`, or two routes to one list bring the
//! same alert under another group key. In one room list an alert, by its fingerprint, is held by one incident, wherever
//! its next report comes from. An incident may own several groups; a group's new alerts join the incident that owns it.

#[cfg(test)]
mod tests;

use crate::domain::incident::Fingerprint;
use crate::domain::webhook::WebhookAlert;
use std::collections::{BTreeMap, BTreeSet};

/// What is known about the alerts of a webhook before it. None of these incidents is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// The incident that owns the webhook's group.
    pub owner: Option<i64>,
    /// The incidents in which an alert is firing. Several are left by releases up to 0.1.0.
    pub firing: BTreeMap<Fingerprint, BTreeSet<i64>>,
    /// The incidents in which an alert has just resolved.
    pub resolved: BTreeMap<Fingerprint, BTreeSet<i64>>,
}

/// Where the alerts of a webhook belong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split<'a> {
    /// The alerts of each incident.
    pub parts: BTreeMap<i64, Vec<&'a WebhookAlert>>,
    /// The firing alerts of an incident that is to be opened, which will own the group.
    pub new: Vec<&'a WebhookAlert>,
    /// The incident that owns the group from now on: it holds everything that the group brings.
    pub adopter: Option<i64>,
}

/// Splits a webhook between the incidents that hold its alerts.
pub fn split<'a>(alerts: &'a [WebhookAlert], holders: &Holders) -> Split<'a> {
    let mut split = Split::default();
    let mut held = BTreeSet::new();
    for alert in alerts {
        let incidents = incidents_of(alert, holders);
        if alert.firing {
            held.extend(incidents.iter().copied());
        }
        if alert.firing && incidents.is_empty() {
            split.new.push(alert);
        }
        for incident in incidents {
            split.parts.entry(incident).or_default().push(alert);
        }
    }
    split.adopter = held.first().copied().filter(|_| holders.owner.is_none() && split.new.is_empty());
    split
}

/// The incidents that a reported alert belongs to: those where it is firing, or else where it has just resolved, or else
/// the one that owns the group. A resolve belongs to all of them.
fn incidents_of(alert: &WebhookAlert, holders: &Holders) -> Vec<i64> {
    let firing = holders.firing.get(&alert.fingerprint);
    let resolved = holders.resolved.get(&alert.fingerprint);
    if let Some(firing) = firing.filter(|incidents| !incidents.is_empty()) {
        return firing.iter().copied().collect();
    }
    match resolved {
        Some(resolved) if !alert.firing && !resolved.is_empty() => resolved.iter().copied().collect(),
        _ => resolved.and_then(BTreeSet::last).copied().or(holders.owner).into_iter().collect(),
    }
}
