//! The rules for incidents. Pure: no IO, no clock, no async, no randomness.
//!
//! The whole project uses the numbers of these invariants. `transition/tests/` checks each as a property.
//!
//! - **I1** In a room list, each alert is firing in at most one incident, whatever group of Alertmanager brings it; a group
//!   is owned by at most one incident that is not closed (`holding`).
//! - **I2** An incident is open exactly while an alert is firing, except after a person resolved it by hand.
//! - **I3** Firing, snoozed and resolved incidents have a timer; suppressed and closed ones have none.
//! - **I4** A page is unique per (incident, run, loop, level, room).
//! - **I5** A page is claimed only while its incident is firing or unanswered in the same run.
//! - **I6** No person's event changes a resolved or closed incident.
//! - **I7** An acknowledgement and a resolved report, in either order, end in resolved.
//! - **I8** There is one timeline entry per version, and replaying the entries gives the row.
//! - **I9** A repeated webhook changes nothing; a person's event acts once.
//! - **I10** A report of an episode that has just resolved never pages at once, and changes nothing in a resolved incident
//!   until it has waited.
//! - **I11** A run pages at most levels × (repeat + 1) times.
//! - **I12** Consecutive pages of a run are at least the level's delay apart, counted from when the page was sent. The
//!   exceptions are an escalation by hand and a page that was not sent before the send cap passed. There is no burst
//!   after an outage.
//! - **I14** A run keeps the policy it started with.
//! - **I15** A run has at most one fallback notice.
//! - **I16** Every change increases the version by 1.
//! - **I17** Nothing pages while no alert is firing.
//! - **Liveness** A firing incident that nobody acts on becomes unanswered.

#![deny(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod answer;
pub mod audience;
pub mod audit;
pub mod clocks;
pub mod command;
pub mod digest;
pub mod duration;
pub mod fairness;
pub mod flood;
pub mod forecast;
pub mod hold;
pub mod holding;
pub mod incident;
pub mod incoming;
pub mod input;
pub mod lists;
pub mod on_call;
pub mod outgoing;
pub mod policy;
pub mod polling;
pub mod post_role;
pub mod reaction;
pub mod retry;
pub mod rights;
pub mod room_name;
pub mod severity;
pub mod silencing;
pub mod time;
pub mod timeline;
pub mod totals;
pub mod transition;
pub mod view;
pub mod watch;
pub mod webhook;
pub mod zone;
