//! Who may do what in a room.

use ruma::events::room::power_levels::{
    RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource, UserPowerLevel,
};
use ruma::room_version_rules::AuthorizationRules;
use ruma::{OwnedUserId, RoomVersionId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The power levels of a room, with its creators where the room version lifts them above all levels.
#[derive(Debug, Clone)]
pub struct PowerLevels(RoomPowerLevels);

/// What of `m.room.create` decides about power.
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
    /// Reads the event `m.room.create` and the content of `m.room.power_levels`.
    pub(super) fn read(create: Option<&RawValue>, levels: Option<&RawValue>) -> serde_json::Result<Self> {
        let create: Option<Create> = create.map(|create| serde_json::from_str(create.get())).transpose()?;
        let levels: Option<RoomPowerLevelsEventContent> =
            levels.map(|levels| serde_json::from_str(levels.get())).transpose()?;
        let (version, creators) = create.map_or((None, Vec::new()), |create| {
            let creators = create.sender.into_iter().chain(create.content.additional_creators).collect();
            (create.content.room_version, creators)
        });
        // Client-Server API §m.room.create: without a version it is 1. A version that ruma does not know is most
        // likely a later one.
        let rules = version
            .unwrap_or(RoomVersionId::V1)
            .rules()
            .map_or(AuthorizationRules::V12, |rules| rules.authorization);
        Ok(Self(RoomPowerLevels::new(RoomPowerLevelsSource::from(levels), &rules, creators)))
    }

    /// The user's power; `i64::MAX` where it is above every number.
    pub fn of(&self, user_id: &UserId) -> i64 {
        match self.0.for_user(user_id) {
            UserPowerLevel::Int(level) => level.into(),
            _ => i64::MAX,
        }
    }

    /// Whether the user may send events of this type.
    pub fn may_send(&self, user_id: &UserId, event_type: &str) -> bool {
        self.0.user_can_send_message(user_id, event_type.into())
    }

    /// Whether `@room` by this user reaches anybody.
    pub fn may_mention_room(&self, user_id: &UserId) -> bool {
        self.0.user_can_trigger_room_notification(user_id)
    }

    /// Whether the user may redact other people's events.
    pub fn may_redact_others(&self, user_id: &UserId) -> bool {
        self.0.user_can_redact_event_of_other(user_id)
    }
}
