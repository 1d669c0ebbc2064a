//! Handling what the homeserver told us: per room in the order of arrival, each event with all its effects in one
//! database transaction.
//!
//! What an event takes from the homeserver (joining a room, somebody's power level) is fetched before that
//! transaction and can be fetched again: it changes nothing that an event does twice.

mod act;
mod membership;
mod message;
mod preparing;
mod reaction;
mod scene;
mod tell;

use super::events::interpret;
use crate::domain::incoming::{Happening, Incoming, RoomEvent};
use crate::engine::{Change, Engine, EngineError};
use crate::rooms::{RoomError, Rooms};
use crate::store::{StoreError, inbox};
use crate::telemetry::EventResult;
use crate::worker::{Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use preparing::Prepared;
use ruma::{OwnedServerName, UserId};
use scene::{Handled, Scene};
use serde_json::value::to_raw_value;
use std::time::Duration;

/// How often it is looked for events that nobody told of.
const POLL: Duration = Duration::from_secs(1);
/// How soon a room is tried again whose event could not be handled.
const AGAIN: Duration = Duration::from_secs(2);

/// Why an event could not be handled. It stays where it is, and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine could not take what it asks for.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The homeserver did not do what it takes.
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl InboxError {
    /// Whether trying again cannot help.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Inconsistent { .. })
                | Self::Engine(
                    EngineError::Unavailable(StoreError::Inconsistent { .. })
                        | EngineError::UnknownRoomList(_)
                )
        )
    }
}

/// Handles the inbox.
#[derive(Debug)]
pub struct Inbox {
    engine: Engine,
    rooms: Rooms,
    user_prefix: String,
    server_name: OwnedServerName,
}

impl Inbox {
    /// A handler that knows our own users by the prefix of their localparts.
    pub fn new(engine: Engine, rooms: Rooms, user_prefix: String, server_name: OwnedServerName) -> Self {
        Self { engine, rooms, user_prefix, server_name }
    }

    /// Whether a user is one of our virtual users.
    fn is_ours(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.server_name && user_id.localpart().starts_with(&self.user_prefix)
    }

    /// Handles a room's events until none waits.
    async fn handle_room(&self, room: String) -> Result<(), InboxError> {
        while self.handle_one(&room).await? {}
        Ok(())
    }

    /// Handles a room's oldest event. Returns whether there was one that is ours to handle.
    async fn handle_one(&self, room: &str) -> Result<bool, InboxError> {
        let Some(peeked) = self.engine.store().peek_event(room).await? else { return Ok(false) };
        let event = understand(&peeked);
        let prepared = match &event {
            Ok(event) => self.prepare(event).await?,
            Err(_) => Prepared::default(),
        };
        let mut change = self.engine.begin().await?;
        let Some(waiting) = inbox::take(change.tx(), room).await? else { return Ok(false) };
        if waiting.event != peeked {
            // Another worker has handled the one that was looked at.
            return Ok(true);
        }
        let result = match event {
            Ok(event) => self.handle(&mut change, &event, prepared).await,
            Err(why) => Ok(Handled::malformed(&why)),
        };
        match result {
            Ok(handled) => {
                let target = handled.target.as_ref().map(|target| target.as_str());
                inbox::handled(change.tx(), waiting.seq, &handled.result, target).await?;
                change.commit().await?;
                self.note(&waiting.event_id, &handled);
            }
            Err(error) if error.is_final() => {
                drop(change);
                let mut change = self.engine.begin().await?;
                if let Some(waiting) = inbox::take(change.tx(), room).await?
                    && waiting.event == peeked
                {
                    let result = format!("failed: {error}");
                    inbox::handled(change.tx(), waiting.seq, &result, None).await?;
                }
                change.commit().await?;
                self.engine.metrics().events(EventResult::Failed, 1);
                tracing::error!(event = waiting.event_id, %error, "event {} cannot be handled: {error}", waiting.event_id);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
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
            return Ok(Handled::ignored("our own"));
        }
        let mut scene = Scene { inbox: self, change, event, prepared };
        match &event.what {
            Happening::Message(said) => scene.message(said).await,
            Happening::Reaction { target, key } => scene.reaction(target, key).await,
            Happening::Redaction { redacts } => scene.redaction(redacts).await,
            Happening::Membership { user, membership } => scene.membership(user, *membership).await,
            Happening::Tombstone { replacement } => scene.tombstone(replacement).await,
            Happening::Encryption => {
                tracing::warn!(room = %event.room, "{} is encrypted now: commands there cannot be read, reactions can", event.room);
                Ok(Handled::ignored("encryption"))
            }
            Happening::Encrypted => Ok(Handled::ignored("encrypted")),
            Happening::PowerLevels | Happening::Other => Ok(Handled::ignored("other")),
        }
    }

    /// Counts and logs an event whose handling is committed.
    fn note(&self, event_id: &str, handled: &Handled) {
        self.engine.metrics().events(handled.kind, 1);
        if handled.kind != EventResult::Ignored {
            tracing::info!(event = event_id, result = handled.result, "event {event_id}: {}", handled.result);
        }
    }
}

impl Worker for Inbox {
    type Error = InboxError;

    fn name(&self) -> &'static str {
        "inbox"
    }

    async fn step(&self) -> Result<Progress, InboxError> {
        let rooms = self.engine.store().rooms_with_events(64).await?;
        if rooms.is_empty() {
            return Ok(Progress::Idle(POLL));
        }
        let mut failed = None;
        let mut handling: FuturesUnordered<_> =
            rooms.into_iter().map(|room| self.handle_room(room)).collect();
        while let Some(result) = handling.next().await {
            if let Err(error) = result {
                self.engine.metrics().events(EventResult::Failed, 1);
                tracing::warn!(%error, "an event cannot be handled yet: {error}");
                failed = Some(error);
            }
        }
        Ok(if failed.is_some() { Progress::Idle(AGAIN) } else { Progress::More })
    }
}

fn understand(event: &serde_json::Value) -> Result<RoomEvent, String> {
    let raw = to_raw_value(event).map_err(|error| error.to_string())?;
    match interpret(&raw) {
        Incoming::Event(event) => Ok(event),
        Incoming::Malformed { why } => Err(why),
    }
}
