//! The environment of the rules, in memory: the time, the policies, Alertmanager's view of three alerts, the timeline
//! and an outbox that applies the effects.

mod steps;

use super::Decide;
use super::alertmanager::Alertmanager;
use super::history::{Step, Who};
use super::invariants::{self, Change, Held};
use crate::domain::incident::{Fingerprint, Incident, Phase, Rung};
use crate::domain::input::{Decision, Effect, Evidence, Input, PolicyInForce, Report, Surroundings};
use crate::domain::policy::{Policy, Severity};
use crate::domain::time::{earlier, later};
use crate::domain::timeline::{Entry, Kind, ResolveReason};
use jiff::Timestamp;
use ruma::{OwnedUserId, user_id};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) what: What,
    pub(super) run_no: u32,
    pub(super) at: Timestamp,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The rung, and which of its rooms.
    Page(Rung, usize),
    Fallback,
    Reminder,
}

static UTC: jiff::tz::TimeZone = jiff::tz::TimeZone::UTC;

/// The delivery state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unsent,
    Sent(Timestamp),
    Cancelled,
    Undeliverable,
}

/// The environment and the current incident.
#[derive(Debug, Clone)]
pub(super) struct World {
    decide: Decide,
    policies: Vec<Policy>,
    newest: usize,
    pub(super) now: Timestamp,
    pub(super) maintenance: bool,
    pub(super) incident: Option<Incident>,
    /// The whole timeline of the incident.
    pub(super) timeline: Vec<Entry>,
    /// All outbox messages of the incident.
    pub(super) outbox: Vec<Message>,
    /// When a person asked for escalation.
    pub(super) asked: Vec<Timestamp>,
    /// The alerts that were firing when a person last acknowledged, snoozed or resolved the incident, computed without
    /// the rules.
    pub(super) known: BTreeMap<Fingerprint, i32>,
    /// When the current episode of each alert that was ever firing was first reported, computed without the rules.
    pub(super) first_seen: BTreeMap<Fingerprint, Timestamp>,
    /// The severities that pages of the current run have named.
    pub(super) paged: BTreeSet<String>,
    alertmanager: Alertmanager,
    reports: Vec<Report>,
    /// All phases and kinds of entries so far, to check that the histories cover them.
    pub(super) seen: BTreeSet<&'static str>,
}

impl World {
    pub(super) fn of(decide: Decide, policies: Vec<Policy>) -> Self {
        Self {
            decide,
            policies,
            newest: 0,
            now: Timestamp::UNIX_EPOCH,
            maintenance: false,
            incident: None,
            timeline: Vec::new(),
            outbox: Vec::new(),
            asked: Vec::new(),
            known: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            paged: BTreeSet::new(),
            alertmanager: Alertmanager::default(),
            reports: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Runs one step of a history.
    pub(super) fn step(&mut self, step: &Step) -> Held {
        match step {
            Step::Pass(seconds) => self.pass(*seconds),
            Step::Poll { ended, hold } => self.poll(ended, *hold)?,
            Step::Report(alerts) => {
                let report = self.alertmanager.next_report(alerts, self.now);
                self.reports.push(report.clone());
                self.input(&Input::Report(report))?;
            }
            Step::OldReport(index) if !self.reports.is_empty() => {
                let report = index.get(&self.reports).clone();
                self.input(&Input::Report(report))?;
            }
            Step::Flap(seconds) => self.flap(*seconds)?,
            Step::Tick { late } => {
                let due = self.incident.as_ref().and_then(|incident| incident.next_at);
                self.now = self.now.max(due.unwrap_or(self.now));
                self.pass(*late);
                self.input(&Input::Tick)?;
            }
            Step::TickNow => self.input(&Input::Tick)?,
            Step::TickWhileUnpolled => self.input(&Input::TickWhileUnpolled)?,
            Step::TickWhileHeld => self.input(&Input::TickWhileHeld)?,
            Step::Send(index) => {
                self.settle(|_, state| state == State::Unsent, *index, State::Sent(self.now))?;
            }
            Step::Fail(index) => self.settle(
                |what, state| state == State::Unsent && matches!(what, What::Page(..)),
                *index,
                State::Undeliverable,
            )?,
            Step::SentAgain(index) => self.sent_again(*index)?,
            Step::Person(who, does) => self.person(*who, *does, self.now)?,
            Step::LatePerson(who, does, late) => {
                let acted_at = earlier(self.now, Duration::from_secs(*late));
                self.person(*who, *does, acted_at)?;
            }
            Step::Maintenance => {
                self.maintenance = !self.maintenance;
                let started = self.maintenance;
                self.input(if started { &Input::MaintenanceStarted } else { &Input::MaintenanceEnded })?;
            }
            Step::Reload(index) => self.reload(index.index(self.policies.len())),
            Step::Stale => self.input(&Input::Stale)?,
            Step::ReadableAgain { replaced } => {
                self.input(&Input::ReadableAgain { replaced_by: replaced.then_some(2) })?;
            }
            Step::OldReport(_) => {}
        }
        Ok(())
    }

    /// Whether the incident is firing, and nobody has acknowledged it.
    pub(super) fn is_firing(&self) -> bool {
        self.incident.as_ref().is_some_and(|incident| incident.phase == Phase::Firing)
    }

    /// Makes another policy the newest.
    pub(super) fn reload(&mut self, policy: usize) {
        self.newest = policy;
    }

    fn pass(&mut self, seconds: u64) {
        self.now = later(self.now, Duration::from_secs(seconds));
    }

    /// Decides on an input, applies the decision and checks it. Decides a second time to check that a repetition
    /// changes nothing.
    pub(super) fn input(&mut self, input: &Input) -> Held {
        let before = self.incident.clone();
        let decision = self.decide(input);
        let paged = self.paged.clone();
        let known = self.apply(before.as_ref(), input, &decision);
        let change = Change {
            before: before.as_ref(),
            known,
            paged,
            input,
            around: self.around(before.as_ref()),
            decision: &decision,
            again: self.decide(input),
            world: self,
        };
        invariants::hold(&change)
    }

    /// Decides on an input at the current time.
    pub(super) fn decide(&self, input: &Input) -> Decision {
        let incident = self.incident.as_ref();
        (self.decide)(incident, input, self.around(incident))
    }

    fn around(&self, incident: Option<&Incident>) -> Surroundings<'_> {
        let newest = i64::try_from(self.newest).unwrap();
        let of_run = incident
            .filter(|incident| incident.phase != Phase::Closed)
            .map_or(newest, |incident| incident.run.policy_version);
        Surroundings {
            of_run: PolicyInForce { version: of_run, policy: self.policy(of_run) },
            newest: PolicyInForce { version: newest, policy: self.policy(newest) },
            zone: &UTC,
            maintenance: self.maintenance,
            now: self.now,
        }
    }

    /// The row of `policy_version`.
    pub(super) fn policy(&self, version: i64) -> &Policy {
        &self.policies[usize::try_from(version).unwrap()]
    }

    /// The firing alerts that are new or have a higher severity since a person acknowledged, snoozed or resolved the
    /// incident.
    pub(super) fn unknown(&self, incident: &Incident) -> BTreeSet<Fingerprint> {
        let worse = |name: &Fingerprint, rank| self.known.get(name).is_none_or(|known| rank > *known);
        let firing = incident.firing.iter();
        firing
            .filter(|(name, alert)| worse(name, alert.severity.rank))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Applies a decision. Returns the alerts that the person who acted last still covers, before a new run.
    fn apply(
        &mut self,
        before: Option<&Incident>,
        input: &Input,
        decision: &Decision,
    ) -> BTreeMap<Fingerprint, i32> {
        let over = before.is_none_or(|before| before.phase == Phase::Closed);
        let begins = decision.incident.as_ref().is_some_and(|incident| incident.phase != Phase::Closed);
        if over && begins {
            (self.timeline, self.outbox, self.asked) = (Vec::new(), Vec::new(), Vec::new());
            self.known.clear();
        }
        self.incident.clone_from(&decision.incident);
        self.see(before.filter(|_| !over), input);
        let known = self.known.clone();
        for entry in &decision.entries {
            self.remember(entry, input);
        }
        for effect in &decision.effects {
            self.carry_out(effect);
        }
        self.seen.extend(decision.incident.as_ref().map(|incident| incident.phase.name().as_str()));
        known
    }

    /// Notes which alerts have started an episode: what a person acknowledged does not cover another outage.
    fn see(&mut self, before: Option<&Incident>, input: &Input) {
        let watched: BTreeSet<&str> = match input {
            Input::Report(report) => report
                .alerts
                .iter()
                .filter(|alert| alert.evidence != Evidence::None)
                .map(|alert| alert.fingerprint.as_str())
                .collect(),
            _ => BTreeSet::new(),
        };
        for (name, alert) in self.incident.iter().flat_map(|incident| &incident.firing) {
            let old = before.and_then(|before| before.firing.get(name));
            let cleared = before.and_then(|before| before.cleared.get(name));
            let renewed =
                old.is_some_and(|old| alert.starts_at > old.starts_at) && !watched.contains(name.as_str());
            if old.is_none() || renewed {
                self.first_seen.insert(name.clone(), self.now);
            }
            let window = before.map(|before| self.policy(before.run.policy_version).reopen_window);
            // A report in doubt that counts after all is about the episode that was acknowledged.
            let is_believed = cleared.is_some_and(|it| it.doubt.is_some() && it.starts_at == alert.starts_at);
            let is_long_over =
                cleared.is_none_or(|it| window.is_none_or(|window| later(it.at, window) <= self.now));
            let is_long_over = is_long_over && !is_believed;
            if renewed || (old.is_none() && is_long_over) {
                self.known.remove(name);
            }
        }
    }

    /// The firing alerts of an incident that were firing when a person acted.
    pub(super) fn covered(&self, incident: &Incident, acted_at: Timestamp) -> BTreeMap<Fingerprint, i32> {
        let covers = |name: &Fingerprint| {
            acted_at < incident.opened_at || self.first_seen.get(name).is_some_and(|seen| *seen <= acted_at)
        };
        let firing = incident.firing.iter().filter(|(name, _)| covers(name));
        firing.map(|(name, alert)| (name.clone(), alert.severity.rank)).collect()
    }

    fn remember(&mut self, entry: &Entry, input: &Input) {
        self.seen.insert(entry.kind.as_str());
        self.timeline.push(entry.clone());
        match &entry.kind {
            Kind::RunStarted { .. } => {
                self.known.clear();
                self.paged.clear();
            }
            Kind::EscalationAsked { .. } => self.asked.push(self.now),
            Kind::Acknowledged { .. }
            | Kind::Snoozed { .. }
            | Kind::Resolved { why: ResolveReason::ByHand { .. }, .. } => {
                if let (Input::Person(action), Some(incident)) = (input, &self.incident) {
                    self.known = self.covered(incident, action.acted_at);
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        let incident = self.incident.clone().expect("effects have an incident");
        let enqueue = |what| Message { what, run_no: incident.run.no, at: self.now, state: State::Unsent };
        match effect {
            Effect::CancelUnsent => {
                for message in self.outbox.iter_mut().filter(|message| message.state == State::Unsent) {
                    message.state = State::Cancelled;
                }
            }
            Effect::Page(rung) => {
                let level = self.policy(incident.run.policy_version).level(rung.level).cloned();
                let rooms = level.map_or(1, |level| level.rooms.len());
                let names = incident.firing.values().map(|alert| alert.severity.name.clone().unwrap());
                self.paged.extend(names);
                self.outbox.extend((0..rooms).map(|room| enqueue(What::Page(*rung, room))));
            }
            Effect::Fallback => self.outbox.push(enqueue(What::Fallback)),
            Effect::Reminder(_) => self.outbox.push(enqueue(What::Reminder)),
            Effect::Announce(_)
            | Effect::AckReminder
            | Effect::Refresh(_)
            | Effect::PostInThread(_)
            | Effect::NotifyFallback(_) => {}
        }
    }

    /// Settles one message that `eligible` allows, and reports the result to the rules.
    fn settle(
        &mut self,
        eligible: fn(What, State) -> bool,
        index: proptest::sample::Index,
        state: State,
    ) -> Held {
        let messages = self.outbox.iter_mut().filter(|message| eligible(message.what, message.state));
        let mut messages = messages.collect::<Vec<_>>();
        if messages.is_empty() {
            return Ok(());
        }
        let index = index.index(messages.len());
        messages[index].state = state;
        let What::Page(rung, _) = messages[index].what else { return Ok(()) };
        let same_rung = |message: &&Message| matches!(message.what, What::Page(other, _) if other == rung);
        let failed = |message: &Message| message.state == State::Undeliverable;
        if matches!(state, State::Sent(_)) {
            self.input(&Input::PageSent(rung))
        } else if self.outbox.iter().filter(same_rung).all(failed) {
            self.input(&Input::PageUndeliverable(rung))
        } else {
            Ok(())
        }
    }
}

/// 0: info, which does not escalate; 1: warning; 2: critical.
pub(super) fn severity(rank: i32) -> Severity {
    let name = match rank {
        0 => "info",
        1 => "warning",
        _ => "critical",
    };
    Severity { name: Some(name.to_owned()), rank, escalate: rank > 0 }
}

fn user(who: Who) -> OwnedUserId {
    match who {
        Who::Alice => user_id!("@alice:example.org").to_owned(),
        Who::Bob => user_id!("@bob:example.org").to_owned(),
    }
}
