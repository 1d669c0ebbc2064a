//! Faults around `decide`. The same properties that hold for the rules must detect each of them.
//!
//! A mutant changes the input or the output of `decide`; the rules contain no code for mutants. To add one: write it
//! next to similar ones and add its name to the list at the top of that file.

use super::Decide;
use super::properties::find_violation;
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Act, Decision, Input, Outcome, PersonAction, PolicyInForce, Surroundings};
use crate::domain::policy::Policy;
use crate::domain::timeline::Kind;
use crate::domain::transition::decide;

/// The number of histories that must be enough to detect a mutant.
const HISTORIES: u32 = 1500;

/// A test for each mutant of the file.
macro_rules! mutants {
    ($($name:ident)*) => {
        mod is_found {
            $(
                #[test]
                fn $name() {
                    super::super::must_be_found(super::$name);
                }
            )*
        }
    };
}

mod acknowledged;
mod end;
mod ladder;
mod listings;
mod model;
mod record;
mod reports;
mod truth;

fn must_be_found(mutant: Decide) {
    assert!(find_violation(mutant, HISTORIES).is_some(), "the properties do not detect this fault");
}

type Before<'a> = Option<&'a Incident>;

/// Calls `decide` with policies that `spoil` has changed.
fn under(before: Before<'_>, input: &Input, around: Surroundings<'_>, spoil: fn(&mut Policy)) -> Decision {
    let (mut of_run, mut newest) = (around.of_run.policy.clone(), around.newest.policy.clone());
    spoil(&mut of_run);
    spoil(&mut newest);
    let of_run = PolicyInForce { policy: &of_run, ..around.of_run };
    let newest = PolicyInForce { policy: &newest, ..around.newest };
    decide(before, input, Surroundings { of_run, newest, ..around })
}

/// Changes the incident of a decision.
fn and_then(mut decision: Decision, spoil: impl FnOnce(&mut Incident)) -> Decision {
    if let Some(incident) = decision.incident.as_mut() {
        spoil(incident);
    }
    decision
}

/// Calls `decide` with a changed incident.
fn about(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
    spoil: impl FnOnce(&mut Incident),
) -> Decision {
    let spoilt = before.cloned().map(|mut incident| {
        spoil(&mut incident);
        incident
    });
    decide(spoilt.as_ref(), input, around)
}

/// The same, but only if `decide` changes the incident.
fn about_if_changed(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
    spoil: impl FnOnce(&mut Incident),
) -> Decision {
    let decision = decide(before, input, around);
    if decision.outcome == Outcome::Done { about(before, input, around, spoil) } else { decision }
}

fn act(input: &Input) -> Option<Act> {
    match input {
        Input::Person(PersonAction { act, .. }) => Some(*act),
        _ => None,
    }
}

fn has(decision: &Decision, wanted: fn(&Kind) -> bool) -> bool {
    decision.entries.iter().any(|entry| wanted(&entry.kind))
}

fn paged(decision: &Decision) -> bool {
    has(decision, |kind| matches!(kind, Kind::Paged { .. }))
}

fn is_acked_or_snoozed(before: Before<'_>) -> bool {
    before.is_some_and(|it| matches!(it.phase, Phase::Acknowledged { .. } | Phase::Snoozed { .. }))
}

fn is_forced(before: Before<'_>) -> bool {
    before.is_some_and(|it| matches!(it.phase, Phase::Resolved { forced: true, .. }))
}
