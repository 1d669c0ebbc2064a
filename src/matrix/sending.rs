//! Putting events into rooms: the one way out, and the seam for end-to-end encryption.

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
    /// Sends one event: a message, an edit, a reaction. The body goes out byte for byte.
    ///
    /// `txn_id` must be unique over all virtual users, rooms and times: Synapse remembers it by room, type and
    /// application service only, others by user and device only, and what they remember they do not send.
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

    /// Takes an event back: one of our own, or anybody's with the power to.
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

    /// Sets a piece of room state. The same content again is no second event on Synapse, but may be elsewhere.
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
