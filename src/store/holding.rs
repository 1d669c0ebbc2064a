//! Which incidents hold the alerts of a webhook, and which one owns its group.

use super::{StoreError, Tx};
use crate::domain::holding::Holders;
use crate::domain::incident::Fingerprint;
use crate::domain::webhook::WebhookAlert;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What is known about a webhook before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Which incidents hold its alerts. None of them is closed.
    pub holders: Holders,
    /// The group's incident before, if that is closed.
    pub closed_owner: Option<i64>,
    /// The firing alerts of each incident that the group's report before contained, and this one does not.
    pub left_out: BTreeMap<i64, BTreeSet<Fingerprint>>,
    /// The firing alerts that polls of Alertmanager list, without a gap up to `polled_since`.
    pub watched: BTreeSet<Fingerprint>,
}

/// Waits until no other transaction decides on the group or on any of the alerts in this room list. Two simultaneous
/// first reports open one incident, and an alert joins one.
///
/// 256 locks of the room list stand for all its alerts, because Postgres keeps all locks of all transactions in one small
/// table. The group's lock comes first, then those of the alerts in ascending order. Releases up to 0.1.0 take only the former.
pub async fn lock(
    tx: &mut Tx,
    room_list: &str,
    key: &[u8],
    alerts: &[WebhookAlert],
) -> Result<(), StoreError> {
    let base = lock_id(&[b"alerts of ", room_list.as_bytes()]);
    let bucket = |alert: &WebhookAlert| {
        let hash = |hash: u8, byte: u8| hash.wrapping_mul(31).wrapping_add(byte);
        i64::from(alert.fingerprint.bytes().fold(0, hash))
    };
    let of_alerts: BTreeSet<i64> = alerts.iter().map(|alert| base.wrapping_add(bucket(alert))).collect();
    let of_group = lock_id(&[room_list.as_bytes(), &[0], key]);
    let locks: Vec<i64> = std::iter::once(of_group).chain(of_alerts).collect();
    // Postgres takes them in the order of the array.
    sqlx::query!("SELECT pg_advisory_xact_lock(lock) FROM unnest($1::bigint[]) AS lock", &locks)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// An advisory lock's id.
fn lock_id(of: &[&[u8]]) -> i64 {
    let mut hash = Sha256::new();
    for part in of {
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte))
}

/// Finds what is known about a webhook. An alert has just resolved if it did so after `since`. Polls of Alertmanager count if
/// the last one was after `polled_since`. The caller holds the locks.
pub async fn find(
    tx: &mut Tx,
    room_list: &str,
    key: &[u8],
    alerts: &[WebhookAlert],
    since: Timestamp,
    polled_since: Timestamp,
) -> Result<Found, StoreError> {
    let reported: Vec<String> = alerts.iter().map(|alert| alert.fingerprint.clone()).collect();
    // One query, as every webhook needs it; each incident is looked up, however few there are. By its own key an incident owns the group that opened it, also if an earlier
    // release opened it.
    let rows = sqlx::query!(
        r#"SELECT kind AS "kind!", incident AS "incident!", fingerprint AS "fingerprint!", watched AS "watched!" FROM (
               (SELECT CASE WHEN phase = 'closed' THEN 'closed owner' ELSE 'owner' END AS kind, id AS incident,
                       '' AS fingerprint, false AS watched
                FROM (SELECT incident.id, phase FROM incident_key JOIN incident ON incident.id = incident_key.incident
                      WHERE incident_key.room_list = $1 AND incident_key.key = $2 AND NOT unreadable
                      UNION ALL
                      (SELECT id, phase FROM incident WHERE room_list = $1 AND key = $2 AND NOT unreadable
                       ORDER BY id DESC LIMIT 1)) AS owner
                ORDER BY phase = 'closed', id DESC LIMIT 1)
               UNION ALL
               SELECT 'firing', alert.incident, alert.fingerprint,
                      alert.unlisted_since IS NULL AND EXISTS (
                          SELECT FROM alertmanager WHERE name = alert.listed_by AND polled_at > $5)
               FROM incident_alert AS alert
               WHERE alert.firing AND alert.fingerprint = ANY($3)
                 AND (SELECT room_list FROM incident WHERE id = alert.incident) = $1
               UNION ALL
               SELECT 'resolved', alert.incident, alert.fingerprint, false
               FROM incident_alert AS alert
               WHERE NOT alert.firing AND alert.fingerprint = ANY($3) AND alert.cleared_at > $4
                 AND (SELECT room_list FROM incident WHERE id = alert.incident AND phase <> 'closed') = $1
               UNION ALL
               SELECT 'left out', alert.incident, alert.fingerprint, false
               FROM incident_alert AS alert
               WHERE alert.firing AND alert.reported_by = $2
                 AND (SELECT room_list FROM incident WHERE id = alert.incident) = $1
                 AND alert.fingerprint NOT IN (SELECT unnest($3))
           ) AS found"#,
        room_list,
        key,
        &reported,
        since.to_sqlx(),
        polled_since.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut found = Found::default();
    for row in rows {
        match row.kind.as_str() {
            "owner" => found.holders.owner = Some(row.incident),
            "closed owner" => found.closed_owner = Some(row.incident),
            "firing" => {
                if row.watched {
                    found.watched.insert(row.fingerprint.clone());
                }
                found.holders.firing.entry(row.fingerprint).or_default().insert(row.incident);
            }
            "resolved" => {
                found.holders.resolved.entry(row.fingerprint).or_default().insert(row.incident);
            }
            _ => {
                found.left_out.entry(row.incident).or_default().insert(row.fingerprint);
            }
        }
    }
    Ok(found)
}

/// An incident owns a group from now on.
pub async fn adopt(tx: &mut Tx, room_list: &str, key: &[u8], number: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO incident_key (room_list, key, incident) VALUES ($1, $2, $3)
         ON CONFLICT (room_list, key) DO UPDATE SET incident = excluded.incident",
        room_list,
        key,
        number
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
