//! Connections on which no statement waits for longer than its limit.
//!
//! A server that has a statement and never answers (a frozen process, a cut network, a pooler without a free connection)
//! would hold its caller for ever, and the pool's place with it: the pool itself waits for an answer when it takes a
//! connection back. Here a statement that is late fails, and its connection is closed, never used again. The same happens
//! if the caller drops a statement that is running. No limit is set on the server: a `SET` would outlive the transaction
//! behind a pooler.

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use futures_util::{FutureExt as _, TryFutureExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo,
};
use sqlx::{
    Connection as _, Describe, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
};
use sqlx_core::transaction::TransactionManager as _;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Begins a transaction, in one round trip. Postgres compiles statements that it expects to be long, such as one about
/// the 6 500 alerts of a large webhook, which takes it longer (0.3 s, Postgres 15) than to run them.
const BEGIN: &str = "BEGIN; SET LOCAL jit = off";

/// How long to wait for the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection from the pool.
    pub connection: Duration,
    /// For a statement.
    pub statement: Duration,
    /// For all statements of a transaction together.
    pub transaction: Duration,
    /// For a connection that nobody uses to show that its server still answers.
    pub idle: Duration,
    /// For another process that migrates the schema.
    pub migration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            transaction: Duration::from_secs(30),
            idle: Duration::from_secs(1),
            migration: Duration::from_mins(5),
        }
    }
}

/// The pool of connections. As an executor it runs one statement on one of them.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    limits: Limits,
}

impl Connections {
    /// Prepares to connect.
    pub(super) fn new(options: PgConnectOptions, most: u32, limits: Limits) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(limits.connection)
            // Instead of sqlx's own tests, which wait for ever.
            .test_before_acquire(false)
            .before_acquire(move |connection, _| {
                // A connection that is dead is replaced; that is no news.
                Box::pin(answers(connection, limits.idle).map(|answered| Ok(answered.is_ok())))
            })
            .after_release(move |connection, _| Box::pin(answers(connection, limits.idle)))
            .connect_lazy_with(options);
        Self { pool, limits }
    }

    /// How to connect to the same database without the pool.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    /// How long to wait.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// A connection of the pool.
    pub(super) async fn acquire(&self) -> Result<Limited, Error> {
        let connection = self.pool.acquire().await?;
        Ok(Limited { connection, statement: self.limits.statement, until: None, in_flight: false })
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Tx, Error> {
        let mut connection = self.acquire().await?;
        connection.until = Some(Instant::now() + self.limits.transaction);
        let mut tx = Tx { connection, open: true };
        let begin = || Some(SqlStr::from_static(BEGIN));
        tx.connection
            .limited(|connection| Box::pin(PgTransactionManager::begin(connection, begin())))
            .await?;
        Ok(tx)
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection of the pool.
pub struct Limited {
    connection: PoolConnection<Postgres>,
    statement: Duration,
    /// When the last statement must have ended.
    until: Option<Instant>,
    /// Whether the server may still answer a statement that nobody waits for any more.
    in_flight: bool,
}

impl fmt::Debug for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl Limited {
    /// How long the next statement may take.
    fn limit(&self) -> Duration {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        left.map_or(self.statement, |left| left.min(self.statement))
    }

    /// Does something that ends with an answer of the server.
    async fn limited<T>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut PgConnection) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.limit();
        self.in_flight = true;
        let done = tokio::time::timeout(limit, work(&mut self.connection)).await;
        let done = done.unwrap_or_else(|_elapsed| Err(late(limit)));
        self.in_flight = done.as_ref().is_err_and(breaks);
        done
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if self.in_flight {
            self.connection.close_on_drop();
        }
    }
}

/// A database transaction. Dropped without `commit`, nothing of it happened.
#[derive(Debug)]
pub struct Tx {
    connection: Limited,
    open: bool,
}

impl Tx {
    /// Commits.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.connection.limited(|connection| Box::pin(PgTransactionManager::commit(connection))).await?;
        self.open = false;
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Limited;

    fn deref(&self) -> &Limited {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Limited {
        &mut self.connection
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // A connection with a statement in flight is closed, which rolls back as well.
        if self.open && !self.connection.in_flight {
            // Sent when the pool takes the connection back.
            PgTransactionManager::start_rollback(&mut self.connection.connection);
        }
    }
}

type Rows<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>;

/// The rows of a statement, as long as they come in time.
struct InTime<'e> {
    rows: Rows<'e>,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    in_flight: &'e mut bool,
}

impl Stream for InTime<'_> {
    type Item = Result<Either<PgQueryResult, PgRow>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.rows.poll_next_unpin(context);
        match &polled {
            Poll::Ready(None) => *self.in_flight = false,
            Poll::Ready(Some(Err(error))) => *self.in_flight = breaks(error),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Pending => {
                if self.deadline.poll_unpin(context).is_ready() {
                    return Poll::Ready(Some(Err(late(self.limit))));
                }
            }
        }
        polled
    }
}

impl<'c> Executor<'c> for &'c mut Limited {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let limit = self.limit();
        self.in_flight = true;
        Box::pin(InTime {
            rows: self.connection.fetch_many(query),
            limit,
            deadline: Box::pin(tokio::time::sleep(limit)),
            in_flight: &mut self.in_flight,
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut first = None;
            let mut rows = self.fetch_many(query);
            while let Some(step) = rows.try_next().await? {
                if let Either::Right(row) = step {
                    first.get_or_insert(row);
                }
            }
            Ok(first)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        let limit = self.limit();
        self.in_flight = true;
        Box::pin(async move {
            let prepared = tokio::time::timeout(limit, self.connection.prepare_with(sql, parameters)).await;
            let prepared = prepared.unwrap_or_else(|_elapsed| Err(late(limit)));
            self.in_flight = prepared.as_ref().is_err_and(breaks);
            prepared
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        // Only sqlx's macros call it, at compile time, on connections of their own.
        self.connection.describe(sql)
    }
}

impl<'c> Executor<'c> for &'c Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut connection = self.acquire().await?;
            let rows: Vec<_> = connection.fetch_many(query).try_collect().await?;
            Ok(stream::iter(rows.into_iter().map(Ok)))
        };
        Box::pin(rows.try_flatten_stream())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move { self.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}

/// Whether the server still answers on this connection, after everything that it was sent before.
async fn answers(connection: &mut PgConnection, limit: Duration) -> Result<bool, Error> {
    tokio::time::timeout(limit, connection.ping()).await.map_err(|_elapsed| late(limit))??;
    Ok(true)
}

/// The server did not answer in time.
fn late(limit: Duration) -> Error {
    let why = format!("no answer within {} s", limit.as_secs_f32());
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
}

/// Whether the connection is of no use after this error. Only an answer of the server leaves it in a known state.
fn breaks(error: &Error) -> bool {
    !matches!(error, Error::Database(_) | Error::RowNotFound)
}
