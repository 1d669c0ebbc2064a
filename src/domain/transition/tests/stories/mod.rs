//! An example of each transition. Every step also checks the invariants.

mod alerts;
mod ladder;
mod listings;
mod people;
mod time;
mod truth;

use super::history::severities;
use super::world::{State, What, World, severity};
use crate::domain::incident::{Incident, Phase, PhaseName, Rung};
use crate::domain::input::{Act, Decision, Effect, Evidence, Input, PersonAction, ReportedAlert, Via};
use crate::domain::policy::{Level, Mention, Policy};
use crate::domain::timeline::Kind;
use crate::domain::transition::decide;
use jiff::{SignedDuration, Timestamp};
use ruma::{OwnedUserId, user_id};
use std::collections::BTreeMap;
use std::time::Duration;

const INFO: i32 = 0;
const WARNING: i32 = 1;
const CRITICAL: i32 = 2;
const MINUTE: u64 = 60;

/// Two levels with 15 and 30 minutes, everything else at its default.
fn two_levels() -> Policy {
    let level = |minutes| Level {
        rooms: vec!["!room:example.org".to_owned()],
        escalate_after: Duration::from_mins(minutes),
        mention: vec![Mention::Room],
    };
    Policy { severities: severities(), ..Policy::with_levels(vec![level(15), level(30)]) }
}

/// A world with methods that read like a story.
struct Story {
    world: World,
    episodes: BTreeMap<String, Timestamp>,
}

impl Story {
    fn begins(policy: Policy) -> Self {
        Self::begins_with(vec![policy])
    }

    /// With several policies; the first is the newest.
    fn begins_with(policies: Vec<Policy>) -> Self {
        Self { world: World::of(decide, policies), episodes: BTreeMap::new() }
    }

    /// With one warning, `a`, whose page was sent.
    fn paged(policy: Policy) -> Self {
        let mut story = Self::begins(policy);
        story.fires("a", WARNING);
        story.tick();
        story.sent();
        story
    }

    fn input(&mut self, input: &Input) -> Decision {
        let decision = self.world.decide(input);
        self.world.input(input).unwrap();
        decision
    }

    fn passes(&mut self, seconds: u64) {
        self.world.now += SignedDuration::from_secs(i64::try_from(seconds).unwrap());
    }

    /// Alertmanager reports one alert as firing; it starts now, unless it is already firing.
    fn fires(&mut self, name: &str, rank: i32) -> Decision {
        let began = *self.episodes.entry(name.to_owned()).or_insert(self.world.now);
        self.report(&[(name, true, rank, began)])
    }

    fn clears(&mut self, name: &str) -> Decision {
        let began = self.episodes.remove(name).unwrap_or(self.world.now);
        self.report(&[(name, false, WARNING, began)])
    }

    fn report(&mut self, alerts: &[(&str, bool, i32, Timestamp)]) -> Decision {
        let alerts = alerts.iter().map(|(name, firing, rank, starts_at)| ReportedAlert {
            fingerprint: (*name).to_owned(),
            firing: *firing,
            severity: severity(*rank),
            starts_at: *starts_at,
            start_known: true,
            ends_at: (!firing).then_some(self.world.now),
            evidence: Evidence::None,
        });
        self.input(&Input::Report(alerts.collect::<Vec<_>>().into()))
    }

    /// Time passes until the timer is due, and the tick comes.
    fn tick(&mut self) -> Decision {
        self.world.now = self.due();
        self.input(&Input::Tick)
    }

    fn tick_if_armed(&mut self) {
        if self.incident().next_at.is_some() {
            self.tick();
        }
    }

    fn sent(&mut self) -> Decision {
        let rung = self.settle(State::Sent(self.world.now));
        self.input(&Input::PageSent(rung))
    }

    fn undeliverable(&mut self) -> Decision {
        let rung = self.settle(State::Undeliverable);
        self.input(&Input::PageUndeliverable(rung))
    }

    /// Settles the last page.
    fn settle(&mut self, state: State) -> Rung {
        let rung = self.incident().rung().unwrap();
        for message in &mut self.world.outbox {
            if matches!(message.what, What::Page(other, _) if other == rung) {
                message.state = state;
            }
        }
        rung
    }

    fn alice(&mut self, act: Act) -> Decision {
        self.person(alice(), act)
    }

    fn bob(&mut self, act: Act) -> Decision {
        self.person(user_id!("@bob:example.org").to_owned(), act)
    }

    fn person(&mut self, who: OwnedUserId, act: Act) -> Decision {
        self.input(&Input::Person(PersonAction {
            who,
            via: Via::Command,
            act,
            comment: None,
            acted_at: self.world.now,
        }))
    }

    fn maintenance(&mut self, on: bool) -> Decision {
        self.world.maintenance = on;
        self.input(if on { &Input::MaintenanceStarted } else { &Input::MaintenanceEnded })
    }

    fn incident(&self) -> &Incident {
        self.world.incident.as_ref().unwrap()
    }

    fn phase(&self) -> PhaseName {
        self.incident().phase.name()
    }

    fn due(&self) -> Timestamp {
        self.incident().next_at.unwrap()
    }

    /// How many seconds remain until the timer is due; `None`: there is none.
    fn due_in(&self) -> Option<i64> {
        self.incident().next_at.map(|at| at.duration_since(self.world.now).as_secs())
    }

    fn is_held(&self) -> bool {
        matches!(self.incident().phase, Phase::Resolved { forced: true, .. })
    }
}

fn alice() -> OwnedUserId {
    user_id!("@alice:example.org").to_owned()
}

fn kinds(decision: &Decision) -> Vec<&'static str> {
    decision.entries.iter().map(|entry| entry.kind.as_str()).collect()
}

fn thread_entries(decision: &Decision) -> Vec<&'static str> {
    let thread_entries = decision.effects.iter().filter_map(|effect| match effect {
        Effect::PostInThread(entry) => Some(entry.kind.as_str()),
        _ => None,
    });
    thread_entries.collect()
}

fn cancels(decision: &Decision) -> bool {
    decision.effects.contains(&Effect::CancelUnsent)
}

/// Why this decision started a run.
fn why(decision: &Decision) -> Option<&crate::domain::timeline::RunReason> {
    decision.entries.iter().find_map(|entry| match &entry.kind {
        Kind::RunStarted { why, .. } => Some(why),
        _ => None,
    })
}
