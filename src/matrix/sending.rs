//! Sends events to rooms. No other code does; end-to-end encryption would be added here.

use super::client::{Client, Identity};
use super::endpoint::Endpoint;
use super::failure::ClientError;
use ruma::api::client::message::send_message_event;
use ruma::api::client::redact::redact_event;
use ruma::api::client::state::send_state_event;
use ruma::serde::Raw;
use ruma::{EventId, OwnedEventId, RoomId, TransactionId};
use serde_json::value::RawValue;

impl Client {
    /// Sends one event: a message, an edit or a reaction. Sends the content unchanged, byte for byte.
    ///
    /// `txn_id` must be globally unique, and never used again: homeservers do not send an event whose `txn_id` they
    /// know. Synapse stores it only by room, event type and application service, others only by user and device.
    pub async fn send_event(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        event_type: &str,
        txn_id: &TransactionId,
        content: &RawValue,
    ) -> Result<OwnedEventId, ClientError> {
        let request = send_message_event::v3::Request::new_raw(
            room_id.to_owned(),
            txn_id.to_owned(),
            event_type.into(),
            Raw::from_json(content.to_owned()),
        );
        self.call(Endpoint::Send, Some(identity), request).await.map(|answer| answer.event_id)
    }

    /// Redacts an event: one of our own, or of any user if the power level allows it.
    pub async fn redact(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        event_id: &EventId,
        txn_id: &TransactionId,
        reason: Option<&str>,
    ) -> Result<OwnedEventId, ClientError> {
        let mut request =
            redact_event::v3::Request::new(room_id.to_owned(), event_id.to_owned(), txn_id.to_owned());
        request.reason = reason.map(str::to_owned);
        self.call(Endpoint::Redact, Some(identity), request).await.map(|answer| answer.event_id)
    }

    /// Sends a state event. If the content is unchanged, Synapse creates no new event; other homeservers may.
    pub async fn send_state(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        event_type: &str,
        state_key: &str,
        content: &RawValue,
    ) -> Result<OwnedEventId, ClientError> {
        let request = send_state_event::v3::Request::new_raw(
            room_id.to_owned(),
            event_type.into(),
            state_key.to_owned(),
            Raw::from_json(content.to_owned()),
        );
        self.call(Endpoint::SendState, Some(identity), request).await.map(|answer| answer.event_id)
    }
}
