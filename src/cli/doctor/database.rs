//! The database: whether it answers, and whether its schema is ours.

use super::report::Report;
use crate::cli::DATABASE_TIMEOUT;
use crate::config::Config;
use crate::store::{ENGINE_VERSION, Store, StoreError, try_database};

/// Looks at the database. Returns it if it can be used.
pub(super) async fn examine(report: &mut Report, config: &Config) -> Option<Store> {
    match try_database(&config.database.url, DATABASE_TIMEOUT).await {
        Ok(version) => report.ok("database", None, format!("PostgreSQL {version} answers")),
        Err(error) => {
            report.failed("database", None, error.to_string(), remedy(&error));
            report.skipped("schema", None, "not tried: the database cannot be used");
            return None;
        }
    }
    let store = Store::new(&config.database.url, 2).ok()?;
    match schema(report, config, &store).await {
        Ok(true) => return Some(store),
        Ok(false) => {}
        Err(error) => {
            let remedy = "Let the user of `database.url` own the database's schema and tables.";
            report.failed("schema", None, error.to_string(), remedy);
        }
    }
    store.close().await;
    None
}

/// Whether the schema can be used as it is.
async fn schema(report: &mut Report, config: &Config, store: &Store) -> Result<bool, StoreError> {
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        let detail = format!("pending: {}", pending.join(", "));
        if config.database.migrate {
            let remedy = "Run `matrixbot migrate`, or let `matrixbot run` do it at its start.";
            report.warning("schema", None, detail, remedy);
        } else {
            report.failed("schema", None, detail, "Run `matrixbot migrate`.");
        }
        return Ok(false);
    }
    let newest = store.newest_engine().await?;
    if newest > ENGINE_VERSION {
        let detail = format!("a newer release has run here (engine {newest}, ours is {ENGINE_VERSION})");
        report.failed("schema", None, detail, "Use the newer release: this one refuses to start.");
        return Ok(false);
    }
    report.ok("schema", None, "up to date");
    Ok(true)
}

fn remedy(error: &StoreError) -> &'static str {
    match error.sqlstate().as_deref() {
        Some("28P01" | "28000") => {
            "Give `database.url` the right user and password, or let the user in by pg_hba.conf. If it says `Peer`, run \
             this as the user that `database.url` names, such as by `runuser -u matrixbot -- matrixbot …`."
        }
        Some("3D000") => {
            "Create the database that `database.url` names, such as by `createdb --owner=matrixbot matrixbot`."
        }
        Some("53300") => {
            "Raise the server's max_connections above the sum of `database.max_connections` of all replicas."
        }
        Some(_) => "See the server's log; it refuses the connection.",
        None => "Start PostgreSQL, or correct host, port and TLS in `database.url`.",
    }
}
