//! The parts of an old configuration that are imported.

use ruma::{OwnedRoomOrAliasId, OwnedServerName};
use serde_yaml::Value;
use std::net::SocketAddr;

/// An old configuration.
#[derive(Debug, Default)]
pub(super) struct Old {
    /// Where the homeserver is.
    pub(super) homeserver: Option<String>,
    /// The part after the colon in user ids, guessed from the old configuration.
    pub(super) server_name: Option<OwnedServerName>,
    /// Where Alertmanager reaches it.
    pub(super) webhook: Option<String>,
    /// The future room lists.
    pub(super) lists: Vec<OldList>,
    /// What is not imported, and what to do about it. Never a value that may be a secret.
    pub(super) left: Vec<String>,
}

/// A future room list.
#[derive(Debug)]
pub(super) struct OldList {
    pub(super) name: String,
    /// Alertmanager's path, if it can stay.
    pub(super) path: Option<String>,
    /// A room for each level; `None` where it could not be read.
    pub(super) rooms: Vec<Option<String>>,
    /// The time of each level.
    pub(super) escalate_after: Option<String>,
    /// How often the last room was reminded.
    pub(super) remind_every: Option<String>,
    /// Only the current level and those above could acknowledge.
    pub(super) current_level_acks: bool,
    /// Alertmanager's token.
    pub(super) token: Option<String>,
}

impl Old {
    /// Imports the predecessor's listener, if it is a valid address.
    pub(super) fn listen_at(&mut self, address: String) {
        let numeric = address.replacen("localhost:", "127.0.0.1:", 1);
        if numeric.contains("${") || numeric.parse::<SocketAddr>().is_ok() {
            self.webhook = Some(address);
        } else {
            self.left.push(format!("the listener {address}: set listen.webhook to an ADDRESS:PORT"));
        }
    }

    /// Guesses the server's name from user and room ids, the likeliest first.
    pub(super) fn guess_server_name<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) {
        let mut names = ids.into_iter().filter_map(|id| id.split_once(':').map(|(_, name)| name));
        self.server_name = names.find_map(|name| OwnedServerName::try_from(name).ok());
    }
}

/// A value as text. A reference to the environment in it is escaped.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then(|| text.replace("${", "$${"))
}

/// A value as a whole number, in quotes or not.
pub(super) fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

/// The value as a room, if it is one or a reference to one.
pub(super) fn room(text: String) -> Option<String> {
    let is_room = text.len() > 1 && OwnedRoomOrAliasId::try_from(text.as_str()).is_ok();
    (is_room || is_reference(&text)).then_some(text)
}

/// Whether the text comes from the environment.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("${")
}

/// A name that a room list can have.
pub(super) fn list_name(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-".contains(c);
    let name: String = text.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    if name.trim_matches('.').is_empty() { "alerts".to_owned() } else { name }
}
