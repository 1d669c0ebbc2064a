//! Reading rooms back: for reconciliation, and to find out whether an uncertain send has arrived.

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

/// How many events are asked for at once: what Synapse gives at most.
const PAGE_SIZE: u32 = 100;
/// How far the homeserver's clock may be behind ours: 10 min.
const CLOCKS_APART: Duration = Duration::from_mins(10);

/// Some events of a room, newest first, and where the older ones go on.
#[derive(Debug)]
pub struct Page {
    /// The events as the homeserver gave them.
    pub events: Vec<Box<RawValue>>,
    /// What to ask for next; `None`: there is nothing older.
    pub next: Option<String>,
}

/// What tells whether an event is the one that was sent.
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

    /// The room's events from `from` backwards, the newest first; only those of `senders`, unless it is empty.
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

    /// Whether the virtual user's send with this transaction id has arrived, and as what. Homeservers keep the id
    /// with the event for good and show it to its sender; Synapse, where a device sent it, only to that device.
    /// Looks back until `since`, a time at which the send had not been tried yet.
    pub async fn find_by_transaction_id(
        &self,
        identity: &Identity,
        room_id: &RoomId,
        txn_id: &TransactionId,
        since: Timestamp,
    ) -> Result<Option<OwnedEventId>, ClientError> {
        let own = [identity.user_id.clone()];
        let earliest = earlier(since, CLOCKS_APART).as_millisecond();
        let mut from = None;
        loop {
            let page = self.messages(identity, room_id, from.as_deref(), &own).await?;
            let mut passed = false;
            for event in page.events.iter().filter_map(|event| serde_json::from_str::<Sent>(event.get()).ok())
            {
                if event.sender == identity.user_id
                    && event.unsigned.transaction_id.as_deref() == Some(txn_id.as_str())
                {
                    return Ok(Some(event.event_id));
                }
                passed |= event.origin_server_ts < earliest;
            }
            // A token that leads to itself would be walked for ever.
            if passed || page.next.is_none() || page.next == from {
                return Ok(None);
            }
            from = page.next;
        }
    }
}
