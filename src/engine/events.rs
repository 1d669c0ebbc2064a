//! Stores events of the homeserver in the inbox.

use super::{Engine, EngineError, Wake};
use crate::domain::incoming::is_too_long;
use crate::store::StoreError;
use crate::store::inbox::InboxEvent;
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

impl Engine {
    /// Stores the events of a homeserver transaction in the inbox, each event id once. Returns how many were new.
    /// An event without a valid `event_id` or `room_id` is stored as malformed.
    pub async fn accept_events(&self, txn_id: &str, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store_events(&events, "transaction").await?;
        tracing::debug!(txn_id, kept, "transaction {txn_id}: {kept} events kept");
        self.wakers.wake(Wake::Inbox);
        Ok(kept)
    }

    /// Stores events that reconciliation found. Returns how many were new: the homeserver had not pushed them.
    pub async fn accept_found(&self, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store_events(&events, "reconcile").await?;
        if kept > 0 {
            self.wakers.wake(Wake::Inbox);
        }
        Ok(kept)
    }

    /// Stores events. If one of them is an event that Postgres refuses, the others are stored all the same: the homeserver
    /// would send the whole transaction again forever.
    async fn store_events(&self, events: &[InboxEvent], source: &'static str) -> Result<u64, StoreError> {
        let now = self.clock.now();
        match self.store.store_events(events, source, now).await {
            Err(error) if error.is_data_error() => {}
            stored => return stored,
        }
        let mut kept: u64 = 0;
        for event in events {
            let one = self.store.store_events(std::slice::from_ref(event), source, now).await;
            kept += match one {
                Err(error) if error.is_data_error() => {
                    tracing::warn!(event = event.event_id, %error, "event {} cannot be stored and is left out: {error}", event.event_id);
                    let why = "the database cannot store it";
                    let left_out = malformed(&event.event.to_string(), serde_json::Value::Null, why);
                    self.store.store_events(&[left_out], source, now).await?
                }
                stored => stored?,
            };
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
        Ok(ids) if readable && !is_too_long(ids.event_id.as_str()) && !is_too_long(ids.room_id.as_str()) => {
            InboxEvent { event_id: ids.event_id.into(), room: ids.room_id.into(), event, malformed: None }
        }
        _ => malformed(&text, event, "it has no usable event_id and room_id"),
    }
}

/// The inbox row of an event that cannot be used. It is identified by a digest of its text.
fn malformed(text: &str, event: serde_json::Value, why: &'static str) -> InboxEvent {
    let digest = Sha256::digest(text.as_bytes());
    InboxEvent { event_id: format!("malformed-{digest:x}"), room: String::new(), event, malformed: Some(why) }
}
