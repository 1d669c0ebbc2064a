//! Incidents whose row cannot be read: what is needed of them all the same, in columns that every release has.

use super::timers::{Due, Row};
use super::{StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

/// An incident that cannot be read.
#[derive(Debug)]
pub struct Found {
    /// What can be read of it.
    pub due: Due,
    /// Whether it is closed.
    pub closed: bool,
}

/// Locks an incident without reading the rest of it.
pub async fn lock(tx: &mut Tx, number: i64, now: Timestamp) -> Result<Option<Found>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT id, room_list, group_labels ->> 'alertname' AS name, coalesce(next_at, $2) AS "at!", timer_failures,
                  unreadable, phase = 'closed' AS "closed!"
           FROM incident WHERE id = $1 FOR UPDATE"#,
        number,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| Found {
        due: Due {
            number: row.id,
            room_list: row.room_list,
            name: row.name,
            at: row.at.to_jiff(),
            failures: u32::try_from(row.timer_failures).unwrap_or(0),
            unreadable: row.unreadable,
        },
        closed: row.closed,
    }))
}

/// Locks an incident that a report could not read and whose own timer is not due, if it may be tried.
pub async fn lock_again(tx: &mut Tx, now: Timestamp) -> Result<Option<Due>, StoreError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT id, room_list, group_labels ->> 'alertname' AS name, timer_not_before AS "at!", timer_failures, unreadable
           FROM incident
           WHERE timer_failures > 0 AND timer_not_before <= $1 AND unreadable AND (next_at IS NULL OR next_at > $1)
           ORDER BY timer_not_before LIMIT 1 FOR UPDATE SKIP LOCKED"#,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?
    .map(Due::from))
}

/// Records whether an incident can be read.
pub async fn set(tx: &mut Tx, number: i64, unreadable: bool) -> Result<(), StoreError> {
    sqlx::query!("UPDATE incident SET unreadable = $2 WHERE id = $1", number, unreadable)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The fingerprints of an incident's firing alerts.
pub async fn firing(tx: &mut Tx, number: i64) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!("SELECT fingerprint FROM incident_alert WHERE incident = $1 AND firing", number)
        .fetch_all(&mut **tx)
        .await?)
}

/// Records a report on alerts of an incident: some are firing still, some have resolved.
pub async fn report(
    tx: &mut Tx,
    number: i64,
    firing: &[String],
    resolved: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE incident_alert SET last_seen = $4, firing = fingerprint <> ALL($3::text[]),
                cleared_starts_at = CASE WHEN fingerprint = ANY($3::text[]) THEN starts_at ELSE cleared_starts_at END,
                cleared_at = CASE WHEN fingerprint = ANY($3::text[]) THEN $4 ELSE cleared_at END
         WHERE incident = $1 AND firing AND (fingerprint = ANY($2::text[]) OR fingerprint = ANY($3::text[]))",
        number,
        firing,
        resolved,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The newest other incident that has the firing alerts of this one, if each of them is firing in another one, too.
pub async fn replaced_by(tx: &mut Tx, number: i64) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT CASE WHEN bool_and(other.incident IS NOT NULL) THEN max(other.incident) END AS "number"
           FROM incident JOIN incident_alert AS mine ON mine.incident = incident.id AND mine.firing
           LEFT JOIN LATERAL (
               SELECT held.incident FROM incident_alert AS held JOIN incident AS holder ON holder.id = held.incident
               WHERE held.fingerprint = mine.fingerprint AND held.firing AND held.incident > incident.id
                 AND holder.room_list = incident.room_list
               ORDER BY held.incident DESC LIMIT 1) AS other ON true
           WHERE incident.id = $1"#,
        number
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// Whether the group that opened this incident has opened another one since, which owns the group now.
pub async fn has_newer(tx: &mut Tx, number: i64) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1 FROM incident JOIN incident AS newer
                   ON newer.room_list = incident.room_list AND newer.key = incident.key AND newer.id > incident.id
               WHERE incident.id = $1) AS "has_newer!""#,
        number
    )
    .fetch_one(&mut **tx)
    .await?)
}
