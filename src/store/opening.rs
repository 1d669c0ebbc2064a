//! Opens an incident: its row, its group, its alerts and its timeline, in one statement. A webhook that opens one waits for
//! every round trip to the database.

use super::columns::Columns;
use super::incident::{key, labels};
use super::{Reported, StoreError, Tx, alert, timeline};
use crate::domain::incident::Incident;
use crate::domain::timeline::Entry;
use crate::domain::webhook::AlertGroup;
use jiff_sqlx::ToSqlx;
use std::time::Duration;

/// Inserts a new incident, which owns its group from now on, with its alerts and its timeline. Returns its number.
pub async fn open(
    tx: &mut Tx,
    (room_list, group): (&str, &AlertGroup),
    (incident, stale_after): (&Incident, Option<Duration>),
    reported: &Reported<'_>,
    entries: &[Entry],
) -> Result<i64, StoreError> {
    let columns = Columns::of(incident, stale_after, None);
    let (alerts, others) = alert::first_rows(incident, reported);
    let entries = timeline::Rows::of("new", entries)?;
    let number = sqlx::query_scalar!(
        "WITH made AS (
             INSERT INTO incident (room_list, key, receiver, group_key, group_labels, common_labels, external_url, truncated,
                    phase, next_at, stale_at, run_no, level, loop_no, told, policy_version, ackers, ack_until, ack_reminded,
                    ack_kept, snoozed_until, reminders, forced, flap_count, version, opened_at, reopened_at, resolved_at,
                    start_level, paged_severities, paged_run_no)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                    $23, $24, $25, $26, $27, $28, $29, $30, $31)
             RETURNING id
         ), owned AS (
             INSERT INTO incident_key (room_list, key, incident) SELECT $1, $2, id FROM made
             ON CONFLICT (room_list, key) DO UPDATE SET incident = excluded.incident
         ), alerts AS (
             INSERT INTO incident_alert (incident, fingerprint, firing, severity, rank, escalate, starts_at, last_seen,
                    cleared_starts_at, cleared_at, known_rank, labels, annotations, generator_url, defect, first_seen,
                    start_known, left_out_since, doubted_at, reported_by)
             SELECT made.id, alert.*
             FROM made, unnest($32::text[], $33::bool[], $34::text[], $35::int[], $36::bool[], $37::timestamptz[],
                    $38::timestamptz[], $39::timestamptz[], $40::timestamptz[], $41::int[], $42::jsonb[], $43::jsonb[],
                    $44::text[], $45::text[], $46::timestamptz[], $47::bool[], $48::timestamptz[], $49::timestamptz[],
                    $50::bytea[]) AS alert
         ), entries AS (
             INSERT INTO timeline (incident, version, at, kind, actor, entry)
             SELECT made.id, entry.*
             FROM made, unnest($51::bigint[], $52::timestamptz[], $53::text[], $54::text[], $55::jsonb[]) AS entry
         )
         SELECT id FROM made",
        room_list,
        key(group),
        group.receiver,
        group.group_key,
        labels(&group.group_labels),
        labels(&group.common_labels),
        group.external_url,
        i64::try_from(group.truncated).unwrap_or(i64::MAX),
        columns.phase,
        columns.next_at,
        columns.stale_at,
        columns.run_no,
        columns.level,
        columns.loop_no,
        incident.run.notified,
        incident.run.policy_version,
        &columns.ackers,
        columns.ack_until,
        columns.ack_reminded,
        columns.ack_kept,
        columns.snoozed_until,
        columns.reminders,
        columns.forced,
        columns.flap_count,
        columns.version,
        incident.opened_at.to_sqlx(),
        columns.reopened_at,
        columns.resolved_at,
        columns.start_level,
        columns.paged_severities.as_deref(),
        columns.paged_run_no,
        &alerts.fingerprint,
        &alerts.firing,
        &alerts.severity as _,
        &alerts.rank,
        &alerts.escalate,
        &alerts.starts_at as _,
        &alerts.last_seen as _,
        &alerts.cleared_starts_at as _,
        &alerts.cleared_at as _,
        &alerts.known_rank as _,
        &alerts.labels,
        &alerts.annotations,
        &alerts.generator_url as _,
        &alerts.defect as _,
        &alerts.first_seen as _,
        &alerts.start_known,
        &alerts.left_out_since as _,
        &alerts.doubted_at as _,
        &alerts.reported_by as _,
        &entries.versions,
        &entries.instants as _,
        &entries.kinds,
        &entries.actors as _,
        &entries.entries,
    )
    .fetch_one(&mut **tx)
    .await?;
    for rows in others {
        rows.write(tx, number).await?;
    }
    Ok(number)
}
