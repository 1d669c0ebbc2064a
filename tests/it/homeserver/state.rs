//! The homeserver's state. Every event of a room goes through [`State::append`].

use super::faults::{Endpoint, Planned};
use super::push::Transaction;
use matrixbot::clock::SharedClock;
use ruma::{EventId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The application service of the registration.
#[derive(Debug, Clone)]
pub(crate) struct Appservice {
    pub(crate) id: String,
    pub(crate) url: Option<String>,
    pub(crate) as_token: String,
    pub(crate) hs_token: String,
    pub(crate) sender: OwnedUserId,
    pub(crate) user_prefix: String,
}

impl Appservice {
    /// Whether the user is in the namespace.
    pub(crate) fn owns(&self, user: &UserId) -> bool {
        user.server_name() == super::SERVER_NAME && user.localpart().starts_with(&self.user_prefix)
    }
}

/// The properties of a new room.
#[derive(Debug, Clone)]
pub(crate) struct RoomKind {
    pub(crate) alias: Option<String>,
    pub(crate) public: bool,
    pub(crate) encrypted: bool,
    pub(crate) version: String,
}

impl Default for RoomKind {
    fn default() -> Self {
        Self { alias: None, public: true, encrypted: false, version: "12".to_owned() }
    }
}

#[derive(Debug, Default)]
pub(crate) struct User {
    pub(crate) display_name: Option<String>,
    pub(crate) avatar_url: Option<String>,
    pub(crate) devices: BTreeSet<String>,
    pub(crate) blocked: Option<Blocked>,
}

/// What the homeserver's administrator did to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It may read, but neither send nor join.
    Suspended,
    /// It may do nothing.
    Locked,
    /// It may do nothing, for good.
    Deactivated,
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) creator: OwnedUserId,
    pub(crate) version: String,
    pub(crate) state: BTreeMap<(String, String), OwnedEventId>,
    pub(crate) timeline: Vec<OwnedEventId>,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: OwnedEventId,
    pub(crate) room: OwnedRoomId,
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: String,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Value,
    pub(crate) sent_at_ms: i64,
    /// The state event that this one replaces.
    pub(crate) replaces: Option<OwnedEventId>,
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) redacted_by: Option<OwnedEventId>,
    pub(crate) txn: Option<Txn>,
}

impl Event {
    /// The target and the kind of its relation.
    pub(crate) fn relation(&self) -> Option<(&str, &str)> {
        let relation = self.content.get("m.relates_to")?;
        Some((relation.get("event_id")?.as_str()?, relation.get("rel_type")?.as_str()?))
    }
}

/// The transaction id an event was sent with, and the device that sent it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Txn {
    pub(crate) id: String,
    pub(crate) device: Option<String>,
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenRequest {
    pub(crate) endpoint: Endpoint,
    pub(crate) user: Option<OwnedUserId>,
    pub(crate) device: Option<String>,
    pub(crate) room: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) txn_id: Option<String>,
}

pub(crate) struct State {
    pub(crate) clock: SharedClock,
    pub(crate) appservice: Appservice,
    pub(crate) supports_devices: bool,
    /// Answers in the words of continuwuity, where they differ.
    pub(crate) is_continuwuity: bool,
    pub(crate) users: BTreeMap<OwnedUserId, User>,
    pub(crate) rooms: BTreeMap<OwnedRoomId, Room>,
    pub(crate) aliases: BTreeMap<OwnedRoomAliasId, OwnedRoomId>,
    pub(crate) events: BTreeMap<OwnedEventId, Event>,
    /// Synapse's first store of transaction ids: by path only, without the user; lost at a restart.
    pub(crate) txns_in_memory: BTreeMap<String, OwnedEventId>,
    /// Its second store: by room, user, device and id, kept in the database for a day.
    pub(crate) txns_stored: BTreeMap<(OwnedRoomId, OwnedUserId, Txn), OwnedEventId>,
    pub(crate) planned: Vec<Planned>,
    pub(crate) requests: Vec<SeenRequest>,
    pub(crate) queue: VecDeque<OwnedEventId>,
    pub(crate) in_flight: Option<Transaction>,
    pub(crate) last_push: u64,
    made: u64,
}

impl State {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            appservice: Appservice {
                id: "matrixbot".to_owned(),
                url: None,
                as_token: "test-as-token".to_owned(),
                hs_token: "test-hs-token".to_owned(),
                sender: UserId::parse(format!("@matrixbot:{}", super::SERVER_NAME)).unwrap(),
                user_prefix: "_alerts_".to_owned(),
            },
            supports_devices: true,
            is_continuwuity: false,
            users: BTreeMap::new(),
            rooms: BTreeMap::new(),
            aliases: BTreeMap::new(),
            events: BTreeMap::new(),
            txns_in_memory: BTreeMap::new(),
            txns_stored: BTreeMap::new(),
            planned: Vec::new(),
            requests: Vec::new(),
            queue: VecDeque::new(),
            in_flight: None,
            last_push: 0,
            made: 0,
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Drops what a restart loses.
    pub(crate) fn forget_memory(&mut self) {
        self.txns_in_memory.clear();
    }

    pub(crate) fn unpushed(&self) -> usize {
        self.queue.len() + self.in_flight.as_ref().map_or(0, |transaction| transaction.events.len())
    }

    pub(crate) fn room(&self, room: &RoomId) -> Option<&Room> {
        self.rooms.get(room)
    }

    pub(crate) fn state_event(&self, room: &RoomId, kind: &str, key: &str) -> Option<&Event> {
        let id = self.rooms.get(room)?.state.get(&(kind.to_owned(), key.to_owned()))?;
        self.events.get(id)
    }

    pub(crate) fn state_content(&self, room: &RoomId, kind: &str, key: &str) -> Option<Value> {
        self.state_event(room, kind, key).map(|event| event.content.clone())
    }

    /// `join`, `invite`, `leave`, `ban`; `leave` for users who were never in the room.
    pub(crate) fn membership(&self, room: &RoomId, user: &UserId) -> String {
        self.state_content(room, "m.room.member", user.as_str())
            .and_then(|content| content["membership"].as_str().map(str::to_owned))
            .unwrap_or_else(|| "leave".to_owned())
    }

    pub(crate) fn is_joined(&self, room: &RoomId, user: &UserId) -> bool {
        self.membership(room, user) == "join"
    }

    pub(crate) fn joined(&self, room: &RoomId) -> Vec<OwnedUserId> {
        self.users.keys().filter(|user| self.is_joined(room, user)).cloned().collect()
    }

    pub(crate) fn timeline(&self, room: &RoomId) -> impl DoubleEndedIterator<Item = &Event> {
        let ids = self.rooms.get(room).map(|room| room.timeline.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|id| self.events.get(id))
    }

    /// Creates a room as Synapse does. From room version 12 on, the power levels do not contain the creator.
    pub(crate) fn create_room(
        &mut self,
        creator: &UserId,
        kind: &RoomKind,
        predecessor: Option<&RoomId>,
    ) -> OwnedRoomId {
        self.made += 1;
        let v12 = version_12(&kind.version);
        let domain = if v12 { String::new() } else { format!(":{}", super::SERVER_NAME) };
        let room = RoomId::parse(format!("!room{}{domain}", self.made)).unwrap();
        self.create_room_as(&room, creator, kind, predecessor);
        room
    }

    /// Creates a room with a given id, such as one of an earlier homeserver.
    pub(crate) fn create_room_as(
        &mut self,
        room: &RoomId,
        creator: &UserId,
        kind: &RoomKind,
        predecessor: Option<&RoomId>,
    ) {
        let v12 = version_12(&kind.version);
        self.rooms.insert(
            room.to_owned(),
            Room {
                creator: creator.to_owned(),
                version: kind.version.clone(),
                state: BTreeMap::new(),
                timeline: Vec::new(),
            },
        );
        let mut create = json!({"room_version": kind.version});
        if let Some(predecessor) = predecessor {
            create["predecessor"] = json!({"room_id": predecessor});
        }
        let mut users = json!({});
        if !v12 {
            users[creator.as_str()] = json!(100);
        }
        self.set_state(room, creator, "m.room.create", "", create);
        self.set_state(room, creator, "m.room.member", creator.as_str(), json!({"membership": "join"}));
        self.set_state(
            room,
            creator,
            "m.room.power_levels",
            "",
            json!({
                "users": users, "users_default": 0, "events": levels_of_state(), "events_default": 0, "state_default": 50,
                "ban": 50, "kick": 50, "redact": 50, "invite": 0, "historical": 100,
            }),
        );
        let rule = if kind.public { "public" } else { "invite" };
        self.set_state(room, creator, "m.room.join_rules", "", json!({"join_rule": rule}));
        if kind.encrypted {
            let content = json!({"algorithm": "m.megolm.v1.aes-sha2"});
            self.set_state(room, creator, "m.room.encryption", "", content);
        }
        if let Some(alias) = &kind.alias {
            self.aliases.insert(OwnedRoomAliasId::try_from(alias.as_str()).unwrap(), room.to_owned());
        }
    }

    /// Numbers ids from here on, above those of an earlier homeserver.
    pub(crate) fn number_from(&mut self, made: u64) {
        self.made = made;
    }

    pub(crate) fn set_state(
        &mut self,
        room: &RoomId,
        sender: &UserId,
        kind: &str,
        key: &str,
        content: Value,
    ) -> OwnedEventId {
        let event = self.make(room, sender, kind, content);
        self.append(Event { state_key: Some(key.to_owned()), ..event })
    }

    /// An event that is not in its room yet.
    pub(crate) fn make(&mut self, room: &RoomId, sender: &UserId, kind: &str, content: Value) -> Event {
        self.made += 1;
        Event {
            id: EventId::parse(format!("$event{}", self.made)).unwrap(),
            room: room.to_owned(),
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            state_key: None,
            content,
            sent_at_ms: self.now_ms(),
            replaces: None,
            redacts: None,
            redacted_by: None,
            txn: None,
        }
    }

    /// Appends an event to its room, and queues it for the application service if a virtual user is in the room (before
    /// or after the event) or the event is about one.
    pub(crate) fn append(&mut self, mut event: Event) -> OwnedEventId {
        let (id, room) = (event.id.clone(), event.room.clone());
        let mut interesting = self.has_virtual_user(&room) || self.appservice.owns(&event.sender);
        if event.kind == "m.room.member" {
            let about = event.state_key.as_deref().and_then(|user| UserId::parse(user).ok());
            interesting |= about.is_some_and(|user| self.appservice.owns(&user));
        }
        if let Some(target) = event.redacts.as_ref().and_then(|target| self.events.get_mut(target)) {
            target.content = json!({});
            target.redacted_by = Some(id.clone());
        }
        let place = self.rooms.get_mut(&room).unwrap();
        if let Some(key) = &event.state_key {
            event.replaces = place.state.insert((event.kind.clone(), key.clone()), id.clone());
        }
        place.timeline.push(id.clone());
        self.events.insert(id.clone(), event);
        if interesting {
            self.queue.push_back(id.clone());
        }
        id
    }

    fn has_virtual_user(&self, room: &RoomId) -> bool {
        self.users.keys().any(|user| self.appservice.owns(user) && self.is_joined(room, user))
    }

    /// The event as clients get it. `reader`: the requesting user and device; the sender gets its transaction id.
    pub(crate) fn event_json(&self, event: &Event, reader: Option<(&UserId, Option<&str>)>) -> Value {
        let age = self.now_ms() - event.sent_at_ms;
        let mut json = json!({
            "type": event.kind, "event_id": event.id, "room_id": event.room, "sender": event.sender,
            "origin_server_ts": event.sent_at_ms, "content": event.content, "unsigned": {"age": age},
        });
        if let Some(key) = &event.state_key {
            json["state_key"] = json!(key);
        }
        if let Some(before) = event.replaces.as_ref().and_then(|before| self.events.get(before)) {
            json["unsigned"]["replaces_state"] = json!(before.id);
            json["unsigned"]["prev_content"] = before.content.clone();
            json["unsigned"]["prev_sender"] = json!(before.sender);
        }
        if let Some(redacts) = &event.redacts {
            json["redacts"] = json!(redacts);
        }
        if let Some(by) = event.redacted_by.as_ref().and_then(|by| self.events.get(by)) {
            json["unsigned"]["redacted_because"] = self.event_json(by, None);
        }
        if let (Some((user, device)), Some(txn)) = (reader, &event.txn) {
            // Synapse: an id that was sent from a device is shown to that device only.
            if event.sender == user && (txn.device.is_none() || txn.device.as_deref() == device) {
                json["unsigned"]["transaction_id"] = json!(txn.id);
            }
        }
        json
    }
}

/// The levels that Synapse gives new rooms of version 12.
fn levels_of_state() -> Value {
    json!({
        "m.room.avatar": 50, "m.room.canonical_alias": 50, "m.room.encryption": 100,
        "m.room.history_visibility": 100, "m.room.name": 50, "m.room.power_levels": 100,
        "m.room.server_acl": 100, "m.room.tombstone": 150,
    })
}

/// Whether creators have all power in rooms of this version.
pub(super) fn version_12(version: &str) -> bool {
    version.parse::<u32>().is_ok_and(|version| version >= 12)
}
