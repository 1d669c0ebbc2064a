//! The alerts of an incident: their state, which decisions need, and the details that messages show.
//!
//! Decisions read the state only. The details of an incident with tens of thousands of alerts would fill the memory of
//! the process, so they pass through it one row at a time: on their way in ([`save`]), to find out which ones a report
//! changes ([`compare`]), and for messages, which show a limited number of them (`crate::store::alert_view`).

use super::incident::labels;
use super::{StoreError, Tx, forms};
use crate::domain::incident::{Cleared, Fingerprint, Firing, Incident};
use crate::domain::policy::Severity;
use crate::domain::transition::KEPT_EPISODES;
use crate::domain::webhook::{Labels, WebhookAlert};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = "incident_alert";
/// How many rows one statement writes.
const BATCH: usize = 500;

/// A report's alerts.
#[derive(Debug)]
pub struct Reported<'a> {
    alerts: BTreeMap<&'a str, &'a WebhookAlert>,
    severities: BTreeMap<&'a str, Severity>,
    /// The group that it is about, as in `incident_key`.
    group: &'a [u8],
    /// Those whose details differ from the stored ones.
    changed: BTreeSet<Fingerprint>,
}

impl<'a> Reported<'a> {
    /// Alerts of a group's webhook with the severity of each.
    pub fn new(
        group: &'a [u8],
        alerts: impl IntoIterator<Item = &'a WebhookAlert>,
        severity: impl Fn(&WebhookAlert) -> Severity,
    ) -> Self {
        let alerts: BTreeMap<_, _> =
            alerts.into_iter().map(|alert| (alert.fingerprint.as_str(), alert)).collect();
        Self {
            group,
            severities: alerts.iter().map(|(name, alert)| (*name, severity(alert))).collect(),
            alerts,
            changed: BTreeSet::new(),
        }
    }

    /// Whether the details of any alert differ from the stored ones.
    pub fn changes_details(&self) -> bool {
        !self.changed.is_empty()
    }
}

/// Writes the alerts whose state or details changed, and deletes those that the incident has forgotten.
pub async fn save(
    tx: &mut Tx,
    number: i64,
    before: &Incident,
    after: &Incident,
    reported: Option<&Reported<'_>>,
) -> Result<(), StoreError> {
    let mut seen: BTreeMap<Timestamp, Vec<String>> = BTreeMap::new();
    let mut whole = Vec::new();
    let mut states = Vec::new();
    for fingerprint in after.firing.keys().chain(after.cleared.keys()) {
        let new = State::of(after, fingerprint);
        let old = Some(State::of(before, fingerprint)).filter(State::is_known);
        match old {
            None => whole.push(new),
            Some(_) if reported.is_some_and(|reported| reported.changed.contains(fingerprint)) => {
                whole.push(new);
            }
            Some(old) if !old.differs(&new) => {
                if let (Some(old), Some(firing)) = (old.firing, new.firing)
                    && old.last_seen != firing.last_seen
                {
                    seen.entry(firing.last_seen).or_default().push(fingerprint.clone());
                }
            }
            Some(_) => states.push(new),
        }
    }
    for batch in whole.chunks(BATCH) {
        Rows::of(batch, reported).write(tx, number).await?;
    }
    for batch in states.chunks(BATCH) {
        write_states(tx, number, batch, reported).await?;
    }
    for (at, fingerprints) in seen {
        sqlx::query!(
            "UPDATE incident_alert SET last_seen = $3, reported_by = coalesce($4, reported_by)
             WHERE incident = $1 AND fingerprint = ANY($2)",
            number,
            &fingerprints,
            at.to_sqlx(),
            reported.map(|reported| reported.group)
        )
        .execute(&mut **tx)
        .await?;
    }
    forget(tx, number, before, after).await
}

/// The alerts of a new incident: as many as one statement writes, and the others.
pub(super) fn first_rows<'a>(incident: &'a Incident, reported: &Reported<'_>) -> (Rows, Vec<Rows>) {
    let fingerprints: Vec<&'a Fingerprint> = incident.firing.keys().chain(incident.cleared.keys()).collect();
    let states: Vec<State<'a>> =
        fingerprints.into_iter().map(|fingerprint| State::of(incident, fingerprint)).collect();
    let mut batches = states.chunks(BATCH).map(|batch| Rows::of(batch, Some(reported)));
    (batches.next().unwrap_or_default(), batches.collect())
}

/// Deletes the alerts that the incident has forgotten, and the details of most resolved ones.
async fn forget(tx: &mut Tx, number: i64, before: &Incident, after: &Incident) -> Result<(), StoreError> {
    let forgotten: Vec<String> = before
        .cleared
        .keys()
        .filter(|fingerprint| {
            !after.cleared.contains_key(*fingerprint) && !after.firing.contains_key(*fingerprint)
        })
        .cloned()
        .collect();
    if !forgotten.is_empty() {
        sqlx::query!(
            "DELETE FROM incident_alert WHERE incident = $1 AND fingerprint = ANY($2)",
            number,
            &forgotten
        )
        .execute(&mut **tx)
        .await?;
    }
    if after.cleared.len() > KEPT_EPISODES
        && after.cleared.keys().any(|fingerprint| !before.cleared.contains_key(fingerprint))
    {
        sqlx::query!(
            "UPDATE incident_alert SET labels = '{}', annotations = '{}', generator_url = NULL, defect = NULL
             WHERE incident = $1 AND NOT firing AND labels <> '{}' AND fingerprint NOT IN (
                SELECT fingerprint FROM incident_alert WHERE incident = $1 AND NOT firing
                ORDER BY cleared_at DESC, fingerprint COLLATE \"C\" LIMIT $2)",
            number,
            i64::try_from(KEPT_EPISODES).unwrap_or(i64::MAX)
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// The state of one alert.
struct State<'a> {
    fingerprint: &'a str,
    firing: Option<&'a Firing>,
    cleared: Option<&'a Cleared>,
    known: Option<i32>,
}

impl<'a> State<'a> {
    fn of(incident: &'a Incident, fingerprint: &'a str) -> Self {
        Self {
            fingerprint,
            firing: incident.firing.get(fingerprint),
            cleared: incident.cleared.get(fingerprint),
            known: incident.known_at_ack.get(fingerprint).copied(),
        }
    }

    fn doubted_at(&self) -> Option<SqlTimestamp> {
        Some(self.cleared?.doubt.as_ref()?.since.to_sqlx())
    }

    fn is_known(&self) -> bool {
        self.firing.is_some() || self.cleared.is_some()
    }

    /// Whether they differ in more than when the alert was last seen.
    fn differs(&self, other: &Self) -> bool {
        let firing =
            |state: &Self| state.firing.map(|firing| Firing { last_seen: Timestamp::MIN, ..firing.clone() });
        (firing(self), self.cleared, self.known) != (firing(other), other.cleared, other.known)
    }
}

async fn write_states(
    tx: &mut Tx,
    number: i64,
    states: &[State<'_>],
    reported: Option<&Reported<'_>>,
) -> Result<(), StoreError> {
    let is_reported =
        |state: &State<'_>| reported.is_some_and(|reported| reported.alerts.contains_key(state.fingerprint));
    let severity = |state: &State<'_>| state.firing.map(|firing| firing.severity.clone());
    sqlx::query!(
        "UPDATE incident_alert AS a SET
                firing = new.firing,
                severity = CASE WHEN new.firing THEN new.severity ELSE a.severity END,
                rank = coalesce(new.rank, a.rank), escalate = coalesce(new.escalate, a.escalate),
                starts_at = coalesce(new.starts_at, a.starts_at), last_seen = coalesce(new.last_seen, a.last_seen),
                cleared_starts_at = new.cleared_starts_at, cleared_at = new.cleared_at, known_rank = new.known_rank,
                first_seen = coalesce(new.first_seen, a.first_seen),
                start_known = coalesce(new.start_known, a.start_known), left_out_since = new.left_out_since,
                doubted_at = new.doubted_at, reported_by = CASE WHEN new.reported THEN $16 ELSE a.reported_by END
         FROM unnest($2::text[], $3::bool[], $4::text[], $5::int[], $6::bool[], $7::timestamptz[], $8::timestamptz[],
                $9::timestamptz[], $10::timestamptz[], $11::int[], $12::timestamptz[], $13::bool[], $14::timestamptz[],
                $15::timestamptz[], $17::bool[])
              AS new (fingerprint, firing, severity, rank, escalate, starts_at, last_seen, cleared_starts_at, cleared_at,
                known_rank, first_seen, start_known, left_out_since, doubted_at, reported)
         WHERE a.incident = $1 AND a.fingerprint = new.fingerprint",
        number,
        &states.iter().map(|state| state.fingerprint.to_owned()).collect::<Vec<_>>(),
        &states.iter().map(|state| state.firing.is_some()).collect::<Vec<_>>(),
        &states.iter().map(|state| severity(state)?.name).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(severity(state)?.rank)).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(severity(state)?.escalate)).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.firing?.starts_at.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.firing?.last_seen.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.cleared?.starts_at.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.cleared?.at.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(|state| state.known).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.firing?.since.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.firing?.start_known)).collect::<Vec<_>>() as _,
        &states.iter().map(|state| Some(state.firing?.left_out_since?.to_sqlx())).collect::<Vec<_>>() as _,
        &states.iter().map(State::doubted_at).collect::<Vec<_>>() as _,
        reported.map(|reported| reported.group),
        &states.iter().map(is_reported).collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Rows of the table, by column.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) fingerprint: Vec<String>,
    pub(super) firing: Vec<bool>,
    pub(super) severity: Vec<Option<String>>,
    pub(super) rank: Vec<i32>,
    pub(super) escalate: Vec<bool>,
    pub(super) starts_at: Vec<SqlTimestamp>,
    pub(super) last_seen: Vec<SqlTimestamp>,
    pub(super) cleared_starts_at: Vec<Option<SqlTimestamp>>,
    pub(super) cleared_at: Vec<Option<SqlTimestamp>>,
    pub(super) known_rank: Vec<Option<i32>>,
    pub(super) first_seen: Vec<Option<SqlTimestamp>>,
    pub(super) start_known: Vec<bool>,
    pub(super) left_out_since: Vec<Option<SqlTimestamp>>,
    pub(super) doubted_at: Vec<Option<SqlTimestamp>>,
    pub(super) reported_by: Vec<Option<Vec<u8>>>,
    pub(super) labels: Vec<serde_json::Value>,
    pub(super) annotations: Vec<serde_json::Value>,
    pub(super) generator_url: Vec<Option<String>>,
    pub(super) defect: Vec<Option<String>>,
}

impl Rows {
    fn of(states: &[State<'_>], reported: Option<&Reported<'_>>) -> Self {
        let mut rows = Self::default();
        for state in states {
            rows.push(state, reported);
        }
        rows
    }

    /// A resolved alert without a report comes from the incident before. Its details are of no use here.
    fn push(&mut self, state: &State<'_>, reported: Option<&Reported<'_>>) {
        let alert = reported.and_then(|reported| reported.alerts.get(state.fingerprint).copied());
        let severity = state
            .firing
            .map(|firing| firing.severity.clone())
            .or_else(|| reported?.severities.get(state.fingerprint).cloned())
            .unwrap_or(Severity { name: None, rank: 0, escalate: false });
        let starts_at =
            state.firing.map(|firing| firing.starts_at).or(state.cleared.map(|cleared| cleared.starts_at));
        let last_seen =
            state.firing.map(|firing| firing.last_seen).or(state.cleared.map(|cleared| cleared.at));
        self.fingerprint.push(state.fingerprint.to_owned());
        self.firing.push(state.firing.is_some());
        self.severity.push(severity.name);
        self.rank.push(severity.rank);
        self.escalate.push(severity.escalate);
        self.starts_at.push(starts_at.unwrap_or_default().to_sqlx());
        self.last_seen.push(last_seen.unwrap_or_default().to_sqlx());
        self.cleared_starts_at.push(state.cleared.map(|cleared| cleared.starts_at.to_sqlx()));
        self.cleared_at.push(state.cleared.map(|cleared| cleared.at.to_sqlx()));
        self.known_rank.push(state.known);
        self.first_seen.push(state.firing.map(|firing| firing.since.to_sqlx()));
        self.start_known.push(state.firing.is_none_or(|firing| firing.start_known));
        self.left_out_since.push(state.firing.and_then(|firing| firing.left_out_since).map(ToSqlx::to_sqlx));
        self.doubted_at.push(state.doubted_at());
        self.reported_by.push(alert.and(reported).map(|reported| reported.group.to_vec()));
        let none = Labels::new();
        self.labels.push(labels(alert.map_or(&none, |alert| &alert.labels)));
        self.annotations.push(labels(alert.map_or(&none, |alert| &alert.annotations)));
        self.generator_url.push(alert.and_then(|alert| alert.generator_url.clone()));
        self.defect.push(alert.and_then(|alert| alert.defect.clone()));
    }

    pub(super) async fn write(self, tx: &mut Tx, number: i64) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO incident_alert (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen,
                    cleared_starts_at, cleared_at, known_rank, labels, annotations, generator_url, defect, first_seen,
                    start_known, left_out_since, doubted_at, reported_by)
             SELECT $1, * FROM unnest($2::text[], $3::bool[], $4::text[], $5::int[], $6::bool[], $7::timestamptz[],
                    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::int[], $12::jsonb[], $13::jsonb[],
                    $14::text[], $15::text[], $16::timestamptz[], $17::bool[], $18::timestamptz[], $19::timestamptz[],
                    $20::bytea[])
             ON CONFLICT (incident, fingerprint) DO UPDATE SET
                    firing = excluded.firing, severity = excluded.severity, rank = excluded.rank,
                    escalate = excluded.escalate, starts_at = excluded.starts_at, last_seen = excluded.last_seen,
                    cleared_starts_at = excluded.cleared_starts_at, cleared_at = excluded.cleared_at,
                    known_rank = excluded.known_rank, labels = excluded.labels, annotations = excluded.annotations,
                    generator_url = excluded.generator_url, defect = excluded.defect, first_seen = excluded.first_seen,
                    start_known = excluded.start_known, left_out_since = excluded.left_out_since,
                    doubted_at = excluded.doubted_at, reported_by = excluded.reported_by",
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
            &self.first_seen as _,
            &self.start_known,
            &self.left_out_since as _,
            &self.doubted_at as _,
            &self.reported_by as _,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Finds the reported alerts whose stored details differ.
pub async fn compare(tx: &mut Tx, number: i64, reported: &mut Reported<'_>) -> Result<(), StoreError> {
    let fingerprints: Vec<String> =
        reported.alerts.keys().map(|fingerprint| (*fingerprint).to_owned()).collect();
    let mut rows = sqlx::query!(
        "SELECT fingerprint, labels, annotations, generator_url, defect
         FROM incident_alert WHERE incident = $1 AND fingerprint = ANY($2)",
        number,
        &fingerprints
    )
    .fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        let Some(alert) = reported.alerts.get(row.fingerprint.as_str()) else { continue };
        let same = (&row.generator_url, &row.defect) == (&alert.generator_url, &alert.defect)
            && reads_as("labels", row.labels, &row.fingerprint, &alert.labels)
            && reads_as("annotations", row.annotations, &row.fingerprint, &alert.annotations);
        if !same {
            reported.changed.insert(row.fingerprint);
        }
    }
    Ok(())
}

/// Whether a stored column has this value. One that cannot be read has not: the report replaces it.
fn reads_as(column: &'static str, stored: serde_json::Value, fingerprint: &str, value: &Labels) -> bool {
    forms::read::<Labels>(TABLE, column, fingerprint, stored).is_ok_and(|stored| stored == *value)
}
