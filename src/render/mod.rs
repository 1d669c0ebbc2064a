//! Renders messages for rooms. Pure functions from an incident, its timeline and its policy to messages.
//!
//! Every message consists of [`rich`] text: the plain body is complete on its own, and no foreign markup gets into the
//! HTML. Only the message's own `mentions` notify people. The first line has state, number, name, severity and place,
//! because a phone shows no more. Messages stay below [`size::MOST_BYTES`] and name what they omit.
//!
//! - [`page`] renders an incident in full: the page that notifies people, the edit that updates it, and `show`.
//! - [`thread`] renders the notices below a page, [`fallback`] the notices for unanswered incidents and unreachable
//!   rooms, [`answer`] the answers to commands, [`digest`] many incidents at once.
//! - [`message`] turns them into events; [`template`] replaces built-in texts by an operator's own.
//!
//! The files import each other in one direction, from these down to `rich` and `text` (`tests/layers.rs`).

pub mod answer;
pub mod digest;
pub mod fallback;
pub mod message;
pub mod page;
pub mod rich;
pub mod size;
pub mod template;
pub mod thread;

mod alerts;
mod headline;
mod hold;
mod sample;
mod story;
pub(crate) mod text;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use crate::domain::on_call::OnCallNow;
use crate::domain::policy::Policy;
use crate::domain::zone::Zone;
use jiff::Timestamp;

/// What a message depends on in addition to its incident.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The policy of the incident's run.
    pub policy: &'a Policy,
    /// Who is on call in the schedules that the policy mentions.
    pub on_call: &'a OnCallNow,
    /// The reaction that acknowledges, as the virtual user places it.
    pub ack_reaction: &'a str,
    /// Whether its room list is not configured any more: what a person resolved pages nobody again.
    pub for_good: bool,
    /// The current time.
    pub now: Timestamp,
    /// The zone of times of day.
    pub zone: &'a Zone,
}
