//! opsdroid's configuration.yaml with the skills eventmanager, eventmanager-ack and alertmanager.
//!
//! A skill posts to the room `main` of the Matrix connector; eventmanager-ack, after `escalation_threshold` hours
//! without an acknowledgement, to the first of `escalation_rooms`, and so on. Its webhook is at
//! `/skill/<name of the skill>/webhook`, or `…/webhook-ack`.

use super::old::{Old, OldList, list_name, room, text};
use crate::domain::webhook::PREDECESSORS_PATHS;
use regex::Regex;
use serde_yaml::Value;

/// The default of its chart, in hours.
const THRESHOLD: u64 = 3;
/// A month: the longest plausible threshold.
const MOST_MINUTES: f64 = 43_200.0;
/// opsdroid's default address: all.
const ANYWHERE: &str = "0.0.0.0";
/// opsdroid's default port.
const PORT: &str = "8080";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SkillKind {
    Escalating,
    PostsOnly,
}

pub(super) fn parse(root: &Value) -> Result<Old, String> {
    let connectors = modules(root.get("connectors"));
    let Some((_, matrix)) = connectors.iter().find(|(name, _)| name == "matrix") else {
        return Err(
            "there is no connector named matrix; is this a configuration.yaml of opsdroid?".to_owned()
        );
    };
    let mut old = Old {
        homeserver: matrix
            .get("homeserver")
            .and_then(value)
            .or_else(|| Some("https://matrix.org".to_owned())),
        ..Old::default()
    };
    old.listen_at(address(root.get("web")));
    let token = root.get("web").and_then(|web| web.get("webhook-token")).and_then(value);
    for (name, skill) in modules(root.get("skills")) {
        match kind(&name, &skill) {
            Some(kind) => {
                let mut list = list(&name, kind, &skill, matrix, &mut old.left);
                list.token.clone_from(&token);
                if old.lists.iter().any(|other| other.name == list.name) {
                    list.name = format!("{}-{}", list.name, old.lists.len());
                }
                old.lists.push(list);
            }
            None => old.left.push(format!("the skill {name}: it does not handle alerts")),
        }
    }
    if old.lists.is_empty() {
        return Err("none of its skills is eventmanager, eventmanager-ack or alertmanager".to_owned());
    }
    let mxid = matrix.get("mxid").and_then(value);
    let rooms = old.lists.iter().flat_map(|list| list.rooms.iter().flatten().cloned()).collect::<Vec<_>>();
    old.guess_server_name(mxid.iter().chain(&rooms).map(String::as_str));
    let left = left(root, matrix, &connectors, &old.lists);
    old.left.extend(left);
    Ok(old)
}

/// What is not imported, independent of the skills.
fn left(root: &Value, matrix: &Value, connectors: &[(String, Value)], lists: &[OldList]) -> Vec<String> {
    let mut left = Vec::new();
    left.push(
        "the account (mxid, password, access_token): each room list posts as a virtual user".to_owned(),
    );
    if matrix.get("enable_encryption").and_then(Value::as_bool) == Some(true) {
        let encrypted = "enable_encryption: matrixbot cannot read messages in encrypted rooms; acknowledge with \
                         reactions there, or use rooms without encryption";
        left.push(encrypted.to_owned());
    }
    if root.get("databases").is_some() {
        left.push("databases with their pending alerts: finish them before the change".to_owned());
    }
    if root.get("web").is_some_and(|web| web.get("ssl").is_some()) {
        left.push("web.ssl: set its files in listen.webhook.tls".to_owned());
    }
    left.extend(unused_rooms(matrix, lists));
    let others = connectors.iter().filter(|(name, _)| name != "matrix");
    left.extend(others.map(|(name, _)| format!("the connector {name}: matrixbot supports only Matrix")));
    left
}

/// The rooms of the connector that no alert skill posts to, although opsdroid joined them.
fn unused_rooms(matrix: &Value, lists: &[OldList]) -> Vec<String> {
    let is_used =
        |room: &String| lists.iter().any(|list| list.rooms.iter().flatten().any(|used| used == room));
    let rooms = matrix.get("rooms").and_then(Value::as_mapping).into_iter().flatten();
    let unused = rooms.filter_map(|(name, _)| {
        let name = text(name)?;
        match named_room(matrix, &name) {
            Some(room) if is_used(&room) => None,
            Some(room) => Some((name, format!(" ({room})"))),
            None => Some((name, String::new())),
        }
    });
    let line = |(name, room)| format!("the room {name} of the connector{room}: no alert skill posts there");
    unused.map(line).collect()
}

/// A value, which may come from the environment: `$NAME` alone.
fn value(value: &Value) -> Option<String> {
    let written = text(value)?;
    let name = written.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    Some(if written.starts_with('$') && is_name { format!("${{{name}}}") } else { written })
}

/// Connectors or skills with their names: a table, or, before opsdroid 0.17, a list.
fn modules(value: Option<&Value>) -> Vec<(String, Value)> {
    match value {
        Some(Value::Mapping(modules)) => {
            modules.iter().filter_map(|(name, module)| Some((text(name)?, module.clone()))).collect()
        }
        Some(Value::Sequence(modules)) => {
            let named = |module: &Value| match module {
                Value::String(name) => Some((name.clone(), Value::Null)),
                module => Some((text(module.get("name")?)?, module.clone())),
            };
            modules.iter().filter_map(named).collect()
        }
        _ => Vec::new(),
    }
}

/// What a skill does, by the path of its code or else by its name.
fn kind(name: &str, skill: &Value) -> Option<SkillKind> {
    let code = skill.get("path").or_else(|| skill.get("repo")).and_then(text).unwrap_or_default();
    let letters =
        |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    [letters(&code), letters(name)].iter().find_map(|text| {
        if text.contains("eventmanagerack") {
            Some(SkillKind::Escalating)
        } else if text.contains("eventmanager") || text.contains("alertmanager") {
            Some(SkillKind::PostsOnly)
        } else {
            None
        }
    })
}

fn list(name: &str, kind: SkillKind, skill: &Value, matrix: &Value, left: &mut Vec<String>) -> OldList {
    let mut rooms = vec![named_room(matrix, "main")];
    let webhook = if kind == SkillKind::Escalating { "webhook-ack" } else { "webhook" };
    let path = format!("/skill/{name}/{webhook}");
    let can_stay = Regex::new(PREDECESSORS_PATHS).is_ok_and(|paths| paths.is_match(&path));
    if !can_stay {
        left.push(format!("the path {path}: change Alertmanager's URL to /webhook/{}", list_name(name)));
    }
    let mut list = OldList {
        name: list_name(name),
        path: can_stay.then_some(path),
        rooms: Vec::new(),
        escalate_after: None,
        remind_every: None,
        current_level_acks: false,
        token: None,
    };
    if kind == SkillKind::Escalating {
        list.escalate_after = Some(threshold(name, skill, left));
        list.remind_every = Some("1h".to_owned());
        rooms.extend(escalation_rooms(skill).iter().map(|target| target_room(matrix, target)));
        left.push(format!(
            "the hourly reminders of the skill {name} within a level's time: matrixbot pages a level once, and reminds \
             only unanswered incidents (remind_every, max_reminders)"
        ));
    } else if skill.get("escalation_rooms").is_some() {
        left.push(format!("escalation_rooms of the skill {name}: this skill never escalated"));
    }
    list.rooms = rooms;
    list
}

/// The time of a level. Hours may be a fraction; an invalid value is listed.
fn threshold(name: &str, skill: &Value, left: &mut Vec<String>) -> String {
    let set = skill.get("escalation_threshold");
    let minutes =
        set.and_then(text).and_then(|hours| hours.trim().parse::<f64>().ok()).map(|hours| hours * 60.0);
    match minutes {
        Some(minutes) if (1.0..=MOST_MINUTES).contains(&minutes) => {
            let minutes = format!("{minutes:.0}");
            match minutes.parse::<u32>() {
                Ok(minutes) if minutes % 60 == 0 => format!("{}h", minutes / 60),
                _ => format!("{minutes}m"),
            }
        }
        _ => {
            if set.is_some() {
                left.push(format!(
                    "escalation_threshold of the skill {name}: not a valid number of hours; {THRESHOLD}h is used instead"
                ));
            }
            format!("{THRESHOLD}h")
        }
    }
}

fn escalation_rooms(skill: &Value) -> Vec<Value> {
    match skill.get("escalation_rooms") {
        Some(Value::Sequence(rooms)) => rooms.clone(),
        Some(Value::Mapping(rooms)) => rooms.values().cloned().collect(),
        Some(room @ Value::String(_)) => vec![room.clone()],
        _ => skill.get("escalation_room").cloned().into_iter().collect(),
    }
}

/// A room as a skill names it: an id, an alias, one of the connector's names, or a name with its room.
fn target_room(matrix: &Value, target: &Value) -> Option<String> {
    match target {
        Value::Mapping(named) => named.values().next().and_then(value).and_then(room),
        target => {
            let target = value(target)?;
            named_room(matrix, &target).or_else(|| room(target))
        }
    }
}

/// A room of the connector: an id or alias, or a table with one.
fn named_room(matrix: &Value, name: &str) -> Option<String> {
    let entry = matrix.get("rooms")?.get(name)?;
    entry.get("alias").or(Some(entry)).and_then(value).and_then(room)
}

/// opsdroid's listener.
fn address(web: Option<&Value>) -> String {
    let given = |key: &str| web.and_then(|web| web.get(key)).and_then(value);
    let host = given("host").unwrap_or_else(|| ANYWHERE.to_owned());
    let host = if host.matches(':').count() > 1 { format!("[{host}]") } else { host };
    let port = given("port").unwrap_or_else(|| PORT.to_owned());
    format!("{host}:{port}")
}
