//! Who is on call: shifts of calendars, overrides, and who was on call last.

use super::{Store, StoreError, Tx, forms, inconsistent};
use crate::domain::on_call::calendar::{Expanded, Found, Names};
use crate::domain::on_call::planning::NewOverride;
use crate::domain::on_call::{Known, Override, Schedule};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use ruma::{OwnedUserId, UserId};
use std::collections::BTreeMap;
use std::time::Duration;

const SHIFT: &str = "on_call_shift";
const OVERRIDE: &str = "on_call_override";
const WATCH: &str = "on_call_watch";

/// What is stored about a schedule from `from` to `to`, both included.
pub async fn known(
    tx: &mut Tx,
    schedule: &Schedule,
    from: Timestamp,
    to: Timestamp,
) -> Result<Known, StoreError> {
    let overrides = sqlx::query!(
        "SELECT id, person, instead_of, starts_at AS \"starts_at: SqlTimestamp\", ends_at AS \"ends_at: SqlTimestamp\",
                made_by
         FROM on_call_override
         WHERE schedule = $1 AND undone_at IS NULL AND ends_at > $2 AND starts_at <= $3 ORDER BY id",
        schedule.name,
        from.to_sqlx(),
        to.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    let overrides = overrides.into_iter().map(|row| {
        Ok(Override {
            id: row.id,
            person: user(OVERRIDE, "person", row.id, row.person)?,
            instead_of: row.instead_of.map(|it| user(OVERRIDE, "instead_of", row.id, it)).transpose()?,
            starts_at: row.starts_at.to_jiff(),
            ends_at: row.ends_at.to_jiff(),
            made_by: user(OVERRIDE, "made_by", row.id, row.made_by)?,
        })
    });
    let overrides = overrides.collect::<Result<_, StoreError>>()?;
    let found = match &schedule.calendar {
        Some(_) => shifts(tx, &schedule.name, from, to).await?,
        None => Vec::new(),
    };
    Ok(Known { overrides, shifts: schedule.shifts(found) })
}

async fn shifts(
    tx: &mut Tx,
    schedule: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Found>, StoreError> {
    let rows = sqlx::query!(
        "SELECT id, starts_at AS \"starts_at: SqlTimestamp\", ends_at AS \"ends_at: SqlTimestamp\", names
         FROM on_call_shift WHERE schedule = $1 AND ends_at > $2 AND starts_at <= $3 ORDER BY starts_at, id",
        schedule,
        from.to_sqlx(),
        to.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    let read = rows.into_iter().map(|row| {
        let names: Names = forms::read(SHIFT, "names", row.id, row.names)?;
        Ok(Found { starts_at: row.starts_at.to_jiff(), ends_at: row.ends_at.to_jiff(), names })
    });
    read.collect()
}

fn user(
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
    text: String,
) -> Result<OwnedUserId, StoreError> {
    UserId::parse(text).map_err(|error| inconsistent(table, column, id, error))
}

/// Since when the calendar of a schedule cannot be read; `None`: it can, or there is none.
pub async fn failing_since(tx: &mut Tx, schedule: &str) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query!(
        "SELECT failing_since AS \"at: SqlTimestamp\" FROM on_call_calendar WHERE schedule = $1",
        schedule
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.and_then(|row| row.at).map(SqlTimestamp::to_jiff))
}

/// Who made overrides, when, and by which command.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The schedule.
    pub schedule: &'a str,
    /// Who.
    pub by: &'a UserId,
    /// When.
    pub at: Timestamp,
    /// The event of the command.
    pub command: &'a str,
}

/// Stores the overrides of one command.
pub async fn add_overrides(tx: &mut Tx, made: Made<'_>, overrides: &[NewOverride]) -> Result<(), StoreError> {
    for new in overrides {
        sqlx::query!(
            "INSERT INTO on_call_override (schedule, person, instead_of, starts_at, ends_at, made_by, made_at, command)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            made.schedule,
            new.person.as_str(),
            new.instead_of.as_ref().map(|user| user.as_str()),
            new.starts_at.to_sqlx(),
            new.ends_at.to_sqlx(),
            made.by.as_str(),
            made.at.to_sqlx(),
            made.command
        )
        .execute(&mut **tx)
        .await?;
    }
    look_again(tx, made.schedule, made.at).await
}

/// Overrides that were undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The schedule.
    pub schedule: String,
    /// The overrides, the earliest first.
    pub overrides: Vec<NewOverride>,
}

/// Undoes the overrides of the last command of a person in one of these schedules, as far as they have not ended. `None`:
/// there is none.
pub async fn undo(
    tx: &mut Tx,
    schedules: &[String],
    who: &UserId,
    now: Timestamp,
) -> Result<Option<Undone>, StoreError> {
    let rows = sqlx::query!(
        "UPDATE on_call_override SET undone_at = $3
         WHERE undone_at IS NULL AND ends_at > $3 AND made_by = $2 AND command = (
             SELECT command FROM on_call_override
             WHERE schedule = ANY($1) AND made_by = $2 AND undone_at IS NULL AND ends_at > $3 ORDER BY id DESC LIMIT 1)
         RETURNING id, schedule, person, instead_of, starts_at AS \"starts_at: SqlTimestamp\",
                   ends_at AS \"ends_at: SqlTimestamp\"",
        schedules,
        who.as_str(),
        now.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?;
    let Some(schedule) = rows.first().map(|row| row.schedule.clone()) else { return Ok(None) };
    let overrides = rows.into_iter().map(|row| {
        Ok(NewOverride {
            person: user(OVERRIDE, "person", row.id, row.person)?,
            instead_of: row.instead_of.map(|it| user(OVERRIDE, "instead_of", row.id, it)).transpose()?,
            starts_at: row.starts_at.to_jiff(),
            ends_at: row.ends_at.to_jiff(),
        })
    });
    let mut overrides = overrides.collect::<Result<Vec<_>, StoreError>>()?;
    overrides.sort_by_key(|made| made.starts_at);
    look_again(tx, &schedule, now).await?;
    Ok(Some(Undone { schedule, overrides }))
}

/// The calendar of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarState {
    /// The schedule.
    pub schedule: String,
    /// When it was last read.
    pub read_at: Option<Timestamp>,
    /// Until when its shifts are known.
    pub shifts_until: Option<Timestamp>,
    /// Since when it cannot be read, and why.
    pub failing: Option<(Timestamp, String)>,
    /// What it had that could not be read.
    pub unreadable: Vec<String>,
}

impl Store {
    /// Claims the reading of a schedule's calendar, if it is due or comes from another source than at the last time. Nobody
    /// else reads it until `until`.
    pub async fn claim_calendar(
        &self,
        schedule: &str,
        source: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let claimed = sqlx::query!(
            "INSERT INTO on_call_calendar AS it (schedule, due_at, source) VALUES ($1, $4, $2)
             ON CONFLICT (schedule) DO UPDATE SET due_at = $4, source = $2
             WHERE it.due_at <= $3 OR it.source <> $2
             RETURNING schedule",
            schedule,
            source,
            now.to_sqlx(),
            until.to_sqlx()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(claimed.is_some())
    }

    /// Stores what a calendar holds from now until `until`, in place of what it held before. Returns whether it could not be
    /// read before, or has other problems now.
    pub async fn store_calendar(
        &self,
        schedule: &str,
        expanded: &Expanded,
        now: Timestamp,
        (until, due_at): (Timestamp, Timestamp),
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let before = sqlx::query!(
            "SELECT read_at IS NULL OR failing_since IS NOT NULL OR unreadable <> $2 AS \"is_news!\"
             FROM on_call_calendar WHERE schedule = $1 FOR UPDATE",
            schedule,
            &expanded.problems
        )
        .fetch_optional(&mut *tx)
        .await?;
        sqlx::query!(
            "UPDATE on_call_calendar SET read_at = $2, shifts_until = $3, due_at = $4, unreadable = $5,
                    failing_since = NULL, problem = NULL
             WHERE schedule = $1",
            schedule,
            now.to_sqlx(),
            until.to_sqlx(),
            due_at.to_sqlx(),
            &expanded.problems
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("DELETE FROM on_call_shift WHERE schedule = $1", schedule).execute(&mut *tx).await?;
        let starts: Vec<_> = expanded.shifts.iter().map(|found| found.starts_at.to_sqlx()).collect();
        let ends: Vec<_> = expanded.shifts.iter().map(|found| found.ends_at.to_sqlx()).collect();
        let names = expanded.shifts.iter().map(|found| serde_json::to_value(&found.names));
        let names: Vec<_> =
            names.collect::<Result<_, _>>().map_err(|error| inconsistent(SHIFT, "names", schedule, error))?;
        sqlx::query!(
            "INSERT INTO on_call_shift (schedule, starts_at, ends_at, names)
             SELECT $1, it.starts_at, it.ends_at, it.names
             FROM unnest($2::timestamptz[], $3::timestamptz[], $4::jsonb[]) AS it (starts_at, ends_at, names)",
            schedule,
            &starts as _,
            &ends as _,
            &names
        )
        .execute(&mut *tx)
        .await?;
        look_again(&mut tx, schedule, now).await?;
        super::commit(tx).await?;
        Ok(before.is_some_and(|before| before.is_news))
    }

    /// Records that a calendar cannot be read. What it held before stays. Returns whether it could be read before.
    pub async fn calendar_failed(
        &self,
        schedule: &str,
        problem: &str,
        now: Timestamp,
        due_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let failed = sqlx::query!(
            "UPDATE on_call_calendar
             SET due_at = $4, problem = $2, failing_since = coalesce(failing_since, $3) WHERE schedule = $1
             RETURNING failing_since = $3 AS \"is_news!\"",
            schedule,
            problem,
            now.to_sqlx(),
            due_at.to_sqlx()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(failed.is_some_and(|failed| failed.is_news))
    }

    /// The calendars of all schedules, as they were read last.
    pub async fn calendars(&self) -> Result<BTreeMap<String, CalendarState>, StoreError> {
        let rows = sqlx::query!(
            "SELECT schedule, read_at AS \"read_at: SqlTimestamp\", shifts_until AS \"shifts_until: SqlTimestamp\",
                    failing_since AS \"failing_since: SqlTimestamp\", problem, unreadable
             FROM on_call_calendar"
        )
        .fetch_all(&self.pool)
        .await?;
        let states = rows.into_iter().map(|row| CalendarState {
            schedule: row.schedule,
            read_at: row.read_at.map(SqlTimestamp::to_jiff),
            shifts_until: row.shifts_until.map(SqlTimestamp::to_jiff),
            failing: row.failing_since.map(SqlTimestamp::to_jiff).zip(row.problem),
            unreadable: row.unreadable,
        });
        Ok(states.map(|state| (state.schedule.clone(), state)).collect())
    }

    /// Deletes overrides that ended before `horizon`; at most `batch`. Returns their number.
    pub async fn forget_overrides(&self, horizon: Timestamp, batch: i64) -> Result<u64, StoreError> {
        let deleted = sqlx::query!(
            "DELETE FROM on_call_override WHERE id = ANY (ARRAY(
                 SELECT id FROM on_call_override WHERE ends_at < $1
                 ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
            horizon.to_sqlx(),
            batch
        )
        .execute(&self.pool)
        .await?;
        Ok(deleted.rows_affected())
    }
}

/// Who was on call in a schedule when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The users, sorted.
    pub people: Vec<OwnedUserId>,
    /// Since when.
    pub since: Timestamp,
}

/// Locks who was on call last in a schedule, if it is to be looked at now. `None`: it is not, or somebody else looks at it.
/// `Some(None)`: nobody has looked at it yet.
pub async fn lock_watch(
    tx: &mut Tx,
    schedule: &str,
    now: Timestamp,
) -> Result<Option<Option<Watched>>, StoreError> {
    let is_new = sqlx::query!(
        "INSERT INTO on_call_watch (schedule, people, since, next_at) VALUES ($1, '{}', $2, $2)
         ON CONFLICT (schedule) DO NOTHING",
        schedule,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    if is_new {
        return Ok(Some(None));
    }
    let row = sqlx::query!(
        "SELECT people, since AS \"since: SqlTimestamp\" FROM on_call_watch
         WHERE schedule = $1 AND next_at <= $2 FOR UPDATE SKIP LOCKED",
        schedule,
        now.to_sqlx()
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let people = row.people.into_iter().map(|person| user(WATCH, "people", schedule, person));
    let people = people.collect::<Result<_, StoreError>>()?;
    Ok(Some(Some(Watched { people, since: row.since.to_jiff() })))
}

/// Records who is on call in a schedule, and when to look again.
pub async fn watch(
    tx: &mut Tx,
    schedule: &str,
    watched: &Watched,
    next_at: Timestamp,
) -> Result<(), StoreError> {
    let people: Vec<String> = watched.people.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "UPDATE on_call_watch SET people = $2, since = $3, next_at = $4 WHERE schedule = $1",
        schedule,
        &people,
        watched.since.to_sqlx(),
        next_at.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is stored about a schedule has changed: who is on call is looked at now.
async fn look_again(tx: &mut Tx, schedule: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE on_call_watch SET next_at = least(next_at, $2) WHERE schedule = $1",
        schedule,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How long a process may take to read a calendar before another one tries.
pub const READING: Duration = Duration::from_mins(2);
