//! Carries out commands about silences, and ends the silences of incidents that are over. No other part asks Alertmanager to
//! change something.

mod carrying_out;
mod comparing;
mod making;

pub use carrying_out::{Attempt, Silencer};

use crate::clock::SharedClock;
use crate::domain::answer::Answer;
use crate::domain::outgoing::Outgoing;
use crate::domain::silencing::{SilenceResult, SilencingAnswer, UnsilenceResult};
use crate::domain::time::{between, later};
use crate::engine::{Engine, EngineError};
use crate::ids;
use crate::store::enqueue::NewMessage;
use crate::store::silence::{self, Order, OwnSilence};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, SilenceEvent};
use crate::worker::{Progress, Worker};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ruma::OwnedEventId;
use std::sync::Arc;
use std::time::Duration;

/// How long one attempt may take; less than the lease of what it works on.
const LIMIT: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_mins(1);
/// The pauses between the attempts of a command. After the last one it is answered that it failed.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(30)];
/// How many of them pass if one Alertmanager has done what another one does not answer about: people wait to know it, and the
/// same command later makes the rest.
const PAUSES_IF_PARTLY: usize = 2;
/// How much is taken at once.
const AT_ONCE: i64 = 20;
/// How often to look for what other processes have left, and while something is slow.
const EVERY: Duration = Duration::from_secs(10);
const WHILE_BUSY: Duration = Duration::from_secs(1);
/// How often a step looks for more, so that it ends within its limit.
const MOST_LOOKS: u32 = 60;

/// The worker that carries them out.
#[derive(Debug)]
pub struct Silencing {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    silencer: Silencer,
}

impl Silencing {
    /// A worker that does what people ask for.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        silencer: Silencer,
    ) -> Self {
        Self { engine, store, clock, metrics, silencer }
    }

    /// One attempt at a command.
    async fn attempt(&self, order: Order) -> Result<(), EngineError> {
        let attempt = match tokio::time::timeout(LIMIT, self.silencer.carry_out(&order)).await {
            Ok(attempt) => attempt?,
            Err(_) => self.silencer.unanswered(&order).await?,
        };
        let tried = usize::try_from(order.attempts).unwrap_or(usize::MAX);
        let pauses = if attempt.answer.is_partly_made() { PAUSES_IF_PARTLY } else { PAUSES.len() };
        if let (true, Some(pause)) = (attempt.again, PAUSES.iter().take(pauses).nth(tried.saturating_sub(1)))
        {
            let at = later(self.clock.now(), *pause);
            return Ok(self.store.retry_silence_order(order.id, at).await?);
        }
        self.answer(&order, attempt.answer).await
    }

    /// Answers a command, once.
    async fn answer(&self, order: &Order, answer: SilencingAnswer) -> Result<(), EngineError> {
        self.store.give_up_silences(order.id).await?;
        let mut change = self.engine.begin().await?;
        let Some(place) = silence::settle(change.tx(), order.id).await? else { return Ok(()) };
        let (now, events) = (change.now(), events(&answer));
        let event = |id: String| OwnedEventId::try_from(id).ok();
        tracing::info!(
            user = order.who,
            incident = order.incident,
            done = answer.is_done(),
            "a command of {} about silences was carried out: {}",
            order.who,
            answer.in_log()
        );
        if let (Some(to), Some(list)) = (event(place.event_id), order.room_lists.first()) {
            let payload = Outgoing::Answer {
                answer: Answer::Silencing { of: answer },
                to,
                thread: place.thread.and_then(event),
                yields: false,
            };
            let message = NewMessage {
                id: ids::unique(),
                room_list: list,
                room: &place.room,
                payload,
                incident: None,
                rung: None,
                post: None,
                not_before: now,
            };
            change.enqueue(message).await?;
        }
        change.commit().await?;
        for (event, by) in events {
            self.metrics.silenced(event, by);
        }
        Ok(())
    }

    /// Ends a silence whose incident is over. If that fails, its lease runs out and it is tried again.
    async fn end_one(&self, silence: OwnSilence) -> Result<(), EngineError> {
        let ended = match tokio::time::timeout(LIMIT, self.silencer.end(&silence)).await {
            Ok(ended) => ended?,
            Err(_) => Some(false),
        };
        if let Some(ended) = ended {
            self.metrics.silenced(SilenceEvent::of_end(ended), 1);
        }
        Ok(())
    }

    /// Takes what is due.
    async fn due(&self) -> Result<Vec<BoxFuture<'_, Result<(), EngineError>>>, StoreError> {
        let now = self.clock.now();
        let until = later(now, LEASE);
        let orders = self.store.take_silence_orders(now, until, AT_ONCE).await?;
        let to_end = self.store.take_silences_to_end(now, until, AT_ONCE).await?;
        let orders = orders.into_iter().map(|order| Box::pin(self.attempt(order)) as BoxFuture<'_, _>);
        let ends = to_end.into_iter().map(|silence| Box::pin(self.end_one(silence)) as BoxFuture<'_, _>);
        Ok(orders.chain(ends).collect())
    }
}

/// What the answer to a command adds to the metrics.
fn events(answer: &SilencingAnswer) -> Vec<(SilenceEvent, usize)> {
    match answer {
        SilencingAnswer::Silence { result: SilenceResult::Made { made, failed, .. }, .. } => vec![
            (SilenceEvent::Made, made.iter().map(|one| one.ids.len()).sum()),
            (SilenceEvent::Failed, failed.len()),
        ],
        SilencingAnswer::Silence { result: SilenceResult::NotListed { failed, .. }, .. } => {
            vec![(SilenceEvent::Failed, failed.len())]
        }
        SilencingAnswer::Unsilence { result: UnsilenceResult::Ended { .. }, .. } => {
            vec![(SilenceEvent::Ended, 1)]
        }
        SilencingAnswer::Unsilence { result: UnsilenceResult::Failed, .. } => {
            vec![(SilenceEvent::EndFailed, 1)]
        }
        SilencingAnswer::Silence { .. }
        | SilencingAnswer::List { .. }
        | SilencingAnswer::Unsilence { .. }
        | SilencingAnswer::NotConfigured => Vec::new(),
    }
}

impl Worker for Silencing {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "silencing"
    }

    fn limit(&self) -> Duration {
        Duration::from_mins(3)
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        // A slow Alertmanager does not keep what comes later from being done, but a step ends.
        let (mut running, mut failed) = (FuturesUnordered::new(), None);
        running.extend(self.due().await?);
        running.extend(self.to_compare().await?);
        let mut looks = 0_u32;
        while !running.is_empty() {
            tokio::select! {
                Some(result) = running.next() => {
                    if let Err(error) = result {
                        failed.get_or_insert(error);
                    }
                }
                () = tokio::time::sleep(WHILE_BUSY), if looks < MOST_LOOKS => {
                    looks = looks.saturating_add(1);
                    running.extend(self.due().await?);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let next = self.store.next_silence_order().await?;
        let wait = next.map_or(EVERY, |at| between(self.clock.now(), at).min(EVERY));
        Ok(Progress::Idle(wait.max(Duration::from_millis(100))))
    }
}
