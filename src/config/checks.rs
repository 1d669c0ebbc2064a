//! Rules between keys. They run on what could be read, even if other values have problems.

use super::read::Reader;
use super::registration::Registration;
use super::schedules;
use super::types::{Listen, user_prefix};
use crate::domain::duration;
use crate::domain::policy::Policy;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Client-Server API, Appendices: user ids must not exceed 255 bytes.
const LONGEST_USER_ID: usize = 255;
/// The most peers of an Alertmanager.
const MOST_PEERS: usize = 16;

/// Tokens of examples, in lower case.
const PLACEHOLDERS: [&str; 5] = ["replace-me", "replace_me", "replaceme", "change-me", "changeme"];
/// Alertmanager looks at a group every `group_interval`, 5 minutes by default, and cannot repeat it more often.
/// Localparts that no namespace of ours has.
const STRANGERS: [&str; 3] = ["alice", "q7", "root.admin-9"];
const SHORTEST_SILENCE: Duration = Duration::from_mins(10);

/// Checks a configuration, and completes the defaults that depend on other keys.
pub(super) fn check(reader: &mut Reader<'_>, config: &mut Json) {
    listeners(reader, config);
    open_admin(reader, config);
    unique_names(reader, config, "alertmanagers");
    for (index, one) in items(&config["alertmanagers"]) {
        peers(reader, one, &format!("alertmanagers[{index}]"));
        if one.get("basic_auth").is_some() && one.get("bearer_token").is_some() {
            let path = format!("alertmanagers[{index}].basic_auth");
            reader.note(&path, "cannot be combined with bearer_token: give one of them");
        }
    }
    let names = unique_names(reader, config, "room_lists");
    receivers(reader, config, &names);
    virtual_users(reader, config, &names);
    shared_aliases(reader, config);
    let schedules = unique_names(reader, config, "on_call");
    schedules::check(reader, config, &schedules);
    for (path, target) in config["compatibility"].as_object().into_iter().flatten() {
        if let Some(target) = target.as_str().filter(|target| !names.contains(*target)) {
            reader.note(&format!("compatibility.{path}"), format!("there is no room list named `{target}`"));
        }
    }
    webhook_tokens(reader, config);
    let lists = config.get_mut("room_lists").and_then(Json::as_array_mut);
    for (list, index) in lists.into_iter().flatten().zip(0..) {
        let path = format!("room_lists[{index}]");
        webhook_auth(reader, list, &path);
        templates(reader, list, &path);
        doubtful(reader, list, &path);
        ack_reminder(reader, list, &path);
        start_levels(reader, list, &path);
        if let (Some(name), None) = (list["name"].as_str(), list.get("display_name")) {
            list["display_name"] = json!(format!("{name} alerts"));
        }
    }
}

pub(super) fn items(list: &Json) -> impl Iterator<Item = (usize, &Json)> {
    list.as_array().into_iter().flatten().enumerate()
}

/// The names of a list's items, each once.
fn unique_names(reader: &mut Reader<'_>, config: &Json, key: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, item) in items(&config[key]) {
        if let Some(name) = item["name"].as_str()
            && !names.insert(name.to_owned())
        {
            reader.note(&format!("{key}[{index}].name"), format!("names `{name}` a second time"));
        }
    }
    names
}

/// Listeners with the same address must have the same TLS files.
pub(super) fn listeners(reader: &mut Reader<'_>, config: &Json) {
    let Ok(listen) = Listen::deserialize(&config["listen"]) else { return };
    let all = [("appservice", &listen.appservice), ("webhook", &listen.webhook), ("admin", &listen.admin)];
    for (index, (key, one)) in all.iter().enumerate() {
        for (other_key, other) in all.iter().take(index) {
            if one.address == other.address && one.address.port() != 0 && one.tls != other.tls {
                let message = format!("shares its address with {other_key}, so both need the same tls");
                reader.note(&format!("listen.{key}"), message);
            }
        }
    }
}

/// The webhook's listener is for other machines, and the admin listener for nobody else's.
fn open_admin(reader: &mut Reader<'_>, config: &Json) {
    let Ok(Listen { webhook, admin, .. }) = Listen::deserialize(&config["listen"]) else { return };
    let (one, other) = (webhook.address, admin.address);
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    if one.port() == other.port() && one.port() != 0 && overlap {
        let message = "shares its port with webhook, so that everybody who may post alerts could read the metrics: \
                       use another port";
        reader.warn("listen.admin", message);
    }
}

/// A receiver must select one list. The name of a list is also a receiver, and has precedence.
fn receivers(reader: &mut Reader<'_>, config: &Json, names: &BTreeSet<String>) {
    let mut lists = BTreeMap::new();
    for (list_index, list) in items(&config["room_lists"]) {
        for (index, receiver) in items(&list["receivers"]) {
            let Some(receiver) = receiver.as_str() else { continue };
            let path = format!("room_lists[{list_index}].receivers[{index}]");
            if names.contains(receiver) && list["name"] != receiver {
                reader.note(&path, format!("`{receiver}` is the name of another room list"));
            } else if *lists.entry(receiver).or_insert(list_index) != list_index {
                reader.note(&path, format!("names `{receiver}` a second time"));
            }
        }
    }
}

/// An alias leads to one room for all its lists, so they must agree on whether it is followed.
fn shared_aliases(reader: &mut Reader<'_>, config: &Json) {
    let mut known: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (index, list) in items(&config["room_lists"]) {
        let name = list["name"].as_str().unwrap_or_default();
        let value = list["follow_aliases"].as_str().unwrap_or("when_member");
        let levels = items(&list["levels"]).flat_map(|(_, level)| items(&level["rooms"]));
        let rooms = levels.chain(items(&list["fallback_rooms"])).filter_map(|(_, room)| room.as_str());
        let aliases = rooms.filter(|room| room.starts_with('#'));
        let clash = aliases
            .map(|alias| (alias, *known.entry(alias).or_insert((name, value))))
            .find(|(_, (_, other))| *other != value);
        if let Some((alias, (first, other))) = clash {
            let message = format!(
                "{value} differs from {other} of the room list `{first}`, which also has {alias}: use the same value"
            );
            reader.note(&format!("room_lists[{index}].follow_aliases"), message);
        }
    }
}

/// An Alertmanager has either a `url` or `urls`, each once.
fn peers(reader: &mut Reader<'_>, one: &Json, path: &str) {
    let given = |key: &str| reader.places.contains_key(&format!("{path}.{key}"));
    match (given("url"), given("urls")) {
        (true, true) => {
            reader.note(&format!("{path}.urls"), "cannot be combined with url: give one of them");
        }
        (false, false) => reader.note(&format!("{path}.url"), "is missing, and so is urls"),
        (true, false) | (false, true) => {}
    }
    let mut known = BTreeSet::new();
    for (index, url) in items(&one["urls"]) {
        if index >= MOST_PEERS {
            reader.note(&format!("{path}.urls"), format!("has more than {MOST_PEERS} URLs"));
            return;
        }
        if let Some(url) = url.as_str().filter(|url| !known.insert(*url)) {
            reader.note(&format!("{path}.urls[{index}]"), format!("names `{url}` a second time"));
        }
    }
}

/// A webhook without a token needs `webhook_auth: none`.
fn webhook_auth(reader: &mut Reader<'_>, list: &Json, path: &str) {
    let given = |key: &str| reader.places.contains_key(&format!("{path}.{key}"));
    let token = given("webhook_token") || given("webhook_token_file");
    match (list["webhook_auth"].as_str(), token) {
        (Some("none"), true) => reader.note(
            &format!("{path}.webhook_auth"),
            "none cannot be combined with a webhook_token: give one of them",
        ),
        (Some("none"), false) | (_, true) => {}
        (_, false) => reader.note(
            &format!("{path}.webhook_token"),
            "is missing, and so is webhook_token_file; a webhook without a token needs `webhook_auth: none`",
        ),
    }
}

/// Tokens from examples, and tokens that several lists have.
fn webhook_tokens(reader: &mut Reader<'_>, config: &Json) {
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, list) in items(&config["room_lists"]) {
        let (Some(token), Some(name)) = (list["webhook_token"].as_str(), list["name"].as_str()) else {
            continue;
        };
        let path = format!("room_lists[{index}].webhook_token");
        if PLACEHOLDERS.contains(&token.to_ascii_lowercase().as_str()) {
            let message = "is a placeholder, which is public: use a random token, such as one of `openssl rand -hex 32`";
            reader.warn(&path, message);
        } else if let Some(other) = known.insert(token, name) {
            reader.warn(
                &path,
                format!("is also the token of `{other}`: its holder can post to both room lists"),
            );
        }
    }
}

/// What a list may leave out or set, but hardly on purpose.
fn doubtful(reader: &mut Reader<'_>, list: &Json, path: &str) {
    if list["fallback_rooms"].as_array().is_none_or(Vec::is_empty) {
        let message =
            "is missing: if nobody acknowledges on any level, or no room can be reached, nobody is notified";
        reader.warn(&format!("{path}.fallback_rooms"), message);
    }
    let stale_after = Option::<Duration>::deserialize(&list["stale_after"]).ok().flatten();
    if let Some(stale_after) = stale_after.filter(|stale_after| *stale_after < SHORTEST_SILENCE) {
        let message = format!(
            "{} is short: Alertmanager repeats what is firing after repeat_interval (4h by default), and matrixbot resolves \
             what is not repeated for so long",
            duration::format(stale_after)
        );
        reader.warn(&format!("{path}.stale_after"), message);
    }
}

/// A template must render as the message that its key names.
fn templates(reader: &mut Reader<'_>, list: &Json, path: &str) {
    let Some(outside) = reader.outside else { return };
    for (name, text) in list["templates"].as_object().into_iter().flatten() {
        if let Err(problem) = (outside.template)(name, text.as_str().unwrap_or_default()) {
            reader.note(&format!("{path}.templates.{name}"), problem);
        }
    }
}

/// A severity must start on a level that there is.
fn start_levels(reader: &mut Reader<'_>, list: &Json, path: &str) {
    let levels = list["levels"].as_array().map_or(0, Vec::len);
    for (name, rule) in list["severities"].as_object().into_iter().flatten() {
        let start = rule["start_level"].as_u64().and_then(|level| usize::try_from(level).ok());
        if let Some(start) = start.filter(|start| levels > 0 && *start > levels) {
            let message = format!("{start} is no level of this room list: it has {levels}");
            reader.note(&format!("{path}.severities.{name}.start_level"), message);
        }
    }
}

/// The reminder must come before the acknowledgement ends.
fn ack_reminder(reader: &mut Reader<'_>, list: &mut Json, path: &str) {
    let time = |key: &str| Option::<Duration>::deserialize(&list[key]).ok().flatten();
    let Some(timeout) = time("ack_timeout") else { return };
    match time("ack_reminder") {
        None if Policy::default().ack_reminder >= timeout => {
            list["ack_reminder"] = json!(timeout.checked_div(2).unwrap_or_default());
        }
        Some(reminder) if reminder >= timeout => {
            let (reminder, timeout) = (duration::format(reminder), duration::format(timeout));
            let message = format!(
                "{reminder} is not shorter than the ack_timeout of {timeout}: nobody would be reminded"
            );
            reader.note(&format!("{path}.ack_reminder"), message);
        }
        None | Some(_) => {}
    }
}

/// Each virtual user must be in an exclusive namespace, and must not be matrixbot's own account.
fn virtual_users(reader: &mut Reader<'_>, config: &Json, names: &BTreeSet<String>) {
    let Ok(registration) = Registration::deserialize(&config["registration"]) else { return };
    let Some(server_name) = config["homeserver"].get("server_name").and_then(Json::as_str) else { return };
    let prefix = config["user_prefix"].as_str().map_or_else(user_prefix, str::to_owned);
    let users = || names.iter().map(|name| format!("{prefix}{name}"));
    let longest = LONGEST_USER_ID.saturating_sub("@:".len() + prefix.len() + server_name.len());
    for (index, list) in items(&config["room_lists"]) {
        if list["name"].as_str().is_some_and(|name| name.len() > longest) {
            let message = format!(
                "is too long: at most {longest} characters, because the user id of its virtual user, with user_prefix and \
                 server_name, may not be longer than {LONGEST_USER_ID} bytes"
            );
            reader.note(&format!("room_lists[{index}].name"), message);
        }
    }
    if let Some(user) = users().find(|user| *user == registration.sender_localpart) {
        let message =
            format!("with it, a room list's virtual user is the registration's sender_localpart, `{user}`");
        reader.note("user_prefix", message);
    }
    for stranger in STRANGERS.iter().filter(|stranger| !stranger.starts_with(&prefix)) {
        if registration.covers(stranger, server_name) {
            let message = format!(
                "claims other people's accounts, such as `@{stranger}:{server_name}`: use `@{prefix}.*:{server_name}`"
            );
            return reader.note("registration", format!("a namespace of its users {message}"));
        }
    }
    if let Some(user) = users().find(|user| !registration.covers(user, server_name)) {
        let namespaces = match registration.user_namespaces().join(", ") {
            none if none.is_empty() => "there is none with `exclusive: true`".to_owned(),
            namespaces => namespaces,
        };
        let message = format!(
            "with it, `@{user}:{server_name}` lies outside of the registration's exclusive user namespaces ({namespaces})"
        );
        // The server name is the mistake, unless the prefix is another one, too.
        let elsewhere = registration.covers_elsewhere(&user);
        reader.note(if elsewhere { "homeserver.server_name" } else { "user_prefix" }, message);
    }
}
