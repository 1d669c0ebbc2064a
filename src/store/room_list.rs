//! Room lists and their policies.

use super::{Store, StoreError, Tx, forms, inconsistent};
use crate::domain::lists::{ListSettings, Lists};
use crate::domain::policy::Policy;
use crate::domain::reaction;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use ruma::UserId;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The room lists in the database.
#[derive(Debug, Clone)]
pub struct KnownLists {
    /// The lists of the latest configuration, without the settings that the database does not store.
    pub active: Lists,
    /// The names of all lists, including former ones.
    pub names: Vec<String>,
}

/// Identifies a policy: SHA-256 of its JSON.
fn policy_hash(policy: &Policy) -> Vec<u8> {
    Sha256::digest(serde_json::to_vec(policy).unwrap_or_default()).to_vec()
}

impl Store {
    /// Writes the configured room lists, and returns them with their policy versions. A list that is no longer
    /// configured becomes inactive; its open incidents keep escalating.
    pub async fn configure(&self, mut lists: Vec<ListSettings>, now: Timestamp) -> Result<Lists, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('matrixbot configure'))")
            .execute(&mut *tx)
            .await?;
        let names: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        sqlx::query!("UPDATE room_list SET active = false WHERE NOT name = ANY($1)", &names)
            .execute(&mut *tx)
            .await?;
        for list in &mut lists {
            list.version = configure_one(&mut tx, list, now).await?;
        }
        tx.commit().await?;
        Ok(Lists::new(lists))
    }

    /// The room lists in the database.
    pub async fn room_lists(&self) -> Result<KnownLists, StoreError> {
        let rows = sqlx::query!(
            "SELECT name, user_id, active, id, policy FROM room_list
             JOIN policy_version ON policy_version.id = room_list.policy_version ORDER BY name"
        )
        .fetch_all(&self.pool)
        .await?;
        let names = rows.iter().map(|row| row.name.clone()).collect();
        let mut active = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.active) {
            let user_id = UserId::parse(&row.user_id)
                .map_err(|error| inconsistent("room_list", "user_id", &row.name, error))?;
            let policy = match forms::read_policy(row.id, row.policy) {
                Ok(policy) => policy,
                Err(error) => {
                    tracing::error!(room_list = row.name, %error, "the policy of {} cannot be read, the defaults apply: {error}", row.name);
                    Policy::default()
                }
            };
            active.push(ListSettings { version: row.id, ..ListSettings::new(row.name, user_id, policy) });
        }
        Ok(KnownLists { active: Lists::new(active), names })
    }

    /// The room lists that are not in `configured`, if another process has configured them or they have open incidents; and
    /// the virtual users of those whose rows cannot be read here, because a later release has written them.
    pub async fn other_lists(
        &self,
        configured: &[String],
    ) -> Result<(Vec<ListSettings>, BTreeSet<String>), StoreError> {
        let rows = sqlx::query!(
            "SELECT name, user_id, ack_reactions, id, policy FROM room_list
             JOIN policy_version ON policy_version.id = room_list.policy_version
             WHERE NOT name = ANY($1)
               AND (active OR EXISTS (SELECT 1 FROM incident
                                      WHERE incident.room_list = room_list.name AND phase NOT IN ('resolved', 'closed')))
             ORDER BY name",
            configured
        )
        .fetch_all(&self.pool)
        .await?;
        let (mut lists, mut unknown) = (Vec::with_capacity(rows.len()), BTreeSet::new());
        for row in rows {
            match list_of_row(&row.name, &row.user_id, row.id, row.policy) {
                Ok(list) => {
                    let ack_reactions = row.ack_reactions.unwrap_or_else(reaction::default_acks);
                    lists.push(ListSettings { ack_reactions, ..list });
                }
                Err(error) => {
                    tracing::debug!(room_list = row.name, %error, "the room list {} is not served here: {error}", row.name);
                    unknown.insert(row.user_id);
                }
            }
        }
        Ok((lists, unknown))
    }

    /// The room lists that no configuration has any more and that have open incidents, with their number.
    pub async fn former_lists(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query!(
            r#"SELECT name, count(*) AS "open!" FROM room_list
               JOIN incident ON incident.room_list = room_list.name AND phase NOT IN ('resolved', 'closed')
               WHERE NOT active GROUP BY name ORDER BY name"#
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| (row.name, row.open))
        .collect())
    }

    /// The policy of a version.
    pub async fn policy(&self, version: i64) -> Result<Policy, StoreError> {
        let policy = sqlx::query_scalar!("SELECT policy FROM policy_version WHERE id = $1", version)
            .fetch_one(&self.pool)
            .await?;
        forms::read_policy(version, policy)
    }
}

fn list_of_row(
    name: &str,
    user_id: &str,
    version: i64,
    policy: serde_json::Value,
) -> Result<ListSettings, StoreError> {
    let user_id =
        UserId::parse(user_id).map_err(|error| inconsistent("room_list", "user_id", name, error))?;
    let policy = forms::read_policy(version, policy)?;
    Ok(ListSettings { version, ..ListSettings::new(name.to_owned(), user_id, policy) })
}

async fn configure_one(tx: &mut Tx, list: &ListSettings, now: Timestamp) -> Result<i64, StoreError> {
    sqlx::query!(
        "INSERT INTO room_list (name, user_id, active) VALUES ($1, $2, false)
         ON CONFLICT (name) DO UPDATE SET user_id = excluded.user_id",
        list.name,
        list.user_id.as_str()
    )
    .execute(&mut **tx)
    .await?;
    make_gates(tx, &list.policy).await?;
    let policy = serde_json::to_value(&*list.policy)
        .map_err(|error| inconsistent("policy_version", "policy", &list.name, error))?;
    let version = sqlx::query_scalar!(
        "INSERT INTO policy_version (room_list, hash, policy, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (room_list, hash) DO UPDATE SET hash = excluded.hash
         RETURNING id",
        list.name,
        policy_hash(&list.policy),
        policy,
        now.to_sqlx()
    )
    .fetch_one(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE room_list SET policy_version = $2, active = true, ack_reactions = $3 WHERE name = $1",
        list.name,
        version,
        &list.ack_reactions
    )
    .execute(&mut **tx)
    .await?;
    Ok(version)
}

/// Creates the gates of all rooms in advance. If reports created them, each in the order of its own list, they could
/// deadlock.
async fn make_gates(tx: &mut Tx, policy: &Policy) -> Result<(), StoreError> {
    let rooms: Vec<String> = policy
        .levels
        .iter()
        .flat_map(|level| &level.rooms)
        .chain(&policy.fallback_rooms)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect();
    sqlx::query!("INSERT INTO room_gate (room) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", &rooms)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether a configuration has a room list.
pub async fn is_configured(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM room_list WHERE name = $1 AND active) AS "is!""#,
        name
    )
    .fetch_one(&mut **tx)
    .await?)
}
