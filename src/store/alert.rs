//! The alerts of an incident: their state, and the details that messages show.

use super::incident::labels;
use super::{StoreError, Tx, forms};
use crate::domain::incident::{Cleared, Fingerprint, Firing, Incident};
use crate::domain::policy::Severity;
use crate::domain::view::AlertView;
use crate::domain::webhook::{Labels, WebhookAlert};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The details of an incident's alerts that messages show, apart from their state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertDetails(BTreeMap<Fingerprint, Detail>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    severity: Severity,
    starts_at: Timestamp,
    last_seen: Timestamp,
    labels: Labels,
    annotations: Labels,
    generator_url: Option<String>,
    defect: Option<String>,
}

/// The state of the alerts, as `domain` uses it.
#[derive(Debug, Default)]
pub struct AlertMaps {
    pub(super) firing: BTreeMap<Fingerprint, Firing>,
    pub(super) cleared: BTreeMap<Fingerprint, Cleared>,
    pub(super) known_at_ack: BTreeMap<Fingerprint, i32>,
}

impl AlertDetails {
    /// Updates the details from a webhook's alerts. Returns the alerts whose details changed.
    pub fn update(
        &mut self,
        alerts: &[WebhookAlert],
        severity: impl Fn(&WebhookAlert) -> Severity,
        now: Timestamp,
    ) -> BTreeSet<Fingerprint> {
        let mut changed = BTreeSet::new();
        for alert in alerts {
            let detail = Detail {
                severity: severity(alert),
                starts_at: alert.starts_at,
                last_seen: now,
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                generator_url: alert.generator_url.clone(),
                defect: alert.defect.clone(),
            };
            let same = self.0.get(&alert.fingerprint).is_some_and(|known| {
                (&known.labels, &known.annotations, &known.generator_url, &known.defect)
                    == (&detail.labels, &detail.annotations, &detail.generator_url, &detail.defect)
            });
            if !same {
                changed.insert(alert.fingerprint.clone());
                self.0.insert(alert.fingerprint.clone(), detail);
            }
        }
        changed
    }

    /// The alerts as messages show them: firing alerts first, then by severity, then the oldest first.
    pub fn views(&self, incident: &Incident) -> Vec<AlertView> {
        let mut views: Vec<AlertView> = self
            .0
            .iter()
            .filter_map(|(fingerprint, detail)| {
                let firing = incident.firing.get(fingerprint);
                // An alert that resolved before this incident opened belongs to the previous incident. The row only
                // serves to recognise replayed webhooks.
                let cleared =
                    incident.cleared.get(fingerprint).filter(|alert| alert.at >= incident.opened_at);
                if firing.is_none() && cleared.is_none() {
                    return None;
                }
                let starts_at = firing
                    .map(|alert| alert.starts_at)
                    .or(cleared.map(|alert| alert.starts_at))
                    .unwrap_or(detail.starts_at);
                Some(AlertView {
                    fingerprint: fingerprint.clone(),
                    firing: firing.is_some(),
                    severity: firing.map_or_else(|| detail.severity.clone(), |alert| alert.severity.clone()),
                    labels: detail.labels.clone(),
                    annotations: detail.annotations.clone(),
                    starts_at,
                    cleared_at: if firing.is_some() { None } else { cleared.map(|alert| alert.at) },
                    generator_url: detail.generator_url.clone(),
                    defect: detail.defect.clone(),
                })
            })
            .collect();
        views.sort_by_key(|alert| {
            (Reverse(alert.firing), Reverse(alert.severity.rank), alert.starts_at, alert.fingerprint.clone())
        });
        views
    }
}

/// Writes the alerts whose state or details changed.
pub async fn save(
    tx: &mut Tx,
    number: i64,
    before: Option<&Incident>,
    after: &Incident,
    details: &AlertDetails,
    changed_details: &BTreeSet<Fingerprint>,
) -> Result<(), StoreError> {
    let mut seen: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    let mut rows = Rows::default();
    for (fingerprint, detail) in &details.0 {
        let new = (
            after.firing.get(fingerprint),
            after.cleared.get(fingerprint),
            after.known_at_ack.get(fingerprint),
        );
        let old = before.map(|before| {
            (
                before.firing.get(fingerprint),
                before.cleared.get(fingerprint),
                before.known_at_ack.get(fingerprint),
            )
        });
        if new.0.is_none() && new.1.is_none() {
            continue;
        }
        let only_seen = old.is_some_and(|old| {
            (old.1, old.2) == (new.1, new.2)
                && same_but_for_last_seen(old.0, new.0)
                && old.0.is_some() == new.0.is_some()
        });
        if !only_seen || changed_details.contains(fingerprint) {
            rows.push(fingerprint, detail, new);
        } else if let (Some((Some(old), ..)), Some(firing)) = (old, new.0)
            && old.last_seen != firing.last_seen
        {
            seen.entry(firing.last_seen).or_default().push(fingerprint.clone());
        }
    }
    rows.write(tx, number).await?;
    for (at, fingerprints) in seen {
        sqlx::query!(
            "UPDATE incident_alert SET last_seen = $3 WHERE incident = $1 AND fingerprint = ANY($2)",
            number,
            &fingerprints,
            at.to_sqlx()
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn same_but_for_last_seen(old: Option<&Firing>, new: Option<&Firing>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => (&old.severity, old.starts_at) == (&new.severity, new.starts_at),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[derive(Default)]
struct Rows {
    fingerprint: Vec<String>,
    firing: Vec<bool>,
    severity: Vec<Option<String>>,
    rank: Vec<i32>,
    escalate: Vec<bool>,
    starts_at: Vec<SqlTimestamp>,
    last_seen: Vec<SqlTimestamp>,
    cleared_starts_at: Vec<Option<SqlTimestamp>>,
    cleared_at: Vec<Option<SqlTimestamp>>,
    known_rank: Vec<Option<i32>>,
    labels: Vec<serde_json::Value>,
    annotations: Vec<serde_json::Value>,
    generator_url: Vec<Option<String>>,
    defect: Vec<Option<String>>,
}

impl Rows {
    fn push(
        &mut self,
        fingerprint: &str,
        detail: &Detail,
        (firing, cleared, known): (Option<&Firing>, Option<&Cleared>, Option<&i32>),
    ) {
        let severity = firing.map_or(&detail.severity, |firing| &firing.severity);
        self.fingerprint.push(fingerprint.to_owned());
        self.firing.push(firing.is_some());
        self.severity.push(severity.name.clone());
        self.rank.push(severity.rank);
        self.escalate.push(severity.escalate);
        self.starts_at.push(firing.map_or(detail.starts_at, |firing| firing.starts_at).to_sqlx());
        self.last_seen.push(firing.map_or(detail.last_seen, |firing| firing.last_seen).to_sqlx());
        self.cleared_starts_at.push(cleared.map(|cleared| cleared.starts_at.to_sqlx()));
        self.cleared_at.push(cleared.map(|cleared| cleared.at.to_sqlx()));
        self.known_rank.push(known.copied());
        self.labels.push(labels(&detail.labels));
        self.annotations.push(labels(&detail.annotations));
        self.generator_url.push(detail.generator_url.clone());
        self.defect.push(detail.defect.clone());
    }

    async fn write(self, tx: &mut Tx, number: i64) -> Result<(), StoreError> {
        if self.fingerprint.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "INSERT INTO incident_alert (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen,
                    cleared_starts_at, cleared_at, known_rank, labels, annotations, generator_url, defect)
             SELECT $1, * FROM unnest($2::text[], $3::bool[], $4::text[], $5::int[], $6::bool[], $7::timestamptz[],
                    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::int[], $12::jsonb[], $13::jsonb[],
                    $14::text[], $15::text[])
             ON CONFLICT (incident, fingerprint) DO UPDATE SET
                    firing = excluded.firing, severity = excluded.severity, rank = excluded.rank,
                    escalate = excluded.escalate, starts_at = excluded.starts_at, last_seen = excluded.last_seen,
                    cleared_starts_at = excluded.cleared_starts_at, cleared_at = excluded.cleared_at,
                    known_rank = excluded.known_rank, labels = excluded.labels, annotations = excluded.annotations,
                    generator_url = excluded.generator_url, defect = excluded.defect",
            number,
            &self.fingerprint,
            &self.firing,
            &self.severity as _,
            &self.rank,
            &self.escalate,
            &self.starts_at as _,
            &self.last_seen as _,
            &self.cleared_starts_at as _,
            &self.cleared_at as _,
            &self.known_rank as _,
            &self.labels,
            &self.annotations,
            &self.generator_url as _,
            &self.defect as _,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

pub(super) async fn load(tx: &mut Tx, number: i64) -> Result<(AlertMaps, AlertDetails), StoreError> {
    let rows = sqlx::query!(
        "SELECT fingerprint, firing, severity, rank, escalate, starts_at, last_seen, cleared_starts_at, cleared_at,
                known_rank, labels, annotations, generator_url, defect
         FROM incident_alert WHERE incident = $1",
        number
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut maps = AlertMaps::default();
    let mut details = AlertDetails::default();
    for row in rows {
        const TABLE: &str = "incident_alert";
        let severity = Severity { name: row.severity, rank: row.rank, escalate: row.escalate };
        let starts_at = row.starts_at.to_jiff();
        let last_seen = row.last_seen.to_jiff();
        if row.firing {
            let firing = Firing { severity: severity.clone(), starts_at, last_seen };
            maps.firing.insert(row.fingerprint.clone(), firing);
        }
        if let (Some(starts_at), Some(at)) = (row.cleared_starts_at, row.cleared_at) {
            let cleared = Cleared { starts_at: starts_at.to_jiff(), at: at.to_jiff() };
            maps.cleared.insert(row.fingerprint.clone(), cleared);
        }
        if let Some(rank) = row.known_rank {
            maps.known_at_ack.insert(row.fingerprint.clone(), rank);
        }
        let detail = Detail {
            severity,
            starts_at,
            last_seen,
            labels: forms::read(TABLE, "labels", &row.fingerprint, row.labels)?,
            annotations: forms::read(TABLE, "annotations", &row.fingerprint, row.annotations)?,
            generator_url: row.generator_url,
            defect: row.defect,
        };
        details.0.insert(row.fingerprint, detail);
    }
    Ok((maps, details))
}
