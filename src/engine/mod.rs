//! One database transaction per input: lock, decide, save.

use crate::domain::webhook::Webhook;
use serde_json::value::RawValue;

/// What an accepted webhook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The incident's number; `None` if the webhook was a clear without an incident.
    pub incident: Option<i64>,
    /// What happened.
    pub outcome: crate::domain::input::Outcome,
}

/// Why an input could not be taken. Nothing of it was kept; the sender must try again.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The database does not answer, or refuses.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The room list is not configured, or its row is not written yet.
    #[error("there is no room list named {0}")]
    UnknownRoomList(String),
}

/// Takes inputs, one database transaction each.
#[derive(Debug, Clone)]
pub struct Engine {}

impl Engine {
    /// Takes a report of Alertmanager for a room list. When this returns `Ok`, its effects are committed.
    #[expect(clippy::unused_async, reason = "written by the engine's owner")]
    pub async fn report(&self, room_list: &str, webhook: &Webhook) -> Result<Accepted, EngineError> {
        let _ = webhook;
        Err(EngineError::UnknownRoomList(room_list.to_owned()))
    }

    /// Keeps the events of a homeserver transaction in the inbox, each event id once. Returns how many were new.
    /// An event without a usable `event_id` or `room_id` is kept as malformed.
    #[expect(clippy::unused_async, reason = "written by the engine's owner")]
    pub async fn accept_events(&self, txn_id: &str, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let _ = (txn_id, events);
        Ok(0)
    }
}
