//! A room's events, one after another, and what happens with one that cannot be handled.

use super::handler::Handled;
use super::preparing::Prepared;
use super::{Inbox, InboxError};
use crate::appservice::events::interpret;
use crate::domain::incoming::{Happening, Incoming, RoomEvent};
use crate::domain::retry::{Retry, SET_ASIDE_AFTER, after_failure};
use crate::domain::time::{between, later};
use crate::store::{WaitingEvent, inbox};
use crate::telemetry::EventResult;
use crate::telemetry::logs::causes;
use serde_json::value::to_raw_value;
use std::sync::Arc;
use std::time::Duration;

/// How long the handling of one event may take, with its requests to the homeserver.
const LONGEST: Duration = Duration::from_secs(90);
/// How many events of a room are handled before other rooms may have its place.
const MOST_EVENTS: u32 = 50;
/// How long a room rests that another process is serving.
const RESERVED: Duration = Duration::from_millis(100);

/// How often an event is looked at that waits for another process, and how long it waits at most.
const FOR_ANOTHER: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A room that was served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) room: String,
    /// The database failed; everything else is recorded with the event.
    pub(super) result: Result<(), InboxError>,
}

/// The result of handling one event.
enum Outcome {
    /// It was handled, here or elsewhere: the next one follows.
    Next,
    /// Nothing is due in the room, or it waits.
    Stop,
}

impl Inbox {
    /// Handles the events of a room until none is due, one fails, or other rooms should have their turn.
    pub(super) async fn serve(self: Arc<Self>, room: String) -> Served {
        let mut result = Ok(());
        for _ in 0..MOST_EVENTS {
            match self.handle_next(&room).await {
                Ok(Outcome::Next) => {}
                Ok(Outcome::Stop) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        Served { room, result }
    }

    /// Handles the event of a room that is next.
    async fn handle_next(&self, room: &str) -> Result<Outcome, InboxError> {
        let Some(waiting) = self.store.peek_event(room, self.clock.now()).await? else {
            return Ok(Outcome::Stop);
        };
        let handled = tokio::time::timeout(LONGEST, self.handle_one(room, &waiting)).await;
        match handled.unwrap_or(Err(InboxError::TooSlow(LONGEST))) {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                self.failed(&waiting, &error).await?;
                Ok(Outcome::Next)
            }
        }
    }

    async fn handle_one(&self, room: &str, waiting: &WaitingEvent) -> Result<Outcome, InboxError> {
        let mut event = read_event(&waiting.event);
        if let Ok(event) = &mut event {
            event.at = event.at.min(waiting.received_at);
            self.complete_edit(event).await?;
        }
        if let Ok(event) = &event
            && self.is_for_another_process(event, waiting).await?
        {
            self.store.event_waits(waiting.seq, later(self.clock.now(), FOR_ANOTHER)).await?;
            return Ok(Outcome::Next);
        }
        let prepared = match &event {
            Ok(event) => self.prepare(event).await?,
            Err(_) => Prepared::default(),
        };
        // The semaphore is never closed.
        let permit = self.changes.acquire().await.ok();
        let mut change = self.engine.begin().await?;
        let now = change.now();
        match inbox::lock_next(change.tx(), room, now).await? {
            Some(locked) if locked.seq == waiting.seq => {}
            // Another worker has handled the event meanwhile.
            Some(_) => return Ok(Outcome::Next),
            None => {
                drop((change, permit));
                tokio::time::sleep(RESERVED).await;
                return Ok(Outcome::Stop);
            }
        }
        let handled = match event {
            Ok(event) => self.handle(&mut change, &event, prepared).await?,
            Err(why) => Handled::malformed(&why),
        };
        let target = handled.target.as_ref().map(|target| target.as_str());
        inbox::handled(change.tx(), waiting.seq, &handled.result, target, &handled.incidents).await?;
        change.commit().await?;
        self.note(&waiting.event_id, &handled);
        Ok(Outcome::Next)
    }

    /// Whether an event is of a room list that only another process knows: during a rollout, a later release may have
    /// written what this one cannot read. Such events wait for that process, a day at most.
    async fn is_for_another_process(
        &self,
        event: &RoomEvent,
        waiting: &WaitingEvent,
    ) -> Result<bool, InboxError> {
        let lists = self.lists.load();
        let unknown = lists.unknown_users();
        if unknown.is_empty() || between(waiting.received_at, self.clock.now()) >= LONGEST_WAIT {
            return Ok(false);
        }
        if let Happening::Membership { user, .. } = &event.what
            && unknown.contains(user.as_str())
        {
            return Ok(true);
        }
        let room = event.room.as_str();
        Ok(self.rooms.lists_of(&lists, room).await?.is_empty()
            && self.store.users_in(room).await?.iter().any(|user| unknown.contains(user)))
    }

    /// Records that an event could not be handled. One that can never be handled is done with; another one is retried, and
    /// is set aside once it has failed often, so that later events of its room are not kept waiting.
    async fn failed(&self, waiting: &WaitingEvent, error: &InboxError) -> Result<(), InboxError> {
        let now = self.clock.now();
        let failures = waiting.failures.saturating_add(1);
        let retry =
            if error.is_final() { Retry::GiveUp } else { after_failure(failures, waiting.received_at, now) };
        let (event_id, cause) = (waiting.event_id.as_str(), causes(error));
        self.store.event_failed(waiting.seq, &cause, retry, now).await?;
        self.metrics.events(EventResult::Failed, 1);
        match retry {
            Retry::Wait(_) => {
                tracing::warn!(
                    event = event_id,
                    failures,
                    error = cause,
                    "an event cannot be handled yet: {cause}"
                );
            }
            Retry::SetAside(_) if failures == SET_ASIDE_AFTER => {
                self.metrics.events(EventResult::SetAside, 1);
                tracing::error!(
                    event = event_id,
                    failures,
                    error = cause,
                    "event {event_id} is set aside and retried every 5 minutes; later events of its room go on: {cause}"
                );
            }
            Retry::SetAside(_) => {
                tracing::warn!(
                    event = event_id,
                    failures,
                    error = cause,
                    "event {event_id} is still set aside: {cause}"
                );
            }
            Retry::GiveUp => {
                tracing::error!(
                    event = event_id,
                    failures,
                    error = cause,
                    "event {event_id} cannot be handled: {cause}"
                );
            }
        }
        Ok(())
    }
}

fn read_event(event: &serde_json::Value) -> Result<RoomEvent, String> {
    let raw = to_raw_value(event).map_err(|error| error.to_string())?;
    match interpret(&raw) {
        Incoming::Event(event) => Ok(event),
        Incoming::Malformed { why } => Err(why),
    }
}
