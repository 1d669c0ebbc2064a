//! Handles the homeserver's events: those of a room in order of arrival, each event with all its effects in one change.
//!
//! Requests to the homeserver (joining a room, reading the sender's power level) happen before that change, and may
//! happen twice.

mod handler;
mod message;
mod reaction;

use super::events::interpret;
use crate::clock::SharedClock;
use crate::domain::command::{Context, Parsed, parse};
use crate::domain::incoming::{Happening, Incoming, Membership, RoomEvent};
use crate::domain::rights::depends_on_power_level;
use crate::engine::{Change, CurrentLists, Engine, EngineError};
use crate::rooms::invitations::Invitation;
use crate::rooms::{RoomError, Rooms};
use crate::store::{Store, StoreError, inbox};
use crate::telemetry::{EventResult, Metrics};
use crate::worker::{Progress, Worker};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use handler::{EventHandler, Handled};
use ruma::{OwnedServerName, UserId};
use serde_json::value::to_raw_value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Polling interval for events, when nothing wakes the worker.
const POLL: Duration = Duration::from_secs(1);
/// Delay before a failed event is retried.
const RETRY: Duration = Duration::from_secs(2);

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
}

impl InboxError {
    /// Whether a retry cannot help.
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

/// Answers of the homeserver that handling an event needs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Prepared {
    /// The sender's power level in the room, if the answer depends on it.
    pub(super) power_level: Option<i64>,
    /// Whether matrixbot accepted an invitation.
    pub(super) joined: bool,
}

/// How to recognise our virtual users.
#[derive(Debug, Clone)]
pub struct OurUsers {
    /// The prefix of their localparts.
    pub prefix: String,
    /// The homeserver.
    pub server_name: OwnedServerName,
}

/// Handles the inbox.
#[derive(Debug)]
pub struct Inbox {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    rooms: Rooms,
    ours: OurUsers,
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
        Self { engine, store, clock, metrics, lists, rooms, ours }
    }

    /// Whether a user is one of our virtual users.
    fn is_ours(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.ours.server_name && user_id.localpart().starts_with(&self.ours.prefix)
    }

    /// Handles all events of a room.
    async fn handle_room(&self, room: String) -> Result<(), InboxError> {
        while self.handle_one(&room).await? {}
        Ok(())
    }

    /// Handles a room's oldest event. Returns whether there was one and no other worker had the room.
    async fn handle_one(&self, room: &str) -> Result<bool, InboxError> {
        let Some(peeked) = self.store.peek_event(room).await? else { return Ok(false) };
        let event = read_event(&peeked);
        let prepared = match &event {
            Ok(event) => self.prepare(event).await?,
            Err(_) => Prepared::default(),
        };
        let mut change = self.engine.begin().await?;
        let Some(waiting) = inbox::lock_next(change.tx(), room).await? else { return Ok(false) };
        if waiting.event != peeked {
            // Another worker has handled the event meanwhile.
            return Ok(true);
        }
        let result = match event {
            Ok(event) => self.handle(&mut change, &event, prepared).await,
            Err(why) => Ok(Handled::malformed(&why)),
        };
        match result {
            Ok(handled) => {
                let target = handled.target.as_ref().map(|target| target.as_str());
                inbox::handled(change.tx(), waiting.seq, &handled.result, target, &handled.incidents).await?;
                change.commit().await?;
                self.note(&waiting.event_id, &handled);
            }
            Err(error) if error.is_final() => {
                drop(change);
                let mut change = self.engine.begin().await?;
                if let Some(waiting) = inbox::lock_next(change.tx(), room).await?
                    && waiting.event == peeked
                {
                    let result = format!("failed: {error}");
                    inbox::handled(change.tx(), waiting.seq, &result, None, &BTreeSet::new()).await?;
                }
                change.commit().await?;
                self.metrics.events(EventResult::Failed, 1);
                tracing::error!(event = waiting.event_id, %error, "event {} cannot be handled: {error}", waiting.event_id);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Sends the event's requests to the homeserver, before taking any lock.
    async fn prepare(&self, event: &RoomEvent) -> Result<Prepared, InboxError> {
        match &event.what {
            Happening::Message(message) if message.may_command() && !self.is_ours(&event.sender) => {
                let (ours, text) = message.addressed(|user| self.is_ours(user));
                let reply_or_thread = message.reply_to.is_some() || message.thread_root.is_some();
                let context = Context { reply_or_thread, mentioned: ours.is_some() };
                let needs_power_level = matches!(
                    parse(text, context),
                    Parsed::Command(command) if depends_on_power_level(&command)
                );
                let power_level = if needs_power_level { self.power_level(event).await? } else { None };
                Ok(Prepared { power_level, joined: false })
            }
            Happening::Membership { user, membership: Membership::Invite } if self.is_ours(user) => {
                let invitation = Invitation { user, room: &event.room, by: &event.sender };
                let lists = self.lists.load();
                let now = self.clock.now();
                let joined = self.rooms.answer_invitation(&lists, &invitation, now).await?;
                Ok(Prepared { power_level: None, joined })
            }
            Happening::Tombstone { replacement } => {
                let (lists, now) = (self.lists.load(), self.clock.now());
                self.rooms.join_successor(&lists, event.room.as_str(), replacement.as_str(), now).await?;
                Ok(Prepared::default())
            }
            _ => Ok(Prepared::default()),
        }
    }

    /// The sender's power level in the room, read as one of our users there. `None`: none of them may read it.
    async fn power_level(&self, event: &RoomEvent) -> Result<Option<i64>, InboxError> {
        let lists = self.lists.load();
        for list in self.rooms.lists_of(&lists, event.room.as_str()).await? {
            let identity = self.rooms.users().identity(&list.user_id).await?;
            match self.rooms.client().power_level_of(&identity, &event.room, &event.sender).await {
                Ok(level) => return Ok(Some(level)),
                Err(error) if error.failure().is_temporary() => return Err(RoomError::from(error).into()),
                Err(_) => {}
            }
        }
        Ok(None)
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
        let mut handler = EventHandler { inbox: self, change, event, prepared, touched: BTreeSet::new() };
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
            Happening::Encrypted => Ok(Handled::ignored("encrypted")),
            Happening::PowerLevels | Happening::Other => Ok(Handled::ignored("other")),
        };
        handled.map(|handled| Handled { incidents: handler.touched, ..handled })
    }

    /// Counts and logs an event whose handling is committed.
    fn note(&self, event_id: &str, handled: &Handled) {
        self.metrics.events(handled.kind, 1);
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
        let rooms = self.store.rooms_with_events(64).await?;
        if rooms.is_empty() {
            return Ok(Progress::Idle(POLL));
        }
        let mut failed = None;
        let mut handling: FuturesUnordered<_> =
            rooms.into_iter().map(|room| self.handle_room(room)).collect();
        while let Some(result) = handling.next().await {
            if let Err(error) = result {
                self.metrics.events(EventResult::Failed, 1);
                tracing::warn!(%error, "an event cannot be handled yet: {error}");
                failed = Some(error);
            }
        }
        Ok(if failed.is_some() { Progress::Idle(RETRY) } else { Progress::More })
    }
}

fn read_event(event: &serde_json::Value) -> Result<RoomEvent, String> {
    let raw = to_raw_value(event).map_err(|error| error.to_string())?;
    match interpret(&raw) {
        Incoming::Event(event) => Ok(event),
        Incoming::Malformed { why } => Err(why),
    }
}
