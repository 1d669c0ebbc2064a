//! The only way to change incidents: begin, decide, save, commit; then log and wake workers.
//!
//! Every input goes through a [`Change`]: webhooks, events in rooms, the command line, timers, and results of pages. A
//! change is one database transaction with one reading of the clock. The transaction stores all results of its
//! decisions, including the totals (`crate::domain::totals`). It writes log lines and wakes workers only after the
//! commit.

use super::effects::Effects;
use super::{Engine, EngineError, TIMERS_POLL, Unreadable, Wake};
use crate::domain::incident::{Incident, Phase, Rung};
use crate::domain::input::{Decision, Input, PolicyInForce, Surroundings};
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::domain::timeline::Kind;
use crate::domain::totals::Counted;
use crate::domain::transition;
use crate::domain::webhook::AlertGroup;
use crate::domain::zone::Zone;
use crate::store::enqueue::{self, NewMessage};
use crate::store::{
    Reported, StoreError, StoredIncident, Tx, alert, commit, incident, opening, settle, timeline,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One change. If it is dropped without [`Change::commit`], it has no effect.
#[derive(Debug)]
pub struct Change {
    engine: Engine,
    tx: Tx,
    now: Timestamp,
    log: Vec<LogLine>,
    wakes: BTreeSet<Wake>,
}

/// A log line about a change of an incident.
#[derive(Debug)]
struct LogLine {
    incident: i64,
    room_list: String,
    event: &'static str,
    /// The version and the phase after the change; `None`: the incident is new.
    led_to: Option<(u64, &'static str)>,
}

/// The incident that a decision is about.
struct Subject<'a> {
    number: i64,
    room_list: &'a str,
    /// `None`: it is new.
    before: Option<&'a Incident>,
}

impl Change {
    pub(super) fn new(engine: Engine, tx: Tx, now: Timestamp) -> Self {
        Self { engine, tx, now, log: Vec::new(), wakes: BTreeSet::new() }
    }

    /// The time of the input: one reading of the clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The transaction, for other reads and writes that belong to the change.
    pub fn tx(&mut self) -> &mut Tx {
        &mut self.tx
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Wakes a worker after the commit.
    pub fn wake(&mut self, wake: Wake) {
        self.wakes.insert(wake);
    }

    /// Puts a message into the outbox.
    pub async fn enqueue(&mut self, message: NewMessage<'_>) -> Result<(), StoreError> {
        enqueue::enqueue(&mut self.tx, message, self.now).await?;
        self.wake(Wake::Outbox);
        Ok(())
    }

    /// The page of a rung was sent to a room. The caller must have locked the incident.
    pub async fn page_sent(&mut self, stored: &StoredIncident, rung: Rung) -> Result<(), EngineError> {
        self.decide(stored, &Input::PageSent(rung), None).await.map(drop)
    }

    /// The page of a rung cannot be delivered to a room. The ladder escalates only if that is true for every room of
    /// the rung. The caller must have locked the incident.
    pub async fn page_undeliverable(
        &mut self,
        stored: &StoredIncident,
        rung: Rung,
    ) -> Result<(), EngineError> {
        if settle::rung_failed(&mut self.tx, stored.number, rung).await? {
            self.decide(stored, &Input::PageUndeliverable(rung), None).await?;
        }
        Ok(())
    }

    /// Decides on an input for a locked incident, and saves the decision.
    pub(super) async fn decide(
        &mut self,
        stored: &StoredIncident,
        input: &Input,
        answered_in: Option<&str>,
    ) -> Result<Decision, EngineError> {
        self.decide_under(stored, input, answered_in, Unreadable::IsReplaced).await
    }

    /// The same by the policy of the incident's run alone. It fails if that cannot be read.
    pub(super) async fn decide_by_its_policy(
        &mut self,
        stored: &StoredIncident,
        input: &Input,
    ) -> Result<Decision, EngineError> {
        self.decide_under(stored, input, None, Unreadable::Fails).await
    }

    async fn decide_under(
        &mut self,
        stored: &StoredIncident,
        input: &Input,
        answered_in: Option<&str>,
        unreadable: Unreadable,
    ) -> Result<Decision, EngineError> {
        let (room_list, incident) = (&stored.room_list, &stored.incident);
        let policies = self.engine.policies_around(room_list, Some(incident), unreadable).await?;
        let decision = policies.decide(Some(&stored.incident), input, self.now);
        self.save(stored, &decision, &policies, None, answered_in).await?;
        Ok(decision)
    }

    /// Saves a new incident, which owns its group. Returns its number; `None`: the decision opens no incident.
    pub(super) async fn open(
        &mut self,
        room_list: &str,
        group: &AlertGroup,
        decision: &Decision,
        policies: &Policies,
        alerts: &Reported<'_>,
    ) -> Result<Option<i64>, EngineError> {
        let after = decision.incident.as_ref().filter(|incident| incident.phase != Phase::Closed);
        let Some(after) = after else { return Ok(None) };
        let policy = policies.governing(after);
        let state = (after, policy.stale_after);
        let number =
            opening::open(&mut self.tx, (room_list, group), state, alerts, &decision.entries).await?;
        self.log.push(LogLine {
            incident: number,
            room_list: room_list.to_owned(),
            event: "opened",
            led_to: None,
        });
        self.follow(Subject { number, room_list, before: None }, after, decision, policy, None).await?;
        Ok(Some(number))
    }

    /// Saves a decision on a locked incident.
    pub(super) async fn save(
        &mut self,
        stored: &StoredIncident,
        decision: &Decision,
        policies: &Policies,
        alerts: Option<&Reported<'_>>,
        answered_in: Option<&str>,
    ) -> Result<(), EngineError> {
        let Some(after) = &decision.incident else { return Ok(()) };
        let (before, number) = (&stored.incident, stored.number);
        let policy = policies.governing(after);
        let stale_after = policy.stale_after;
        let is_same = after.version == before.version
            && after.phase == before.phase
            && after.next_at == before.next_at
            && after.hold == before.hold
            && after.partly_silenced == before.partly_silenced;
        if is_same {
            let stale_at = incident::stale_at(after, stale_after);
            if stale_at != incident::stale_at(before, stale_after) {
                incident::set_stale_at(&mut self.tx, number, stale_at).await?;
            }
        } else {
            // A person may have resolved it a while ago.
            let resolved = decision.entries.iter().find(|entry| matches!(entry.kind, Kind::Resolved { .. }));
            let resolved_at = resolved.map_or(self.now, |entry| entry.at);
            incident::update(&mut self.tx, stored, after, stale_after, resolved_at).await?;
        }
        if after.firing != before.firing
            || after.cleared != before.cleared
            || after.known_at_ack != before.known_at_ack
            || alerts.is_some_and(Reported::changes_details)
        {
            alert::save(&mut self.tx, number, before, after, alerts).await?;
        }
        let subject = Subject { number, room_list: &stored.room_list, before: Some(before) };
        self.follow(subject, after, decision, policy, answered_in).await
    }

    /// Saves the timeline, the totals and the messages of a decision whose incident is already saved.
    async fn follow(
        &mut self,
        subject: Subject<'_>,
        after: &Incident,
        decision: &Decision,
        policy: &Policy,
        answered_in: Option<&str>,
    ) -> Result<(), EngineError> {
        let Subject { number, room_list, before } = subject;
        // A new incident is stored with its timeline.
        if let Some(before) = before {
            let of = |entry| Counted::of(entry, room_list, before);
            let counted: Vec<Counted> = decision.entries.iter().flat_map(of).collect();
            timeline::append(&mut self.tx, number, &decision.entries, &counted).await?;
        }
        let effects = Effects { number, room_list, incident: after, policy, answered_in, now: self.now };
        effects.carry_out(&mut self.tx, &decision.effects).await?;
        for entry in before.map(|_| decision.entries.as_slice()).unwrap_or_default() {
            self.log.push(LogLine {
                incident: number,
                room_list: room_list.to_owned(),
                event: entry.kind.as_str(),
                led_to: Some((entry.version, after.phase.name().as_str())),
            });
        }
        if !decision.effects.is_empty() {
            self.wake(Wake::Outbox);
        }
        let soon = later(self.now, TIMERS_POLL);
        if after.next_at.is_some_and(|at| at <= soon) {
            self.wake(Wake::Timers);
        }
        Ok(())
    }

    /// Commits, then writes the log lines and wakes the workers.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Self { engine, tx, log, wakes, .. } = self;
        commit(tx).await?;
        for line in &log {
            line.write();
        }
        for wake in wakes {
            engine.wakers.wake(wake);
        }
        Ok(())
    }
}

impl LogLine {
    fn write(&self) {
        let Self { incident, room_list, event, led_to } = self;
        match led_to {
            None => tracing::info!(incident, room_list, event, "incident {incident} of {room_list}: opened"),
            Some((version, phase)) => tracing::info!(
                incident,
                room_list,
                event,
                version,
                phase,
                "incident {incident} of {room_list}: {event}"
            ),
        }
    }
}

/// The policies for one decision, each with its version.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    /// The policy that the incident's run started with; for a new incident the newest.
    pub(super) of_run: (i64, Arc<Policy>),
    /// The newest policy, which a new run uses.
    pub(super) newest: (i64, Arc<Policy>),
    /// The zone of times of day of the room list.
    pub(super) zone: Zone,
}

impl Policies {
    /// Decides on an input.
    pub(super) fn decide(&self, incident: Option<&Incident>, input: &Input, now: Timestamp) -> Decision {
        transition::decide(
            incident,
            input,
            Surroundings {
                of_run: PolicyInForce { version: self.of_run.0, policy: &self.of_run.1 },
                newest: PolicyInForce { version: self.newest.0, policy: &self.newest.1 },
                zone: self.zone.time_zone(),
                maintenance: false,
                now,
            },
        )
    }

    /// The policies for an incident after a decision, which may have started a new run.
    pub(super) fn after(&self, incident: &Incident) -> Self {
        let is_newest = incident.run.policy_version == self.newest.0;
        let of_run = if is_newest { self.newest.clone() } else { self.of_run.clone() };
        Self { of_run, newest: self.newest.clone(), zone: self.zone.clone() }
    }

    /// The policy of an incident's run after a decision.
    pub(super) fn governing(&self, incident: &Incident) -> &Policy {
        if incident.run.policy_version == self.newest.0 { &self.newest.1 } else { &self.of_run.1 }
    }
}
