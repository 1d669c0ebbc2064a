//! The schema: runs the migrations, and compares the schema with this release.

use super::{Store, StoreError};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use std::sync::LazyLock;

/// The embedded migrations. The database may have more of them, from a newer release: each migration also works with
/// the previous release.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
});

/// The version of the workers. A release raises it if older workers must not run at the same time.
pub const ENGINE_VERSION: i32 = 1;

impl Store {
    /// Runs the missing migrations. Several processes may call this at once: they migrate one after the other.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = sqlx::PgConnection::connect_with(&self.pool.options()).await?;
        Ok(MIGRATOR.run(&mut connection).await?)
    }

    /// How many of this release's migrations the schema lacks.
    pub async fn missing_migrations(&self) -> Result<usize, StoreError> {
        Ok(self.pending_migrations().await?.len())
    }

    /// The migrations of this release that the schema lacks, by name.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let has_table = sqlx::query_scalar::<_, bool>("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
            .fetch_one(&self.pool)
            .await?;
        let applied: Vec<i64> = if has_table {
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(&self.pool)
                .await?
        } else {
            Vec::new()
        };
        let pending = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version));
        Ok(pending.map(|migration| format!("{} {}", migration.version, migration.description)).collect())
    }

    /// Returns the highest [`ENGINE_VERSION`] that has run on this database, after raising it to ours if ours is
    /// higher.
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

    /// Returns the highest [`ENGINE_VERSION`] that has run on this database, without changing it.
    pub async fn newest_engine(&self) -> Result<i32, StoreError> {
        Ok(sqlx::query_scalar!("SELECT version FROM engine_version").fetch_one(&self.pool).await?)
    }
}
