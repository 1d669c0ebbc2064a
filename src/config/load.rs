//! From `config.yaml` to `Config`, or to everything that is wrong with it.

use super::decode::{Item, Outside, Source};
use super::outline::{Form, Outline};
use super::problem::Problem;
use super::table::{Names, Table};
use super::types::{Config, Listen, Registration};
use super::{registration, room_list, sections};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

static USER_PREFIX: Form = Form::new(
    "localpart",
    "^[a-z0-9._=/+-]+$",
    "may hold only what a Matrix user id may: a-z, 0-9 and `._=-/+`",
);

/// Client-Server API, Appendices: user ids must not exceed 255 bytes.
const LONGEST_USER_ID: usize = 255;

/// Reads and checks the configuration, with the files it names.
pub fn load(path: &Path, outside: Outside<'_>) -> Result<Config, Vec<Problem>> {
    let source = Source::new(path, Some(outside));
    let root = source.read();
    let config = root.as_ref().and_then(|node| config(&Item { source: &source, node, path: String::new() }));
    match (config, source.finish()) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) if !problems.is_empty() => Err(problems),
        _ => {
            let message = "cannot be used, for a reason that was not noted".to_owned();
            let file = path.to_owned();
            Err(vec![Problem { file, line: 0, column: 0, key: String::new(), message }])
        }
    }
}

/// Reads only where a configuration listens. What else is in it does not matter: a program that runs is asked how it
/// is although its file was changed, and is wrong, since.
pub fn load_listen(path: &Path, outside: Outside<'_>) -> Result<Listen, Vec<Problem>> {
    let source = Source::new(path, Some(outside));
    let root = source.read();
    let listen = root.as_ref().and_then(|node| {
        let item = Item { source: &source, node, path: String::new() };
        item.table()?.key("listen", "Where we listen.").section(sections::listen)
    });
    match (listen, source.finish()) {
        (Some(listen), problems) if problems.is_empty() => Ok(listen),
        (_, problems) => Err(problems),
    }
}

/// Everything that a configuration may hold.
pub(super) fn outline() -> Outline {
    Source::outline_of(config)
}

fn config(item: &Item<'_>) -> Option<Config> {
    let mut table = item.table()?;
    let homeserver = table.key("homeserver", "The homeserver of the rooms.").required(sections::homeserver);
    let mut registration_file = PathBuf::new();
    let registration = table
        .key(
            "registration",
            "The file that `matrixbot registration` writes; the homeserver reads the same one. The tokens, the \
             namespace of the virtual users and our own silent account come from it.",
        )
        .shown("registration.yaml")
        .required(|item| {
            let (path, _) = item.file()?;
            registration_file.clone_from(&path);
            item.source.holds_secret(Some(&path));
            registration::read_registration(&path).map_err(|problems| item.source.adopt(problems)).ok()
        });
    let user_prefix = table
        .key(
            "user_prefix",
            "What the localparts of the virtual users begin with: the room list `finance` speaks as \
             `@_alerts_finance:example.org`. Must lie inside the registration's exclusive user namespace.",
        )
        .or("_alerts_".to_owned(), |item| item.formed(&USER_PREFIX));
    let database = table.key("database", "The PostgreSQL database.").required(sections::database);
    let listen = table
        .key(
            "listen",
            "Where we listen: `ADDRESS:PORT`, or `{address: ADDRESS:PORT, tls: {certificate: FILE, key: FILE}}`. Two \
             may share an address, and then need the same `tls`.",
        )
        .section(sections::listen);
    let names = Names::default();
    let alertmanagers = table
        .key(
            "alertmanagers",
            "The Alertmanagers whose own API may be used. `matrixbot doctor` asks each of them and compares its routes \
             with `stale_after`; nothing else does.",
        )
        .maybe(|item| item.list(|item| sections::alertmanager(item, &names)));
    let (names, receivers) = (Names::default(), Names::default());
    let room_lists = table
        .key("room_lists", "At least one. A room list is a ladder of rooms with a virtual user of its own.")
        .required(|item| {
            let all = room_list::names(item);
            item.filled_list("must hold at least one room list", |item| {
                room_list::room_list(item, &names, &receivers, &all)
            })
        });
    let names = names.into_inner();
    if let (Some(registration), Some(homeserver)) = (&registration, &homeserver) {
        check_virtual_users(&table, &user_prefix, &names, homeserver.server_name.as_str(), registration);
    }
    let compatibility = table
        .key(
            "compatibility",
            "The predecessors' webhook paths, each with the room list it belongs to: `/webhook-ack`, \
             `/skill/<name>/webhook`, `/skill/<name>/webhook-ack`. No other one is served. docs/MIGRATION.md says more.",
        )
        .shown(
            "/webhook-ack: finance\n/skill/eventmanager-ack/webhook-ack: finance\n\
             /skill/eventmanager/webhook: finance\n/skill/alertmanager/webhook: finance",
        )
        .maybe(|item| sections::compatibility(item, &names));
    let retention =
        table.key("retention", "How long history is kept, or `none`: for ever.").section(sections::retention);
    table.finish();
    let registration = registration?;
    Some(Config {
        homeserver: homeserver?,
        warnings: registration::warnings(&registration, &registration_file),
        registration,
        user_prefix,
        database: database?,
        listen: listen?,
        alertmanagers: alertmanagers.unwrap_or_default(),
        room_lists: room_lists?,
        compatibility: compatibility.unwrap_or_default(),
        retention: retention?,
        secret_files: item.source.secret_files(),
    })
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
    let length = |user: &String| "@:".len() + user.len() + server_name.len();
    if let Some(user) = users.clone().find(|user| length(user) > LONGEST_USER_ID) {
        let message = format!("with it, the user id of `{user}` is longer than {LONGEST_USER_ID} bytes");
        table.wrong::<()>("user_prefix", message);
    }
    if let Some(user) = users.clone().find(|user| *user == registration.sender_localpart) {
        let message =
            format!("with it, a room list has the registration's sender_localpart, `{user}`, as its user");
        table.wrong::<()>("user_prefix", message);
    }
    let mut outside = users.filter(|user| !registration::covers(registration, user, server_name));
    if let Some(user) = outside.next() {
        let namespaces = match registration.user_namespaces.join(", ") {
            none if none.is_empty() => "there is none with `exclusive: true`".to_owned(),
            namespaces => namespaces,
        };
        let message = format!(
            "with it, `@{user}:{server_name}` lies outside of the registration's exclusive user namespaces ({namespaces})"
        );
        // A server's name stands at its own place, unless the prefix is another one as well.
        let elsewhere = registration::covers_elsewhere(registration, &user);
        table.wrong::<()>(if elsewhere { "homeserver.server_name" } else { "user_prefix" }, message);
    }
}
