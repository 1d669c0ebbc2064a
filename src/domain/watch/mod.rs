//! What polls of one Alertmanager, with all its peers, reveal about each alert.
//!
//! An alert that is missing from a poll has not always ended: Alertmanager keeps alerts in memory only, so a restarted
//! one lists nothing until the sources report again; peers do not share alerts; and a load balancer may lead to another
//! process. `Watch` counts an alert as ended only if none of these explains its absence:
//!
//! - it is missing from the union of all peers' answers in two good polls, with no listing between them;
//! - in both, a peer that listed it last answered;
//! - and either no process that answers has been started or first seen since the alert was last listed, or such a
//!   process has already had as long as the alert's source may stay quiet.
//!
//! All times are those of matrixbot's clock; see `PeerAnswer::clock`.

mod process;
#[cfg(test)]
mod tests;

use super::clocks::Ahead;
use super::incident::Fingerprint;
use super::time;
use jiff::Timestamp;
use process::{Mask, Processes};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a source may stay quiet, if no listing is known yet. Prometheus' default is 4 min.
const DEFAULT_PROMISE: Duration = Duration::from_mins(15);
/// The longest that counts. Only a few sources report an end that is hours ahead.
const LONGEST_PROMISE: Duration = Duration::from_hours(1);
/// In how many good polls an alert has to be missing.
const ABSENCES: u32 = 2;
/// How long the `Watch` remembers an alert that has ended, and one that it does not find.
const ENDED_FOR: Duration = Duration::from_mins(15);
const MISSING_FOR: Duration = Duration::from_hours(24);

/// What one peer answered to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAnswer {
    /// When this process of Alertmanager started, by its own clock (`uptime`).
    pub started_at: Timestamp,
    /// Its clock when it answered (the header `Date`).
    pub clock: Timestamp,
    /// The process in its cluster (`cluster.name`), another one after each start; `None` without a cluster.
    pub cluster: Option<String>,
    /// All alerts that it lists.
    pub alerts: BTreeMap<Fingerprint, ListedAlert>,
}

/// An alert that Alertmanager lists: it has been reported, and `ends_at` is in the future.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAlert {
    /// The start, in milliseconds; of several peers the earliest. See `ListedAlert::has_start`.
    pub starts_at: Timestamp,
    /// Until when the alert counts as firing without another report from its source.
    pub ends_at: Timestamp,
    /// When Alertmanager last received a report of it.
    pub updated_at: Timestamp,
    /// Whether every peer that lists it holds it back, by a silence or an inhibition. Time intervals are not listed.
    pub suppressed: bool,
    /// The ids of the active silences that match it.
    pub silenced_by: Vec<Arc<str>>,
    /// The fingerprints of the alerts that inhibit it.
    pub inhibited_by: Vec<Arc<str>>,
    /// The receivers whose routes match it: names as in the configuration, without duplicates.
    pub receivers: Vec<Arc<str>>,
}

/// What the polls reveal about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Listed as active.
    Active {
        /// The poll since which it is, without interruption.
        since: Timestamp,
        /// The number of good polls since then, from 1.
        polls: u32,
    },
    /// Listed, and held back by a silence or an inhibition.
    Suppressed,
    /// Missing, and nothing but its end explains it.
    Ended,
    /// Missing. A restart, a peer that does not answer, or that only one poll misses it may explain it.
    Unclear,
}

/// What outlives the process that polls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// When the last good poll began.
    pub polled_at: Option<Timestamp>,
    /// When the process that each peer, by its URL, was last answered by had started (`PeerAnswer::started_at`).
    pub started: BTreeMap<String, Timestamp>,
    /// The longest time that a source took on itself to report again, at most an hour; zero: unknown.
    pub longest_promise: Duration,
}

/// What is known about the alerts of one Alertmanager, from poll to poll.
///
/// Only for the consecutive polls of one process of matrixbot. If another one may have polled in between, make a new
/// one from what it remembered.
#[derive(Debug, Clone)]
pub struct Watch {
    peers: Vec<String>,
    processes: Processes,
    alerts: BTreeMap<Fingerprint, Known>,
    polled_at: Option<Timestamp>,
    longest_promise: Duration,
}

/// An alert.
#[derive(Debug, Clone)]
struct Known {
    /// The last poll that is known to have listed it.
    last_had: Timestamp,
    /// Until when its source took on itself to have reported again.
    promised_until: Timestamp,
    /// How long its source may stay quiet.
    promise: Duration,
    /// The processes that listed it last; empty: unknown.
    listed_by: Mask,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Listed { alert: ListedAlert, active: Option<(Timestamp, u32)> },
    Missing { absences: u32 },
    Ended { at: Timestamp },
}

impl ListedAlert {
    /// Whether it started at `at`, which a webhook reported: listings have milliseconds, webhooks more.
    pub fn has_start(&self, at: Timestamp) -> bool {
        self.starts_at.as_millisecond() == at.as_millisecond()
    }

    /// How long its source may stay quiet, at most an hour: from its last report until the alert ends without another one.
    pub fn promise(&self) -> Duration {
        time::between(self.updated_at, self.ends_at).min(LONGEST_PROMISE)
    }

    /// Adds what another peer lists about the same alert.
    fn merge(&mut self, other: Self) {
        self.starts_at = self.starts_at.min(other.starts_at);
        self.ends_at = self.ends_at.max(other.ends_at);
        self.updated_at = self.updated_at.max(other.updated_at);
        // A peer that does not hold the alert back notifies.
        self.suppressed &= other.suppressed;
        for (own, others) in [
            (&mut self.silenced_by, other.silenced_by),
            (&mut self.inhibited_by, other.inhibited_by),
            (&mut self.receivers, other.receivers),
        ] {
            for one in others {
                if !own.contains(&one) {
                    own.push(one);
                }
            }
        }
    }
}

impl Watch {
    /// Of the Alertmanager whose peers have these URLs, in the order in which `polled` gets their answers.
    pub fn new(peers: Vec<String>, remembered: &Remembered) -> Self {
        let processes = Processes::new(&peers, &remembered.started);
        let Remembered { polled_at, longest_promise, .. } = *remembered;
        Self { peers, processes, alerts: BTreeMap::new(), polled_at, longest_promise }
    }

    /// Adds an alert that was firing at `last_had`, from a poll or a webhook that this watch need not know. Later polls,
    /// up to `Remembered::polled_at`, may have listed it, too. A time when it may already have been missing is wrong
    /// here, because a restart before that time would then not explain its absence.
    pub fn expect(&mut self, fingerprint: &str, last_had: Timestamp) {
        let promise = if self.longest_promise.is_zero() { DEFAULT_PROMISE } else { self.longest_promise };
        let promised_until =
            time::later(self.polled_at.map_or(last_had, |polled| polled.max(last_had)), promise);
        match self.alerts.get_mut(fingerprint) {
            None => {
                let state = State::Missing { absences: 0 };
                let known = Known { last_had, promised_until, promise, listed_by: Mask::default(), state };
                self.alerts.insert(fingerprint.to_owned(), known);
            }
            Some(known) if known.last_had < last_had => {
                known.last_had = last_had;
                known.promised_until = known.promised_until.max(promised_until);
                known.promise = known.promise.max(promise);
                if !matches!(known.state, State::Listed { .. }) {
                    known.listed_by = Mask::default();
                    known.state = State::Missing { absences: 0 };
                }
            }
            Some(_) => {}
        }
    }

    /// Adds the answers of a poll that began at `now`, one for each peer; `None`: it gave none. Returns whether any
    /// answered; otherwise nothing changes.
    pub fn polled(&mut self, now: Timestamp, answers: Vec<Option<PeerAnswer>>) -> bool {
        let mut answered = Mask::default();
        let mut union: BTreeMap<Fingerprint, (ListedAlert, Mask)> = BTreeMap::new();
        for (peer, answer) in answers.into_iter().take(self.peers.len()).enumerate() {
            let Some(answer) = answer else { continue };
            let ahead = Ahead::of(answer.clock, now);
            let process = self.processes.answered(
                (peer, answer.started_at, answer.cluster),
                ahead.on_our_clock(answer.started_at),
                now,
            );
            if let Some(evicted) = process.evicted {
                self.alerts.values_mut().for_each(|known| known.listed_by.remove(evicted));
            }
            answered.insert(process.slot);
            for (fingerprint, mut alert) in answer.alerts {
                alert.ends_at = ahead.on_our_clock(alert.ends_at);
                alert.updated_at = ahead.on_our_clock(alert.updated_at);
                match union.get_mut(&fingerprint) {
                    Some((known, by)) => {
                        known.merge(alert);
                        by.insert(process.slot);
                    }
                    None => {
                        union.insert(fingerprint, (alert, Mask::of(process.slot)));
                    }
                }
            }
        }
        if answered.is_empty() {
            return false;
        }
        self.polled_at = Some(now);
        for (fingerprint, known) in &mut self.alerts {
            match union.remove(fingerprint) {
                Some((alert, by)) => known.listed(now, alert, by),
                None => known.missing(now, &self.processes, answered),
            }
            self.longest_promise = self.longest_promise.max(known.promise_seen());
        }
        for (fingerprint, (alert, by)) in union {
            let known = Known::new(now, alert, by);
            self.longest_promise = self.longest_promise.max(known.promise_seen());
            self.alerts.insert(fingerprint, known);
        }
        self.alerts.retain(|_, known| known.is_of_use(now));
        true
    }

    /// What the last good poll revealed about an alert; `None`: no poll listed it, and nobody expects it.
    pub fn sight(&self, fingerprint: &str) -> Option<Sight> {
        self.alerts.get(fingerprint).map(Known::sight)
    }

    /// All alerts that the last good poll listed.
    pub fn listed(&self) -> impl Iterator<Item = (&Fingerprint, &ListedAlert, Sight)> {
        self.alerts.iter().filter_map(|(fingerprint, known)| match &known.state {
            State::Listed { alert, .. } => Some((fingerprint, alert, known.sight())),
            State::Missing { .. } | State::Ended { .. } => None,
        })
    }

    /// What another process needs to continue.
    pub fn remembered(&self) -> Remembered {
        Remembered {
            polled_at: self.polled_at,
            started: self.processes.started(&self.peers),
            longest_promise: self.longest_promise,
        }
    }
}

impl Known {
    fn new(now: Timestamp, alert: ListedAlert, by: Mask) -> Self {
        let mut known = Self {
            last_had: now,
            promised_until: now,
            promise: Duration::ZERO,
            listed_by: by,
            state: State::Missing { absences: 0 },
        };
        known.listed(now, alert, by);
        known
    }

    fn listed(&mut self, now: Timestamp, alert: ListedAlert, by: Mask) {
        let before = match &self.state {
            State::Listed { active, .. } => *active,
            State::Missing { .. } | State::Ended { .. } => None,
        };
        let active = (!alert.suppressed)
            .then(|| before.map_or((now, 1), |(since, polls)| (since, polls.saturating_add(1))));
        self.last_had = now;
        self.promised_until = alert.ends_at;
        self.promise = alert.promise();
        self.listed_by = by;
        self.state = State::Listed { alert, active };
    }

    fn missing(&mut self, now: Timestamp, processes: &Processes, answered: Mask) {
        let absences = match self.state {
            State::Listed { .. } => 0,
            State::Missing { absences } => absences,
            State::Ended { .. } => return,
        };
        // Another peer's answer proves nothing: peers do not share alerts.
        if !processes.speak_for(answered, self.listed_by) {
            self.state = State::Missing { absences };
            return;
        }
        let absences = absences.saturating_add(1);
        let ended = absences >= ABSENCES && now >= self.settled_at(processes, answered);
        self.state = if ended { State::Ended { at: now } } else { State::Missing { absences } };
    }

    /// From when on its absence from these processes' listings means that it has ended.
    fn settled_at(&self, processes: &Processes, answered: Mask) -> Timestamp {
        if let Some(newest) = processes.newest(answered).filter(|newest| *newest > self.last_had) {
            // A new process knows nothing until the source has reported to it.
            return self.promised_until.max(time::later(newest, self.promise));
        }
        if self.listed_by.is_empty() || self.listed_by.intersects(answered) {
            return self.last_had;
        }
        // An older process answers in place of the one that listed it.
        self.promised_until
    }

    fn promise_seen(&self) -> Duration {
        match &self.state {
            State::Listed { .. } => self.promise,
            State::Missing { .. } | State::Ended { .. } => Duration::ZERO,
        }
    }

    fn sight(&self) -> Sight {
        match &self.state {
            State::Listed { active: Some((since, polls)), .. } => {
                Sight::Active { since: *since, polls: *polls }
            }
            State::Listed { active: None, .. } => Sight::Suppressed,
            State::Missing { .. } => Sight::Unclear,
            State::Ended { .. } => Sight::Ended,
        }
    }

    fn is_of_use(&self, now: Timestamp) -> bool {
        match self.state {
            State::Listed { .. } => true,
            State::Missing { .. } => now < time::later(self.promised_until, MISSING_FOR),
            State::Ended { at } => now < time::later(at, ENDED_FOR),
        }
    }
}
