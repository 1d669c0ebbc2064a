//! The HTTP interface: Client-Server API requests of an application service, and their answers.

use super::call::{Call, Requester};
use super::faults::{Endpoint, Fault};
use super::rules::{Refusal, Sending, refuse};
use super::server::Connection;
use super::state::{RoomKind, State, Txn};
use super::{Shared, push};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomAliasId, RoomId, UserId};
use serde_json::{Value, json};

/// Answers every request.
pub(super) async fn answer(request: HttpRequest, body: web::Bytes, home: web::Data<Shared>) -> HttpResponse {
    let call = Call::of(&request, body);
    let seen = call.seen();
    let mut fault = {
        let mut state = home.state();
        state.requests.push(seen.clone());
        state.fault_for(&seen)
    };
    if let Some(Fault::HoldThen(gate, then)) = fault {
        gate.wait().await;
        fault = Some(*then);
    }
    if call.path == "/_matrix/federation/v1/version" {
        let is_continuwuity = home.state().is_continuwuity;
        let name = if is_continuwuity { "continuwuity" } else { "Synapse" };
        return HttpResponse::Ok().json(json!({"server": {"name": name, "version": "1"}}));
    }
    match &fault {
        Some(Fault::Status(status, errcode)) => {
            return refusal(&Refusal {
                status: *status,
                errcode,
                error: "as the test wants it".to_owned(),
                more: json!({}),
            });
        }
        Some(Fault::RateLimit { retry_after }) => {
            return HttpResponse::TooManyRequests()
                .insert_header(("Retry-After", retry_after.as_millis().div_ceil(1000).to_string()))
                .json(json!({"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests",
                    "retry_after_ms": u64::try_from(retry_after.as_millis()).unwrap()}));
        }
        Some(Fault::EmptyPage) => return HttpResponse::Ok().json(json!({"start": "s", "chunk": []})),
        Some(Fault::NonJson(status)) => {
            return HttpResponse::build(StatusCode::from_u16(*status).unwrap())
                .content_type("text/html")
                .body("<html><body>The proxy says hello.</body></html>");
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::DropBeforeAccepting) => return cut(&request),
        Some(Fault::HoldBefore(gate)) => gate.wait().await,
        Some(Fault::DropReplyAfterAccepting | Fault::HoldAfter(_) | Fault::HoldThen(..)) | None => {}
    }
    let answered = if seen.endpoint == Endpoint::Ping {
        let allowed = call.requester(&home.state()).and_then(|_| call.body_json());
        match allowed {
            Ok(body) => push::ping(&home, &call.segments[1], &body).await,
            Err(refused) => Err(refused),
        }
    } else {
        let answered = call.execute(&mut home.state(), seen.endpoint);
        home.notify_unpushed();
        answered
    };
    match fault {
        Some(Fault::DropReplyAfterAccepting) => return cut(&request),
        Some(Fault::HoldAfter(gate)) => gate.wait().await,
        _ => {}
    }
    match answered {
        Ok(answer) => HttpResponse::Ok().json(answer),
        Err(refused) => refusal(&refused),
    }
}

fn refusal(refused: &Refusal) -> HttpResponse {
    let mut error = refused.more.clone();
    error["errcode"] = refused.errcode.into();
    error["error"] = refused.error.as_str().into();
    HttpResponse::build(StatusCode::from_u16(refused.status).unwrap()).json(error)
}

/// Cuts the connection; the returned answer is never sent.
fn cut(request: &HttpRequest) -> HttpResponse {
    request.conn_data::<Connection>().unwrap().cut();
    HttpResponse::Ok().finish()
}

impl Call {
    /// The requests that need no token: `GET /versions` and `GET /profile/{user}`.
    fn without_token(&self, state: &State, endpoint: Endpoint) -> Result<Option<Value>, Refusal> {
        match (endpoint, self.method.as_str(), self.parts().as_slice()) {
            (Endpoint::Versions, ..) => {
                // Synapse: no token is needed, but a wrong one is rejected.
                if self.token.is_some() {
                    self.requester(state)?;
                }
                // The versions that Synapse lists, although it supports more.
                Ok(Some(json!({"versions": ["v1.1", "v1.11", "v1.15"], "unstable_features": {}})))
            }
            (Endpoint::Profile, "GET", ["profile", of]) => {
                let user = UserId::parse(*of).ok().and_then(|of| state.users.get(&of));
                let Some(user) = user else { return refuse(404, "M_NOT_FOUND", "Profile was not found") };
                Ok(Some(json!({"displayname": user.display_name, "avatar_url": user.avatar_url})))
            }
            _ => Ok(None),
        }
    }

    fn uploaded(&self) -> Value {
        let kind = if self.body.starts_with(b"\x89PNG") { "png" } else { "unknown" };
        json!({"content_uri": format!("mxc://{}/{kind}", super::SERVER_NAME)})
    }

    fn execute(&self, state: &mut State, endpoint: Endpoint) -> Result<Value, Refusal> {
        if let Some(answer) = self.without_token(state, endpoint)? {
            return Ok(answer);
        }
        if endpoint == Endpoint::Unknown {
            return refuse(404, "M_UNRECOGNIZED", "Unrecognized request");
        }
        let Requester { user, device } = self.requester(state)?;
        Self::must_not_be_suspended(state, &user, endpoint)?;
        if endpoint == Endpoint::Upload {
            return Ok(self.uploaded());
        }
        let body = self.body_json()?;
        let parts = self.parts();
        let reason = body["reason"].as_str();
        let sending =
            |txn: &str| Sending { path: &self.path, txn: Txn { id: txn.to_owned(), device: device.clone() } };
        match (endpoint, parts.as_slice()) {
            (Endpoint::WhoAmI, _) => Ok(json!({"user_id": user, "device_id": device, "is_guest": false})),
            (Endpoint::Register, _) => register(state, &body),
            (Endpoint::Device, ["devices", id]) => {
                if !state.supports_devices {
                    return refuse(404, "M_NOT_FOUND", "No device found");
                }
                state.users.entry(user).or_default().devices.insert((*id).to_owned());
                Ok(json!({}))
            }
            (Endpoint::Profile, ["profile", of, field]) => {
                if user != *of {
                    return refuse(403, "M_FORBIDDEN", "Cannot set another user's profile");
                }
                let profile = state.users.entry(user).or_default();
                let value = body[field].as_str().map(str::to_owned);
                match *field {
                    "displayname" => profile.display_name = value,
                    "avatar_url" => profile.avatar_url = value,
                    _ => return refuse(404, "M_UNRECOGNIZED", "Unrecognized request"),
                }
                Ok(json!({}))
            }
            (Endpoint::Alias, [.., alias]) => {
                let room = resolve(state, alias)?;
                Ok(json!({"room_id": room, "servers": [super::SERVER_NAME]}))
            }
            (Endpoint::CreateRoom, _) => {
                let kind = RoomKind {
                    alias: body["room_alias_name"]
                        .as_str()
                        .map(|name| format!("#{name}:{}", super::SERVER_NAME)),
                    public: body["preset"] == "public_chat",
                    version: body["room_version"].as_str().unwrap_or("12").to_owned(),
                    ..RoomKind::default()
                };
                Ok(json!({"room_id": state.create_room(&user, &kind, None)}))
            }
            (Endpoint::Join, ["join", room] | ["rooms", room, ..]) => {
                let room = resolve(state, room)?;
                state.join(&room, &user)?;
                Ok(json!({"room_id": room}))
            }
            (Endpoint::JoinedRooms, _) => {
                let rooms: Vec<_> = state.rooms.keys().filter(|room| state.is_joined(room, &user)).collect();
                Ok(json!({"joined_rooms": rooms}))
            }
            (_, ["rooms", room, rest @ ..]) => {
                let room = room_id(room)?;
                match (endpoint, rest) {
                    (Endpoint::Leave, _) => state.leave(&room, &user, reason).map(|()| json!({})),
                    (Endpoint::Invite, _) => {
                        let target = UserId::parse(body["user_id"].as_str().unwrap_or_default());
                        let Ok(target) = target else { return refuse(400, "M_BAD_JSON", "user_id") };
                        state.change_member(&room, &user, &target, "invite", reason).map(|()| json!({}))
                    }
                    (Endpoint::Send, ["send", kind, txn]) => {
                        let id = state.send(&room, &user, kind, body, Some(&sending(txn)))?;
                        Ok(json!({"event_id": id}))
                    }
                    (Endpoint::Redact, ["redact", target, txn]) => {
                        let target = event_id(target)?;
                        let id = state.redact(&room, &user, &target, reason, Some(&sending(txn)))?;
                        Ok(json!({"event_id": id}))
                    }
                    (Endpoint::SendState, ["state", kind, key @ ..]) => {
                        let key = key.first().copied().unwrap_or_default();
                        let id = state.send_state(&room, &user, kind, key, body)?;
                        Ok(json!({"event_id": id}))
                    }
                    (_, rest) => {
                        // An application service may see the members of its virtual users' rooms.
                        if endpoint == Endpoint::JoinedMembers {
                            if !state.joined(&room).iter().any(|user| state.appservice.owns(user)) {
                                return refuse(403, "M_FORBIDDEN", "Appservice not in room");
                            }
                        } else {
                            state.must_be_joined(&room, &user)?;
                        }
                        self.read(state, endpoint, &room, rest, (&user, device.as_deref()))
                    }
                }
            }
            _ => refuse(404, "M_UNRECOGNIZED", "Unrecognized request"),
        }
    }
}

fn register(state: &mut State, body: &Value) -> Result<Value, Refusal> {
    if body["type"] != "m.login.application_service" {
        return refuse(400, "M_MISSING_PARAM", "Application services register with their own type");
    }
    let name = body["username"].as_str().unwrap_or_default();
    let Ok(user) = UserId::parse(format!("@{name}:{}", super::SERVER_NAME)) else {
        return refuse(
            400,
            "M_INVALID_USERNAME",
            "User ID can only contain characters a-z, 0-9, or '=_-./+'",
        );
    };
    if !state.appservice.owns(&user) && user != state.appservice.sender {
        return refuse(400, "M_EXCLUSIVE", "Invalid user localpart for this application service.");
    }
    if state.users.contains_key(&user) {
        return refuse(400, "M_USER_IN_USE", "User ID already taken.");
    }
    state.users.entry(user.clone()).or_default().display_name = Some(name.to_owned());
    if body["inhibit_login"] != true {
        let error = "The homeserver does not support login by application services";
        return refuse(400, "M_APPSERVICE_LOGIN_UNSUPPORTED", error);
    }
    Ok(json!({"user_id": user}))
}

fn resolve(state: &State, room: &str) -> Result<OwnedRoomId, Refusal> {
    if let Ok(alias) = RoomAliasId::parse(room) {
        return match state.aliases.get(&alias) {
            Some(room) => Ok(room.clone()),
            None => refuse(404, "M_NOT_FOUND", format!("Room alias {alias} not found")),
        };
    }
    room_id(room)
}

fn room_id(room: &str) -> Result<OwnedRoomId, Refusal> {
    RoomId::parse(room).or_else(|_| refuse(400, "M_INVALID_PARAM", format!("{room} was not legal room ID")))
}

pub(super) fn event_id(event: &str) -> Result<OwnedEventId, Refusal> {
    EventId::parse(event).or_else(|_| refuse(400, "M_INVALID_PARAM", "not an event id"))
}
