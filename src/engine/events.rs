//! Events that the homeserver gave us, kept for the inbox.

use super::{Engine, EngineError, Wake};
use crate::store::inbox::InboxEvent;
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

impl Engine {
    /// Keeps the events of a homeserver transaction in the inbox, each event id once. Returns how many were new.
    /// An event without a usable `event_id` or `room_id` is kept as malformed.
    pub async fn accept_events(&self, txn_id: &str, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.store_events(&events, "transaction", self.clock.now()).await?;
        tracing::debug!(txn_id, kept, "transaction {txn_id}: {kept} events kept");
        self.wakers.wake(Wake::Inbox);
        Ok(kept)
    }

    /// Keeps events that reconciliation found. Returns how many were new: the homeserver had not pushed them.
    pub async fn accept_found(&self, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.store_events(&events, "reconcile", self.clock.now()).await?;
        if kept > 0 {
            self.wakers.wake(Wake::Inbox);
        }
        Ok(kept)
    }
}

/// What is kept of a raw event. One without an id is known by its content instead.
fn inbox_event(raw: &RawValue) -> InboxEvent {
    #[derive(serde::Deserialize)]
    struct Ids {
        event_id: OwnedEventId,
        room_id: OwnedRoomId,
    }
    // Postgres keeps no NUL in jsonb; no command or id has one.
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
