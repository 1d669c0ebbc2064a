//! Silences that people ask for: commands that have no answer yet, and what was made in Alertmanagers.

mod orders;

pub use orders::{AnswerPlace, Order, order, settle};

use super::{Store, StoreError, forms, inconsistent};
use crate::domain::incident::Fingerprint;
use crate::domain::webhook::Labels;
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

const TABLE: &str = "silence";

/// A silence that matrixbot made or is about to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSilence {
    /// Its comment in Alertmanager ends with it.
    pub token: Uuid,
    /// The Alertmanager.
    pub alertmanager: String,
    /// The labels that it matches.
    pub matchers: Labels,
    /// Its id; `None`: not known, or not made.
    pub silence_id: Option<String>,
    /// When it ends, by our clock.
    pub ends_at: Option<Timestamp>,
    /// The command that it was last made or prolonged for.
    pub ordered_by: Uuid,
}

/// A silence of ours to compare with what Alertmanager lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The silence.
    pub silence: OwnSilence,
    /// Whether it should hold alerts; otherwise matrixbot has ended it.
    pub holds: bool,
    /// The Matrix user who asked for it.
    pub who: String,
    /// Its comment, without the token.
    pub comment: String,
    /// The incident.
    pub incident: i64,
    /// How often it was made again.
    pub made_again: u32,
}

/// A silence to make.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The token that it gets if it is new.
    pub token: Uuid,
    /// The incident.
    pub incident: i64,
    /// The Alertmanager.
    pub alertmanager: &'a str,
    /// The labels that it matches.
    pub matchers: &'a Labels,
    /// The Matrix user.
    pub who: &'a str,
    /// Its comment, without the token.
    pub comment: &'a str,
    /// How long it lasts.
    pub lasting: Duration,
    /// The command.
    pub order: Uuid,
}

impl Store {
    /// The labels of the firing alerts of an incident.
    pub async fn firing_labels(&self, incident: i64) -> Result<BTreeMap<Fingerprint, Labels>, StoreError> {
        let rows = sqlx::query!(
            "SELECT fingerprint, labels FROM incident_alert WHERE incident = $1 AND firing",
            incident
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let labels = forms::read("incident_alert", "labels", &row.fingerprint, row.labels)?;
                Ok((row.fingerprint, labels))
            })
            .collect()
    }

    /// The labels of firing alerts of the open incidents of room lists, with the incident's number; the newest incidents
    /// first, at most `most`.
    pub async fn open_labels(
        &self,
        room_lists: &[String],
        most: i64,
    ) -> Result<Vec<(i64, Labels)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT alert.incident, alert.fingerprint, alert.labels
             FROM incident JOIN incident_alert AS alert ON alert.incident = incident.id AND alert.firing
             WHERE incident.room_list = ANY($1) AND incident.phase NOT IN ('resolved', 'closed')
             ORDER BY incident.id DESC LIMIT $2",
            room_lists,
            most
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                forms::read("incident_alert", "labels", &row.fingerprint, row.labels)
                    .map(|labels| (row.incident, labels))
            })
            .collect()
    }

    /// The ids of the active silences that were made for incidents of room lists, each with the incident's number.
    pub async fn own_silences(&self, room_lists: &[String]) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT silence_id AS "silence_id!", incident FROM silence
               WHERE state = 'active' AND (SELECT room_list FROM incident WHERE id = silence.incident) = ANY($1)"#,
            room_lists
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.silence_id, row.incident)).collect())
    }

    /// The row of a silence that a command wants: an earlier one of the incident with the same labels, or a new one.
    pub async fn want_silence(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<OwnSilence, StoreError> {
        let matchers = serde_json::to_value(wanted.matchers)
            .map_err(|error| inconsistent(TABLE, "matchers", wanted.token, error))?;
        let row = sqlx::query!(
            "INSERT INTO silence (token, incident, alertmanager, matchers, who, comment, lasting_ms, state, ordered_by, try_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'wanted', $8, $9)
             ON CONFLICT (incident, alertmanager, md5(matchers::text)) WHERE state IN ('wanted', 'active')
             DO UPDATE SET lasting_ms = excluded.lasting_ms,
                 ordered_by = CASE silence.state WHEN 'wanted' THEN excluded.ordered_by ELSE silence.ordered_by END
             RETURNING token, silence_id, ends_at, ordered_by",
            wanted.token,
            wanted.incident,
            wanted.alertmanager,
            matchers,
            wanted.who,
            wanted.comment,
            i64::try_from(wanted.lasting.as_millis()).unwrap_or(i64::MAX),
            wanted.order,
            now.to_sqlx()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(OwnSilence {
            token: row.token,
            alertmanager: wanted.alertmanager.to_owned(),
            matchers: wanted.matchers.clone(),
            silence_id: row.silence_id,
            ends_at: row.ends_at.map(SqlTimestamp::to_jiff),
            ordered_by: row.ordered_by,
        })
    }

    /// Notes that an Alertmanager has a silence.
    pub async fn silence_made(
        &self,
        token: Uuid,
        id: &str,
        ends_at: Timestamp,
        order: Uuid,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE silence SET state = 'active', silence_id = $2, ends_at = $3, ordered_by = $4
             WHERE token = $1 AND state IN ('wanted', 'active')",
            token,
            id,
            ends_at.to_sqlx(),
            order
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Notes that an Alertmanager has a silence again that it had lost.
    pub async fn silence_made_again(
        &self,
        token: Uuid,
        id: &str,
        ends_at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE silence SET silence_id = $2, ends_at = $3, made_again = made_again + 1
             WHERE token = $1 AND state = 'active'",
            token,
            id,
            ends_at.to_sqlx()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes silences that have not run out, to compare them with what Alertmanager lists: the next time is at `until` at the
    /// earliest.
    pub async fn take_silences_to_compare(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Compared>, StoreError> {
        let rows = sqlx::query!(
            r#"UPDATE silence SET try_at = $2
               WHERE token IN (SELECT token FROM silence
                               WHERE state IN ('active', 'ended') AND silence_id IS NOT NULL AND ends_at > $1 AND try_at <= $1
                               ORDER BY token FOR UPDATE SKIP LOCKED)
               RETURNING token, alertmanager, matchers, silence_id AS "silence_id!", ends_at AS "ends_at!", ordered_by,
                         state = 'active' AS "holds!", who, comment, incident, made_again"#,
            now.to_sqlx(),
            until.to_sqlx()
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Compared {
                    silence: OwnSilence {
                        matchers: forms::read(TABLE, "matchers", row.token, row.matchers)?,
                        token: row.token,
                        alertmanager: row.alertmanager,
                        silence_id: Some(row.silence_id),
                        ends_at: Some(row.ends_at.to_jiff()),
                        ordered_by: row.ordered_by,
                    },
                    holds: row.holds,
                    who: row.who,
                    comment: row.comment,
                    incident: row.incident,
                    made_again: u32::try_from(row.made_again).unwrap_or(0),
                })
            })
            .collect()
    }

    /// A silence is over: it has ended, or was never made.
    pub async fn silence_ended(&self, token: Uuid) -> Result<(), StoreError> {
        sqlx::query!("UPDATE silence SET state = 'ended' WHERE token = $1", token)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The silence with this id in an Alertmanager is over.
    pub async fn silence_ended_by_id(&self, alertmanager: &str, id: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE silence SET state = 'ended'
             WHERE alertmanager = $1 AND silence_id = $2 AND state IN ('active', 'to_end')",
            alertmanager,
            id
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Silences of an order that may exist although nobody has their id have to end.
    pub async fn give_up_silences(&self, order: Uuid) -> Result<(), StoreError> {
        sqlx::query!("UPDATE silence SET state = 'to_end' WHERE ordered_by = $1 AND state = 'wanted'", order)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes silences that have to end, because they failed or their incident is resolved: another process may take them at
    /// `until` at the earliest. Those that have run out are ended.
    pub async fn take_silences_to_end(
        &self,
        now: Timestamp,
        until: Timestamp,
        most: i64,
    ) -> Result<Vec<OwnSilence>, StoreError> {
        let rows = sqlx::query!(
            "WITH over AS (UPDATE silence SET state = 'ended' WHERE state IN ('active', 'to_end') AND ends_at < $1)
             UPDATE silence SET state = 'to_end', try_at = $2
             WHERE token IN (SELECT token FROM silence AS due
                             WHERE (state = 'active' OR state = 'to_end' AND try_at <= $1) AND (ends_at IS NULL OR ends_at >= $1)
                               AND (state = 'to_end' OR EXISTS (
                                   SELECT FROM incident WHERE id = due.incident AND phase IN ('resolved', 'closed')))
                             ORDER BY try_at LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING token, alertmanager, matchers, silence_id, ends_at, ordered_by",
            now.to_sqlx(),
            until.to_sqlx(),
            most
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(OwnSilence {
                    matchers: forms::read(TABLE, "matchers", row.token, row.matchers)?,
                    token: row.token,
                    alertmanager: row.alertmanager,
                    silence_id: row.silence_id,
                    ends_at: row.ends_at.map(SqlTimestamp::to_jiff),
                    ordered_by: row.ordered_by,
                })
            })
            .collect()
    }
}
