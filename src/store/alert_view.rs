//! The alerts of an incident as messages show them: the first ones with their details, the rest in numbers.

use super::{StoreError, Tx, forms};
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::policy::Severity;
use crate::domain::view::{AlertView, Omitted, Shared};
use crate::domain::webhook::Labels;
use jiff_sqlx::Timestamp as SqlTimestamp;
use std::cmp::Reverse;

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
    let rows = sqlx::query_as!(
        Row,
        "SELECT fingerprint, firing, severity, rank, escalate, starts_at, cleared_starts_at, cleared_at, labels, annotations,
                generator_url, defect
         FROM incident_alert WHERE incident = $1 AND ($2::text[] IS NULL OR fingerprint = ANY($2))",
        number,
        first.as_deref() as _
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        if shown(&row.fingerprint) {
            let firing = incident.firing.get(&row.fingerprint);
            views.push(AlertView {
                left_out_since: firing.and_then(|alert| alert.left_out_since),
                ..row.view()?
            });
        }
    }
    views.sort_by_key(|alert| {
        (Reverse(alert.firing), Reverse(alert.severity.rank), alert.starts_at, alert.fingerprint.clone())
    });
    let listed = views.iter().filter(|alert| alert.firing).count();
    let count = |all: usize, listed: usize| u64::try_from(all.saturating_sub(listed)).unwrap_or(u64::MAX);
    let shared = match first {
        Some(_) => Some(shared(tx, number, &views).await?),
        None => None,
    };
    let omitted = Omitted {
        firing: count(incident.firing.len(), listed),
        cleared: count(resolved, views.len().saturating_sub(listed)),
        shared,
    };
    Ok((views, omitted))
}

/// What the first alerts have in common with all others of their kind: firing, or resolved with details. The database
/// compares them, so the others stay there.
async fn shared(tx: &mut Tx, number: i64, first: &[AlertView]) -> Result<Shared, StoreError> {
    let firing = first.iter().any(|alert| alert.firing);
    let mut shared = Shared::of(first.iter().filter(|alert| alert.firing == firing), None);
    let labels = shared.labels.iter().map(|(name, value)| ("label", name.as_str(), value.as_str()));
    let annotations =
        shared.annotations.iter().map(|(name, value)| ("annotation", name.as_str(), value.as_str()));
    let url = shared.generator_url.iter().map(|url| ("url", "", url.as_str()));
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (kind, name, value) in labels.chain(annotations).chain(url) {
        columns.0.push(kind.to_owned());
        columns.1.push(name.to_owned());
        columns.2.push(value.to_owned());
    }
    let differing = sqlx::query!(
        "SELECT kind AS \"kind!\", name AS \"name!\" FROM unnest($2::text[], $3::text[], $4::text[]) AS one (kind, name, value)
         WHERE EXISTS (
            SELECT 1 FROM incident_alert WHERE incident = $1 AND firing = $5 AND (firing OR labels <> '{}')
            AND CASE kind WHEN 'label' THEN labels ->> name WHEN 'annotation' THEN annotations ->> name ELSE generator_url END
                IS DISTINCT FROM value)",
        number,
        &columns.0,
        &columns.1,
        &columns.2,
        firing
    )
    .fetch_all(&mut **tx)
    .await?;
    for one in differing {
        match one.kind.as_str() {
            "label" => drop(shared.labels.remove(&one.name)),
            "annotation" => drop(shared.annotations.remove(&one.name)),
            _ => shared.generator_url = None,
        }
    }
    Ok(shared)
}

/// The fingerprints of the first `most` alerts. Resolved alerts of which only the state is kept are not among them.
async fn first(
    tx: &mut Tx,
    number: i64,
    incident: &Incident,
    most: usize,
) -> Result<Vec<Fingerprint>, StoreError> {
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
    Ok(first)
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
