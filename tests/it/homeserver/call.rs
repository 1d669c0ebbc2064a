//! A request of the Client-Server API, parsed, and its requester.

use super::faults::Endpoint;
use super::rules::{Refusal, refuse};
use super::state::{Blocked, SeenRequest, State};
use actix_web::{HttpRequest, web};
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A parsed request.
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) segments: Vec<String>,
    pub(super) query: BTreeMap<String, Vec<String>>,
    pub(super) token: Option<String>,
    pub(super) body: web::Bytes,
}

/// The authenticated requester.
pub(super) struct Requester {
    pub(super) user: OwnedUserId,
    pub(super) device: Option<String>,
}

impl Call {
    pub(super) fn of(request: &HttpRequest, body: web::Bytes) -> Self {
        let path = request.path().to_owned();
        let inner = path
            .strip_prefix("/_matrix/client/")
            .or(path.strip_prefix("/_matrix/media/"))
            .unwrap_or_default();
        let mut segments: Vec<String> = inner.split('/').map(decode).collect();
        // The version is dropped: `v3`, `v1`; `/versions` has none.
        if segments.len() > 1 {
            segments.remove(0);
        }
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in url::form_urlencoded::parse(request.query_string().as_bytes()) {
            query.entry(key.into_owned()).or_default().push(value.into_owned());
        }
        let token = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        Self { method: request.method().to_string(), path, segments, query, token, body }
    }

    pub(super) fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(super) fn query(&self, key: &str) -> Option<&str> {
        self.query.get(key).and_then(|values| values.first()).map(String::as_str)
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        match (self.method.as_str(), self.parts().as_slice()) {
            ("GET", ["versions"]) => Endpoint::Versions,
            ("GET", ["account", "whoami"]) => Endpoint::WhoAmI,
            ("POST", ["appservice", _, "ping"]) => Endpoint::Ping,
            ("POST", ["register"]) => Endpoint::Register,
            ("PUT" | "GET", ["devices", _]) => Endpoint::Device,
            ("PUT" | "GET", ["profile", _, _]) | ("GET", ["profile", _]) => Endpoint::Profile,
            ("POST", ["upload"]) => Endpoint::Upload,
            ("POST", ["createRoom"]) => Endpoint::CreateRoom,
            ("POST", ["join", _] | ["rooms", _, "join"]) => Endpoint::Join,
            ("POST", ["rooms", _, "leave"]) => Endpoint::Leave,
            ("POST", ["rooms", _, "invite"]) => Endpoint::Invite,
            ("GET", ["directory", "room", _]) => Endpoint::Alias,
            ("GET", ["joined_rooms"]) => Endpoint::JoinedRooms,
            ("GET", ["rooms", _, "joined_members"]) => Endpoint::JoinedMembers,
            ("GET", ["rooms", _, "state", ..]) => Endpoint::State,
            ("PUT", ["rooms", _, "state", ..]) => Endpoint::SendState,
            ("PUT", ["rooms", _, "send", _, _]) => Endpoint::Send,
            ("PUT", ["rooms", _, "redact", _, _]) => Endpoint::Redact,
            ("GET", ["rooms", _, "event", _]) => Endpoint::Event,
            ("GET", ["rooms", _, "relations", ..]) => Endpoint::Relations,
            ("GET", ["rooms", _, "messages"]) => Endpoint::Messages,
            _ => Endpoint::Unknown,
        }
    }

    pub(super) fn seen(&self) -> SeenRequest {
        let parts = self.parts();
        let (room, event_type, txn_id) = match parts.as_slice() {
            ["rooms", room, "send", event_type, txn_id] => (Some(room), Some(event_type), Some(txn_id)),
            ["rooms", room, "redact", _, txn_id] => (Some(room), None, Some(txn_id)),
            ["rooms", room, "state", event_type, ..] => (Some(room), Some(event_type), None),
            ["rooms" | "join", room, ..] | ["directory", "room", room] => (Some(room), None, None),
            _ => (None, None, None),
        };
        let text = |part: Option<&&str>| part.map(|part| (*part).to_owned());
        SeenRequest {
            endpoint: self.endpoint(),
            user: self.query("user_id").and_then(|user| UserId::parse(user).ok()),
            device: self.query("device_id").map(str::to_owned),
            room: text(room),
            event_type: text(event_type),
            txn_id: text(txn_id),
        }
    }

    /// Checks the token and the asserted identity.
    pub(super) fn requester(&self, state: &State) -> Result<Requester, Refusal> {
        if self.query.contains_key("access_token") {
            let error = "Mixing Authorization headers and access_token query parameters.";
            return refuse(401, "M_MISSING_TOKEN", error);
        }
        match &self.token {
            None => return refuse(401, "M_MISSING_TOKEN", "Missing access token"),
            Some(token) if *token != state.appservice.as_token => {
                return refuse(401, "M_UNKNOWN_TOKEN", "Invalid access token passed.");
            }
            Some(_) => {}
        }
        let user = match self.query("user_id").map(UserId::parse) {
            None => state.appservice.sender.clone(),
            Some(Ok(user)) if user == state.appservice.sender => user,
            Some(Ok(user)) if !state.appservice.owns(&user) => {
                let error = format!("Application service cannot masquerade as this user ({user}).");
                return refuse(403, "M_FORBIDDEN", error);
            }
            Some(Ok(user)) if !state.users.contains_key(&user) && !state.is_continuwuity => {
                let error = format!("Application service has not registered this user ({user})");
                return refuse(403, "M_FORBIDDEN", error);
            }
            Some(Ok(user)) => user,
            Some(Err(_)) => return refuse(400, "M_INVALID_PARAM", "user_id is not a user id"),
        };
        match state.users.get(&user).and_then(|user| user.blocked) {
            Some(Blocked::Locked) => {
                return refuse(401, "M_USER_LOCKED", "User account has been locked");
            }
            Some(Blocked::Deactivated) => {
                return refuse(403, "M_USER_DEACTIVATED", "This account has been deactivated");
            }
            Some(Blocked::Suspended) | None => {}
        }
        let device = self.query("device_id").map(str::to_owned);
        let device = device.filter(|_| state.supports_devices);
        if let Some(device) = &device
            && !state.users.get(&user).is_some_and(|user| user.devices.contains(device))
        {
            if state.is_continuwuity {
                let error = "Device does not exist for user or appservice cannot masquerade as this device.";
                return refuse(403, "M_FORBIDDEN", error);
            }
            let error = format!(
                "Application service trying to use a device that doesn't exist ('{device}' for {user})"
            );
            return refuse(400, "M_UNKNOWN_DEVICE", error);
        }
        Ok(Requester { user, device })
    }

    /// Synapse: a suspended user may read, leave and redact, but not send, join or change its profile.
    pub(super) fn must_not_be_suspended(
        state: &State,
        user: &UserId,
        endpoint: Endpoint,
    ) -> Result<(), Refusal> {
        let suspended = state.users.get(user).and_then(|user| user.blocked) == Some(Blocked::Suspended);
        let what = match endpoint {
            Endpoint::Send | Endpoint::SendState => "Sending messages",
            Endpoint::Join => "Joining rooms",
            Endpoint::Profile => "Updating profile",
            _ => return Ok(()),
        };
        if suspended {
            let error = format!("{what} while account is suspended is not allowed.");
            return refuse(403, "M_USER_SUSPENDED", error);
        }
        Ok(())
    }

    pub(super) fn body_json(&self) -> Result<Value, Refusal> {
        match serde_json::from_slice(&self.body) {
            Ok(body) => Ok(body),
            Err(_) if self.body.is_empty() => Ok(json!({})),
            // Synapse parses a lone surrogate, and fails later with an unexpected error.
            Err(error) if error.to_string().contains("hex escape") => {
                refuse(500, "M_UNKNOWN", "Internal server error")
            }
            Err(_) => refuse(400, "M_NOT_JSON", "Content not JSON."),
        }
    }
}

/// Undoes percent-encoding.
fn decode(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
