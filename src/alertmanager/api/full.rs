//! Alerts with all that a webhook would bring, by group (`GET /api/v2/alerts/groups`) or by labels (`GET /api/v2/alerts`).

use super::answers;
use super::error::ApiError;
use super::peer::Peer;
use crate::alertmanager::payload::{self, MOST_ALERTS};
use crate::domain::incident::Fingerprint;
use crate::domain::webhook::{Labels, WebhookAlert};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A group of alerts of one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The labels that Alertmanager grouped by.
    pub labels: Labels,
    /// Its alerts, ordered by fingerprint.
    pub alerts: Vec<FullAlert>,
}

/// An alert that is listed, so it is firing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullAlert {
    /// The alert as a webhook would bring it, except that its start is in milliseconds.
    pub alert: WebhookAlert,
    /// Whether its labels are certainly as Alertmanager has them: none was cut, and no character was replaced.
    pub exact: bool,
    /// Whether it is held back, by a silence, an inhibition or (only in groups) a time interval.
    pub suppressed: bool,
    /// The ids of the active silences that match it.
    pub silenced_by: Vec<String>,
    /// The fingerprints of the alerts that inhibit it.
    pub inhibited_by: Vec<String>,
    /// The names of the time intervals that hold it back, only in groups. `None`: this Alertmanager does not report it.
    pub muted_by: Option<Vec<String>>,
}

impl FullAlert {
    /// Adds what another peer answered about the same alert.
    fn merge(&mut self, other: Self) {
        self.alert.starts_at = self.alert.starts_at.min(other.alert.starts_at);
        // A peer that does not hold the alert back notifies.
        self.suppressed &= other.suppressed;
        for (own, others) in
            [(&mut self.silenced_by, other.silenced_by), (&mut self.inhibited_by, other.inhibited_by)]
        {
            own.extend(others);
            own.sort_unstable();
            own.dedup();
        }
        match (&mut self.muted_by, other.muted_by) {
            // One that is not muted on one peer is not muted.
            (Some(own), Some(other)) => own.retain(|interval| other.contains(interval)),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

type Alerts = BTreeMap<Fingerprint, FullAlert>;

pub(super) async fn groups(peers: &[Peer], receiver: &str, now: Timestamp) -> Result<Vec<Group>, ApiError> {
    let receiver = format!("^{}$", regex::escape(receiver));
    let of_peer = async |peer: &Peer| {
        let (mut groups, mut count) = (BTreeMap::<Labels, Alerts>::new(), 0);
        let query = [("receiver", receiver.clone())];
        peer.list("/api/v2/alerts/groups", &query, |element| {
            let group: AnyGroup<'_> = serde_json::from_slice(element).map_err(ApiError::Unreadable)?;
            let alerts =
                groups.entry(group.labels.map(payload::listed_labels).unwrap_or_default()).or_default();
            for raw in group.alerts {
                add(alerts, read(raw, now)?, &mut count)?;
            }
            Ok(())
        })
        .await?;
        Ok(groups)
    };
    let mut union = BTreeMap::<Labels, Alerts>::new();
    for groups in answers(join_all(peers.iter().map(of_peer)).await)? {
        for (labels, alerts) in groups {
            merge(union.entry(labels).or_default(), alerts);
        }
    }
    let group = |(labels, alerts): (Labels, Alerts)| Group { labels, alerts: alerts.into_values().collect() };
    Ok(union.into_iter().map(group).collect())
}

pub(super) async fn alerts_with(
    peers: &[Peer],
    labels: &Labels,
    now: Timestamp,
) -> Result<Vec<FullAlert>, ApiError> {
    let filters: Vec<_> = labels.iter().map(|(name, value)| ("filter", filter(name, value))).collect();
    // Unknown parameters are ignored by Alertmanager: without this check, a proxy's answer could hold every alert.
    let has_labels =
        |alert: &FullAlert| labels.iter().all(|(name, value)| alert.alert.labels.get(name) == Some(value));
    let of_peer = async |peer: &Peer| {
        let (mut alerts, mut count) = (Alerts::new(), 0);
        peer.list("/api/v2/alerts", &filters, |element| {
            let raw = serde_json::from_slice(element).map_err(ApiError::Unreadable)?;
            let alert = read(raw, now)?;
            if has_labels(&alert) { add(&mut alerts, alert, &mut count) } else { Ok(()) }
        })
        .await?;
        Ok(alerts)
    };
    let mut union = Alerts::new();
    for alerts in answers(join_all(peers.iter().map(of_peer)).await)? {
        merge(&mut union, alerts);
    }
    Ok(union.into_values().collect())
}

/// An exact matcher, escaped as every release of Alertmanager understands it: only `\\`, `"` and newlines.
fn filter(name: &str, value: &str) -> String {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_bare =
        name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty();
    let name = if is_bare { name.to_owned() } else { quoted(name) };
    format!("{name}={}", quoted(value))
}

fn add(alerts: &mut Alerts, alert: FullAlert, count: &mut usize) -> Result<(), ApiError> {
    *count = count.saturating_add(1);
    if *count > MOST_ALERTS {
        return Err(ApiError::unreadable("it lists more than 20000 alerts"));
    }
    merge_one(alerts, alert);
    Ok(())
}

fn merge(alerts: &mut Alerts, others: Alerts) {
    for alert in others.into_values() {
        merge_one(alerts, alert);
    }
}

fn merge_one(alerts: &mut Alerts, alert: FullAlert) {
    match alerts.get_mut(&alert.alert.fingerprint) {
        Some(known) => known.merge(alert),
        None => {
            alerts.insert(alert.alert.fingerprint.clone(), alert);
        }
    }
}

#[derive(Deserialize)]
struct AnyGroup<'a> {
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Suppression {
    status: AlertStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AlertStatus {
    state: String,
    silenced_by: Option<Vec<String>>,
    inhibited_by: Option<Vec<String>>,
    muted_by: Option<Vec<String>>,
}

fn read(raw: &RawValue, now: Timestamp) -> Result<FullAlert, ApiError> {
    let Suppression { status } = serde_json::from_str(raw.get()).map_err(ApiError::Unreadable)?;
    let clean = |texts: Vec<String>| texts.into_iter().map(payload::clean).collect();
    let each = |texts: Option<Vec<String>>| clean(texts.unwrap_or_default());
    let alert = payload::listed_alert(raw, now);
    Ok(FullAlert {
        exact: payload::has_exact_labels(&alert),
        alert,
        suppressed: status.state == "suppressed",
        silenced_by: each(status.silenced_by),
        inhibited_by: each(status.inhibited_by),
        muted_by: status.muted_by.map(clean),
    })
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn filters_escape_what_every_release_understands_and_nothing_else() {
        assert_eq!(filter("job", "node"), r#"job="node""#);
        assert_eq!(filter("a_1", "a\\b\"c\nd\te\u{1} "), "a_1=\"a\\\\b\\\"c\\nd\te\u{1} \"");
        for (name, escaped) in
            [("service.name", "\"service.name\""), ("0a", "\"0a\""), ("", "\"\""), ("ü", "\"ü\"")]
        {
            assert_eq!(filter(name, ""), format!("{escaped}=\"\""));
        }
    }
}
