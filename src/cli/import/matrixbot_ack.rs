//! matrixbot-ack's configuration.
//!
//! It posts at `/webhook-ack` and goes from one of `rooms` to the next after `escalation_window` seconds. The first
//! releases have the window at the top, the last ones have adapters with levels.

use super::old::{Old, OldList, number, room, text};
use crate::domain::duration;
use serde_yaml::Value;
use std::time::Duration;

/// Its minimum and default.
const SHORTEST: u64 = 60;

pub(super) fn parse(root: &Value) -> Result<Old, String> {
    let matrix = root.get("matrix").or_else(|| adapter(root, "matrix"));
    let Some(matrix) = matrix else {
        return Err("there is no key `matrix`; is this a configuration of matrixbot-ack?".to_owned());
    };
    let settings = matrix.get("config").unwrap_or(matrix);
    let mut old = Old { homeserver: settings.get("homeserver").and_then(text), ..Old::default() };
    if let Some(address) = root.get("listener").and_then(text) {
        old.listen_at(address);
    }
    let escalates = escalates(root, matrix);
    let mut rooms = rooms(root, matrix, settings);
    if !escalates && rooms.len() > 1 {
        old.left.push("rooms, except the first: escalation is off, so they received nothing".to_owned());
        rooms.truncate(1);
    }
    let window = duration::format(Duration::from_secs(window(root).unwrap_or(SHORTEST).max(SHORTEST)));
    let username = settings.get("username").and_then(text);
    let ids: Vec<String> = username.into_iter().chain(rooms.iter().flatten().cloned()).collect();
    old.guess_server_name(ids.iter().map(String::as_str));
    old.lists.push(OldList {
        name: "alerts".to_owned(),
        path: Some("/webhook-ack".to_owned()),
        rooms,
        escalate_after: escalates.then(|| window.clone()),
        remind_every: escalates.then_some(window),
        current_level_acks: escalates,
        token: None,
    });
    old.left.extend(left(root, settings));
    Ok(old)
}

/// What is not imported.
fn left(root: &Value, settings: &Value) -> Vec<String> {
    let mut left = Vec::new();
    left.push("the account (username, password, device): the room list posts as a virtual user".to_owned());
    if root.get("database").is_some_and(|database| !database.is_null()) || root.get("db_path").is_some() {
        left.push("the database with its pending alerts: finish them before the change".to_owned());
    }
    if settings.get("db_path").is_some() {
        let encrypted = "encrypted rooms: matrixbot cannot read messages there; acknowledge with reactions, or use \
                         rooms without encryption";
        left.push(encrypted.to_owned());
    }
    for (name, other) in [("pager_duty", "PagerDuty"), ("pagerduty", "PagerDuty"), ("email", "mail")] {
        if adapter(root, name).is_some_and(is_enabled) {
            left.push(format!(
                "the adapter {name}: matrixbot supports only Matrix; let Alertmanager call {other} directly"
            ));
        }
    }
    for (key, instead) in [("users", "mention"), ("roles", "permissions.users")] {
        if root.get(key).is_some() {
            left.push(format!("{key}: if you still need it, name the people in a room list's `{instead}`"));
        }
    }
    left
}

/// An adapter of the last releases: in a table, or in a list with its name.
fn adapter<'v>(root: &'v Value, name: &str) -> Option<&'v Value> {
    match root.get("adapter")? {
        Value::Sequence(adapters) => {
            adapters.iter().find(|adapter| adapter.get("name").and_then(Value::as_str) == Some(name))
        }
        adapters => adapters.get(name),
    }
}

fn is_enabled(adapter: &Value) -> bool {
    adapter.get("enabled").and_then(Value::as_bool) != Some(false)
}

fn escalates(root: &Value, matrix: &Value) -> bool {
    let enabled =
        |value: Option<&Value>| value.and_then(|value| value.get("enabled")).and_then(Value::as_bool);
    // Each adapter has its own setting.
    enabled(matrix.get("escalation"))
        .or_else(|| enabled(root.get("escalation")))
        .unwrap_or_else(|| window(root).is_some())
}

/// How many seconds a room had.
fn window(root: &Value) -> Option<u64> {
    let escalation = root.get("escalation");
    let nested = escalation.and_then(|escalation| escalation.get("config"));
    [escalation.and_then(|e| e.get("window")), escalation.and_then(|e| e.get("escalation_window"))]
        .into_iter()
        .chain([nested.and_then(|n| n.get("escalation_window")), root.get("escalation_window")])
        .flatten()
        .find_map(number)
}

/// Its rooms in order. Some releases misspell the key.
fn rooms(root: &Value, matrix: &Value, settings: &Value) -> Vec<Option<String>> {
    let places = [root.get("rooms"), matrix.get("levels")];
    let further = ["levels", "escalation_levels", "ecalation_levels"].map(|key| settings.get(key));
    let rooms = places.into_iter().chain(further).flatten().find_map(Value::as_sequence);
    let rooms: Vec<_> = rooms.into_iter().flatten().map(|value| text(value).and_then(room)).collect();
    if rooms.is_empty() { vec![None] } else { rooms }
}
