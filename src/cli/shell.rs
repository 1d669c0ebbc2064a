//! Shared by the commands that act on incidents as a person does, beside a running process or without one. A running
//! process finds their messages in the outbox within a second.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::domain::lists::{ListSettings, Lists};
use crate::engine::Engine;
use crate::store::{KnownRoomList, Store};
use crate::telemetry::Metrics;
use anyhow::Context as _;
use ruma::{OwnedUserId, ServerName, UserId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An engine on the database of a configuration, with the room lists that the database has: those in the file change
/// nothing.
pub(super) async fn engine(config: &Config) -> anyhow::Result<(Engine, Vec<KnownRoomList>)> {
    let store = Store::new(&config.database.url, 2).context("the database's URL is invalid")?;
    crate::store::try_database(&config.database.url, super::DATABASE_TIMEOUT)
        .await
        .context("this command needs the database; `matrixbot doctor` says how to fix it")?;
    let missing = store.missing_migrations().await.context("cannot read the schema's version")?;
    anyhow::ensure!(missing == 0, "{missing} migrations are missing: run `matrixbot migrate`");
    let known = store.room_lists().await?;
    let lists = known.iter().filter(|list| list.active).map(settings).collect::<anyhow::Result<Vec<_>>>()?;
    let metrics = Arc::new(Metrics::new()?);
    Ok((Engine::new(store, Arc::new(SystemClock), metrics, Lists::new(lists)), known))
}

fn settings(list: &KnownRoomList) -> anyhow::Result<ListSettings> {
    Ok(ListSettings {
        name: list.name.clone(),
        user_id: UserId::parse(&list.user_id)
            .with_context(|| format!("the virtual user of {}: {}", list.name, list.user_id))?,
        display_name: list.name.clone(),
        avatar: None,
        version: list.version,
        policy: Arc::new(list.policy.clone()),
        ack_reactions: Vec::new(),
        place_reaction: false,
        templates: BTreeMap::new(),
    })
}

/// The default user: the user of this shell, at this machine. A machine's name without its domain is not a homeserver's
/// name, so no Matrix user has this id.
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
