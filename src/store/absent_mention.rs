//! People whom pages of a room list mention without reaching them. Each is reported once, however many processes notice it.

use super::{Store, StoreError, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use std::collections::BTreeMap;

/// Remembers who is absent, each with the reason. Returns those who were not known.
pub async fn remember(
    tx: &mut Tx,
    room_list: &str,
    absent: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let (users, reasons): (Vec<String>, Vec<String>) =
        absent.iter().map(|(user, why)| (user.clone(), why.clone())).unzip();
    sqlx::query!(
        "DELETE FROM absent_mention WHERE room_list = $1 AND user_id <> ALL ($2)",
        room_list,
        &users
    )
    .execute(&mut **tx)
    .await?;
    Ok(sqlx::query_scalar!(
        "INSERT INTO absent_mention (room_list, user_id, why, since)
         SELECT $1, user_id, why, $4 FROM unnest($2::text[], $3::text[]) AS found (user_id, why) ORDER BY user_id
         ON CONFLICT DO NOTHING RETURNING user_id",
        room_list,
        &users,
        &reasons,
        now.to_sqlx()
    )
    .fetch_all(&mut **tx)
    .await?)
}

impl Store {
    /// The people whom pages mention without reaching them: room list, user id and reason.
    pub async fn absent_mentions(&self) -> Result<Vec<(String, String, String)>, StoreError> {
        let rows =
            sqlx::query!("SELECT room_list, user_id, why FROM absent_mention ORDER BY room_list, user_id")
                .fetch_all(&self.pool)
                .await?;
        Ok(rows.into_iter().map(|row| (row.room_list, row.user_id, row.why)).collect())
    }
}
