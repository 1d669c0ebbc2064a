//! Runs random histories, and checks the properties at every step and at the end.

use super::Decide;
use super::history::{History, histories};
use super::invariants::Held;
use super::world::World;
use crate::domain::incident::Phase;
use crate::domain::input::{Act, Evidence, Input, PersonAction, ReportedAlert, Via};
use crate::domain::timeline::Kind;
use crate::domain::transition::decide;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::collections::BTreeSet;

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_history_keeps_every_invariant(history in histories()) {
        live(decide, &history)?;
    }
}

#[test]
fn the_histories_see_every_phase_and_every_kind_of_entry() {
    let mut runner = runner(384);
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let all = runner.run(&histories(), |history| {
        seen.borrow_mut().extend(live(decide, &history)?.seen);
        Ok(())
    });
    all.unwrap();
    let expected = [
        "firing",
        "run_started",
        "alerts_changed",
        "paged",
        "told",
        "undeliverable",
        "unanswered",
        "reminded",
        "acknowledged",
        "joined_ack",
        "late_ack",
        "ack_ends_soon",
        "snoozed",
        "escalation_asked",
        "resolved",
        "refired_acknowledged",
        "hold_ended",
        "held_back",
        "released",
        "suppressed",
        "closed",
    ];
    assert_eq!(seen.into_inner(), BTreeSet::from(expected));
}

/// The first violated property that random histories find in `decide`.
pub(super) fn find_violation(decide: Decide, cases: u32) -> Option<String> {
    match runner(cases).run(&histories(), |history| live(decide, &history).map(drop)) {
        Ok(()) => None,
        Err(TestError::Fail(reason, _)) => Some(reason.message().to_owned()),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Runs the same histories every time, without shrinking.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Runs a whole history.
fn live(decide: Decide, history: &History) -> Result<World, TestCaseError> {
    let mut world = World::of(decide, history.policies.clone());
    for step in &history.steps {
        world.step(step)?;
    }
    acknowledging_and_clearing_commute(&world)?;
    an_untouched_incident_reaches_unanswered(&world)?;
    Ok(world)
}

/// I7.
fn acknowledging_and_clearing_commute(world: &World) -> Held {
    let Some(incident) = world.incident.as_ref().filter(|incident| incident.phase.is_open()) else {
        return Ok(());
    };
    let clear = incident.firing.iter().map(|(name, alert)| ReportedAlert {
        fingerprint: name.clone(),
        firing: false,
        severity: alert.severity.clone(),
        starts_at: alert.starts_at,
        start_known: true,
        ends_at: Some(world.now),
        evidence: Evidence::None,
    });
    let clear = Input::Report(clear.collect::<Vec<_>>().into());
    let ack = Input::Person(PersonAction {
        who: ruma::user_id!("@carol:example.org").to_owned(),
        via: Via::Reaction,
        act: Act::Acknowledge,
        comment: None,
        acted_at: world.now,
    });
    for inputs in [[&ack, &clear], [&clear, &ack]] {
        let mut world = world.clone();
        for input in inputs {
            world.input(input)?;
        }
        let resolved = world.incident.is_some_and(|incident| {
            matches!(incident.phase, Phase::Resolved { forced: false, .. }) && incident.firing.is_empty()
        });
        prop_assert!(resolved, "I7: acknowledging and clearing do not end in resolved");
    }
    Ok(())
}

/// Liveness. An incident whose severity does not escalate pages only once.
fn an_untouched_incident_reaches_unanswered(world: &World) -> Held {
    let mut world = world.clone();
    let held =
        |world: &World| world.incident.as_ref().and_then(|incident| incident.hold.as_ref()?.until.into());
    // An end that was missed comes once more.
    for _ in 0..2 {
        if let Some(until) = held(&world).filter(|_| world.is_firing()) {
            world.now = world.now.max(until);
            world.input(&Input::Tick)?;
        }
    }
    prop_assert!(held(&world).is_none() || !world.is_firing(), "a hold does not end");
    let Some(incident) = world.incident.clone().filter(|incident| incident.phase == Phase::Firing) else {
        return Ok(());
    };
    let policy = world.policy(incident.run.policy_version);
    let ticks = policy.levels.len() * (policy.repeat as usize + 1) + 1;
    let pages_before = pages(&world);
    for _ in 0..ticks {
        world.now =
            world.now.max(world.incident.as_ref().and_then(|incident| incident.next_at).unwrap_or(world.now));
        world.input(&Input::Tick)?;
        let phase = world.incident.as_ref().map(|incident| incident.phase.clone());
        if matches!(phase, Some(Phase::Unanswered { .. })) {
            prop_assert!(incident.escalates(), "a severity without escalation becomes unanswered");
            return Ok(());
        }
    }
    prop_assert!(!incident.escalates(), "liveness: it does not reach unanswered");
    prop_assert!(pages(&world) <= pages_before.max(1), "a severity without escalation pages again");
    Ok(())
}

fn pages(world: &World) -> usize {
    let runs = world.timeline.iter().rev().take_while(|entry| !matches!(entry.kind, Kind::RunStarted { .. }));
    runs.filter(|entry| matches!(entry.kind, Kind::Paged { .. })).count()
}
