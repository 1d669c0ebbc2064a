//! The state machine: one input, one decision.

use super::incident::Incident;
use super::input::{Decision, Input, Surroundings};

/// What `input` makes of `incident` (`None`: the group has none that is not closed).
pub fn decide(incident: Option<&Incident>, input: &Input, around: Surroundings<'_>) -> Decision {
    let _ = (input, around);
    Decision {
        incident: incident.cloned(),
        outcome: super::input::Outcome::Nothing,
        entries: Vec::new(),
        effects: Vec::new(),
    }
}
