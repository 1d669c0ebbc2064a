//! The audit: finds violations of the invariants, and remembers since when each exists. See `crate::domain::audit`.

use super::{Store, StoreError, Tx, inconsistent};
use crate::domain::audit::{AuditCheck, AuditTimes, Violation};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// How many violations of each check are found at once.
const MOST: i64 = 20;

/// A violation that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The violation.
    pub violation: Violation,
    /// Since when it exists.
    pub since: Timestamp,
}

impl Store {
    /// The violations in the database, at most 20 of each check.
    pub async fn violations(&self, times: &AuditTimes) -> Result<Vec<Violation>, StoreError> {
        let rows = sqlx::query!(
            r#"(SELECT 'incident_without_timer' AS "name!", '#' || id AS "subject!", room_list FROM incident
                WHERE phase <> 'closed' AND next_at IS NULL
                  AND (phase IN ('firing', 'snoozed', 'resolved') OR (phase = 'acknowledged' AND ack_until IS NOT NULL))
                ORDER BY id LIMIT $3)
               UNION ALL
               (SELECT 'timer_overdue', '#' || id, room_list FROM incident
                WHERE next_at < $1 AND timer_failures = 0 ORDER BY next_at LIMIT $3)
               UNION ALL
               (SELECT 'page_without_message', '#' || id, room_list FROM incident
                WHERE phase = 'firing' AND phase NOT IN ('resolved', 'closed') AND level IS NOT NULL
                  AND NOT EXISTS (
                      SELECT 1 FROM outbox WHERE incident = incident.id AND kind = 'page' AND run_no = incident.run_no
                        AND loop_no = incident.loop_no AND level = incident.level)
                ORDER BY id LIMIT $3)
               UNION ALL
               (SELECT 'page_not_sent', '#' || outbox.incident, outbox.room_list
                FROM outbox LEFT JOIN room_gate USING (room)
                WHERE state = 'pending' AND kind IN ('page', 'fallback') AND not_before < $1
                  AND coalesce(next_allowed_at, '-infinity') < $1 AND coalesce(lease_until, '-infinity') < $1
                  AND NOT EXISTS (SELECT 1 FROM user_trouble WHERE room_list = outbox.room_list)
                GROUP BY outbox.incident, outbox.room_list ORDER BY outbox.incident LIMIT $3)
               UNION ALL
               (SELECT 'lease_without_end', room_gate.room, outbox.room_list
                FROM room_gate LEFT JOIN outbox ON outbox.id = room_gate.message
                WHERE room_gate.message IS NOT NULL AND (lease_until < $1 OR lease_until > $2)
                ORDER BY room_gate.room LIMIT $3)
               UNION ALL
               (SELECT 'timeline_gap', '#' || id, room_list FROM incident
                WHERE phase NOT IN ('resolved', 'closed')
                  AND NOT EXISTS (SELECT 1 FROM timeline
                                  WHERE incident = incident.id AND version = incident.version AND kind <> 'late_ack')
                ORDER BY id LIMIT $3)"#,
            times.late.to_sqlx(),
            times.lease.to_sqlx(),
            MOST
        )
        .fetch_all(&self.pool)
        .await?;
        let violation = |(name, subject, room_list): (String, String, Option<String>)| {
            Ok(Violation { check: check(&name)?, subject, room_list })
        };
        rows.into_iter().map(|row| violation((row.name, row.subject, row.room_list))).collect()
    }

    /// The rooms of all room lists that are unreachable, each with its list, as the configuration names them.
    pub async fn all_troubled_rooms(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows =
            sqlx::query!("SELECT room_list, reference FROM room_trouble").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.room_list, row.reference)).collect())
    }
}

fn check(name: &str) -> Result<AuditCheck, StoreError> {
    name.parse().map_err(|error| inconsistent("audit_finding", "name", name, error))
}

/// Remembers what an audit has found, and forgets what it has not.
pub async fn remember(tx: &mut Tx, found: &[Violation], now: Timestamp) -> Result<(), StoreError> {
    let names: Vec<String> = found.iter().map(|one| one.check.as_str().to_owned()).collect();
    let subjects: Vec<String> = found.iter().map(|one| one.subject.clone()).collect();
    let lists: Vec<String> = found.iter().map(|one| one.room_list.clone().unwrap_or_default()).collect();
    // One audit after another: two processes that remember at once would deadlock.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('matrixbot audit', 0))")
        .execute(&mut **tx)
        .await?;
    sqlx::query!(
        "INSERT INTO audit_finding (name, subject, room_list, since)
         SELECT DISTINCT ON (name, subject) name, subject, nullif(room_list, ''), $4
         FROM unnest($1::text[], $2::text[], $3::text[]) AS found (name, subject, room_list) ORDER BY name, subject
         ON CONFLICT DO NOTHING",
        &names,
        &subjects,
        &lists,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "DELETE FROM audit_finding
         WHERE NOT EXISTS (SELECT 1 FROM unnest($1::text[], $2::text[]) AS found (name, subject)
                           WHERE (found.name, found.subject) = (audit_finding.name, audit_finding.subject))",
        &names,
        &subjects
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The violations that count and were not counted before. They are counted now.
pub async fn count(tx: &mut Tx, times: &AuditTimes) -> Result<Vec<AuditCheck>, StoreError> {
    let names = sqlx::query_scalar!(
        "UPDATE audit_finding SET counted = true WHERE NOT counted AND since <= $1 RETURNING name",
        times.confirmed.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    names.iter().map(|name| check(name)).collect()
}

/// The violations that last and were not reported before. They are reported now.
pub async fn report(tx: &mut Tx, times: &AuditTimes) -> Result<Vec<Finding>, StoreError> {
    let rows = sqlx::query!(
        "UPDATE audit_finding SET reported = true WHERE NOT reported AND since <= $1
         RETURNING name, subject, room_list, since",
        times.lasting.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| finding(&row.name, row.subject, row.room_list, row.since)).collect()
}

/// The violations that count, oldest first.
pub async fn confirmed(tx: &mut Tx, times: &AuditTimes) -> Result<Vec<Finding>, StoreError> {
    let rows = sqlx::query!(
        "SELECT name, subject, room_list, since FROM audit_finding WHERE since <= $1 ORDER BY since, name, subject",
        times.confirmed.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| finding(&row.name, row.subject, row.room_list, row.since)).collect()
}

fn finding(
    name: &str,
    subject: String,
    room_list: Option<String>,
    since: SqlTimestamp,
) -> Result<Finding, StoreError> {
    Ok(Finding { violation: Violation { check: check(name)?, subject, room_list }, since: since.to_jiff() })
}
