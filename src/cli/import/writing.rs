//! An old configuration as one of ours. What is missing is a reference to the environment, so that `matrixbot check`
//! names it, and it can be set there or written in its place.

use super::old::{Old, OldList, is_reference};
use crate::cli::registration::scalar;

/// Where the registration is said to be.
const REGISTRATION: &str = "registration.yaml";

/// The configuration.
pub(super) fn config(old: &Old, from: &str) -> String {
    let guessed =
        if old.server_name.is_some() { " Guessed from the old file's ids: is it right?" } else { "" };
    let mut text = format!(
        "\
# Written by `matrixbot import --from {from}`. Set what is still `${{…}}` in the environment, or write it here
# instead; `matrixbot check` names what is missing. Every further key with its default: docs/CONFIGURATION.md.

homeserver:
  # Where we call the homeserver's Client-Server API.
  url: {}
  # The part after the colon in your user ids.{guessed}
  server_name: {}

# Made by `matrixbot registration`, and given to the homeserver, too.
registration: {REGISTRATION}

database:
  # PostgreSQL, such as postgres://matrixbot@localhost/matrixbot.
  url: {}
",
        value(old.homeserver.as_deref(), "MATRIXBOT_HOMESERVER_URL"),
        value(old.server_name.as_ref().map(|name| name.as_str()), "MATRIXBOT_SERVER_NAME"),
        reference("MATRIXBOT_DATABASE_URL"),
    );
    if let Some(address) = &old.webhook {
        let comment =
            "As before, for the sake of Alertmanager's URLs. Another port, while both run on one machine.";
        text += &["\nlisten:\n  # ", comment, "\n  webhook: ", &scalar(address), "\n"].concat();
    }
    text += "\nroom_lists:\n";
    for list in &old.lists {
        text += &room_list(list);
    }
    let paths = old.lists.iter().filter_map(|list| Some((list.path.as_deref()?, list.name.as_str())));
    let lines: Vec<String> =
        paths.map(|(path, name)| format!("  {}: {}\n", scalar(path), scalar(name))).collect();
    if !lines.is_empty() {
        text += &["\n# Alertmanager's URLs, as they are.\ncompatibility:\n", &lines.concat()].concat();
    }
    text
}

fn room_list(list: &OldList) -> String {
    let name = scalar(&list.name);
    let token = value(list.token.as_deref(), &token_name(list));
    let mut text = format!(
        "  - name: {name}
    # Alertmanager sends it: `http_config: {{authorization: {{credentials: …}}}}`. With `webhook_auth: none` instead of
    # it, anybody may call the webhook who can reach it.
    webhook_token: {token}
    levels:
"
    );
    for (room, level) in list.rooms.iter().zip(1..) {
        let room = room.clone().unwrap_or_else(|| reference(&room_name(list, level)));
        text += &["      - rooms: [", &serde_json::json!(room).to_string(), "]\n"].concat();
        if let Some(time) = &list.escalate_after {
            text += &["        escalate_after: ", time, "\n"].concat();
        }
    }
    if let Some(time) = &list.remind_every {
        text += "    # Where else it is told that nobody answered.\n    fallback_rooms: []\n";
        text += "    # The last room was reminded for ever; here it is max_reminders times.\n";
        text += &["    remind_every: ", time, "\n    max_reminders: 3\n"].concat();
    } else {
        text += "    # It only told; nobody was reminded.\n    remind_every: none\n";
    }
    if list.current_level_acks {
        text +=
            "    # As before: once it has gone to the next room, the rooms before can no longer take it.\n";
        text += "    ack_scope: current_level\n";
    }
    text
}

/// What is missing, each with what it is.
pub(super) fn missing(old: &Old) -> Vec<String> {
    let mut missing = vec![
        format!(
            "{REGISTRATION}: `matrixbot registration` writes it; whoever runs the homeserver must add it there"
        ),
        "${MATRIXBOT_DATABASE_URL}: the PostgreSQL database".to_owned(),
    ];
    if old.homeserver.is_none() {
        missing.push("${MATRIXBOT_HOMESERVER_URL}: where the homeserver is".to_owned());
    }
    if old.server_name.is_none() {
        missing.push("${MATRIXBOT_SERVER_NAME}: the part after the colon in your user ids".to_owned());
    }
    for list in &old.lists {
        if list.token.is_none() {
            let what = format!("what Alertmanager shows to the room list {}", list.name);
            missing.push(format!("${{{}}}: {what}; any long random text", token_name(list)));
        }
        for (room, level) in list.rooms.iter().zip(1..) {
            match room {
                None => missing.push(format!("${{{}}}: the room of level {level}", room_name(list, level))),
                Some(room) if is_reference(room) => missing.push(format!("{room}: as for the predecessor")),
                Some(_) => {}
            }
        }
    }
    missing
}

fn token_name(list: &OldList) -> String {
    format!("MATRIXBOT_{}_WEBHOOK_TOKEN", shouted(&list.name))
}

fn room_name(list: &OldList, level: usize) -> String {
    format!("MATRIXBOT_{}_ROOM_{level}", shouted(&list.name))
}

/// A name as a part of an environment variable's.
fn shouted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn value(given: Option<&str>, name: &str) -> String {
    given.map_or_else(|| reference(name), scalar)
}

fn reference(name: &str) -> String {
    format!("${{{name}}}")
}
