//! What the database says afterwards.

use sqlx::{Connection as _, PgConnection};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A connection for looking.
#[derive(Debug)]
pub(crate) struct Database {
    runtime: Runtime,
    connection: PgConnection,
}

impl Database {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(PgConnection::connect(url))?;
        Ok(Self { runtime, connection })
    }

    /// Runs a query with this connection.
    pub(crate) fn run<T>(
        &mut self,
        query: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> anyhow::Result<T> {
        Ok(self.runtime.block_on(query(&mut self.connection))?)
    }

    /// Runs something else on the same runtime.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Runs statements.
    pub(crate) fn execute(&mut self, statements: &str) -> anyhow::Result<()> {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        self.run(async |connection| sqlx::raw_sql(statements).execute(connection).await).map(|_| ())
    }

    /// Waits until nothing is left to send.
    pub(crate) fn wait_until_sent(&mut self) -> anyhow::Result<()> {
        loop {
            let left: i64 = self.run(async |connection| {
                sqlx::query_scalar("SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')")
                    .fetch_one(connection)
                    .await
            })?;
            if left == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// When each group's page was known to be in its room, in seconds since 1970.
    pub(crate) fn sent(&mut self, prefix: &str) -> anyhow::Result<Sent> {
        let pattern = format!("%\"{prefix}%");
        let pages = self.run(async |connection| {
            sqlx::query_as(
                "SELECT group_labels ->> 'alertname', extract(epoch FROM settled_at)::float8
                 FROM outbox JOIN incident ON incident.id = outbox.incident
                 WHERE kind = 'page' AND state = 'sent' AND group_key LIKE $1",
            )
            .bind(&pattern)
            .fetch_all(connection)
            .await
        })?;
        Ok(Sent { pages })
    }
}

/// What was sent about some groups.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) pages: Vec<(String, f64)>,
}
