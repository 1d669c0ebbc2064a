//! Asks Alertmanager about reports that may be old ones: a first page waits for the answer, for two seconds at most. Also
//! notes soon which alerts of a webhook it lists, whichever process polls: what a poll has listed once ends by polls,
//! although matrixbot may be killed before the next poll, and the resolved report may get lost.

use crate::alertmanager::{CurrentAlertmanagers, NamedAlertmanager};
use crate::clock::SharedClock;
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::input::{HoldNews, Listing};
use crate::domain::polling;
use crate::domain::time::{between, later};
use crate::domain::watch::{ListedAlert, PeerAnswer};
use crate::engine::{Engine, EngineError, Questions};
use crate::store::Store;
use crate::worker::{Progress, Worker};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long to wait for the answer.
const LIMIT: Duration = Duration::from_secs(2);
/// The shortest time between two answers that no page waits for.
const PAUSE: Duration = Duration::from_secs(5);
/// Without questions, only a notification wakes the worker.
const EVERY: Duration = Duration::from_mins(1);
/// How much longer than an alert an Alertmanager must have been running for its absence to say something.
const SETTLED: Duration = Duration::from_mins(1);

/// The worker that asks.
#[derive(Debug)]
pub struct Asking {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    alertmanagers: CurrentAlertmanagers,
    /// When it last asked.
    asked_at: Mutex<Option<Timestamp>>,
}

/// What an Alertmanager answered.
struct Answer {
    /// Its name.
    name: String,
    /// Of each peer that answered.
    peers: Vec<PeerAnswer>,
    /// Whether all did.
    is_whole: bool,
    /// Whether its routes name a receiver.
    knows: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Asking {
    /// A worker that asks all `alertmanagers`.
    pub fn new(
        engine: Engine,
        store: Store,
        clock: SharedClock,
        alertmanagers: CurrentAlertmanagers,
    ) -> Self {
        Self { engine, store, clock, alertmanagers, asked_at: Mutex::default() }
    }

    /// Notes which of these alerts are listed.
    async fn note(
        &self,
        mut new: BTreeSet<Fingerprint>,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<(), EngineError> {
        for answer in answers {
            let is_listed = |fingerprint: &Fingerprint| {
                answer.peers.iter().any(|peer| peer.alerts.contains_key(fingerprint))
            };
            let listed: BTreeSet<Fingerprint>;
            (listed, new) = new.into_iter().partition(is_listed);
            if !listed.is_empty() {
                let all = answer.peers.iter().flat_map(|peer| peer.alerts.values());
                let longest = all.map(ListedAlert::promise).max().unwrap_or_default();
                let none = BTreeSet::new();
                self.store.note_listed(&answer.name, (&listed, &none), longest, now).await?;
            }
        }
        Ok(())
    }
}

impl Worker for Asking {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "asking"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        let (all, now) = (self.alertmanagers.load(), self.clock.now());
        let asked_at = *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = asked_at.map_or(Duration::ZERO, |at| between(now, later(at, PAUSE)));
        let questions = self.engine.asking().take(!pause.is_zero());
        if questions == Questions::default() {
            return Ok(Progress::Idle(if pause.is_zero() { EVERY } else { pause }));
        }
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        let answers: Vec<Answer> =
            join_all(all.iter().map(|one| ask(one, now))).await.into_iter().flatten().collect();
        let is_whole = answers.len() == all.len() && answers.iter().all(|answer| answer.is_whole);
        for number in questions.incidents {
            let says =
                |incident: &Incident, receiver: &str| listing(incident, receiver, &answers, (is_whole, now));
            self.engine.listing(number, says).await?;
        }
        self.note(questions.new, &answers, now).await?;
        Ok(Progress::More)
    }
}

async fn ask(one: &Arc<NamedAlertmanager>, now: Timestamp) -> Option<Answer> {
    let polled = tokio::time::timeout(LIMIT, one.api.poll(now)).await.ok()?;
    let asked = polled.peers.len();
    let peers: Vec<PeerAnswer> = polled.peers.into_iter().filter_map(Result::ok).collect();
    let (is_whole, routes) = (peers.len() == asked, polled.routes);
    let knows = move |receiver: &str| routes.as_ref().is_some_and(|it| it.patience(receiver).is_some());
    Some(Answer { name: one.name.clone(), peers, is_whole, knows: Box::new(knows) })
}

/// What the answers say about the alerts of an incident.
fn listing(
    incident: &Incident,
    receiver: &str,
    answers: &[Answer],
    (is_whole, now): (bool, Timestamp),
) -> Listing {
    let peers = || answers.iter().flat_map(|answer| &answer.peers);
    let lists = |fingerprint: &Fingerprint, active: bool| {
        let listed = |peer: &PeerAnswer| {
            peer.alerts.get(fingerprint).is_some_and(|alert| !active || !alert.suppressed)
        };
        peers().any(listed)
    };
    // A restarted Alertmanager knows only what its sources have reported since.
    let would_list = |starts_at: Timestamp| {
        let began = |peer: &PeerAnswer| later(peer.started_at, SETTLED) <= starts_at;
        peers().all(began)
    };
    let is_known = is_whole && answers.iter().any(|answer| (answer.knows)(receiver));
    let mut listing = Listing { answers_page: peers().next().is_some(), ..Listing::default() };
    for (fingerprint, alert) in &incident.firing {
        if lists(fingerprint, false) {
            listing.listed.insert(fingerprint.clone());
        } else if is_known && would_list(alert.starts_at) {
            listing.missing.insert(fingerprint.clone());
        }
    }
    let alerts = |fingerprint| peers().filter_map(move |peer: &PeerAnswer| peer.alerts.get(fingerprint));
    let are_listed = listing.listed.len() == incident.firing.len() && !incident.firing.is_empty();
    listing.hold = match &incident.hold {
        // What a silence holds back is not paged because of an old report.
        None => {
            let hold = polling::held(incident.firing.keys().flat_map(alerts), now).filter(|_| are_listed);
            hold.map_or(HoldNews::Unchanged, HoldNews::Held)
        }
        Some(hold) if hold.outlasted => {
            let is_held = |fingerprint| lists(fingerprint, false).then(|| !lists(fingerprint, true));
            let alerts: Vec<_> = incident.firing.keys().map(is_held).collect();
            polling::at_its_end(hold, &alerts, is_whole, now)
        }
        Some(_) => HoldNews::Unchanged,
    };
    if matches!(listing.hold, HoldNews::Held(_)) {
        listing.suppressed = incident.firing.keys().cloned().collect();
    }
    let doubted = incident.cleared.iter().filter(|(_, cleared)| cleared.doubt.is_some());
    for (fingerprint, _) in doubted {
        if lists(fingerprint, true) {
            listing.active.insert(fingerprint.clone());
        }
    }
    listing
}
