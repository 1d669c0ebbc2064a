//! The schema: runs the migrations, and compares the schema with this release.

use super::{Store, StoreError};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How often to try for the lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(500);
/// How long the migrations may take.
const MIGRATION_LIMIT: Duration = Duration::from_hours(1);

/// The embedded migrations. The database may have more of them, from a newer release: each migration also works with
/// the previous release.
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    // A lock of the session stays with a pooled connection.
    migrator.set_locking(false);
    migrator
});

/// The version of the workers. A release raises it if older workers must not run at the same time.
pub const ENGINE_VERSION: i32 = 1;

impl Store {
    /// Runs the missing migrations in one transaction. Several processes may call this at once: one migrates, and the
    /// others wait for it, for [`Limits::migration`](super::Limits) at most. Nothing outlives the transaction, so it works
    /// through a pooler.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let limits = self.pool.limits();
        let begun = Instant::now();
        let options = self.pool.options();
        let connecting = PgConnection::connect_with(&options);
        let mut connection = within(limits.connection, connecting).await?;
        let mut is_logged = false;
        // Without a lock: behind a pooler, one that another process left behind would stop every start.
        while !self.pending_migrations().await?.is_empty() {
            let mut tx = within(limits.statement, connection.begin()).await?;
            if within(limits.statement, try_lock(&mut tx)).await? {
                within(MIGRATION_LIMIT, MIGRATOR.run_direct(None, &mut *tx, false)).await?;
                tx.commit().await?;
                break;
            }
            within(limits.statement, tx.rollback()).await?;
            if begun.elapsed() > limits.migration {
                return Err(StoreError::MigrationLocked);
            }
            if !is_logged {
                is_logged = true;
                tracing::warn!("waiting for another process that migrates the schema");
            }
            tokio::time::sleep(LOCK_POLL.min(limits.migration)).await;
        }
        Ok(connection.close().await?)
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

/// Locks the schema against other processes that migrate, until the transaction ends. Returns whether it is locked.
async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let lock = "SELECT pg_try_advisory_xact_lock(hashtext('matrixbot migrate'))";
    sqlx::query_scalar(lock).fetch_one(connection).await
}

/// Does something that ends with an answer of the server, if it comes in time.
async fn within<T, E: Into<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_elapsed) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}
