//! The alerts of an incident as messages show them: the first ones with their details, the rest in numbers.

use super::{StoreError, Tx, forms};
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::policy::Severity;
use crate::domain::view::{AlertView, Omitted, Shared};
use crate::domain::webhook::Labels;
use futures_util::TryStreamExt as _;
use jiff_sqlx::Timestamp as SqlTimestamp;
use std::cmp::Reverse;
use std::collections::BTreeSet;

const TABLE: &str = "incident_alert";

/// The most alerts in the view of a message. No message lists more, and templates get no more.
pub const IN_A_MESSAGE: usize = 100;

/// Reads the alerts of an incident: firing alerts first, then by severity, then the oldest first; at most `most` of
/// them, the rest in numbers. The details of the rest are not kept in memory.
pub(super) async fn load(
    tx: &mut Tx,
    number: i64,
    incident: &Incident,
    most: usize,
) -> Result<(Vec<AlertView>, Omitted), StoreError> {
    let shown = |fingerprint: &str| {
        // An alert that resolved before this incident opened belongs to the previous incident. The row only serves to
        // recognise replayed webhooks.
        let resolved = incident.cleared.get(fingerprint).filter(|cleared| cleared.at >= incident.opened_at);
        incident.firing.contains_key(fingerprint) || resolved.is_some()
    };
    let resolved =
        incident.cleared.keys().filter(|&one| !incident.firing.contains_key(one) && shown(one)).count();
    let total = incident.firing.len().saturating_add(resolved);
    let first = if total > most { Some(first(tx, number, incident, most).await?) } else { None };
    let is_first = |fingerprint: &str| first.as_ref().is_none_or(|first| first.contains(fingerprint));
    let mut views = Vec::with_capacity(total.min(most));
    let mut shared = None;
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT fingerprint, firing, severity, rank, escalate, starts_at, cleared_starts_at, cleared_at, labels, annotations,
                generator_url, defect
         FROM incident_alert WHERE incident = $1",
        number
    )
    .fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        if !shown(&row.fingerprint) {
            continue;
        }
        let firing = incident.firing.get(&row.fingerprint);
        let view = AlertView { left_out_since: firing.and_then(|alert| alert.left_out_since), ..row.view()? };
        if is_first(&view.fingerprint) {
            views.push(view);
        } else if view.firing || (incident.firing.is_empty() && !view.labels.is_empty()) {
            narrow(&mut shared, &view);
        }
    }
    drop(rows);
    views.sort_by_key(|alert| {
        (Reverse(alert.firing), Reverse(alert.severity.rank), alert.starts_at, alert.fingerprint.clone())
    });
    let listed = views.iter().filter(|alert| alert.firing).count();
    let count = |all: usize, listed: usize| u64::try_from(all.saturating_sub(listed)).unwrap_or(u64::MAX);
    let omitted = Omitted {
        firing: count(incident.firing.len(), listed),
        cleared: count(resolved, views.len().saturating_sub(listed)),
        shared,
    };
    Ok((views, omitted))
}

fn narrow(shared: &mut Option<Shared>, alert: &AlertView) {
    match shared {
        Some(shared) => shared.narrow(alert),
        None => *shared = Some(Shared::from(alert)),
    }
}

/// The fingerprints of the first `most` alerts. Resolved alerts of which only the state is kept are not among them.
async fn first(
    tx: &mut Tx,
    number: i64,
    incident: &Incident,
    most: usize,
) -> Result<BTreeSet<Fingerprint>, StoreError> {
    use jiff_sqlx::ToSqlx as _;
    let first = sqlx::query_scalar!(
        "SELECT fingerprint FROM incident_alert
         WHERE incident = $1 AND (firing OR (cleared_at >= $2 AND labels <> '{}'))
         ORDER BY firing DESC, rank DESC, CASE WHEN firing THEN starts_at ELSE cleared_starts_at END, fingerprint
         LIMIT $3",
        number,
        incident.opened_at.to_sqlx(),
        i64::try_from(most).unwrap_or(i64::MAX)
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(first.into_iter().collect())
}

struct Row {
    fingerprint: String,
    firing: bool,
    severity: Option<String>,
    rank: i32,
    escalate: bool,
    starts_at: SqlTimestamp,
    cleared_starts_at: Option<SqlTimestamp>,
    cleared_at: Option<SqlTimestamp>,
    labels: serde_json::Value,
    annotations: serde_json::Value,
    generator_url: Option<String>,
    defect: Option<String>,
}

impl Row {
    fn view(self) -> Result<AlertView, StoreError> {
        let cleared = (self.cleared_starts_at, self.cleared_at);
        let (starts_at, cleared_at) = match cleared {
            (Some(starts_at), Some(at)) if !self.firing => (starts_at, Some(at.to_jiff())),
            _ => (self.starts_at, None),
        };
        Ok(AlertView {
            firing: self.firing,
            severity: Severity { name: self.severity, rank: self.rank, escalate: self.escalate },
            labels: forms::read::<Labels>(TABLE, "labels", &self.fingerprint, self.labels)?,
            annotations: forms::read::<Labels>(TABLE, "annotations", &self.fingerprint, self.annotations)?,
            starts_at: starts_at.to_jiff(),
            cleared_at,
            left_out_since: None,
            generator_url: self.generator_url,
            defect: self.defect,
            fingerprint: self.fingerprint,
        })
    }
}
