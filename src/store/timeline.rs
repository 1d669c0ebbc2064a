//! The timeline of each incident.

use super::totals::Deltas;
use super::{StoreError, Tx, forms, inconsistent};
use crate::domain::timeline::{Entry, Kind, ResolveReason, RunReason};
use crate::domain::totals::Counted;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use std::fmt::Display;

/// Rows of the table, by column.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) versions: Vec<i64>,
    pub(super) instants: Vec<SqlTimestamp>,
    pub(super) kinds: Vec<String>,
    pub(super) actors: Vec<Option<String>>,
    pub(super) entries: Vec<serde_json::Value>,
}

impl Rows {
    /// The rows of entries. `incident`: for the error.
    pub(super) fn of(incident: impl Display + Copy, entries: &[Entry]) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        for entry in entries {
            rows.versions.push(i64::try_from(entry.version).unwrap_or(i64::MAX));
            rows.instants.push(entry.at.to_sqlx());
            rows.kinds.push(entry.kind.as_str().to_owned());
            rows.actors.push(actor(&entry.kind));
            let whole = serde_json::to_value(entry);
            rows.entries.push(whole.map_err(|error| inconsistent("timeline", "entry", incident, error))?);
        }
        Ok(rows)
    }
}

/// Adds entries to an incident's timeline, and `counted` to the totals.
pub async fn append(
    tx: &mut Tx,
    number: i64,
    entries: &[Entry],
    counted: &[Counted],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let deltas = Deltas::of(counted);
    let rows = Rows::of(number, entries)?;
    sqlx::query!(
        "WITH counted AS (
             INSERT INTO total_delta (metric, room_list, label, seconds)
             SELECT * FROM unnest($7::text[], $8::text[], $9::text[], $10::float8[])
         )
         INSERT INTO timeline (incident, version, at, kind, actor, entry)
         SELECT $1, * FROM unnest($2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::jsonb[])",
        number,
        &rows.versions,
        &rows.instants as _,
        &rows.kinds,
        &rows.actors as _,
        &rows.entries,
        &deltas.metrics,
        &deltas.room_lists,
        &deltas.labels,
        &deltas.seconds
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The newest entries of an incident's timeline that can be read, at most `limit`, oldest first.
pub async fn read(tx: &mut Tx, number: i64, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let mut rows: Vec<_> = sqlx::query!(
        "SELECT id, entry FROM timeline WHERE incident = $1 ORDER BY id DESC LIMIT $2",
        number,
        limit
    )
    .map(|row| (row.id, row.entry))
    .fetch_all(&mut **tx)
    .await?;
    rows.reverse();
    Ok(rows
        .into_iter()
        .filter_map(|(id, entry)| forms::read_optional("timeline", "entry", id, entry))
        .collect())
}

/// The person who acted, if it was a person.
fn actor(kind: &Kind) -> Option<String> {
    let (Kind::Acknowledged { who, .. }
    | Kind::JoinedAck { who, .. }
    | Kind::LateAck { who, .. }
    | Kind::Snoozed { who, .. }
    | Kind::EscalationAsked { who, .. }
    | Kind::Resolved { why: ResolveReason::ByHand { who, .. }, .. }
    | Kind::RunStarted { why: RunReason::GivenBack { who } | RunReason::EscalationAsked { who }, .. }) = kind
    else {
        return None;
    };
    Some(who.to_string())
}
