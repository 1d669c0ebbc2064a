//! The Alertmanagers that are polled: who polls, what is known from the polls before, and which alerts they concern.

use super::{Store, StoreError, Tx, forms};
use crate::domain::hold::Hold;
use crate::domain::incident::Fingerprint;
use crate::domain::polling::{Known, KnownAlert, PollState};
use crate::domain::watch::Remembered;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

const TABLE: &str = "alertmanager";

/// What a process knows when it polls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// The state of the polls.
    pub state: PollState,
    /// The incidents that are not closed and have firing alerts, by number.
    pub known: BTreeMap<i64, Known>,
}

/// Whether a poll holds the incident back, and none of the Alertmanagers that listed its alerts is polled until `until`.
pub async fn is_unpolled(tx: &mut Tx, number: i64, until: Timestamp) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM incident WHERE id = $1 AND hold IS NOT NULL) AND NOT EXISTS (
               SELECT FROM incident_alert AS alert JOIN alertmanager ON alertmanager.name = alert.listed_by
               WHERE alert.incident = $1 AND alert.firing AND alertmanager.until > $2) AS "it!""#,
        number,
        until.to_sqlx()
    )
    .fetch_one(&mut **tx)
    .await?)
}

impl Store {
    /// Acquires or renews the right to poll an Alertmanager until `until`, stores what the poll before has found, and
    /// reads which alerts are firing: one statement, as every poll needs it. `None`: another process polls it.
    pub async fn begin_poll(
        &self,
        name: &str,
        owner: Uuid,
        now: Timestamp,
        until: Timestamp,
        found: Option<&PollState>,
    ) -> Result<Option<Turn>, StoreError> {
        let peers = found.map(|found| serde_json::to_value(&found.remembered.started).unwrap_or_default());
        let mut rows = sqlx::query!(
            r#"WITH lease AS (
                   INSERT INTO alertmanager AS it (name, owner, until) VALUES ($1, $2, $4)
                   ON CONFLICT (name) DO UPDATE SET owner = $2, until = $4,
                       polled_at = CASE WHEN $5 AND it.owner = $2 THEN $6 ELSE it.polled_at END,
                       longest_promise_ms = greatest(it.longest_promise_ms, $7),
                       peers = CASE WHEN $5 AND it.owner = $2 THEN $8 ELSE it.peers END,
                       failing_since = CASE WHEN $5 AND it.owner = $2 THEN $9 ELSE it.failing_since END
                   WHERE it.owner IS NULL OR it.owner = $2 OR it.until <= $3
                   RETURNING polled_at, longest_promise_ms, peers, failing_since, reported_at
               )
               SELECT lease.polled_at, lease.longest_promise_ms, lease.peers, lease.failing_since, lease.reported_at,
                      firing.incident AS "incident?", firing.room_list AS "room_list?", firing.receiver AS "receiver?",
                      firing.phase AS "phase?", firing.waits AS "waits?", firing.hold, firing.partly_silenced,
                      firing.fingerprint AS "fingerprint?",
                      firing.last_seen AS "last_seen?", firing.listed_by, firing.unlisted_since
               FROM lease LEFT JOIN (
                   SELECT alert.incident, of.room_list, of.receiver, of.phase, of.hold, of.partly_silenced,
                          of.phase = 'firing' AND of.level IS NULL AS waits,
                          alert.fingerprint, alert.last_seen, alert.listed_by, alert.unlisted_since
                   FROM incident_alert AS alert
                   -- Looked up, however many incidents there are.
                   CROSS JOIN LATERAL (
                       SELECT * FROM incident WHERE id = alert.incident AND phase <> 'closed' AND NOT unreadable LIMIT 1
                   ) AS of
                   WHERE alert.firing
               ) AS firing ON true"#,
            name,
            owner,
            now.to_sqlx(),
            until.to_sqlx(),
            found.is_some(),
            found.and_then(|found| found.remembered.polled_at).map(ToSqlx::to_sqlx) as _,
            found.map_or(0, |found| milliseconds(found.remembered.longest_promise)),
            peers.unwrap_or_else(|| serde_json::json!({})),
            found.and_then(|found| found.failing_since).map(ToSqlx::to_sqlx) as _,
        )
        .fetch(&self.pool);
        let mut turn = None;
        while let Some(row) = rows.try_next().await? {
            let turn: &mut Turn = match &mut turn {
                Some(turn) => turn,
                None => turn.insert(Turn {
                    state: PollState {
                        remembered: Remembered {
                            polled_at: row.polled_at.map(SqlTimestamp::to_jiff),
                            started: forms::read_optional(TABLE, "peers", name, row.peers)
                                .unwrap_or_default(),
                            longest_promise: Duration::from_millis(
                                u64::try_from(row.longest_promise_ms).unwrap_or(0),
                            ),
                        },
                        failing_since: row.failing_since.map(SqlTimestamp::to_jiff),
                        reported_at: row.reported_at.map(SqlTimestamp::to_jiff),
                    },
                    known: BTreeMap::new(),
                }),
            };
            let (Some(incident), Some(room_list), Some(receiver), Some(phase)) =
                (row.incident, row.room_list, row.receiver, row.phase)
            else {
                continue;
            };
            let known = turn.known.entry(incident).or_insert_with(|| Known {
                room_list,
                receiver,
                is_open: phase != "resolved",
                waits: row.waits.unwrap_or(false),
                hold: row
                    .hold
                    .and_then(|hold| forms::read_optional::<Hold>("incident", "hold", incident, hold)),
                partly_silenced: row
                    .partly_silenced
                    .and_then(|by| forms::read_optional("incident", "partly_silenced", incident, by))
                    .unwrap_or_default(),
                firing: BTreeMap::new(),
            });
            if let (Some(fingerprint), Some(last_seen)) = (row.fingerprint, row.last_seen) {
                let alert = KnownAlert {
                    last_seen: last_seen.to_jiff(),
                    listed_by: row.listed_by,
                    unlisted_since: row.unlisted_since.map(SqlTimestamp::to_jiff),
                };
                known.firing.insert(fingerprint, alert);
            }
        }
        Ok(turn)
    }

    /// Lets another process poll at once.
    pub async fn end_polls(&self, owner: Uuid) -> Result<(), StoreError> {
        sqlx::query!("UPDATE alertmanager SET owner = NULL, until = NULL WHERE owner = $1", owner)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes which firing alerts an Alertmanager lists, and which ones of it no longer. A row that is being changed is
    /// left for the next poll. `longest`: the longest promise of its sources, which another process needs to judge them.
    pub async fn note_listed(
        &self,
        name: &str,
        (listed, unlisted): (&BTreeSet<Fingerprint>, &BTreeSet<Fingerprint>),
        longest: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let all: Vec<String> = listed.iter().chain(unlisted).cloned().collect();
        let listed: Vec<String> = listed.iter().cloned().collect();
        sqlx::query!(
            "WITH promise AS (
                 UPDATE alertmanager SET longest_promise_ms = $5 WHERE name = $1 AND longest_promise_ms < $5
             )
             UPDATE incident_alert AS alert SET
                    listed_by = $1,
                    unlisted_since = CASE WHEN alert.fingerprint = ANY($3) THEN NULL
                                          ELSE coalesce(alert.unlisted_since, $4) END
             FROM (SELECT incident, fingerprint FROM incident_alert WHERE firing AND fingerprint = ANY($2)
                   ORDER BY incident, fingerprint FOR UPDATE SKIP LOCKED) AS free
             WHERE alert.incident = free.incident AND alert.fingerprint = free.fingerprint",
            name,
            &all,
            &listed,
            now.to_sqlx(),
            milliseconds(longest)
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The URL of Alertmanager in its newest webhook for a receiver; `None`: none of the last 200 incidents has one.
    pub async fn url_of_receiver(&self, receiver: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"SELECT external_url AS "url!"
             FROM (SELECT id, receiver, external_url FROM incident ORDER BY id DESC LIMIT 200) AS newest
             WHERE receiver = $1 AND external_url IS NOT NULL ORDER BY id DESC LIMIT 1"#,
            receiver
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The room list of the newest incident of a receiver; `None`: none of the last 200 is its.
    pub async fn list_of_receiver(&self, receiver: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT room_list FROM (SELECT id, room_list, receiver FROM incident ORDER BY id DESC LIMIT 200) AS newest
             WHERE receiver = $1 ORDER BY id DESC LIMIT 1",
            receiver
        )
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Notes that the fallback rooms have been notified that an Alertmanager does not answer. Returns whether they had not.
pub async fn note_report(tx: &mut Tx, name: &str, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE alertmanager SET reported_at = $2
         WHERE name = $1 AND (reported_at IS NULL OR reported_at < failing_since)",
        name,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
