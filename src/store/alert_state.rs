//! Reads the state of an incident's alerts, which decisions need.

use super::{StoreError, Tx};
use crate::domain::incident::{Cleared, Doubt, Fingerprint, Firing};
use crate::domain::policy::Severity;
use futures_util::TryStreamExt as _;
use jiff_sqlx::Timestamp as SqlTimestamp;
use std::collections::BTreeMap;

/// The state of the alerts, as `domain` uses it.
#[derive(Debug, Default)]
pub(super) struct AlertMaps {
    pub(super) firing: BTreeMap<Fingerprint, Firing>,
    pub(super) cleared: BTreeMap<Fingerprint, Cleared>,
    pub(super) known_at_ack: BTreeMap<Fingerprint, i32>,
    /// The `alertname` of the first alert: firing before resolved, the worst first.
    pub(super) alertname: Option<String>,
}

/// Reads the state of an incident's alerts.
pub(super) async fn load(tx: &mut Tx, number: i64) -> Result<AlertMaps, StoreError> {
    let mut read = Reader::default();
    let mut rows = sqlx::query_as!(
        StateRow,
        "SELECT fingerprint, firing, severity, rank, escalate, starts_at, last_seen, cleared_starts_at, cleared_at,
                known_rank, first_seen, start_known, left_out_since, doubted_at, labels ->> 'alertname' AS alertname
         FROM incident_alert WHERE incident = $1",
        number
    )
    .fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        read.row(row);
    }
    Ok(read.maps)
}

struct StateRow {
    fingerprint: String,
    firing: bool,
    severity: Option<String>,
    rank: i32,
    escalate: bool,
    starts_at: SqlTimestamp,
    last_seen: SqlTimestamp,
    cleared_starts_at: Option<SqlTimestamp>,
    cleared_at: Option<SqlTimestamp>,
    known_rank: Option<i32>,
    first_seen: Option<SqlTimestamp>,
    start_known: bool,
    left_out_since: Option<SqlTimestamp>,
    doubted_at: Option<SqlTimestamp>,
    alertname: Option<String>,
}

#[derive(Default)]
struct Reader {
    maps: AlertMaps,
    /// The place of the alert that has given its name.
    named: Option<(bool, i32)>,
}

impl Reader {
    fn row(&mut self, row: StateRow) {
        let place = Some((row.firing, row.rank));
        if row.alertname.is_some() && place > self.named {
            self.named = place;
            self.maps.alertname = row.alertname;
        }
        let severity = Severity { name: row.severity, rank: row.rank, escalate: row.escalate };
        if let (Some(starts_at), Some(at)) = (row.cleared_starts_at, row.cleared_at) {
            let at = at.to_jiff();
            // An earlier release leaves the doubt about an episode before.
            let doubted_at = row.doubted_at.map(SqlTimestamp::to_jiff).filter(|since| *since >= at);
            let doubt = doubted_at.map(|since| Doubt { severity: severity.clone(), since });
            let cleared = Cleared { starts_at: starts_at.to_jiff(), at, doubt };
            self.maps.cleared.insert(row.fingerprint.clone(), cleared);
        }
        if row.firing {
            let starts_at = row.starts_at.to_jiff();
            let firing = Firing {
                severity,
                starts_at,
                start_known: row.start_known,
                since: row.first_seen.map_or(starts_at, SqlTimestamp::to_jiff),
                last_seen: row.last_seen.to_jiff(),
                left_out_since: row.left_out_since.map(SqlTimestamp::to_jiff),
            };
            self.maps.firing.insert(row.fingerprint.clone(), firing);
        }
        if let Some(rank) = row.known_rank {
            self.maps.known_at_ack.insert(row.fingerprint, rank);
        }
    }
}
