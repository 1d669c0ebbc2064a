//! Aliases of room lists that lead to another room than the one that the list's pages go to, and where a moved alias leads
//! from now on.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};

/// Where a strayed alias leads now, and why pages do not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strayed {
    /// To this room, where the list's virtual user cannot post yet, for this reason. Attendance tries again.
    Waiting {
        /// The room.
        leads_to: String,
        /// Why it cannot.
        why: String,
    },
    /// To this room, but the list never follows its aliases, or an operator took back the move there.
    Kept {
        /// The room.
        leads_to: String,
    },
    /// Nowhere: it was deleted.
    Missing,
}

/// An alias of a room list that leads to another room than its pages go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayedAlias {
    /// The room list.
    pub room_list: String,
    /// The alias.
    pub alias: String,
    /// Where it leads.
    pub is: Strayed,
    /// Since when.
    pub since: Timestamp,
}

impl Strayed {
    /// The room that it leads to.
    pub fn leads_to(&self) -> Option<&str> {
        self.columns().1
    }

    fn columns(&self) -> (&'static str, Option<&str>, Option<&str>) {
        match self {
            Self::Waiting { leads_to, why } => ("waiting", Some(leads_to), Some(why)),
            Self::Kept { leads_to } => ("kept", Some(leads_to), None),
            Self::Missing => ("missing", None, None),
        }
    }
}

struct Row {
    room_list: String,
    alias: String,
    leads_to: Option<String>,
    state: String,
    why: Option<String>,
    since: SqlTimestamp,
}

impl From<Row> for StrayedAlias {
    fn from(row: Row) -> Self {
        let is = match (row.state.as_str(), row.leads_to) {
            ("kept", Some(leads_to)) => Strayed::Kept { leads_to },
            (_, Some(leads_to)) => Strayed::Waiting { leads_to, why: row.why.unwrap_or_default() },
            (_, None) => Strayed::Missing,
        };
        Self { room_list: row.room_list, alias: row.alias, is, since: row.since.to_jiff() }
    }
}

impl Store {
    /// The strayed aliases of all room lists.
    pub async fn strayed_aliases(&self) -> Result<Vec<StrayedAlias>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            "SELECT room_list, alias, leads_to, state, why, since FROM strayed_alias ORDER BY alias, room_list"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(StrayedAlias::from).collect())
    }

    /// What is known about an alias of a room list. `None`: it leads where the list's pages go.
    pub async fn strayed(&self, room_list: &str, alias: &str) -> Result<Option<Strayed>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "SELECT room_list, alias, leads_to, state, why, since FROM strayed_alias
             WHERE room_list = $1 AND alias = $2",
            room_list,
            alias
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| StrayedAlias::from(row).is))
    }

    /// Deletes what is known about aliases that a room list no longer has.
    pub async fn forget_other_aliases(&self, room_list: &str, aliases: &[String]) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM strayed_alias WHERE room_list = $1 AND NOT alias = ANY($2)",
            room_list,
            aliases
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// Records where a strayed alias leads. Returns whether that is new, whatever the reasons.
pub async fn strays(
    tx: &mut Tx,
    room_list: &str,
    alias: &str,
    is: &Strayed,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (state, leads_to, why) = is.columns();
    let changed = sqlx::query!(
        "INSERT INTO strayed_alias AS known (room_list, alias, leads_to, state, why, since) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (room_list, alias) DO UPDATE SET leads_to = excluded.leads_to, state = excluded.state,
                why = excluded.why, since = excluded.since
         WHERE (known.state, known.leads_to) IS DISTINCT FROM (excluded.state, excluded.leads_to)",
        room_list,
        alias,
        leads_to,
        state,
        why,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if changed == 0 {
        sqlx::query!(
            "UPDATE strayed_alias SET why = $3 WHERE room_list = $1 AND alias = $2 AND why <> $3",
            room_list,
            alias,
            why
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(changed > 0)
}

/// An alias leads where the list's pages go. Returns whether it was recorded as strayed.
pub async fn is_back(tx: &mut Tx, room_list: &str, alias: &str) -> Result<bool, StoreError> {
    let deleted =
        sqlx::query!("DELETE FROM strayed_alias WHERE room_list = $1 AND alias = $2", room_list, alias)
            .execute(&mut **tx)
            .await?
            .rows_affected();
    Ok(deleted > 0)
}

/// Lets an alias lead to another room from now on. Returns whether it led to `from` until now; otherwise another process
/// was faster, and this changes nothing.
pub async fn lead(
    tx: &mut Tx,
    alias: &str,
    (from, to): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let known = sqlx::query_scalar!("SELECT room FROM room_alias WHERE reference = $1 FOR UPDATE", alias)
        .fetch_optional(&mut **tx)
        .await?;
    if known.is_none() || super::room::room_of(tx, alias).await? != from {
        return Ok(false);
    }
    sqlx::query!(
        "UPDATE room_alias SET room = $2, resolved_at = $3 WHERE reference = $1",
        alias,
        to,
        now.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(true)
}
