//! What rooms see. Pure functions from an incident, its timeline and its policy to messages.
//!
//! Every message is made of [`rich`] text, so that the plain body alone says everything, no markup from outside gets
//! into the HTML, and nobody is notified but by the message's own `mentions`. The first line has state, number, name,
//! severity and place: a phone shows no more. Messages stay under [`size::MOST_BYTES`] and say what was left out.
//!
//! - [`page`] has an incident in full: the page that wakes people, the edit that keeps it true, and `show`.
//! - [`thread`] has the notices below a page, [`fallback`] what is posted when nobody acknowledges or a room is
//!   unreachable, [`answer`] the answers to commands.
//! - [`message`] makes events of them; [`template`] puts an operator's own text in place of ours.
//!
//! The files import each other in one direction, from these down to `rich` and `text` (`tests/layers.rs`).

pub mod answer;
pub mod fallback;
pub mod message;
pub mod page;
pub mod rich;
pub mod size;
pub mod template;
pub mod thread;

mod alerts;
mod headline;
mod sample;
mod story;
pub(crate) mod text;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use crate::domain::policy::Policy;
use jiff::Timestamp;

/// What a message depends on, apart from its incident.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The policy of the incident's run.
    pub policy: &'a Policy,
    /// The reaction that acknowledges, as the virtual user places it.
    pub ack_reaction: &'a str,
    /// The present instant.
    pub now: Timestamp,
}
