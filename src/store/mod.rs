//! The only SQL. One file per table or claim.
//!
//! Lock order everywhere: incident → post → outbox → `room_gate`. A row is locked in a statement of its own and read
//! in later ones: under READ COMMITTED a statement's snapshot is older than the lock it waits for.

pub mod absent_mention;
pub mod alert;
mod alert_state;
mod alert_view;
pub mod alertmanager;
pub mod alias;
pub mod audit;
pub mod claim;
mod columns;
pub mod command_rate;
mod connection;
pub mod copies;
mod delivered;
pub mod digest;
pub mod enqueue;
mod forms;
pub mod holding;
pub mod inbox;
pub mod incident;
pub mod left_room;
pub mod on_call;
pub mod opening;
pub mod overview;
pub mod post;
pub mod reactions;
mod retention;
pub mod room;
pub mod room_list;
pub mod room_move;
pub mod room_name;
pub mod room_trouble;
mod schema;
mod serving;
pub mod settle;
pub mod silence;
pub mod timeline;
pub mod timers;
mod totals;
pub mod unreadable;
pub mod user_trouble;
mod virtual_user;

pub use alert::Reported;
pub use alert_view::IN_A_MESSAGE;
pub use alias::{Strayed, StrayedAlias};
pub use claim::{Claimed, Head};
pub use connection::{Limited, Limits, Tx};
pub use delivered::PageRow;
pub use inbox::{InboxEvent, WaitingEvent, WaitingRoom};
pub use incident::StoredIncident;
pub use overview::Backlog;
pub use post::{About, Target};
pub use room_list::KnownLists;
pub use room_move::{Move, RoomMove};
pub use room_trouble::RoomTrouble;
pub use schema::ENGINE_VERSION;
pub use serving::Busy;
pub use settle::{GateAction, Lease, Sign};
pub use user_trouble::UserTrouble;
pub use virtual_user::VirtualUserRow;

use connection::Connections;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use std::str::FromStr;
use std::time::Duration;

/// Timeout of the extra connection that finds out why the pool cannot connect.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or it rejects the query.
    #[error("the database refuses or does not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema cannot be migrated.
    #[error("the schema cannot be migrated: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Another process holds the lock for migrating.
    #[error("another process has been migrating the schema for minutes")]
    MigrationLocked,
    /// A row holds an invalid value.
    #[error("{table}.{column} of {id} cannot be read: {reason}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's id.
        id: String,
        /// Why the value is invalid.
        reason: String,
    },
    /// The lease expired before its owner settled the message: another worker may own the message now.
    #[error("the lease on {room} was lost")]
    LeaseLost {
        /// The room.
        room: String,
    },
}

impl StoreError {
    /// The SQLSTATE, if the database reported the error.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Database(error) => error.as_database_error()?.code().map(std::borrow::Cow::into_owned),
            Self::Migration(_)
            | Self::MigrationLocked
            | Self::Inconsistent { .. }
            | Self::LeaseLost { .. } => None,
        }
    }

    /// Whether the server did not answer within our limit.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut)
    }

    /// Whether a row was found and cannot be read. The transaction goes on.
    pub fn is_unreadable(&self) -> bool {
        self.is_data_error() && self.sqlstate().is_none()
    }

    /// Whether a row or a value is at fault, so that a retry cannot help and nothing else is affected: a value that does
    /// not fit (SQLSTATE classes 22 and 54), a broken constraint (class 23 except 23503 and 23505, which a concurrent
    /// change may cause), or a row that cannot be read. Everything else, an unreachable database above all, is retried.
    pub fn is_data_error(&self) -> bool {
        match self {
            Self::Inconsistent { .. }
            | Self::Database(
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
                | sqlx::Error::RowNotFound,
            ) => true,
            Self::Database(_) => self.sqlstate().is_some_and(|code| is_final_state(&code)),
            Self::Migration(_) | Self::MigrationLocked | Self::LeaseLost { .. } => false,
        }
    }
}

/// Opens a connection and closes it again. A pool retries until it times out; this fails at once with the cause.
/// Returns the server's version.
pub async fn try_database(url: &SecretString, within: Duration) -> Result<String, StoreError> {
    let options = options(url)?;
    let attempt = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(version)
    };
    match tokio::time::timeout(within, attempt).await {
        Ok(result) => result,
        Err(_elapsed) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Connections,
}

impl Store {
    /// Creates the pool. It connects only when a query needs a connection.
    pub fn new(url: &SecretString, max_connections: u32) -> Result<Self, StoreError> {
        Self::with_limits(url, max_connections, Limits::default())
    }

    /// The same, with other limits on its waits.
    pub fn with_limits(url: &SecretString, max_connections: u32, limits: Limits) -> Result<Self, StoreError> {
        Ok(Self { pool: Connections::new(options(url)?, max_connections, limits) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match sqlx::query("SELECT 1").execute(&self.pool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.cause(error).await.into()),
        }
    }

    /// What the database's clock shows. Only for comparing it with our own: time is a parameter of every other query.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(&self.pool).await?;
        Ok(now.to_jiff())
    }

    /// Whether the database answers within this time; if not, why. Finding out why may take another second.
    pub async fn ping_within(&self, limit: Duration) -> Result<(), StoreError> {
        match tokio::time::timeout(limit, self.ping()).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(self.cause(sqlx::Error::PoolTimedOut).await.into()),
        }
    }

    /// How long the server may take for a statement of a transaction that limits it, before we give up ourselves.
    pub fn server_limit(&self) -> Duration {
        self.pool.limits().statement.mul_f64(0.8)
    }

    /// Begins a database transaction. Dropping it without `commit` rolls it back.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match self.pool.begin().await {
            Ok(tx) => Ok(tx),
            Err(error) => Err(self.cause(error).await.into()),
        }
    }

    /// A pool that cannot connect reports only a timeout. This opens one connection to find the cause.
    async fn cause(&self, error: sqlx::Error) -> sqlx::Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return error;
        }
        let options = self.pool.options();
        match tokio::time::timeout(CAUSE_TIMEOUT, PgConnection::connect_with(&options)).await {
            Ok(Err(cause)) => cause,
            Ok(Ok(_)) | Err(_) => error,
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// How to connect.
fn options(url: &SecretString) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url.expose_secret())?;
    // Poolers refuse a startup parameter that they do not know, and no float is read as text.
    Ok(options.application_name("matrixbot").extra_float_digits(None))
}

/// Whether a statement that failed with this SQLSTATE fails again in the same way.
fn is_final_state(sqlstate: &str) -> bool {
    match sqlstate.get(..2) {
        Some("22" | "54") => true,
        Some("23") => !matches!(sqlstate, "23503" | "23505"),
        _ => false,
    }
}

/// Commits a transaction.
pub async fn commit(tx: Tx) -> Result<(), StoreError> {
    Ok(tx.commit().await?)
}

fn inconsistent(
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
    reason: impl std::fmt::Display,
) -> StoreError {
    StoreError::Inconsistent { table, column, id: id.to_string(), reason: reason.to_string() }
}

fn to_u32(
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
    value: i32,
) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|error| inconsistent(table, column, id, error))
}

fn to_i32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{StoreError, inconsistent, is_final_state};

    #[test]
    fn a_value_that_does_not_fit_is_final_and_an_unreachable_database_is_not() {
        for state in ["22001", "22021", "22P05", "54000", "23502", "23514", "23P01"] {
            assert!(is_final_state(state), "{state}");
        }
        for state in
            ["23503", "23505", "40001", "40P01", "53300", "55P03", "57014", "57P01", "08006", "42P01", ""]
        {
            assert!(!is_final_state(state), "{state}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_final_and_a_pool_that_waits_is_not() {
        assert!(inconsistent("incident", "phase", 1, "unknown").is_data_error());
        assert!(StoreError::from(sqlx::Error::Decode("not JSON".into())).is_data_error());
        assert!(StoreError::from(sqlx::Error::RowNotFound).is_data_error());
        assert!(!StoreError::from(sqlx::Error::PoolTimedOut).is_data_error());
        assert!(!StoreError::from(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())).is_data_error());
        assert!(!StoreError::LeaseLost { room: "!ops".to_owned() }.is_data_error());
    }
}
