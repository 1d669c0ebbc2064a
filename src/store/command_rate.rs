//! How many commands each person has given in each room lately.

use super::{Store, StoreError, Tx, to_i32};
use crate::domain::flood::Rate;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;

impl Store {
    /// A person's latest commands in a room, without a lock.
    pub async fn command_rate(&self, room: &str, user_id: &str) -> Result<Option<Rate>, StoreError> {
        read(&self.pool, room, user_id).await
    }

    /// Forgets the rates of those whose latest command came before `horizon`. Returns the number of rows.
    pub async fn forget_command_rates(&self, horizon: Timestamp) -> Result<u64, StoreError> {
        Ok(sqlx::query!("DELETE FROM command_rate WHERE latest < $1", horizon.to_sqlx())
            .execute(&self.pool)
            .await?
            .rows_affected())
    }
}

/// A person's latest commands in a room. The caller has the room's queue locked.
pub async fn find(tx: &mut Tx, room: &str, user_id: &str) -> Result<Option<Rate>, StoreError> {
    read(&mut **tx, room, user_id).await
}

async fn read(database: impl PgExecutor<'_>, room: &str, user_id: &str) -> Result<Option<Rate>, StoreError> {
    let row = sqlx::query!(
        "SELECT since, commands, latest, dropping FROM command_rate WHERE room = $1 AND user_id = $2",
        room,
        user_id
    )
    .fetch_optional(database)
    .await?;
    Ok(row.map(|row| Rate {
        since: row.since.to_jiff(),
        commands: u32::try_from(row.commands).unwrap_or(0),
        latest: row.latest.to_jiff(),
        dropping: row.dropping,
    }))
}

/// Stores a person's latest commands in a room.
pub async fn save(tx: &mut Tx, room: &str, user_id: &str, rate: Rate) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO command_rate (room, user_id, since, commands, latest, dropping) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (room, user_id) DO UPDATE SET since = excluded.since, commands = excluded.commands,
                latest = excluded.latest, dropping = excluded.dropping",
        room,
        user_id,
        rate.since.to_sqlx(),
        to_i32(rate.commands),
        rate.latest.to_sqlx(),
        rate.dropping
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
