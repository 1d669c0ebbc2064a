//! The rules that involve several keys. They check the values that were read, even if other keys have problems.

use super::read::Reader;
use super::registration::Registration;
use crate::domain::duration;
use crate::domain::policy::Policy;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Client-Server API, Appendices: user ids must not exceed 255 bytes.
const LONGEST_USER_ID: usize = 255;

/// Checks a configuration, and sets the defaults that depend on other keys.
pub(super) fn check(reader: &mut Reader<'_>, config: &mut Json, registration: Option<&Registration>) {
    listeners(reader, config.get("listen").unwrap_or(&Json::Null));
    unique_names(reader, config, "alertmanagers");
    for (index, one) in items(config, "alertmanagers") {
        if one.get("basic_auth").is_some() && one.get("bearer_token").is_some() {
            reader.note(
                &format!("alertmanagers[{index}].basic_auth"),
                "cannot be combined with bearer_token: give one of them",
            );
        }
    }
    let names = unique_names(reader, config, "room_lists");
    receivers(reader, config, &names);
    if let (Some(prefix), Some(registration)) = (prefix(config), registration) {
        let server_name = config.pointer("/homeserver/server_name").and_then(Json::as_str);
        if let Some(server_name) = server_name {
            virtual_users(reader, &prefix, &names, server_name, registration);
        }
    }
    for (path, target) in config.get("compatibility").and_then(Json::as_object).into_iter().flatten() {
        if let Some(target) = target.as_str().filter(|target| !names.contains(*target)) {
            reader.note(&format!("compatibility.{path}"), format!("there is no room list named `{target}`"));
        }
    }
    let lists = config.get_mut("room_lists").and_then(Json::as_array_mut);
    for (list, index) in lists.into_iter().flatten().zip(0..) {
        let path = format!("room_lists[{index}]");
        webhook_auth(reader, list, &path);
        ack_reminder(reader, list, &path);
        if let (Some(name), None) = (text(list, "name").map(str::to_owned), list.get("display_name")) {
            set(list, "display_name", json!(format!("{name} alerts")));
        }
    }
}

fn items<'a>(config: &'a Json, key: &str) -> impl Iterator<Item = (usize, &'a Json)> {
    config.get(key).and_then(Json::as_array).into_iter().flatten().enumerate()
}

fn text<'a>(table: &'a Json, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Json::as_str)
}

pub(super) fn set(table: &mut Json, key: &str, value: Json) {
    if let Some(table) = table.as_object_mut() {
        table.insert(key.to_owned(), value);
    }
}

/// The prefix of virtual users, if it has no problem.
fn prefix(config: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Given {
        #[serde(default = "super::types::user_prefix")]
        user_prefix: String,
    }
    Given::deserialize(config).ok().map(|given| given.user_prefix)
}

/// The names of a list's items, each once.
fn unique_names(reader: &mut Reader<'_>, config: &Json, key: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, item) in items(config, key) {
        if let Some(name) = text(item, "name")
            && !names.insert(name.to_owned())
        {
            reader.note(&format!("{key}[{index}].name"), format!("names `{name}` a second time"));
        }
    }
    names
}

/// Listeners with the same address must have the same TLS files.
pub(super) fn listeners(reader: &mut Reader<'_>, listen: &Json) {
    let Ok(listen) = super::types::Listen::deserialize(listen) else { return };
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

/// A receiver must select one list. The name of a list is also a receiver, and has precedence.
fn receivers(reader: &mut Reader<'_>, config: &Json, names: &BTreeSet<String>) {
    let mut known = BTreeSet::new();
    for (list_index, list) in items(config, "room_lists") {
        for (index, receiver) in items(list, "receivers") {
            let Some(receiver) = receiver.as_str() else { continue };
            let path = format!("room_lists[{list_index}].receivers[{index}]");
            if names.contains(receiver) && text(list, "name") != Some(receiver) {
                reader.note(&path, format!("`{receiver}` is the name of another room list"));
            } else if known.insert((receiver, list_index))
                && known.range((receiver, 0)..(receiver, list_index)).next().is_some()
            {
                reader.note(&path, format!("names `{receiver}` a second time"));
            }
        }
    }
}

/// A webhook without a token needs `webhook_auth: none`.
fn webhook_auth(reader: &mut Reader<'_>, list: &Json, path: &str) {
    let written = |key: &str| reader.knows(&format!("{path}.{key}"));
    let token = written("webhook_token") || written("webhook_token_file");
    match (text(list, "webhook_auth"), token) {
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

/// The reminder must come before the acknowledgement ends.
fn ack_reminder(reader: &mut Reader<'_>, list: &mut Json, path: &str) {
    let Some(given) = list.get_mut("policy") else { return };
    let time =
        |key: &str| given.get(key).and_then(|value| Option::<Duration>::deserialize(value).ok()).flatten();
    let Some(timeout) = time("ack_timeout") else { return };
    match time("ack_reminder") {
        None if Policy::default().ack_reminder >= timeout => {
            let half = timeout.checked_div(2).unwrap_or_default();
            set(given, "ack_reminder", json!(half));
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
fn virtual_users(
    reader: &mut Reader<'_>,
    prefix: &str,
    names: &BTreeSet<String>,
    server_name: &str,
    registration: &Registration,
) {
    let users = || names.iter().map(|name| format!("{prefix}{name}"));
    let length = |user: &String| "@:".len() + user.len() + server_name.len();
    if let Some(user) = users().find(|user| length(user) > LONGEST_USER_ID) {
        let message = format!("with it, the user id of `{user}` is longer than {LONGEST_USER_ID} bytes");
        reader.note("user_prefix", message);
    }
    if let Some(user) = users().find(|user| *user == registration.sender_localpart) {
        let message =
            format!("with it, a room list's virtual user is the registration's sender_localpart, `{user}`");
        reader.note("user_prefix", message);
    }
    if let Some(user) = users().find(|user| !registration.covers(user, server_name)) {
        let namespaces = match registration.user_namespaces().join(", ") {
            none if none.is_empty() => "there is none with `exclusive: true`".to_owned(),
            namespaces => namespaces,
        };
        let message = format!(
            "with it, `@{user}:{server_name}` lies outside of the registration's exclusive user namespaces ({namespaces})"
        );
        // If the namespaces cover the user on another server, the server name is wrong, not the prefix.
        let elsewhere = registration.covers_elsewhere(&user);
        reader.note(if elsewhere { "homeserver.server_name" } else { "user_prefix" }, message);
    }
}
