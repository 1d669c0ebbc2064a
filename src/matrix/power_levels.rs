//! Power levels of a room.

use ruma::events::room::power_levels::{
    RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource, UserPowerLevel,
};
use ruma::room_version_rules::AuthorizationRules;
use ruma::{OwnedUserId, RoomVersionId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The power levels of a room. In room versions from 12 on, its creators are above every level.
#[derive(Debug, Clone)]
pub struct PowerLevels(RoomPowerLevels);

/// The parts of `m.room.create` that affect power levels.
#[derive(Deserialize)]
struct Create {
    sender: Option<OwnedUserId>,
    #[serde(default)]
    content: CreateContent,
}

#[derive(Default, Deserialize)]
struct CreateContent {
    room_version: Option<RoomVersionId>,
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

impl PowerLevels {
    /// Parses the event `m.room.create` and the content of `m.room.power_levels`.
    pub(super) fn read(create: Option<&RawValue>, levels: Option<&RawValue>) -> serde_json::Result<Self> {
        let create: Option<Create> = create.map(|create| serde_json::from_str(create.get())).transpose()?;
        let levels: Option<RoomPowerLevelsEventContent> =
            levels.map(|levels| serde_json::from_str(levels.get())).transpose()?;
        let (version, creators) = create.map_or((None, Vec::new()), |create| {
            let creators = create.sender.into_iter().chain(create.content.additional_creators).collect();
            (create.content.room_version, creators)
        });
        // Client-Server API §m.room.create: the default version is 1. A version unknown to ruma is probably newer.
        let rules = version
            .unwrap_or(RoomVersionId::V1)
            .rules()
            .map_or(AuthorizationRules::V12, |rules| rules.authorization);
        Ok(Self(RoomPowerLevels::new(RoomPowerLevelsSource::from(levels), &rules, creators)))
    }

    /// The user's power level; `i64::MAX` for a creator above every level.
    pub fn of(&self, user_id: &UserId) -> i64 {
        match self.0.for_user(user_id) {
            UserPowerLevel::Int(level) => level.into(),
            _ => i64::MAX,
        }
    }

    /// Whether the user may redact events of others.
    pub fn may_redact_others(&self, user_id: &UserId) -> bool {
        self.0.user_can_redact_event_of_other(user_id)
    }

    /// Whether the user may send events of this type.
    pub fn may_send(&self, user_id: &UserId, event_type: &str) -> bool {
        self.0.user_can_send_message(user_id, event_type.into())
    }

    /// Whether `@room` by this user notifies the room.
    pub fn may_mention_room(&self, user_id: &UserId) -> bool {
        self.0.user_can_trigger_room_notification(user_id)
    }

    /// The power level required to send events of this type.
    pub fn to_send(&self, event_type: &str) -> i64 {
        self.0.for_message(event_type.into()).into()
    }

    /// The power level required for `@room` to notify the room.
    pub fn to_mention_room(&self) -> i64 {
        self.0.notifications.room.into()
    }
}

#[cfg(test)]
mod tests {
    use super::PowerLevels;
    use ruma::user_id;
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    fn levels(create: &Value, levels: Option<&Value>) -> PowerLevels {
        let create = to_raw_value(create).unwrap();
        let levels = levels.map(|levels| to_raw_value(levels).unwrap());
        PowerLevels::read(Some(&create), levels.as_deref()).unwrap()
    }

    fn created_in(version: &str) -> Value {
        json!({
            "sender": "@alice:example.org",
            "content": {"room_version": version, "additional_creators": ["@bob:example.org"]},
        })
    }

    #[test]
    fn all_creators_of_version_12_are_above_every_level() {
        let levels = levels(&created_in("12"), Some(&json!({"users": {"@carol:example.org": 100}})));
        assert_eq!(levels.of(user_id!("@alice:example.org")), i64::MAX);
        assert_eq!(levels.of(user_id!("@bob:example.org")), i64::MAX);
        assert_eq!(levels.of(user_id!("@carol:example.org")), 100);
        assert_eq!(levels.of(user_id!("@dave:example.org")), 0);
    }

    #[test]
    fn an_unknown_version_has_the_rules_of_the_newest() {
        let levels = levels(&created_in("99"), Some(&json!({})));
        assert_eq!(levels.of(user_id!("@alice:example.org")), i64::MAX);
    }

    #[test]
    fn creators_of_older_rooms_have_only_their_listed_level() {
        let listed = levels(&created_in("11"), Some(&json!({"users": {"@alice:example.org": 90}})));
        assert_eq!(listed.of(user_id!("@alice:example.org")), 90);
        let unlisted = levels(&created_in("11"), Some(&json!({"users_default": 10})));
        assert_eq!(unlisted.of(user_id!("@alice:example.org")), 10);
    }

    #[test]
    fn without_levels_the_creator_of_an_older_room_has_100() {
        let levels = levels(&created_in("11"), None);
        assert_eq!(levels.of(user_id!("@alice:example.org")), 100);
        assert_eq!(levels.of(user_id!("@dave:example.org")), 0);
    }

    #[test]
    fn room_mentions_require_50_and_events_their_listed_level() {
        let content = json!({"users": {"@carol:example.org": 50}, "events": {"m.reaction": 60}});
        let levels = levels(&created_in("12"), Some(&content));
        let (carol, dave) = (user_id!("@carol:example.org"), user_id!("@dave:example.org"));
        assert!(levels.may_mention_room(carol));
        assert!(!levels.may_mention_room(dave));
        assert!(levels.may_send(dave, "m.room.message"));
        assert!(!levels.may_send(carol, "m.reaction"));
    }
}
