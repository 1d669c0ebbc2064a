//! The requests that a homeserver rejects, with Synapse's statuses, codes and texts.

use super::state::{Event, State, Txn, version_12};
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde_json::{Value, json};

/// The limits of Synapse: the size of an event, and the part of it that is not content.
const LARGEST_EVENT: usize = 65_536;
const AROUND_CONTENT: usize = 576;
/// How long Synapse's database remembers the transaction ids of a device.
const TXN_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The rejection of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) errcode: &'static str,
    pub(crate) error: String,
    /// Additional fields of the error.
    pub(crate) more: Value,
}

/// Rejects a request.
pub(crate) fn refuse<T>(status: u16, errcode: &'static str, error: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, errcode, error: error.into(), more: json!({}) })
}

/// The path and transaction of a client's send.
pub(crate) struct Sending<'a> {
    pub(crate) path: &'a str,
    pub(crate) txn: Txn,
}

impl State {
    /// The power level of a user. Creators of rooms of version 12 and later are above every level.
    pub(crate) fn power(&self, room: &RoomId, user: &UserId) -> i64 {
        let levels = self.state_content(room, "m.room.power_levels", "").unwrap_or_default();
        let is_creator =
            self.room(room).is_some_and(|room| version_12(&room.version) && room.creator == user);
        if is_creator {
            return i64::MAX;
        }
        let default = levels["users_default"].as_i64().unwrap_or(0);
        levels["users"][user.as_str()].as_i64().unwrap_or(default)
    }

    /// The level that an action needs: `ban`, `kick`, `redact`, `invite`.
    fn needed(&self, room: &RoomId, action: &str, default: i64) -> i64 {
        let levels = self.state_content(room, "m.room.power_levels", "").unwrap_or_default();
        levels[action].as_i64().unwrap_or(default)
    }

    fn needed_to_send(&self, room: &RoomId, kind: &str, is_state: bool) -> i64 {
        let levels = self.state_content(room, "m.room.power_levels", "").unwrap_or_default();
        let (general, default) = if is_state { ("state_default", 50) } else { ("events_default", 0) };
        levels["events"][kind].as_i64().or_else(|| levels[general].as_i64()).unwrap_or(default)
    }

    /// The level from which `@room` notifies.
    pub(crate) fn needed_to_mention_room(&self, room: &RoomId) -> i64 {
        let levels = self.state_content(room, "m.room.power_levels", "").unwrap_or_default();
        levels["notifications"]["room"].as_i64().unwrap_or(50)
    }

    pub(crate) fn must_be_joined(&self, room: &RoomId, user: &UserId) -> Result<(), Refusal> {
        if self.is_joined(room, user) {
            return Ok(());
        }
        refuse(403, "M_FORBIDDEN", format!("User {user} not in room {room}"))
    }

    /// `PUT /send/{type}/{txnId}`
    pub(crate) fn send(
        &mut self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        content: Value,
        sending: Option<&Sending<'_>>,
    ) -> Result<OwnedEventId, Refusal> {
        if let Some(sent) = sending.and_then(|sending| self.sent_before(room, sender, sending)) {
            return Ok(sent);
        }
        self.must_be_joined(room, sender)?;
        self.check_content(room, sender, kind, &content)?;
        if self.power(room, sender) < self.needed_to_send(room, kind, false) {
            let needed = self.needed_to_send(room, kind, false);
            return refuse(
                403,
                "M_FORBIDDEN",
                format!(
                    "You don't have permission to post that to the room. user_level ({}) < send_level ({needed})",
                    self.power(room, sender)
                ),
            );
        }
        let event = self.make(room, sender, kind, content);
        Ok(self.accept(event, sending))
    }

    /// `PUT /redact/{eventId}/{txnId}`
    pub(crate) fn redact(
        &mut self,
        room: &RoomId,
        sender: &UserId,
        target: &EventId,
        reason: Option<&str>,
        sending: Option<&Sending<'_>>,
    ) -> Result<OwnedEventId, Refusal> {
        if let Some(sent) = sending.and_then(|sending| self.sent_before(room, sender, sending)) {
            return Ok(sent);
        }
        self.must_be_joined(room, sender)?;
        // Synapse accepts the redaction of an unknown event.
        let of_other = self.events.get(target).is_some_and(|event| event.sender != sender);
        if of_other && self.power(room, sender) < self.needed(room, "redact", 50) {
            return refuse(403, "M_FORBIDDEN", "You don't have permission to redact events");
        }
        let mut content = json!({"redacts": target});
        if let Some(reason) = reason {
            content["reason"] = json!(reason);
        }
        let event = self.make(room, sender, "m.room.redaction", content);
        Ok(self.accept(Event { redacts: Some(target.to_owned()), ..event }, sending))
    }

    /// `PUT /state/{type}/{key}`
    pub(crate) fn send_state(
        &mut self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        key: &str,
        content: Value,
    ) -> Result<OwnedEventId, Refusal> {
        self.must_be_joined(room, sender)?;
        self.check_content(room, sender, kind, &content)?;
        if self.power(room, sender) < self.needed_to_send(room, kind, true) {
            return refuse(403, "M_FORBIDDEN", "You don't have permission to post that to the room.");
        }
        if let Some(same) = self.state_event(room, kind, key).filter(|event| event.content == content) {
            return Ok(same.id.clone());
        }
        Ok(self.set_state(room, sender, kind, key, content))
    }

    /// The event if this was sent before, according to one of Synapse's two stores.
    fn sent_before(&self, room: &RoomId, sender: &UserId, sending: &Sending<'_>) -> Option<OwnedEventId> {
        if let Some(sent) = self.txns_in_memory.get(sending.path) {
            return Some(sent.clone());
        }
        sending.txn.device.as_ref()?;
        let sent = self.txns_stored.get(&(room.to_owned(), sender.to_owned(), sending.txn.clone()))?;
        let at = self.events.get(sent)?.sent_at_ms;
        (self.now_ms() - at < TXN_KEPT_MS).then(|| sent.clone())
    }

    fn accept(&mut self, event: Event, sending: Option<&Sending<'_>>) -> OwnedEventId {
        let Some(sending) = sending else { return self.append(event) };
        let key = (event.room.clone(), event.sender.clone(), sending.txn.clone());
        let id = self.append(Event { txn: Some(sending.txn.clone()), ..event });
        self.txns_in_memory.insert(sending.path.to_owned(), id.clone());
        if sending.txn.device.is_some() {
            self.txns_stored.insert(key, id.clone());
        }
        id
    }

    fn check_content(
        &self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        content: &Value,
    ) -> Result<(), Refusal> {
        if !content.is_object() {
            return refuse(400, "M_BAD_JSON", "Content must be a JSON object.");
        }
        if kind == "m.room.message" {
            for key in ["body", "msgtype"] {
                match content.get(key) {
                    None => return refuse(400, "M_UNKNOWN", format!("'{key}' not in content")),
                    Some(Value::String(_)) => {}
                    Some(_) => return refuse(400, "M_UNKNOWN", format!("'{key}' not a string type")),
                }
            }
        }
        if has_float(content) {
            return refuse(400, "M_BAD_JSON", "Bad JSON value: float");
        }
        let Some(relation) = content.get("m.relates_to") else { return check_size(content) };
        let target = relation["event_id"]
            .as_str()
            .and_then(|target| self.events.get(<&EventId>::try_from(target).ok()?));
        if relation["rel_type"] == "m.annotation" && kind == "m.reaction" {
            let again = self.timeline(room).any(|other| {
                other.sender == sender
                    && other.kind == kind
                    && other.content.get("m.relates_to") == Some(relation)
            });
            if again {
                return refuse(400, "M_DUPLICATE_ANNOTATION", "Can't send same reaction twice");
            }
        }
        if relation["rel_type"] == "m.thread" && target.is_some_and(|target| target.relation().is_some()) {
            return refuse(400, "M_UNKNOWN", "Cannot start threads from an event with a relation");
        }
        check_size(content)
    }

    /// `POST /join/{room}`
    pub(crate) fn join(&mut self, room: &RoomId, user: &UserId) -> Result<(), Refusal> {
        let has_users = self.room(room).is_some() && !self.joined(room).is_empty();
        if !has_users && self.is_continuwuity {
            return refuse(500, "M_UNKNOWN", "No server available to assist in joining.");
        }
        if !has_users {
            let error = "Can't join remote room because no servers that are in the room have been provided.";
            return refuse(404, "M_UNKNOWN", error);
        }
        let rules = self.state_content(room, "m.room.join_rules", "").unwrap_or_default();
        match self.membership(room, user).as_str() {
            "join" => return Ok(()),
            "ban" => return refuse(403, "M_BAD_STATE", "Cannot join user who was banned"),
            "invite" => {}
            _ if rules["join_rule"] == "public" => {}
            _ => return refuse(403, "M_FORBIDDEN", "You are not invited to this room."),
        }
        self.set_membership(room, user, user, "join", None);
        Ok(())
    }

    /// `POST /leave`: leaves, or declines an invite.
    pub(crate) fn leave(
        &mut self,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.room(room).is_none() {
            return refuse(404, "M_UNKNOWN", "Not a known room");
        }
        let left = self
            .state_event(room, "m.room.member", user.as_str())
            .is_some_and(|event| event.sender == user && event.content["membership"] == "leave");
        match self.membership(room, user).as_str() {
            "join" | "invite" => {}
            // A user who has left can leave again; one who was kicked cannot.
            _ if left => return Ok(()),
            _ => return refuse(403, "M_FORBIDDEN", format!("{user} not in room {room}.")),
        }
        self.set_membership(room, user, user, "leave", reason);
        Ok(())
    }

    /// Invites, kicks or bans.
    pub(crate) fn change_member(
        &mut self,
        room: &RoomId,
        actor: &UserId,
        target: &UserId,
        membership: &str,
        reason: Option<&str>,
    ) -> Result<(), Refusal> {
        self.must_be_joined(room, actor)?;
        let (action, default) = match membership {
            "invite" => ("invite", 0),
            "ban" => ("ban", 50),
            _ => ("kick", 50),
        };
        if self.power(room, actor) < self.needed(room, action, default) {
            return refuse(403, "M_FORBIDDEN", format!("You don't have permission to {action}"));
        }
        if membership == "invite" && self.is_joined(room, target) {
            return refuse(403, "M_FORBIDDEN", format!("{target} is already in the room."));
        }
        self.set_membership(room, actor, target, membership, reason);
        Ok(())
    }

    fn set_membership(
        &mut self,
        room: &RoomId,
        actor: &UserId,
        target: &UserId,
        membership: &str,
        reason: Option<&str>,
    ) {
        let mut content = json!({"membership": membership});
        if let Some(name) = self.users.get(target).and_then(|user| user.display_name.as_deref()) {
            content["displayname"] = json!(name);
        }
        if let Some(reason) = reason {
            content["reason"] = json!(reason);
        }
        self.set_state(room, actor, "m.room.member", target.as_str(), content);
    }
}

fn check_size(content: &Value) -> Result<(), Refusal> {
    if content.to_string().len() + AROUND_CONTENT > LARGEST_EVENT {
        return refuse(413, "M_TOO_LARGE", "event too large");
    }
    Ok(())
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(fields) => fields.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
