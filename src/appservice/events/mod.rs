//! Parses the homeserver's events: JSON → `domain::incoming`.
//!
//! Events are untrusted input. No event makes its transaction fail, and `Malformed`, which is logged, quotes nothing
//! of the event.

use super::mention;
use crate::domain::incoming::{
    Happening, Incoming, LONGEST_ID, Membership, Message, MessageKind, RoomEvent, is_too_long,
};
use crate::domain::reaction;
use crate::domain::room_name::readable;
use jiff::Timestamp;
use ruma::events::reaction::ReactionEventContent;
use ruma::events::room::member::MembershipState;
use ruma::events::room::message::sanitize::remove_plain_reply_fallback;
use ruma::events::room::message::{MessageType, Relation, RoomMessageEventContent};
use ruma::events::room::redaction::RoomRedactionEventContent;
use ruma::events::room::tombstone::RoomTombstoneEventContent;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

/// Parses one event.
pub fn interpret(raw: &RawValue) -> Incoming {
    match read(raw) {
        Ok(event) => Incoming::Event(event),
        Err(why) => Incoming::Malformed { why },
    }
}

/// The fields of an event that matrixbot uses, not yet parsed.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    room_id: Option<&'a RawValue>,
    #[serde(borrow)]
    sender: Option<&'a RawValue>,
    #[serde(borrow)]
    origin_server_ts: Option<&'a RawValue>,
    #[serde(borrow)]
    state_key: Option<&'a RawValue>,
    #[serde(borrow)]
    redacts: Option<&'a RawValue>,
    #[serde(borrow)]
    unsigned: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// What the homeserver adds to an event.
#[derive(Default, Deserialize)]
struct Unsigned {
    #[serde(default)]
    redacted_because: Option<IgnoredAny>,
    #[serde(default)]
    transaction_id: serde_json::Value,
}

/// The parsed fields that every event has, and its raw content.
struct Envelope<'a> {
    event_type: String,
    state_key: Option<String>,
    /// Room versions before 11 have it here, later ones in the content.
    redacts: Option<OwnedEventId>,
    content: &'a RawValue,
}

fn read(raw: &RawValue) -> Result<RoomEvent, String> {
    let fields: Fields<'_> =
        serde_json::from_str(raw.get()).map_err(|_quotes_content| "it is not a JSON object".to_owned())?;
    let at: MilliSecondsSinceUnixEpoch = required(fields.origin_server_ts, "origin_server_ts")?;
    let envelope = Envelope {
        event_type: required(fields.event_type, "type")?,
        state_key: fields.state_key.map(|_| required(fields.state_key, "state_key")).transpose()?,
        redacts: fields.redacts.and_then(|redacts| serde_json::from_str(redacts.get()).ok()),
        content: fields.content.ok_or_else(|| "it has no content".to_owned())?,
    };
    let unsigned = unsigned(fields.unsigned);
    let what = if unsigned.redacted_because.is_some() { Happening::Other } else { happening(&envelope)? };
    Ok(RoomEvent {
        event_id: id::<OwnedEventId>(fields.event_id, "event_id")?,
        room: id::<OwnedRoomId>(fields.room_id, "room_id")?,
        sender: id::<OwnedUserId>(fields.sender, "sender")?,
        at: i64::try_from(u64::from(at.get()))
            .ok()
            .and_then(|at| Timestamp::from_millisecond(at).ok())
            .unwrap_or(Timestamp::MAX),
        transaction_id: unsigned.transaction_id.as_str().map(str::to_owned),
        what,
    })
}

fn happening(envelope: &Envelope<'_>) -> Result<Happening, String> {
    // Application Service API: an event with a `state_key` is a state event, whatever its type.
    match (envelope.event_type.as_str(), envelope.state_key.as_deref()) {
        ("m.room.message", None) => {
            let parsed = content(envelope).or_else(|why| plain_text_only(envelope).ok_or(why))?;
            Ok(Happening::Message(message(parsed)))
        }
        ("m.reaction", None) => {
            let ReactionEventContent { relates_to, .. } = content(envelope)?;
            if is_too_long(relates_to.event_id.as_str()) {
                return Err(too_long("the id of its target"));
            }
            Ok(Happening::Reaction { target: relates_to.event_id, key: reaction::normalize(&relates_to.key) })
        }
        ("m.room.redaction", None) => {
            let in_content = content::<RoomRedactionEventContent>(envelope)?.redacts;
            let redacts = in_content.or_else(|| envelope.redacts.clone());
            redacts
                .filter(|redacts| !is_too_long(redacts.as_str()))
                .map(|redacts| Happening::Redaction { redacts })
                .ok_or_else(|| "it redacts nothing".to_owned())
        }
        ("m.room.member", Some(user)) => {
            let MemberContent { membership } = content(envelope)?;
            let user = UserId::parse(user).map_err(|_not_an_id| "its state_key is no user id".to_owned())?;
            if is_too_long(user.as_str()) {
                return Err(too_long("its state_key"));
            }
            Ok(membership_of(&membership)
                .map_or(Happening::Other, |m| Happening::Membership { user, membership: m }))
        }
        ("m.room.tombstone", Some("")) => {
            let replacement = content::<RoomTombstoneEventContent>(envelope)?.replacement_room;
            if is_too_long(replacement.as_str()) {
                return Err(too_long("the id of its replacement"));
            }
            Ok(Happening::Tombstone { replacement })
        }
        ("m.room.name", Some("")) => {
            Ok(Happening::Named(text(envelope, |Called { name, .. }| name).and_then(|name| readable(&name))))
        }
        ("m.room.canonical_alias", Some("")) => {
            let alias = text(envelope, |Called { alias, .. }| alias);
            Ok(Happening::MainAlias(alias.and_then(|alias| readable(&alias))))
        }
        ("m.room.power_levels", Some("")) => Ok(Happening::PowerLevels),
        ("m.room.encryption", Some("")) => Ok(Happening::Encryption),
        ("m.room.encrypted", None) => Ok(Happening::Encrypted),
        _ => Ok(Happening::Other),
    }
}

/// What a room is called, as its state says it.
#[derive(Deserialize)]
struct Called {
    name: Option<String>,
    alias: Option<String>,
}

/// A text of a room's state. `None`: there is none, or nobody can read it.
fn text(envelope: &Envelope<'_>, field: impl Fn(Called) -> Option<String>) -> Option<String> {
    serde_json::from_str::<Called>(envelope.content.get()).ok().and_then(field)
}

/// The only field of a membership that matrixbot uses; the others (names, third-party invites) may be invalid.
#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
}

fn membership_of(state: &MembershipState) -> Option<Membership> {
    match state {
        MembershipState::Join => Some(Membership::Join),
        MembershipState::Invite => Some(Membership::Invite),
        MembershipState::Knock => Some(Membership::Knock),
        MembershipState::Leave => Some(Membership::Leave),
        MembershipState::Ban => Some(Membership::Ban),
        _ => None,
    }
}

fn message(mut content: RoomMessageEventContent) -> Message {
    let edits = match content.relates_to.take() {
        Some(Relation::Replacement(edit)) => {
            content.msgtype = edit.new_content.msgtype;
            content.mentions = edit.new_content.mentions;
            Some(edit.event_id)
        }
        other => {
            content.relates_to = other;
            None
        }
    };
    let (kind, body, html) = match &content.msgtype {
        MessageType::Text(text) => {
            (MessageKind::Text, text.body.as_str(), text.formatted.as_ref().map(|html| html.body.as_str()))
        }
        MessageType::Notice(_) => (MessageKind::Notice, content.msgtype.body(), None),
        _ => (MessageKind::Other, content.msgtype.body(), None),
    };
    let mut message = Message {
        text: body.to_owned(),
        kind,
        edits: None,
        reply_to: None,
        thread_root: None,
        mentions: content.mentions.iter().flat_map(|mentions| mentions.user_ids.iter().cloned()).collect(),
        leading_mention: None,
    };
    match content.relates_to {
        Some(Relation::Reply(reply)) => message.reply_to = Some(reply.in_reply_to.event_id),
        Some(Relation::Thread(thread)) => {
            // In a thread, `m.in_reply_to` is a reply only if it is not a fallback for clients without threads.
            message.reply_to = thread
                .in_reply_to
                .filter(|_| !thread.is_falling_back)
                .map(|in_reply_to| in_reply_to.event_id);
            message.thread_root = Some(thread.event_id);
        }
        Some(_) | None => {}
    }
    // No event has such an id: the message refers to nothing.
    let exists = |target: &OwnedEventId| !is_too_long(target.as_str());
    if edits.as_ref().is_some_and(|of| !exists(of)) {
        message.kind = MessageKind::Other;
    }
    message.edits = edits.filter(exists);
    message.reply_to = message.reply_to.filter(exists);
    message.thread_root = message.thread_root.filter(exists);
    if message.reply_to.is_some() || message.thread_root.is_some() {
        remove_plain_reply_fallback(body).clone_into(&mut message.text);
    }
    message.leading_mention = mention::leading(&message.text, html).map(Box::new);
    message
}

/// Parses only the text and the relation of a message. For messages whose other fields are invalid: an invalid list of
/// mentions must not lose an acknowledgement.
fn plain_text_only(envelope: &Envelope<'_>) -> Option<RoomMessageEventContent> {
    let mut content: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(envelope.content.get()).ok()?;
    content.retain(|key, _| matches!(key.as_str(), "msgtype" | "body" | "m.relates_to" | "m.new_content"));
    serde_json::from_value(content.into()).ok()
}

/// What the homeserver adds. An event that was redacted before it arrived has no content any more.
fn unsigned(unsigned: Option<&RawValue>) -> Unsigned {
    unsigned.and_then(|unsigned| serde_json::from_str(unsigned.get()).ok()).unwrap_or_default()
}

fn content<T: DeserializeOwned>(envelope: &Envelope<'_>) -> Result<T, String> {
    serde_json::from_str(envelope.content.get())
        .map_err(|_quotes_content| format!("its content does not fit {}", envelope.event_type))
}

fn required<T: DeserializeOwned>(field: Option<&RawValue>, name: &str) -> Result<T, String> {
    let field = field.ok_or_else(|| format!("it has no {name}"))?;
    serde_json::from_str(field.get()).map_err(|_quotes_content| format!("it has no usable {name}"))
}

/// A required id.
fn id<T: DeserializeOwned + AsRef<str>>(field: Option<&RawValue>, name: &str) -> Result<T, String> {
    let id: T = required(field, name)?;
    if is_too_long(id.as_ref()) { Err(too_long(&format!("its {name}"))) } else { Ok(id) }
}

fn too_long(what: &str) -> String {
    format!("{what} is longer than {LONGEST_ID} bytes")
}

#[cfg(test)]
mod tests;
