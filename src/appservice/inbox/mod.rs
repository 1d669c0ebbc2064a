//! Handles the homeserver's events: those of a room in order of arrival, each event with all its effects in one change.
//!
//! Requests to the homeserver (joining a room, reading the sender's power level) happen before that change, and may
//! happen twice.

mod admitting;
mod digest;
mod handler;
mod message;
mod on_call;
mod preparing;
mod queries;
mod reaction;
mod reading;
mod serving;
mod silencing;
mod worker;

pub use worker::InboxWorker;

use crate::clock::SharedClock;
use crate::domain::incoming::{Happening, RoomEvent};
use crate::engine::{Change, CurrentLists, Engine, EngineError};
use crate::rooms::{RoomError, Rooms};
use crate::store::{Store, StoreError};
use crate::telemetry::{EventResult, Metrics};
use handler::{EventHandler, Handled};
use preparing::Prepared;
use ruma::{OwnedServerName, UserId};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How many events are handled at once, apart from their requests to the homeserver: each needs a connection, and webhooks
/// need some as well.
const CHANGES: usize = 4;

/// Why an event could not be handled. It stays in the inbox and is retried.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The database is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A request to the homeserver failed.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// It was not finished in time.
    #[error("handling it took longer than {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl InboxError {
    /// Whether a retry cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::Store(error)
            | Self::Room(RoomError::Store(error))
            | Self::Engine(EngineError::Unavailable(error)) => error.is_data_error(),
            Self::Engine(EngineError::UnknownRoomList(_)) => true,
            Self::Engine(EngineError::Starting) | Self::Room(RoomError::Homeserver(_)) | Self::TooSlow(_) => {
                false
            }
        }
    }
}

/// How to recognise our virtual users.
#[derive(Debug, Clone)]
pub struct OurUsers {
    /// The prefix of their localparts.
    pub prefix: String,
    /// The homeserver.
    pub server_name: OwnedServerName,
}

/// Handles the events of the inbox.
#[derive(Debug)]
pub struct Inbox {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    rooms: Rooms,
    ours: OurUsers,
    changes: Semaphore,
}

impl Inbox {
    /// A handler for the rooms of these lists.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        lists: CurrentLists,
        rooms: Rooms,
        ours: OurUsers,
    ) -> Self {
        let changes = Semaphore::new(CHANGES);
        Self { engine, store, clock, metrics, lists, rooms, ours, changes }
    }

    /// Whether a user is one of our virtual users.
    fn is_ours(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.ours.server_name && user_id.localpart().starts_with(&self.ours.prefix)
    }

    async fn handle(
        &self,
        change: &mut Change,
        event: &RoomEvent,
        prepared: Prepared,
    ) -> Result<Handled, InboxError> {
        if self.is_ours(&event.sender)
            && !matches!(event.what, Happening::Membership { .. } | Happening::Tombstone { .. })
        {
            return self.own(change, event).await;
        }
        let on_call = OnceLock::new();
        let mut handler = EventHandler {
            inbox: self,
            change,
            event,
            prepared,
            on_call: &on_call,
            touched: BTreeSet::new(),
            yields: false,
        };
        let handled = match &event.what {
            Happening::Message(message) => handler.message(message).await,
            Happening::Reaction { target, key } => handler.reaction(target, key).await,
            Happening::Redaction { redacts } => handler.redaction(redacts).await,
            Happening::Membership { user, membership } => handler.membership(user, *membership).await,
            Happening::Tombstone { replacement } => handler.tombstone(replacement).await,
            Happening::Encryption => {
                tracing::warn!(room = %event.room, "{} is encrypted now: commands there cannot be read, reactions can", event.room);
                Ok(Handled::ignored("encryption"))
            }
            Happening::Named(name) => handler.named(name.as_deref()).await,
            Happening::MainAlias(alias) => handler.main_alias(alias.as_deref()).await,
            Happening::Encrypted => Ok(Handled::ignored("encrypted")),
            Happening::PowerLevels | Happening::Other => Ok(Handled::ignored("other")),
        };
        handled.map(|handled| Handled { incidents: handler.touched, ..handled })
    }

    /// An event of a virtual user. It may be the other event of a message that the homeserver accepted twice.
    async fn own(&self, change: &mut Change, event: &RoomEvent) -> Result<Handled, InboxError> {
        let message = event.transaction_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        if let (Some(message), Happening::Message(_)) = (message, &event.what)
            && change.own_event(message, &event.room, &event.sender, &event.event_id).await?
        {
            return Ok(Handled::ignored("our own, a second time"));
        }
        Ok(Handled::ignored("our own"))
    }

    /// Counts and logs an event whose handling is committed.
    fn note(&self, event_id: &str, handled: &Handled) {
        self.metrics.events(handled.kind, 1);
        if handled.kind != EventResult::Ignored {
            tracing::info!(event = event_id, result = handled.result, "event {event_id}: {}", handled.result);
        }
    }
}
