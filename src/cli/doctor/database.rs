//! The database: whether it answers, whether its schema fits, and whether the clocks agree.

use super::report::Report;
use crate::cli::DATABASE_TIMEOUT;
use crate::clock::{ComparedClock, SystemClock};
use crate::config::Config;
use crate::store::{ENGINE_VERSION, Store, StoreError, try_database};
use crate::timers::difference;
use std::sync::Arc;

/// Checks the database. Returns it if it is usable.
pub(super) async fn examine(report: &mut Report, config: &Config) -> Option<Store> {
    match try_database(&config.database.url, DATABASE_TIMEOUT).await {
        Ok(version) => report.ok("database", None, format!("PostgreSQL {version} answers")),
        Err(error) => {
            report.failed("database", None, error.to_string(), remedy(&error));
            report.skipped("schema", None, "skipped: the database is unusable");
            return None;
        }
    }
    let store = Store::new(&config.database.url, 2).ok()?;
    match schema(report, config, &store).await {
        Ok(true) => {
            clock(report, &store).await;
            return Some(store);
        }
        Ok(false) => {}
        Err(error) => {
            let remedy = match error.sqlstate().as_deref() {
                Some("26000" | "42P05") => remedy(&error),
                _ => "Make the user of `database.url` the owner of the database's schema and tables.",
            };
            report.failed("schema", None, error.to_string(), remedy);
        }
    }
    store.close().await;
    None
}

/// Whether the schema is usable as it is.
async fn schema(report: &mut Report, config: &Config, store: &Store) -> Result<bool, StoreError> {
    let pending = store.pending_migrations().await?;
    if !pending.is_empty() {
        let detail = format!("pending: {}", pending.join(", "));
        if config.database.migrate {
            let remedy = "Run `matrixbot migrate`; otherwise `matrixbot run` does it at its start.";
            report.warning("schema", None, detail, remedy);
        } else {
            report.failed("schema", None, detail, "Run `matrixbot migrate`.");
        }
        return Ok(false);
    }
    let newest = store.newest_engine().await?;
    if newest > ENGINE_VERSION {
        let detail = format!("a newer release has run here (engine {newest}; this one is {ENGINE_VERSION})");
        report.failed("schema", None, detail, "Use the newer release; this one refuses to start.");
        return Ok(false);
    }
    report.ok("schema", None, "up to date");
    Ok(true)
}

/// Whether this machine's clock agrees with the database's.
async fn clock(report: &mut Report, store: &Store) {
    let clock = ComparedClock::new(Arc::new(SystemClock));
    let before = clock.read();
    match store.clock().await {
        Ok(database) => {
            let ahead = clock.compare(before, database);
            let detail = format!("{} the database's", difference(ahead));
            if clock.is_right() {
                report.ok("clock", None, detail);
            } else {
                let remedy = "Synchronise the clocks of both machines: while they differ, this machine's process pauses.";
                report.failed("clock", None, detail, remedy);
            }
        }
        Err(error) => report.failed("clock", None, error.to_string(), remedy(&error)),
    }
}

fn remedy(error: &StoreError) -> &'static str {
    match error.sqlstate().as_deref() {
        Some("26000" | "42P05") => {
            "Behind PgBouncer 1.21 to 1.23 in transaction mode, set its `max_prepared_statements` to 200. An older PgBouncer \
             works only in session mode, or connect to PostgreSQL directly."
        }
        Some("28P01" | "28000") => {
            "Correct user and password in `database.url`, or allow the user in pg_hba.conf. If the error says `Peer`, run \
             this as the user in `database.url`, for example with `runuser -u matrixbot -- matrixbot …`."
        }
        Some("3D000") => {
            "Create the database of `database.url`, for example with `createdb --owner=matrixbot matrixbot`."
        }
        Some("53300") => {
            "Raise the server's max_connections above the sum of `database.max_connections` of all replicas."
        }
        Some(_) => "See the server's log: it refuses the connection.",
        None => untrusted(&error.to_string())
            .unwrap_or("Start PostgreSQL, or correct host, port and TLS in `database.url`."),
    }
}

/// What to do about a certificate of the server that is not trusted, by the error's text.
fn untrusted(error: &str) -> Option<&'static str> {
    [
        (
            "CaUsedAsEndEntity",
            "The server's own certificate is a CA's (self-signed), which sslmode=verify-full and verify-ca refuse. Sign \
             another certificate for the server with it, or make the self-signed one with `basicConstraints=CA:FALSE`; \
             `sslrootcert` names the CA, or the latter.",
        ),
        (
            "UnknownIssuer",
            "Set `sslrootcert` in `database.url` to the certificate of the CA that signed the server's certificate.",
        ),
        (
            "not valid for name",
            "Use a host name of the server's certificate in `database.url`, or sslmode=verify-ca, which ignores the name.",
        ),
        ("Expired", "Renew the server's certificate."),
    ]
    .into_iter()
    .find_map(|(text, remedy)| error.contains(text).then_some(remedy))
}

#[cfg(test)]
mod tests {
    use super::untrusted;

    #[test]
    fn a_certificate_that_is_not_trusted_has_its_own_remedy() {
        for (error, remedy) in [
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "CA:FALSE"),
            ("invalid peer certificate: UnknownIssuer", "sslrootcert"),
            ("invalid peer certificate: certificate not valid for name \"localhost\"", "verify-ca"),
        ] {
            assert!(untrusted(error).is_some_and(|found| found.contains(remedy)), "{error}");
        }
        assert_eq!(untrusted("Connection refused (os error 111)"), None);
    }
}
