//! Incidents: locks, reads and writes them as a whole.

use super::columns::Columns;
use super::{StoreError, Tx, alert_state, alert_view, forms, inconsistent, to_u32};
use crate::domain::answer::IncidentLine;
use crate::domain::incident::{Incident, KeptAck, Phase, Run};
use crate::domain::view::{self, IncidentView};
use crate::domain::webhook::{AlertGroup, Labels};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use ruma::UserId;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// An incident as stored, without the details of its alerts.
#[derive(Debug, Clone)]
pub struct StoredIncident {
    /// Its number.
    pub number: i64,
    /// The room list whose ladder it climbs.
    pub room_list: String,
    /// The state.
    pub incident: Incident,
    /// The group, as Alertmanager described it last.
    pub group: AlertGroup,
    /// The `alertname` of its first alert.
    pub alertname: Option<String>,
    /// When it resolved.
    pub resolved_at: Option<Timestamp>,
}

/// What identifies a group within a room list.
pub fn key(group: &AlertGroup) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(group.receiver.as_bytes());
    hash.update([0]);
    hash.update(group.group_key.as_bytes());
    hash.finalize().to_vec()
}

#[expect(clippy::struct_excessive_bools, reason = "the columns of the table")]
struct Row {
    id: i64,
    room_list: String,
    receiver: String,
    group_key: String,
    group_labels: serde_json::Value,
    common_labels: serde_json::Value,
    external_url: Option<String>,
    truncated: i64,
    phase: String,
    next_at: Option<SqlTimestamp>,
    run_no: i32,
    level: Option<i32>,
    loop_no: i32,
    told: bool,
    policy_version: i64,
    start_level: i32,
    paged_severities: Option<Vec<String>>,
    paged_run_no: Option<i32>,
    ackers: Vec<String>,
    ack_until: Option<SqlTimestamp>,
    ack_reminded: bool,
    ack_kept: bool,
    snoozed_until: Option<SqlTimestamp>,
    reminders: i32,
    forced: bool,
    flap_count: i32,
    version: i64,
    opened_at: SqlTimestamp,
    reopened_at: Option<SqlTimestamp>,
    resolved_at: Option<SqlTimestamp>,
    hold: Option<serde_json::Value>,
    partly_silenced: Option<serde_json::Value>,
}

/// Locks an incident by its number.
pub async fn lock(tx: &mut Tx, number: i64) -> Result<Option<StoredIncident>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, room_list, receiver, group_key, group_labels, common_labels, external_url, truncated, phase, next_at,
                run_no, level, loop_no, told, policy_version, start_level, paged_severities, paged_run_no, ackers,
                ack_until, ack_reminded, ack_kept, snoozed_until, reminders, forced, flap_count, version, opened_at,
                reopened_at, resolved_at, hold, partly_silenced
         FROM incident WHERE id = $1 FOR UPDATE",
        number
    )
    .fetch_optional(&mut **tx)
    .await?;
    match row {
        Some(row) => read(tx, row).await.map(Some),
        None => Ok(None),
    }
}

/// Reads an incident by its number, without a lock.
pub async fn load(tx: &mut Tx, number: i64) -> Result<Option<StoredIncident>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, room_list, receiver, group_key, group_labels, common_labels, external_url, truncated, phase, next_at,
                run_no, level, loop_no, told, policy_version, start_level, paged_severities, paged_run_no, ackers,
                ack_until, ack_reminded, ack_kept, snoozed_until, reminders, forced, flap_count, version, opened_at,
                reopened_at, resolved_at, hold, partly_silenced
         FROM incident WHERE id = $1",
        number
    )
    .fetch_optional(&mut **tx)
    .await?;
    match row {
        Some(row) => read(tx, row).await.map(Some),
        None => Ok(None),
    }
}

/// The same for what does without an incident that cannot be read, such as a list: `None` for it.
pub async fn load_readable(tx: &mut Tx, number: i64) -> Result<Option<StoredIncident>, StoreError> {
    match load(tx, number).await {
        Err(error) if error.is_unreadable() => Ok(None),
        loaded => loaded,
    }
}

/// Writes an incident's state. `before` is the locked incident; `resolved_at`: when it resolved, if it does.
pub async fn update(
    tx: &mut Tx,
    before: &StoredIncident,
    incident: &Incident,
    stale_after: Option<Duration>,
    resolved_at: Timestamp,
) -> Result<(), StoreError> {
    let resolved_at = if incident.phase.is_open() { None } else { before.resolved_at.or(Some(resolved_at)) };
    let columns = Columns::of(incident, stale_after, resolved_at);
    sqlx::query!(
        "UPDATE incident SET phase = $2, next_at = $3, stale_at = $4, run_no = $5, level = $6, loop_no = $7, told = $8,
                policy_version = $9, ackers = $10, ack_until = $11, ack_reminded = $12, ack_kept = $13,
                snoozed_until = $14, reminders = $15, forced = $16, flap_count = $17, version = $18, reopened_at = $19,
                resolved_at = $20, start_level = $21, paged_severities = $22, paged_run_no = $23, hold = $24,
                partly_silenced = $25
         WHERE id = $1",
        before.number,
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
        columns.reopened_at,
        columns.resolved_at,
        columns.start_level,
        columns.paged_severities.as_deref(),
        columns.paged_run_no,
        columns.hold,
        columns.partly_silenced,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Updates the group with Alertmanager's latest report.
pub async fn update_group(tx: &mut Tx, number: i64, group: &AlertGroup) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE incident SET common_labels = $2, external_url = $3, truncated = $4 WHERE id = $1",
        number,
        labels(&group.common_labels),
        group.external_url,
        i64::try_from(group.truncated).unwrap_or(i64::MAX)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Sets when an open incident becomes stale.
pub async fn set_stale_at(tx: &mut Tx, number: i64, stale_at: Option<Timestamp>) -> Result<(), StoreError> {
    sqlx::query!("UPDATE incident SET stale_at = $2 WHERE id = $1", number, stale_at.map(ToSqlx::to_sqlx))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// When an open incident becomes stale if no webhook updates it before.
pub fn stale_at(incident: &Incident, stale_after: Option<Duration>) -> Option<Timestamp> {
    stale_after.filter(|_| incident.phase.is_open()).and_then(|after| incident.stale_at(after))
}

async fn read(tx: &mut Tx, row: Row) -> Result<StoredIncident, StoreError> {
    const TABLE: &str = "incident";
    let id = row.id;
    let instant = |at: Option<SqlTimestamp>| at.map(SqlTimestamp::to_jiff);
    let phase = match row.phase.as_str() {
        "firing" => Phase::Firing,
        "acknowledged" => Phase::Acknowledged { until: instant(row.ack_until), reminded: row.ack_reminded },
        "snoozed" => Phase::Snoozed {
            until: instant(row.snoozed_until)
                .ok_or_else(|| inconsistent(TABLE, "snoozed_until", id, "it is null"))?,
        },
        "unanswered" => Phase::Unanswered { reminders: to_u32(TABLE, "reminders", id, row.reminders)? },
        "suppressed" => Phase::Suppressed,
        "resolved" => Phase::Resolved {
            forced: row.forced,
            kept_ack: row.ack_kept.then(|| KeptAck { until: instant(row.ack_until) }),
        },
        "closed" => Phase::Closed,
        other => return Err(inconsistent(TABLE, "phase", id, other)),
    };
    let ackers = row
        .ackers
        .iter()
        .map(|user| UserId::parse(user).map_err(|error| inconsistent(TABLE, "ackers", id, error)))
        .collect::<Result<Vec<_>, _>>()?;
    let level = row.level.map(|level| to_u32(TABLE, "level", id, level)).transpose()?;
    let is_of_run = row.paged_run_no == Some(row.run_no);
    let maps = alert_state::load(tx, id).await?;
    Ok(StoredIncident {
        number: id,
        room_list: row.room_list,
        incident: Incident {
            phase,
            run: Run {
                no: to_u32(TABLE, "run_no", id, row.run_no)?,
                level,
                loop_no: to_u32(TABLE, "loop_no", id, row.loop_no)?,
                notified: row.told,
                policy_version: row.policy_version,
                start_level: if is_of_run { to_u32(TABLE, "start_level", id, row.start_level)? } else { 0 },
                severities: row
                    .paged_severities
                    .filter(|_| is_of_run)
                    .map(|names| names.into_iter().collect()),
            },
            next_at: instant(row.next_at),
            ackers,
            flap_count: to_u32(TABLE, "flap_count", id, row.flap_count)?,
            version: u64::try_from(row.version).map_err(|error| inconsistent(TABLE, "version", id, error))?,
            opened_at: row.opened_at.to_jiff(),
            reopened_at: instant(row.reopened_at),
            firing: maps.firing,
            cleared: maps.cleared,
            known_at_ack: maps.known_at_ack,
            hold: row.hold.and_then(|hold| forms::read_optional(TABLE, "hold", id, hold)),
            partly_silenced: row
                .partly_silenced
                .and_then(|by| forms::read_optional(TABLE, "partly_silenced", id, by))
                .unwrap_or_default(),
        },
        group: AlertGroup {
            receiver: row.receiver,
            group_key: row.group_key,
            group_labels: forms::read(TABLE, "group_labels", id, row.group_labels)?,
            common_labels: forms::read(TABLE, "common_labels", id, row.common_labels)?,
            external_url: row.external_url,
            truncated: u64::try_from(row.truncated).unwrap_or(0),
        },
        alertname: maps.alertname,
        resolved_at: instant(row.resolved_at),
    })
}

impl StoredIncident {
    /// Whether its group is described as in this report.
    pub fn describes(&self, group: &AlertGroup) -> bool {
        let of =
            |group: &AlertGroup| (group.common_labels.clone(), group.external_url.clone(), group.truncated);
        of(&self.group) == of(group)
    }

    /// The view that messages are rendered from, with the details of at most `most` alerts. `levels`: how many the
    /// ladder of its run has.
    pub async fn view(&self, tx: &mut Tx, levels: u32, most: usize) -> Result<IncidentView, StoreError> {
        let left_out = self.incident.firing.values().filter(|alert| alert.left_out_since.is_some()).count();
        let left_out = u64::try_from(left_out).unwrap_or(u64::MAX);
        let (alerts, omitted) = alert_view::load(tx, self.number, &self.incident, most).await?;
        Ok(IncidentView {
            number: self.number,
            room_list: self.room_list.clone(),
            incident: self.incident.clone(),
            group_labels: self.group.group_labels.clone(),
            common_labels: self.group.common_labels.clone(),
            external_url: self.group.external_url.clone(),
            // What Alertmanager leaves out may be what it reported before.
            truncated: self.group.truncated.saturating_sub(left_out),
            alerts,
            omitted,
            began_at: None,
            resolved_at: self.resolved_at,
            levels,
        })
    }

    /// Its name.
    pub fn name(&self) -> String {
        view::name(&self.group.group_labels, &self.group.common_labels, self.alertname.as_deref())
    }

    /// It as one line of a list. `levels`: how many the ladder of its run has.
    pub fn line(&self, levels: u32) -> IncidentLine {
        IncidentLine::of(self.number, self.name(), &self.incident, levels)
    }
}

pub(super) fn labels(labels: &Labels) -> serde_json::Value {
    labels.iter().map(|(key, value)| (key.clone(), serde_json::Value::from(value.as_str()))).collect()
}
