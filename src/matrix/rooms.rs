//! Joins and leaves rooms, and reads their members and state.

use super::client::{Client, Identity};
use super::endpoint::Endpoint;
use super::failure::{ClientError, Failure};
use super::power_levels::PowerLevels;
use crate::domain::room_name::{RoomName, readable};
use ruma::api::client::alias::get_alias;
use ruma::api::client::membership::{join_room_by_id_or_alias, joined_members, joined_rooms, leave_room};
use ruma::api::client::state::get_state_event_for_key::{self, v3::StateEventFormat};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, RoomOrAliasId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The room of an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAlias {
    /// The room's id.
    pub room_id: OwnedRoomId,
    /// Servers through which a user can join it: a room id alone may name none.
    pub via: Vec<OwnedServerName>,
}

impl Client {
    /// Joins a room, through one of the servers in `via` if the homeserver is not in it. Joining again changes nothing.
    pub async fn join(
        &self,
        identity: &Identity,
        room: &RoomOrAliasId,
        via: &[OwnedServerName],
    ) -> Result<OwnedRoomId, ClientError> {
        let mut request = join_room_by_id_or_alias::v3::Request::new(room.to_owned());
        request.via = via.to_vec();
        self.call(Endpoint::Join, Some(identity), request).await.map(|answer| answer.room_id)
    }

    /// Leaves a room or declines an invitation to it, with an optional reason.
    pub async fn leave(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let mut request = leave_room::v3::Request::new(room_id.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(Endpoint::Leave, Some(identity), request).await.map(|_| ())
    }

    /// Resolves an alias.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<ResolvedAlias, ClientError> {
        let answer = self.call(Endpoint::Alias, None, get_alias::v3::Request::new(alias.to_owned())).await?;
        Ok(ResolvedAlias { room_id: answer.room_id, via: answer.servers })
    }

    /// The rooms that the virtual user is in.
    pub async fn joined_rooms(&self, identity: &Identity) -> Result<BTreeSet<OwnedRoomId>, ClientError> {
        let answer = self.call(Endpoint::JoinedRooms, Some(identity), joined_rooms::v3::Request::new()).await;
        // The request has no other subject than the user.
        let answer = answer.map_err(ClientError::of_the_user)?;
        Ok(answer.joined_rooms.into_iter().collect())
    }

    /// The users in the room.
    pub async fn joined_members(
        &self,
        identity: &Identity,
        room_id: &RoomId,
    ) -> Result<BTreeSet<OwnedUserId>, ClientError> {
        let request = joined_members::v3::Request::new(room_id.to_owned());
        let answer = self.call(Endpoint::JoinedMembers, Some(identity), request).await?;
        Ok(answer.joined.into_keys().collect())
    }

    /// The power levels of the room. Makes two requests: since room version 12, `m.room.power_levels` does not list the
    /// creators.
    pub async fn power_levels(
        &self,
        identity: &Identity,
        room_id: &RoomId,
    ) -> Result<PowerLevels, ClientError> {
        self.readable_power_levels(identity, room_id)
            .await?
            .map_err(|error| ClientError::unreadable(Endpoint::State, error))
    }

    /// The power levels of the room. The inner error: the homeserver answered, but members of the room have written levels
    /// or a creation that nobody can read.
    pub async fn readable_power_levels(
        &self,
        identity: &Identity,
        room_id: &RoomId,
    ) -> Result<serde_json::Result<PowerLevels>, ClientError> {
        let create = self.state(identity, room_id, "m.room.create", StateEventFormat::Event).await?;
        let levels = self.state(identity, room_id, "m.room.power_levels", StateEventFormat::Content).await?;
        Ok(PowerLevels::read(create.as_deref(), levels.as_deref()))
    }

    /// The power level of `user_id` in the room; `i64::MAX` for a creator since room version 12; 0 if the room's levels or
    /// its creation cannot be read.
    pub async fn power_level_of(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<i64, ClientError> {
        match self.readable_power_levels(identity, room_id).await? {
            Ok(levels) => Ok(levels.of(user_id)),
            Err(error) => {
                tracing::warn!(room = %room_id, %error, "the power levels of {room_id} cannot be read and count as 0: {error}");
                Ok(0)
            }
        }
    }

    /// The room that this one replaces, as its creation says.
    pub async fn predecessor(
        &self,
        identity: &Identity,
        room_id: &RoomId,
    ) -> Result<Option<OwnedRoomId>, ClientError> {
        #[derive(Deserialize)]
        struct Create {
            predecessor: Option<Predecessor>,
        }
        #[derive(Deserialize)]
        struct Predecessor {
            room_id: OwnedRoomId,
        }
        let create = self.state(identity, room_id, "m.room.create", StateEventFormat::Content).await?;
        // What cannot be read names no room.
        let create = create.and_then(|create| serde_json::from_str::<Create>(create.get()).ok());
        Ok(create.and_then(|create| create.predecessor).map(|predecessor| predecessor.room_id))
    }

    /// What the room's members call it.
    pub async fn room_name(&self, identity: &Identity, room_id: &RoomId) -> Result<RoomName, ClientError> {
        #[derive(Deserialize)]
        struct Name {
            name: String,
        }
        #[derive(Deserialize)]
        struct CanonicalAlias {
            alias: String,
        }
        // What cannot be read is no name.
        let name = self.state(identity, room_id, "m.room.name", StateEventFormat::Content).await?;
        let name = name.and_then(|content| serde_json::from_str::<Name>(content.get()).ok());
        let alias =
            self.state(identity, room_id, "m.room.canonical_alias", StateEventFormat::Content).await?;
        let alias = alias.and_then(|content| serde_json::from_str::<CanonicalAlias>(content.get()).ok());
        Ok(RoomName {
            name: name.and_then(|content| readable(&content.name)),
            alias: alias.and_then(|content| readable(&content.alias)),
        })
    }

    /// Whether the room is encrypted.
    pub async fn is_encrypted(&self, identity: &Identity, room_id: &RoomId) -> Result<bool, ClientError> {
        let state = self.state(identity, room_id, "m.room.encryption", StateEventFormat::Content).await?;
        Ok(state.is_some())
    }

    async fn state(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        event_type: &str,
        format: StateEventFormat,
    ) -> Result<Option<Box<RawValue>>, ClientError> {
        let mut request =
            get_state_event_for_key::v3::Request::new(room_id.to_owned(), event_type.into(), String::new());
        request.format = format;
        match self.call(Endpoint::State, Some(identity), request).await {
            Ok(answer) => Ok(Some(answer.event_or_content)),
            Err(error) if error.failure() == Failure::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
