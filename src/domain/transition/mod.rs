//! The state machine: one input, one decision.
//!
//! One file per kind of input (`report`, `tick`, `delivery`, `person`, `maintenance`), each a function from the
//! incident to a `Decision`; and what they share: the decision being made (`draft`), what a report does to the
//! alerts (`fold`), the ladder (`ladder`), the beginning of a run (`start_run`), acknowledgements and snoozes
//! (`taken`) and the end (`resolve`).
//!
//! To add an input: add its variant to `Input`, a file here with one function, a line in `decide`,
//! and a step in `tests/history.rs`.

mod delivery;
mod draft;
mod fold;
mod ladder;
mod maintenance;
mod person;
mod report;
mod resolve;
mod start_run;
mod taken;
mod tick;

#[cfg(test)]
mod tests;

pub use person::result;

use super::incident::Incident;
use super::input::{Decision, Input, Surroundings};

/// What `input` makes of `incident` (`None`: the group never had one; a closed one gives only the memory of its
/// episodes to the incident that follows it).
pub fn decide(incident: Option<&Incident>, input: &Input, around: Surroundings<'_>) -> Decision {
    match input {
        Input::Report(alerts) => report::report(incident, alerts, around),
        Input::Tick => tick::tick(incident, around),
        Input::PageSent(rung) => delivery::page_sent(incident, *rung, around),
        Input::PageUndeliverable(rung) => delivery::page_undeliverable(incident, *rung, around),
        Input::Person(action) => person::person(incident, action, around),
        Input::Stale => resolve::stale(incident, around),
        Input::MaintenanceStarted => maintenance::started(incident, around),
        Input::MaintenanceEnded => maintenance::ended(incident, around),
    }
}
