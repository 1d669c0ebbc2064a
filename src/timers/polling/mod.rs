//! Polls the Alertmanagers of the configuration: what ends, fires or is silenced without a webhook.
//!
//! One process polls an Alertmanager at a time (a lease). It remembers what it has seen from poll to poll; another process
//! that takes over starts from what the database has. An Alertmanager that does not answer changes nothing.

mod applying;
mod asking;

pub use asking::Asking;

use crate::alertmanager::api::Polled;
use crate::alertmanager::{CurrentAlertmanagers, NamedAlertmanager};
use crate::clock::SharedClock;
use crate::domain::incident::Fingerprint;
use crate::domain::polling::{self, PollState};
use crate::domain::time::{between, later};
use crate::domain::watch::Watch;
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::health::Health;
use crate::ids;
use crate::store::Store;
use crate::telemetry::{Metrics, logs::causes};
use crate::worker::{Progress, Worker};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The interval between the starts of two polls of an Alertmanager.
const EVERY: Duration = Duration::from_secs(30);
/// How long a poll may take: less than the interval, so that a slow Alertmanager delays no other one.
const LIMIT: Duration = Duration::from_secs(25);
/// How long it does not answer before people hear of it.
const REPORTED_AFTER: Duration = Duration::from_mins(10);

/// The worker that polls.
#[derive(Debug)]
pub struct Polling {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    alertmanagers: CurrentAlertmanagers,
    health: Health,
    owner: Uuid,
    sources: Mutex<BTreeMap<String, Source>>,
    /// The room list of each receiver, and when it was looked up.
    receivers: Mutex<BTreeMap<String, LookedUp>>,
    /// Listed alerts that a room list does not page about, and when each is looked at again.
    not_paged: Mutex<BTreeMap<(Arc<str>, Fingerprint), Timestamp>>,
}

/// What this process knows about an Alertmanager that it polls.
#[derive(Debug)]
struct Source {
    /// Its configuration: a reload replaces it.
    of: Arc<NamedAlertmanager>,
    /// When its next poll is due.
    next_at: Timestamp,
    /// `None`: another process polls it.
    turn: Option<Seen>,
    /// What it lists, for the other Alertmanagers.
    listed: BTreeSet<Fingerprint>,
}

/// The room list to which a receiver's webhooks went, and when that was looked up.
type LookedUp = (Option<Arc<str>>, Timestamp);

/// What the polls of this process have seen.
#[derive(Debug)]
struct Seen {
    watch: Watch,
    state: PollState,
}

impl Polling {
    /// A worker that polls what `alertmanagers` has.
    pub fn new(
        engine: Engine,
        store: Store,
        (clock, metrics): (SharedClock, Arc<Metrics>),
        lists: CurrentLists,
        alertmanagers: CurrentAlertmanagers,
        health: Health,
    ) -> Self {
        Self {
            engine,
            store,
            clock,
            metrics,
            lists,
            alertmanagers,
            health,
            owner: ids::unique(),
            sources: Mutex::default(),
            receivers: Mutex::default(),
            not_paged: Mutex::default(),
        }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Alertmanagers whose poll is due, with what their polls before have seen.
    fn due(&self, now: Timestamp) -> Vec<(Arc<NamedAlertmanager>, Option<Seen>)> {
        let current = self.alertmanagers.load();
        let mut sources = self.sources();
        sources.retain(|name, source| {
            current.iter().any(|one| one.name == *name && Arc::ptr_eq(one, &source.of))
        });
        let due =
            current.iter().filter(|one| sources.get(&one.name).is_none_or(|source| source.next_at <= now));
        let due: Vec<_> = due.cloned().collect();
        let with_turns = due.into_iter().map(|one| {
            let source = sources.entry(one.name.clone()).or_insert_with(|| Source {
                of: Arc::clone(&one),
                next_at: now,
                turn: None,
                listed: BTreeSet::new(),
            });
            source.next_at = later(now, EVERY);
            (one, source.turn.take())
        });
        with_turns.collect()
    }

    /// Polls one Alertmanager, if this process may.
    async fn poll(&self, one: &Arc<NamedAlertmanager>, seen: Option<Seen>) -> Result<(), EngineError> {
        let (name, now) = (one.name.as_str(), self.clock.now());
        let found = seen.as_ref().map(|seen| &seen.state);
        let turn = self.store.begin_poll(name, self.owner, now, later(now, polling::LEASE), found).await?;
        let Some(turn) = turn else {
            self.metrics.set_alertmanager_unanswered(name, Duration::ZERO);
            self.health.set_alertmanager(name, Ok(()));
            return Ok(());
        };
        let (known, state) = (turn.known, turn.state);
        let mut seen = match seen {
            Some(seen) => Seen { state: PollState { reported_at: state.reported_at, ..seen.state }, ..seen },
            None => Seen {
                watch: Watch::new(one.api.urls().map(ToString::to_string).collect(), &state.remembered),
                state,
            },
        };
        polling::expect(&mut seen.watch, name, &known);
        let result = match tokio::time::timeout(LIMIT, one.api.poll(now)).await {
            Ok(polled) => self.answered(one, &mut seen, polled, &known, now).await,
            Err(_) => self.unanswered(name, &mut seen, "it does not answer in time", now).await,
        };
        let is_one_of_several = self.alertmanagers.load().len() > 1;
        if let Some(source) = self.sources().get_mut(name).filter(|source| Arc::ptr_eq(&source.of, one)) {
            if is_one_of_several {
                source.listed = seen.watch.listed().map(|(fingerprint, ..)| fingerprint.clone()).collect();
            }
            source.turn = Some(seen);
        }
        result
    }

    async fn answered(
        &self,
        one: &NamedAlertmanager,
        seen: &mut Seen,
        polled: Polled,
        known: &BTreeMap<i64, polling::Known>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Polled { peers, routes } = polled;
        let mut why = Vec::new();
        let answers = peers.into_iter().map(|answer| answer.map_err(|error| why.push(causes(&error))).ok());
        let answers: Vec<_> = answers.collect();
        for reason in &why {
            tracing::debug!(
                alertmanager = one.name,
                why = reason,
                "a peer of {} gave no answer: {reason}",
                one.name
            );
        }
        if !seen.watch.polled(now, answers) {
            return self.unanswered(&one.name, seen, &why.join("; "), now).await;
        }
        self.metrics.alertmanager_polled(&one.name, true);
        self.metrics.set_alertmanager_unanswered(&one.name, Duration::ZERO);
        self.health.set_alertmanager(&one.name, if why.is_empty() { Ok(()) } else { Err(why.join("; ")) });
        if let Some(since) = seen.state.failing_since.take() {
            let lasted = between(since, now).as_secs();
            tracing::info!(
                alertmanager = one.name,
                "Alertmanager {} answers again, after {lasted} s",
                one.name
            );
        }
        seen.state.remembered = seen.watch.remembered();
        self.apply(one, &seen.watch, routes.as_deref(), known, now).await
    }

    /// No peer answers: nothing changes, and people hear of it.
    async fn unanswered(
        &self,
        name: &str,
        seen: &mut Seen,
        why: &str,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        self.metrics.alertmanager_polled(name, false);
        let since = *seen.state.failing_since.get_or_insert_with(|| {
            tracing::warn!(alertmanager = name, why, "Alertmanager {name} cannot be polled: {why}");
            now
        });
        self.metrics.set_alertmanager_unanswered(name, between(since, now));
        self.health.set_alertmanager(name, Err(why.to_owned()));
        let is_reported = seen.state.reported_at.is_some_and(|at| at >= since);
        if between(since, now) >= REPORTED_AFTER
            && !is_reported
            && self.engine.report_unreachable(name, since, why).await?
        {
            tracing::error!(
                alertmanager = name,
                why,
                "Alertmanager {name} has not answered since {since:.0}: {why}"
            );
        }
        Ok(())
    }

    /// Those of these alerts that another Alertmanager lists.
    fn listed_elsewhere<'a>(
        &self,
        name: &str,
        alerts: impl Iterator<Item = &'a Fingerprint>,
    ) -> BTreeSet<Fingerprint> {
        let sources = self.sources();
        let others: Vec<_> =
            sources.iter().filter(|(other, _)| *other != name).map(|(_, it)| &it.listed).collect();
        if others.is_empty() {
            return BTreeSet::new();
        }
        alerts.filter(|alert| others.iter().any(|listed| listed.contains(*alert))).cloned().collect()
    }
}

impl Worker for Polling {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "polling"
    }

    fn limit(&self) -> Duration {
        Duration::from_mins(2)
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        let due = self.due(self.clock.now());
        let polls = due.into_iter().map(|(one, seen)| async move { self.poll(&one, seen).await });
        // One that fails does not keep the others from being polled.
        for result in join_all(polls).await {
            result?;
        }
        let now = self.clock.now();
        let next = self.sources().values().map(|source| source.next_at).min();
        Ok(Progress::Idle(next.map_or(EVERY, |at| between(now, at))))
    }

    /// Lets another process poll at once.
    async fn end(&self) {
        drop(self.store.end_polls(self.owner).await);
    }
}
