//! The invariants of `domain/mod.rs`, checked after every input.

mod alerts;
mod listings;
mod pages;
mod people;
mod phases;
mod timeline;

use super::world::World;
use crate::domain::incident::{Fingerprint, Incident, Phase};
use crate::domain::input::{Decision, Input, Surroundings};
use crate::domain::policy::Policy;
use crate::domain::timeline::{Kind, RunReason};
use jiff::Timestamp;
use proptest::test_runner::TestCaseError;
use std::collections::{BTreeMap, BTreeSet};

/// The result of a check.
pub(super) type Held = Result<(), TestCaseError>;

/// One input and its results.
pub(super) struct Change<'a> {
    pub(super) before: Option<&'a Incident>,
    /// The alerts that a person's act before the input still covers.
    pub(super) known: BTreeMap<Fingerprint, i32>,
    /// The severities that pages of the run before the input have named.
    pub(super) paged: BTreeSet<String>,
    pub(super) input: &'a Input,
    pub(super) around: Surroundings<'a>,
    pub(super) decision: &'a Decision,
    /// The decision if the same input immediately comes again.
    pub(super) again: Decision,
    /// The world after the decision was applied.
    pub(super) world: &'a World,
}

impl Change<'_> {
    fn after(&self) -> Option<&Incident> {
        self.decision.incident.as_ref()
    }

    /// The incident before the input; `None` if there was none or it was closed.
    fn same_before(&self) -> Option<&Incident> {
        self.before.filter(|before| before.phase != Phase::Closed)
    }

    /// The policy of the incident's run, by its version.
    fn policy(&self, incident: &Incident) -> &Policy {
        self.world.policy(incident.run.policy_version)
    }

    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.decision.entries.iter().map(|entry| &entry.kind)
    }

    /// Why this input started a run, if it did.
    fn run_began(&self) -> Option<&RunReason> {
        self.kinds().find_map(|kind| match kind {
            Kind::RunStarted { why, .. } => Some(why),
            _ => None,
        })
    }

    fn is_report(&self) -> bool {
        matches!(self.input, Input::Report(_))
    }

    fn is_persons(&self) -> bool {
        matches!(self.input, Input::Person(_))
    }
}

/// A timer that is due then, or when what holds the incident back ends.
fn by_its_hold(after: &Incident, due: Timestamp) -> Timestamp {
    after.hold.as_ref().map_or(due, |hold| due.min(hold.until))
}

/// Checks all invariants.
pub(super) fn hold(change: &Change<'_>) -> Held {
    phases::hold(change)?;
    timeline::hold(change)?;
    pages::hold(change)?;
    alerts::hold(change)?;
    listings::hold(change)?;
    people::hold(change)
}
