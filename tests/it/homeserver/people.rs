//! Actions of people.

use super::Homeserver;
use super::rules::Refusal;
use super::state::{Event, RoomKind};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

/// A person at a client. A rejected action fails the test; only [`Person::sends`] returns the rejection.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) user_id: OwnedUserId,
    pub(super) homeserver: Homeserver,
}

impl Person {
    /// Sets a display name.
    pub(crate) fn named(self, name: &str) -> Self {
        let mut state = self.homeserver.state();
        state.users.get_mut(&self.user_id).unwrap().display_name = Some(name.to_owned());
        drop(state);
        self
    }

    /// Joins a room.
    pub(crate) fn joins(&self, room: &RoomId) -> &Self {
        self.homeserver.state().join(room, &self.user_id).unwrap();
        self.homeserver.0.shared.notify_unpushed();
        self
    }

    /// Leaves a room.
    pub(crate) fn leaves(&self, room: &RoomId) {
        self.homeserver.state().leave(room, &self.user_id, None).unwrap();
        self.homeserver.0.shared.notify_unpushed();
    }

    /// Invites a user.
    pub(crate) fn invites(&self, room: &RoomId, user: &UserId) {
        self.changes_member(room, user, "invite", None);
    }

    /// Kicks a user, who may join again.
    pub(crate) fn kicks(&self, room: &RoomId, user: &UserId) {
        self.changes_member(room, user, "leave", Some("out"));
    }

    /// Bans a user.
    pub(crate) fn bans(&self, room: &RoomId, user: &UserId) {
        self.changes_member(room, user, "ban", Some("out"));
    }

    fn changes_member(&self, room: &RoomId, user: &UserId, membership: &str, reason: Option<&str>) {
        self.homeserver.state().change_member(room, &self.user_id, user, membership, reason).unwrap();
        self.homeserver.0.shared.notify_unpushed();
    }

    /// Sends any event.
    pub(crate) fn sends(&self, room: &RoomId, kind: &str, content: Value) -> Result<OwnedEventId, Refusal> {
        let sent = self.homeserver.state().send(room, &self.user_id, kind, content, None);
        self.homeserver.0.shared.notify_unpushed();
        sent
    }

    /// Writes a message.
    pub(crate) fn says(&self, room: &RoomId, text: &str) -> OwnedEventId {
        self.message(room, json!({"msgtype": "m.text", "body": text, "m.mentions": {}}))
    }

    /// Writes a message that mentions a user at the start, as clients do when people select a name.
    pub(crate) fn says_to(&self, room: &RoomId, user: &UserId, text: &str) -> OwnedEventId {
        let name =
            self.homeserver.state().users[user].display_name.clone().unwrap_or_else(|| user.to_string());
        self.message(
            room,
            json!({
                "msgtype": "m.text", "body": format!("{name}: {text}"), "format": "org.matrix.custom.html",
                "formatted_body": format!("<a href=\"https://matrix.to/#/{user}\">{name}</a>: {text}"),
                "m.mentions": {"user_ids": [user]},
            }),
        )
    }

    /// Replies to a message.
    pub(crate) fn replies(&self, to: &EventId, text: &str) -> OwnedEventId {
        let (room, author) = self.target(to);
        self.message(
            &room,
            json!({
                "msgtype": "m.text", "body": text, "m.mentions": {"user_ids": [author]},
                "m.relates_to": {"m.in_reply_to": {"event_id": to}},
            }),
        )
    }

    /// Writes in the thread of a message.
    pub(crate) fn says_in_thread(&self, root: &EventId, text: &str) -> OwnedEventId {
        let (room, _) = self.target(root);
        self.message(
            &room,
            json!({
                "msgtype": "m.text", "body": text, "m.mentions": {},
                "m.relates_to": {
                    "rel_type": "m.thread", "event_id": root, "is_falling_back": true,
                    "m.in_reply_to": {"event_id": root},
                },
            }),
        )
    }

    /// Edits an own message.
    pub(crate) fn edits(&self, message: &EventId, text: &str) -> OwnedEventId {
        let (room, _) = self.target(message);
        self.message(
            &room,
            json!({
                "msgtype": "m.text", "body": format!("* {text}"), "m.mentions": {},
                "m.new_content": {"msgtype": "m.text", "body": text, "m.mentions": {}},
                "m.relates_to": {"rel_type": "m.replace", "event_id": message},
            }),
        )
    }

    /// Reacts to a message.
    pub(crate) fn reacts(&self, to: &EventId, key: &str) -> OwnedEventId {
        let (room, _) = self.target(to);
        let relation = json!({"rel_type": "m.annotation", "event_id": to, "key": key});
        self.sends(&room, "m.reaction", json!({"m.relates_to": relation})).unwrap()
    }

    /// Redacts an event, such as a reaction or a message.
    pub(crate) fn redacts(&self, event: &EventId) -> OwnedEventId {
        let (room, _) = self.target(event);
        let redaction = self.homeserver.state().redact(&room, &self.user_id, event, None, None).unwrap();
        self.homeserver.0.shared.notify_unpushed();
        redaction
    }

    /// Upgrades a room: creates a new one with the same alias and rules, and closes the old one with a tombstone.
    pub(crate) fn upgrades(&self, room: &RoomId) -> OwnedRoomId {
        let mut state = self.homeserver.state();
        let public = state.state_content(room, "m.room.join_rules", "").unwrap()["join_rule"] == "public";
        let alias = state.aliases.iter().find(|(_, of)| *of == room).map(|(alias, _)| alias.to_string());
        let kind = RoomKind { alias, public, ..RoomKind::default() };
        let replacement = state.create_room(&self.user_id, &kind, Some(room));
        state
            .send_state(
                room,
                &self.user_id,
                "m.room.tombstone",
                "",
                json!({"body": "This room has been replaced", "replacement_room": replacement}),
            )
            .unwrap();
        // Synapse mutes the old room.
        let mut levels = state.state_content(room, "m.room.power_levels", "").unwrap();
        levels["events_default"] = json!(50);
        levels["invite"] = json!(50);
        state.set_state(room, &self.user_id, "m.room.power_levels", "", levels);
        drop(state);
        self.homeserver.0.shared.notify_unpushed();
        replacement
    }

    /// Closes a room with a tombstone that names any room as its successor.
    pub(crate) fn names_successor(&self, room: &RoomId, successor: &str) {
        let tombstone = json!({"body": "This room has been replaced", "replacement_room": successor});
        let mut state = self.homeserver.state();
        state.send_state(room, &self.user_id, "m.room.tombstone", "", tombstone).unwrap();
        drop(state);
        self.homeserver.0.shared.notify_unpushed();
    }

    fn message(&self, room: &RoomId, content: Value) -> OwnedEventId {
        self.sends(room, "m.room.message", content).unwrap()
    }

    fn target(&self, event: &EventId) -> (OwnedRoomId, OwnedUserId) {
        let state = self.homeserver.state();
        let Event { room, sender, .. } = &state.events[event];
        (room.clone(), sender.clone())
    }
}
