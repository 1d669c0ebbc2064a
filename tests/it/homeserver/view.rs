//! Rooms as people see them.

use super::state::{Event, State};
use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, UserId};
use serde_json::Value;
use std::fmt::Write as _;

/// One event of a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenEvent {
    pub(crate) event_id: OwnedEventId,
    pub(crate) sender: OwnedUserId,
    /// Such as `m.room.message`.
    pub(crate) kind: String,
    /// Such as `m.text`; empty if it is no message.
    pub(crate) msgtype: String,
    /// The text body; of an edit, the replacement's; empty if there is none.
    pub(crate) body: String,
    pub(crate) content: Value,
    pub(crate) sent_at_ms: i64,
    /// The target of its relation, and the kind: `m.thread`, `m.replace`, `m.annotation`, `m.in_reply_to`.
    pub(crate) relation: Option<(OwnedEventId, String)>,
    /// A reaction's key.
    pub(crate) key: Option<String>,
    pub(crate) redacted: bool,
    /// The users that it notifies: members of the room with a mention that counts.
    pub(crate) notifies: Vec<OwnedUserId>,
}

/// A message after edits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenMessage {
    pub(crate) event_id: OwnedEventId,
    pub(crate) sender: OwnedUserId,
    pub(crate) msgtype: String,
    pub(crate) body: String,
    /// The HTML, if there is any.
    pub(crate) html: Option<String>,
    pub(crate) edited: bool,
    /// Key and sender of each reaction, oldest first.
    pub(crate) reactions: Vec<(String, OwnedUserId)>,
    /// The messages of its thread.
    pub(crate) thread: Vec<SeenMessage>,
}

/// The events of a room in order.
pub(super) fn timeline(state: &State, room: &RoomId) -> Vec<SeenEvent> {
    state.timeline(room).map(|event| seen(state, event)).collect()
}

fn seen(state: &State, event: &Event) -> SeenEvent {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let visible = event.content.get("m.new_content").unwrap_or(&event.content);
    let relates_to = &event.content["m.relates_to"];
    let relation = event.relation().map(|(of, kind)| (of.to_owned(), kind.to_owned())).or_else(|| {
        let of = relates_to["m.in_reply_to"]["event_id"].as_str()?;
        Some((of.to_owned(), "m.in_reply_to".to_owned()))
    });
    SeenEvent {
        event_id: event.id.clone(),
        sender: event.sender.clone(),
        kind: event.kind.clone(),
        msgtype: text(&visible["msgtype"]),
        body: text(&visible["body"]),
        content: event.content.clone(),
        sent_at_ms: event.sent_at_ms,
        relation: relation.and_then(|(of, kind)| Some((EventId::parse(of).ok()?, kind))),
        key: relates_to["key"].as_str().map(str::to_owned),
        redacted: event.redacted_by.is_some(),
        notifies: notifies(state, event),
    }
}

/// The users that an event notifies. Measured on Synapse: an `m.notice` never notifies; only the mentions at the top
/// level count, also in an edit; `@room` needs its power level.
fn notifies(state: &State, event: &Event) -> Vec<OwnedUserId> {
    if event.kind != "m.room.message" || event.content["msgtype"] == "m.notice" {
        return Vec::new();
    }
    let mentions = &event.content["m.mentions"];
    let whole_room = mentions["room"] == true
        && state.power(&event.room, &event.sender) >= state.needed_to_mention_room(&event.room);
    let named = |user: &UserId| {
        mentions["user_ids"].as_array().is_some_and(|named| named.iter().any(|named| named == user.as_str()))
    };
    let mut ringing = state.joined(&event.room);
    ringing.retain(|user| *user != event.sender && (whole_room || named(user)));
    ringing
}

/// The messages of a room, threads under their roots, after edits and redactions.
pub(super) fn messages(state: &State, room: &RoomId) -> Vec<SeenMessage> {
    let events: Vec<&Event> = state.timeline(room).filter(|event| event.redacted_by.is_none()).collect();
    let is_shown = |event: &Event| event.kind == "m.room.message" && kind_of(event) != "m.replace";
    let roots = events.iter().filter(|event| is_shown(event) && kind_of(event) != "m.thread");
    roots
        .map(|root| {
            let in_thread = events
                .iter()
                .filter(|event| is_shown(event) && event.relation() == Some((root.id.as_str(), "m.thread")));
            let thread = in_thread.map(|event| message(&events, event, Vec::new())).collect();
            message(&events, root, thread)
        })
        .collect()
}

fn kind_of(event: &Event) -> &str {
    event.relation().map_or("", |(_, kind)| kind)
}

fn message(events: &[&Event], event: &Event, thread: Vec<SeenMessage>) -> SeenMessage {
    // Client-Server API §Event replacements: of the same sender and type, the newest counts.
    let edit = events.iter().rfind(|edit| {
        edit.relation() == Some((event.id.as_str(), "m.replace"))
            && edit.sender == event.sender
            && edit.kind == event.kind
    });
    let visible = edit.and_then(|edit| edit.content.get("m.new_content")).unwrap_or(&event.content);
    let reactions = events.iter().filter(|reaction| {
        reaction.kind == "m.reaction" && reaction.relation() == Some((event.id.as_str(), "m.annotation"))
    });
    SeenMessage {
        event_id: event.id.clone(),
        sender: event.sender.clone(),
        msgtype: visible["msgtype"].as_str().unwrap_or_default().to_owned(),
        body: visible["body"].as_str().unwrap_or_default().to_owned(),
        html: visible["formatted_body"].as_str().map(str::to_owned),
        edited: edit.is_some(),
        reactions: reactions
            .map(|reaction| {
                let key = reaction.content["m.relates_to"]["key"].as_str().unwrap_or_default();
                (key.to_owned(), reaction.sender.clone())
            })
            .collect(),
        thread,
    }
}

/// The messages as text: `name: body`, then a line with the reactions, then the thread, indented.
///
/// ```text
/// Finance alerts: Disk full (edited)
///   [✅ Finance alerts, alice]
///   > Finance alerts: alice has it.
/// ```
pub(super) fn rendered(state: &State, room: &RoomId) -> String {
    let mut text = String::new();
    for message in messages(state, room) {
        render(state, &message, "", &mut text);
        for reply in &message.thread {
            render(state, reply, "  > ", &mut text);
        }
    }
    text
}

fn render(state: &State, message: &SeenMessage, indent: &str, text: &mut String) {
    let edited = if message.edited { " (edited)" } else { "" };
    writeln!(text, "{indent}{}: {}{edited}", name(state, &message.sender), message.body).unwrap();
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in &message.reactions {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let visible: Vec<String> = keys
        .iter()
        .map(|key| {
            let names: Vec<&str> = message
                .reactions
                .iter()
                .filter(|(of, _)| of == key)
                .map(|(_, sender)| name(state, sender))
                .collect();
            format!("{key} {}", names.join(", "))
        })
        .collect();
    if !visible.is_empty() {
        writeln!(text, "  [{}]", visible.join("; ")).unwrap();
    }
}

fn name<'a>(state: &'a State, user: &'a UserId) -> &'a str {
    let named = state.users.get(user).and_then(|user| user.display_name.as_deref());
    named.unwrap_or_else(|| user.localpart())
}
