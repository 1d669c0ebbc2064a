//! Writes an old configuration in the new format. Missing values are references to the environment, so `matrixbot check`
//! names them, and operators can set or replace them.

use super::old::{Old, OldList, is_reference};
use crate::cli::registration::scalar;

/// The registration's file.
const REGISTRATION: &str = "registration.yaml";

/// The configuration.
pub(super) fn config(old: &Old, from: &str) -> String {
    let guessed = if old.server_name.is_some() { " Guessed from the old file's ids: check it." } else { "" };
    let mut text = format!(
        "\
# Written by `matrixbot import --from {from}`. Set each remaining `${{…}}` in the environment, or replace it here;
# `matrixbot check` lists missing values. docs/CONFIGURATION.md has every other key with its default.

homeserver:
  # The address of the homeserver's Client-Server API.
  url: {}
  # The part after the colon in your user ids.{guessed}
  server_name: {}

# Created by `matrixbot registration`; the homeserver needs the same file.
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
        let comment = "As before, for Alertmanager's URLs. Use another port while both run on one machine.";
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
        text += &["\n# Alertmanager's existing URLs.\ncompatibility:\n", &lines.concat()].concat();
    }
    text
}

fn room_list(list: &OldList) -> String {
    let name = scalar(&list.name);
    let token = value(list.token.as_deref(), &token_name(list));
    let mut text = format!(
        "  - name: {name}
    # Alertmanager sends it: `http_config: {{authorization: {{credentials: …}}}}`. With `webhook_auth: none` instead,
    # anyone who can reach the webhook may call it.
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
        text += "    # Rooms notified when nobody acknowledged.\n    fallback_rooms: []\n";
        text += "    # The last room was reminded without end; matrixbot reminds it max_reminders times.\n";
        text += &["    remind_every: ", time, "\n    max_reminders: 3\n"].concat();
    } else {
        text += "    # This skill only posted alerts, without reminders.\n    remind_every: none\n";
    }
    if list.current_level_acks {
        text += "    # As before: after an escalation, earlier rooms can no longer acknowledge.\n";
        text += "    ack_scope: current_level\n";
    }
    text
}

/// The missing values with their meaning.
pub(super) fn missing(old: &Old) -> Vec<String> {
    let mut missing = vec![
        format!(
            "{REGISTRATION}: `matrixbot registration` writes it; the homeserver's operator must add it there"
        ),
        "${MATRIXBOT_DATABASE_URL}: the PostgreSQL database".to_owned(),
    ];
    if old.homeserver.is_none() {
        missing.push("${MATRIXBOT_HOMESERVER_URL}: the homeserver's URL".to_owned());
    }
    if old.server_name.is_none() {
        missing.push("${MATRIXBOT_SERVER_NAME}: the part after the colon in your user ids".to_owned());
    }
    for list in &old.lists {
        if list.token.is_none() {
            let what = format!("Alertmanager's token for the room list {}", list.name);
            missing.push(format!("${{{}}}: {what}; any long random text", token_name(list)));
        }
        for (room, level) in list.rooms.iter().zip(1..) {
            match room {
                None => missing.push(format!("${{{}}}: the room of level {level}", room_name(list, level))),
                Some(room) if is_reference(room) => {
                    missing.push(format!("{room}: as set for the predecessor"));
                }
                Some(_) => {}
            }
        }
    }
    missing
}

fn token_name(list: &OldList) -> String {
    format!("MATRIXBOT_{}_WEBHOOK_TOKEN", upper(&list.name))
}

fn room_name(list: &OldList, level: usize) -> String {
    format!("MATRIXBOT_{}_ROOM_{level}", upper(&list.name))
}

/// A name as a part of an environment variable's.
fn upper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn value(given: Option<&str>, name: &str) -> String {
    given.map_or_else(|| reference(name), scalar)
}

fn reference(name: &str) -> String {
    format!("${{{name}}}")
}
