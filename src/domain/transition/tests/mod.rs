//! Tests of the rules, in two ways: `stories` contains an example of each transition. `properties` runs a random
//! `history` in a `world` and checks every numbered invariant after every step (`invariants`). `mutants` tests these
//! checks: each mutant is a fault in `decide` that the same properties must detect.

#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm, reason = "tests may fail loudly")]

mod alertmanager;
mod history;
mod invariants;
mod mutants;
mod properties;
mod stories;
mod world;

use crate::domain::incident::Incident;
use crate::domain::input::{Decision, Input, Surroundings};

/// `decide`, or a mutant of it.
type Decide = fn(Option<&Incident>, &Input, Surroundings<'_>) -> Decision;
