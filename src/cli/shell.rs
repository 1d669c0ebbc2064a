//! Shared by the commands that act on incidents as a person does, beside a running process or without one. A running
//! process finds their messages in the outbox within a second.

use crate::clock::{ComparedClock, SystemClock};
use crate::config::Config;
use crate::engine::{CurrentLists, Engine, Wakers};
use crate::store::Store;
use crate::telemetry::Metrics;
use anyhow::Context as _;
use ruma::{OwnedUserId, ServerName, UserId};
use std::sync::Arc;

/// An engine on the configured database, and the room lists of that database.
pub(super) struct Shell {
    pub(super) engine: Engine,
    pub(super) store: Store,
    /// The names of all room lists in the database, inactive ones included.
    pub(super) room_lists: Vec<String>,
}

impl Shell {
    /// Opens the database. The room lists come from the database, not from the configuration.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let store = Store::new(&config.database.url, 2).context("the database's URL is invalid")?;
        crate::store::try_database(&config.database.url, super::DATABASE_TIMEOUT)
            .await
            .context("this command needs the database; `matrixbot doctor` says how to fix it")?;
        let missing = store.missing_migrations().await.context("cannot read the schema's version")?;
        anyhow::ensure!(missing == 0, "{missing} migrations are missing: run `matrixbot migrate`");
        let known = store.room_lists().await?;
        let metrics = Arc::new(Metrics::new()?);
        // What is stored must have the time that the processes share.
        let clock = Arc::new(ComparedClock::new(Arc::new(SystemClock)));
        let before = clock.read();
        let database = store.clock().await?;
        clock.compare(before, database);
        let lists = CurrentLists::new(known.active);
        let engine = Engine::new(store.clone(), clock, metrics, lists, Wakers::default());
        Ok(Self { engine, store, room_lists: known.names })
    }
}

/// The default user: the user of this shell at this machine. No Matrix user has this id, because a machine's name
/// without its domain is not a homeserver's name.
pub(super) fn user(homeserver: &ServerName) -> OwnedUserId {
    let login = std::env::var("SUDO_USER").ok().or_else(|| whoami::username().ok()).unwrap_or_default();
    let machine = whoami::hostname().unwrap_or_default();
    let machine = machine.split('.').next().unwrap_or_default();
    user_at(&login, machine, homeserver)
}

fn user_at(login: &str, machine: &str, homeserver: &ServerName) -> OwnedUserId {
    let fit = |text: &str, allowed: &str| -> String {
        let text = text.to_ascii_lowercase();
        text.chars().filter(|c| c.is_ascii_alphanumeric() || allowed.contains(*c)).collect()
    };
    let (login, mut machine) = (fit(login, "._=-"), fit(machine, "-"));
    if machine.is_empty() || machine == homeserver.as_str() {
        "shell".clone_into(&mut machine);
    }
    let login = if login.is_empty() { "shell" } else { login.as_str() };
    UserId::parse(format!("@{login}:{machine}")).unwrap_or_else(|_| ruma::user_id!("@shell:shell").to_owned())
}

#[cfg(test)]
mod tests {
    use super::user_at;
    use ruma::server_name;

    #[test]
    fn the_user_of_the_shell_is_no_user_of_the_homeserver() {
        let server = server_name!("example.org");
        for (login, machine, expected) in [
            ("root", "db-1", "@root:db-1"),
            ("Jürgen Müller", "Web_1", "@jrgenmller:web1"),
            ("", "", "@shell:shell"),
        ] {
            assert_eq!(user_at(login, machine, server), expected);
        }
        assert_eq!(user_at("root", "localhost", server_name!("localhost")), "@root:shell");
    }
}
