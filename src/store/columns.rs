//! Converts an incident's state to its columns.

use super::incident::stale_at;
use super::to_i32;
use crate::domain::incident::{Incident, Phase};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::time::Duration;

/// The columns that hold an incident's state. `incident.rs` reads them back.
pub(super) struct Columns {
    pub(super) phase: &'static str,
    pub(super) next_at: Option<SqlTimestamp>,
    pub(super) stale_at: Option<SqlTimestamp>,
    pub(super) run_no: i32,
    pub(super) level: Option<i32>,
    pub(super) loop_no: i32,
    pub(super) ackers: Vec<String>,
    pub(super) ack_until: Option<SqlTimestamp>,
    pub(super) ack_reminded: bool,
    pub(super) ack_kept: bool,
    pub(super) snoozed_until: Option<SqlTimestamp>,
    pub(super) reminders: i32,
    pub(super) forced: bool,
    pub(super) flap_count: i32,
    pub(super) version: i64,
    pub(super) reopened_at: Option<SqlTimestamp>,
    pub(super) resolved_at: Option<SqlTimestamp>,
    pub(super) start_level: i32,
    pub(super) paged_severities: Option<Vec<String>>,
    pub(super) paged_run_no: Option<i32>,
    pub(super) hold: Option<serde_json::Value>,
    pub(super) partly_silenced: Option<serde_json::Value>,
}

impl Columns {
    pub(super) fn of(
        incident: &Incident,
        stale_after: Option<Duration>,
        resolved_at: Option<Timestamp>,
    ) -> Self {
        let severities = incident.run.severities.as_ref();
        let mut columns = Self {
            phase: incident.phase.name().as_str(),
            next_at: incident.next_at.map(ToSqlx::to_sqlx),
            stale_at: stale_at(incident, stale_after).map(ToSqlx::to_sqlx),
            run_no: to_i32(incident.run.no),
            level: incident.run.level.map(to_i32),
            loop_no: to_i32(incident.run.loop_no),
            ackers: incident.ackers.iter().map(ToString::to_string).collect(),
            ack_until: None,
            ack_reminded: false,
            ack_kept: false,
            snoozed_until: None,
            reminders: 0,
            forced: false,
            flap_count: to_i32(incident.flap_count),
            version: i64::try_from(incident.version).unwrap_or(i64::MAX),
            reopened_at: incident.reopened_at.map(ToSqlx::to_sqlx),
            resolved_at: resolved_at.map(ToSqlx::to_sqlx),
            start_level: to_i32(incident.run.start_level),
            paged_severities: severities.map(|names| names.iter().cloned().collect()),
            paged_run_no: severities.map(|_| to_i32(incident.run.no)),
            hold: incident.hold.as_ref().and_then(|hold| serde_json::to_value(hold).ok()),
            partly_silenced: Some(&incident.partly_silenced)
                .filter(|by| !by.is_empty())
                .and_then(|by| serde_json::to_value(by).ok()),
        };
        match &incident.phase {
            Phase::Firing | Phase::Suppressed | Phase::Closed => {}
            Phase::Acknowledged { until, reminded } => {
                columns.ack_until = until.map(ToSqlx::to_sqlx);
                columns.ack_reminded = *reminded;
            }
            Phase::Snoozed { until } => columns.snoozed_until = Some(until.to_sqlx()),
            Phase::Unanswered { reminders } => columns.reminders = to_i32(*reminders),
            Phase::Resolved { forced, kept_ack } => {
                columns.forced = *forced;
                columns.ack_kept = kept_ack.is_some();
                columns.ack_until = kept_ack.and_then(|kept| kept.until).map(ToSqlx::to_sqlx);
            }
        }
        columns
    }
}
