//! What the rules promise, in two ways: `stories` tells each row of the table by example; `properties` lets random
//! `history`s happen in a `world` and checks every numbered invariant after every step (`invariants`). `mutants`
//! shows that the checks see: each is a fault seeded around `decide` that the same properties must find.

#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm, reason = "tests may fail loudly")]

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
