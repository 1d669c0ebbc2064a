//! Stores events of the homeserver in the inbox.

use super::{Engine, EngineError, Wake};
use crate::store::inbox::InboxEvent;
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

impl Engine {
    /// Stores the events of a homeserver transaction in the inbox, each event id once. Returns how many were new.
    /// An event without a valid `event_id` or `room_id` is stored as malformed.
    pub async fn accept_events(&self, txn_id: &str, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.store_events(&events, "transaction", self.clock.now()).await?;
        tracing::debug!(txn_id, kept, "transaction {txn_id}: {kept} events kept");
        self.wakers.wake(Wake::Inbox);
        Ok(kept)
    }

    /// Stores events that reconciliation found. Returns how many were new: the homeserver had not pushed them.
    pub async fn accept_found(&self, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.store_events(&events, "reconcile", self.clock.now()).await?;
        if kept > 0 {
            self.wakers.wake(Wake::Inbox);
        }
        Ok(kept)
    }
}

/// The inbox row of a raw event. The id of a malformed event is a digest of its content.
fn inbox_event(raw: &RawValue) -> InboxEvent {
    #[derive(serde::Deserialize)]
    struct Ids {
        event_id: OwnedEventId,
        room_id: OwnedRoomId,
    }
    // Postgres cannot store NUL in jsonb. No command or id contains it.
    let text = raw.get().replace("\\u0000", "\\ufffd");
    let (event, readable) = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => (value, true),
        Err(_) => (serde_json::Value::String(text.clone()), false),
    };
    match serde_json::from_str::<Ids>(&text) {
        Ok(ids) if readable => {
            InboxEvent { event_id: ids.event_id.into(), room: ids.room_id.into(), event, malformed: None }
        }
        _ => {
            let digest = Sha256::digest(text.as_bytes());
            let name = format!("{digest:x}");
            InboxEvent {
                event_id: format!("malformed-{name}"),
                room: String::new(),
                event,
                malformed: Some("it has no usable event_id and room_id"),
            }
        }
    }
}
