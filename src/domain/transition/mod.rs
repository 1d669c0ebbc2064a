//! The state machine: one input, one decision.
//!
//! There is one file per kind of input (`report`, `listing`, `tick`, `delivery`, `person`, `maintenance`), each with a function
//! from the incident to a `Decision`. They share the unfinished decision (`draft`), the merging of reports (`fold`),
//! the ladder (`ladder`), the start of a run (`start_run`), acknowledgements and snoozes (`acknowledged`), and the
//! resolution (`resolve`).
//!
//! To add an input: add its variant to `Input`, a file here with one function, a line in `decide`,
//! and a step in `tests/history.rs`.

mod acknowledged;
mod delivery;
mod draft;
mod fold;
mod ladder;
mod listing;
mod maintenance;
mod person;
mod report;
mod resolve;
mod start_run;
mod tick;

#[cfg(test)]
mod tests;

pub use fold::KEPT_EPISODES;
pub use person::result;

use super::hold::Polls;
use super::incident::Incident;
use super::input::{Decision, Input, Surroundings};

/// Decides what `input` changes. `incident` is the group's newest incident, `None` if it never had one. A new incident
/// inherits only the resolved episodes of a closed one.
pub fn decide(incident: Option<&Incident>, input: &Input, around: Surroundings<'_>) -> Decision {
    match input {
        Input::Report(alerts) => report::report(incident, alerts, around),
        Input::Listing(listed) => listing::listing(incident, listed, around),
        Input::Tick => tick::tick(incident, around, Polls::Run),
        Input::TickWhileUnpolled => tick::tick(incident, around, Polls::Rest),
        Input::TickWhileHeld => tick::tick_while_held(incident, around),
        Input::PageSent(rung) => delivery::page_sent(incident, *rung, around),
        Input::PageUndeliverable(rung) => delivery::page_undeliverable(incident, *rung, around),
        Input::Person(action) => person::person(incident, action, around),
        Input::Stale => resolve::stale(incident, around),
        Input::ReadableAgain { replaced_by } => resolve::readable_again(incident, *replaced_by, around),
        Input::MaintenanceStarted => maintenance::started(incident, around),
        Input::MaintenanceEnded => maintenance::ended(incident, around),
    }
}
