//! The rules: what happens to an incident. Pure: no IO, no clock, no async, no randomness.
//!
//! The invariants below are numbered as everywhere in the project; `transition/tests/` holds each as a property.
//!
//! - **I1** At most one incident per key is not closed.
//! - **I2** An incident is open exactly while something fires, except when it was resolved by hand.
//! - **I3** Firing, snoozed and resolved incidents have a timer; suppressed and closed ones have none.
//! - **I4** A page is unique per (incident, run, loop, level, room).
//! - **I5** A page is claimed only while its incident is firing or unanswered in the same run.
//! - **I6** No person's event leaves resolved or closed.
//! - **I7** Acknowledging and clearing, in either order, end in resolved.
//! - **I8** There is one timeline entry per version, and replaying the entries gives the row.
//! - **I9** The same webhook twice is once; a person's event acts once.
//! - **I10** A replay never pages by itself.
//! - **I11** A run pages at most levels × (repeat + 1) times.
//! - **I12** Consecutive pages of a run are at least the level's delay apart, counted from the sending, except
//!   after an escalation by hand or when the cap passed first; there is no burst after an outage.
//! - **I14** A run keeps the policy it began with.
//! - **I15** A run has at most one fallback notice.
//! - **I16** Every write is version + 1.
//! - **I17** Nothing pages while nothing fires.
//! - **Liveness** An untouched firing incident reaches unanswered.

#![deny(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod answer;
pub mod command;
pub mod duration;
pub mod incident;
pub mod incoming;
pub mod input;
pub mod lists;
pub mod outgoing;
pub mod policy;
pub mod reaction;
pub mod rights;
pub mod time;
pub mod timeline;
pub mod totals;
pub mod transition;
pub mod view;
pub mod webhook;
