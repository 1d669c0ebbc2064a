//! From `config.yaml` to `Config`, or to everything that is wrong with it.

use super::decode::{Item, Outside, Source};
use super::problem::Problem;
use super::table::{Names, Table};
use super::types::{Config, Registration};
use super::{registration, room_list, sections};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Reads and checks the configuration, with the files it names.
pub fn load(path: &Path, outside: Outside<'_>) -> Result<Config, Vec<Problem>> {
    load_with_keys(path, outside).0
}

/// Besides, every key that a configuration may have, as far as this one reaches them.
pub(super) fn load_with_keys(
    path: &Path,
    outside: Outside<'_>,
) -> (Result<Config, Vec<Problem>>, BTreeSet<String>) {
    let source = Source::new(path, Some(outside));
    let root = source.read();
    let config = root.as_ref().and_then(|node| config(&Item { source: &source, node, path: String::new() }));
    let (mut problems, keys) = source.finish();
    let result = match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            if problems.is_empty() {
                let message = "cannot be used, for a reason that was not noted".to_owned();
                problems.push(Problem {
                    file: path.to_owned(),
                    line: 0,
                    column: 0,
                    key: String::new(),
                    message,
                });
            }
            Err(problems)
        }
    };
    (result, keys)
}

fn config(item: &Item<'_>) -> Option<Config> {
    let mut table = item.table()?;
    let homeserver = table.required("homeserver", sections::homeserver);
    let registration = table.required("registration", |item| {
        let (path, _) = item.file()?;
        registration::read_registration(&path).map_err(|problems| item.source.adopt(problems)).ok()
    });
    let user_prefix = table.optional("user_prefix", "_alerts_".to_owned(), user_prefix);
    let database = table.required("database", sections::database);
    let listen = table.section("listen", sections::listen);
    let names = Names::default();
    let alertmanagers = table
        .optional("alertmanagers", Vec::new(), |item| item.list(|item| sections::alertmanager(item, &names)));
    let (names, receivers) = (Names::default(), Names::default());
    let room_lists = table.required("room_lists", |item| {
        // A room list that is wrong counts all the same: that there is none would be no help.
        let room_lists = item.list(|item| Some(room_list::room_list(item, &names, &receivers)))?;
        if room_lists.is_empty() {
            return item.wrong("must hold at least one room list");
        }
        room_lists.into_iter().collect::<Option<Vec<_>>>()
    });
    let names = names.into_inner();
    if let (Some(registration), Some(homeserver)) = (&registration, &homeserver) {
        check_virtual_users(&table, &user_prefix, &names, homeserver.server_name.as_str(), registration);
    }
    let compatibility =
        table.optional("compatibility", BTreeMap::new(), |item| sections::compatibility(item, &names));
    let retention = table.section("retention", sections::retention);
    table.finish();
    Some(Config {
        homeserver: homeserver?,
        registration: registration?,
        user_prefix,
        database: database?,
        listen: listen?,
        alertmanagers,
        room_lists: room_lists?,
        compatibility,
        retention: retention?,
    })
}

fn user_prefix(item: &Item<'_>) -> Option<String> {
    let prefix = item.text()?;
    if prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c)) {
        return Some(prefix);
    }
    item.wrong(format!("may hold only what a Matrix user id may: a-z, 0-9 and `._=-/+`, unlike `{prefix}`"))
}

/// Each room list's user must be ours alone, and not our own silent account.
fn check_virtual_users(
    table: &Table<'_>,
    prefix: &str,
    names: &BTreeSet<String>,
    server_name: &str,
    registration: &Registration,
) {
    let users = names.iter().map(|name| format!("{prefix}{name}"));
    if let Some(user) = users.clone().find(|user| *user == registration.sender_localpart) {
        let message =
            format!("with it, a room list has the registration's sender_localpart, `{user}`, as its user");
        table.wrong::<()>("user_prefix", message);
    }
    let outside = users.map(|user| format!("@{user}:{server_name}"));
    if let Some(user) = outside.into_iter().find(|user| !registration::covers(registration, user)) {
        let namespaces = registration.user_namespaces.join(", ");
        let message = format!(
            "with it, `{user}` lies outside of the registration's exclusive user namespaces ({namespaces})"
        );
        table.wrong::<()>("user_prefix", message);
    }
}
