//! The schema: brought up to date, and compared with what this release knows.

use super::{Store, StoreError};
use sqlx::migrate::Migrator;
use std::sync::LazyLock;

/// The schema, embedded. A newer release may have added to it: each migration works with the release before.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
});

/// The release of the workers: a newer one may raise it when older workers must not run beside it.
pub const ENGINE_VERSION: i32 = 1;

impl Store {
    /// Brings the schema up to date. Several processes may do it at once: one at a time works.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(MIGRATOR.run(&self.pool).await?)
    }

    /// Whether the schema has every migration that this release knows, and how many it lacks.
    pub async fn missing_migrations(&self) -> Result<usize, StoreError> {
        Ok(self.pending_migrations().await?.len())
    }

    /// The migrations that this release knows and the schema lacks, by name.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let there = sqlx::query_scalar::<_, bool>("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&self.pool)
            .await?;
        let done: Vec<i64> = if there {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(&self.pool)
                .await?
        } else {
            Vec::new()
        };
        let pending = MIGRATOR.iter().filter(|migration| !done.contains(&migration.version));
        Ok(pending.map(|migration| format!("{} {}", migration.version, migration.description)).collect())
    }

    /// The newest release of the workers that has run on this database. Raises it to ours if ours is newer.
    pub async fn engine_version(&self) -> Result<i32, StoreError> {
        let version = sqlx::query_scalar!(
            "UPDATE engine_version SET version = greatest(version, $1) WHERE version < $1 RETURNING version",
            ENGINE_VERSION
        )
        .fetch_optional(&self.pool)
        .await?;
        match version {
            Some(version) => Ok(version),
            None => self.newest_engine().await,
        }
    }

    /// The same, changing nothing.
    pub async fn newest_engine(&self) -> Result<i32, StoreError> {
        Ok(sqlx::query_scalar!("SELECT version FROM engine_version").fetch_one(&self.pool).await?)
    }
}
