//! Reads the history of rooms, for reconciliation and to check whether an uncertain send has arrived.

use super::client::{Client, Identity};
use super::endpoint::Endpoint;
use super::failure::ClientError;
use crate::domain::time::earlier;
use jiff::Timestamp;
use ruma::api::Direction;
use ruma::api::client::message::get_message_events;
use ruma::api::client::relations::get_relating_events;
use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId, TransactionId, UInt};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// How many events one request asks for: Synapse's maximum.
const PAGE_SIZE: u32 = 100;
/// How far the homeserver's clock may be behind ours: 10 min.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(10);

/// A page of a room's events, newest first.
#[derive(Debug)]
pub struct Page {
    /// The events as the homeserver sent them.
    pub events: Vec<Box<RawValue>>,
    /// The token of the next, older page; `None`: there is none.
    pub next: Option<String>,
}

/// The fields that identify a sent event.
#[derive(Deserialize)]
struct Sent {
    event_id: OwnedEventId,
    sender: OwnedUserId,
    origin_server_ts: i64,
    #[serde(default)]
    unsigned: Unsigned,
}

#[derive(Default, Deserialize)]
struct Unsigned {
    transaction_id: Option<String>,
}

impl Client {
    /// The events that relate to `event_id`: reactions, replies in its thread, edits. Newest first.
    pub async fn relations(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        event_id: &EventId,
        from: Option<&str>,
    ) -> Result<Page, ClientError> {
        let mut request = get_relating_events::v1::Request::new(room_id.to_owned(), event_id.to_owned());
        request.from = from.map(str::to_owned);
        request.limit = Some(UInt::from(PAGE_SIZE));
        let answer = self.call(Endpoint::Relations, Some(identity), request).await?;
        Ok(Page {
            events: answer.chunk.into_iter().map(ruma::serde::Raw::into_json).collect(),
            next: answer.next_batch,
        })
    }

    /// The room's events from `from` backwards, newest first; only events of `senders`, unless `senders` is empty.
    pub async fn messages(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        from: Option<&str>,
        senders: &[OwnedUserId],
    ) -> Result<Page, ClientError> {
        let mut request = get_message_events::v3::Request::new(room_id.to_owned(), Direction::Backward);
        request.from = from.map(str::to_owned);
        request.limit = UInt::from(PAGE_SIZE);
        if !senders.is_empty() {
            request.filter.senders = Some(senders.to_vec());
        }
        let answer = self.call(Endpoint::Messages, Some(identity), request).await?;
        Ok(Page {
            events: answer.chunk.into_iter().map(ruma::serde::Raw::into_json).collect(),
            next: answer.end,
        })
    }

    /// Finds the virtual user's newest event with this transaction id. See [`Client::find_all_by_transaction_id`].
    pub async fn find_by_transaction_id(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        txn_id: &TransactionId,
        since: Timestamp,
    ) -> Result<Option<OwnedEventId>, ClientError> {
        let found = self.find_all_by_transaction_id(identity, room_id, txn_id, since).await?;
        Ok(found.into_iter().next())
    }

    /// Finds the virtual user's events with this transaction id, the newest first. There is more than one if the homeserver
    /// forgot the id between two attempts. Homeservers store the id permanently with the event and show it to its sender;
    /// if a device sent the event, Synapse shows it only to that device. Searches back to `since`, a time before the first
    /// attempt to send.
    pub async fn find_all_by_transaction_id(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        txn_id: &TransactionId,
        since: Timestamp,
    ) -> Result<Vec<OwnedEventId>, ClientError> {
        let own = [identity.user_id.clone()];
        let earliest = earlier(since, MAX_CLOCK_SKEW).as_millisecond();
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let page = self.messages(identity, room_id, from.as_deref(), &own).await?;
            let mut is_before_since = false;
            for event in page.events.iter().filter_map(|event| serde_json::from_str::<Sent>(event.get()).ok())
            {
                is_before_since |= event.origin_server_ts < earliest;
                if event.sender == identity.user_id
                    && event.unsigned.transaction_id.as_deref() == Some(txn_id.as_str())
                {
                    found.push(event.event_id);
                }
            }
            // A page whose next token is its own would be requested for ever.
            if is_before_since || page.next.is_none() || page.next == from {
                return Ok(found);
            }
            from = page.next;
        }
    }
}
