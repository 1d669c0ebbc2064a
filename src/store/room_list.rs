//! Room lists and their policies.

use super::{Store, StoreError, Tx, inconsistent};
use crate::domain::lists::ListSettings;
use crate::domain::policy::Policy;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// A room list as the database knows it.
#[derive(Debug, Clone)]
pub struct KnownRoomList {
    /// Its name.
    pub name: String,
    /// Its virtual user.
    pub user_id: String,
    /// Whether the configuration that was written last has it.
    pub active: bool,
    /// Its newest policy's row.
    pub version: i64,
    /// Its newest policy.
    pub policy: Policy,
}

/// What makes two policies the same: SHA-256 of the policy as JSON.
pub fn policy_hash(policy: &Policy) -> Vec<u8> {
    Sha256::digest(serde_json::to_vec(policy).unwrap_or_default()).to_vec()
}

impl Store {
    /// Writes the configured room lists, and sets the version of each one's policy. Lists that are no longer configured
    /// become inactive; their open incidents keep escalating.
    pub async fn configure(&self, lists: &mut [ListSettings], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('matrixbot configure'))")
            .execute(&mut *tx)
            .await?;
        let names: Vec<String> = lists.iter().map(|list| list.name.clone()).collect();
        sqlx::query!("UPDATE room_list SET active = false WHERE NOT name = ANY($1)", &names)
            .execute(&mut *tx)
            .await?;
        for list in lists {
            list.version = configure_one(&mut tx, list, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Every room list that there has been, by name, as the configuration that was written last has it.
    pub async fn room_lists(&self) -> Result<Vec<KnownRoomList>, StoreError> {
        let rows = sqlx::query!(
            "SELECT name, user_id, active, id, policy FROM room_list
             JOIN policy_version ON policy_version.id = room_list.policy_version ORDER BY name"
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let unreadable = |error| inconsistent("policy_version", "policy", row.id, error);
                Ok(KnownRoomList {
                    policy: serde_json::from_value(row.policy).map_err(unreadable)?,
                    name: row.name,
                    user_id: row.user_id,
                    active: row.active,
                    version: row.id,
                })
            })
            .collect()
    }

    /// The policy of a version.
    pub async fn policy(&self, version: i64) -> Result<Policy, StoreError> {
        let policy = sqlx::query_scalar!("SELECT policy FROM policy_version WHERE id = $1", version)
            .fetch_one(&self.pool)
            .await?;
        serde_json::from_value(policy)
            .map_err(|error| inconsistent("policy_version", "policy", version, error))
    }
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
        "UPDATE room_list SET policy_version = $2, active = true WHERE name = $1",
        list.name,
        version
    )
    .execute(&mut **tx)
    .await?;
    Ok(version)
}

/// Makes the gates of all rooms beforehand. Reports that make them as they go, each in the order of its own list, wait for
/// each other in a circle.
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
