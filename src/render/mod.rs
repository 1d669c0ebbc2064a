//! What people see in rooms. Pure functions from an incident, its timeline and its policy to messages.
//!
//! Every message is made of [`rich`] text, so that the plain body alone tells everything, nothing from outside gets
//! into the HTML unescaped, and nobody is notified but by the message's own [`message::Mentions`]. The first line
//! says state, number, name, severity and place: a phone shows no more. Messages stay under [`size::MOST_BYTES`]
//! and say what was left out.
//!
//! - [`page`] wakes people; [`edit`] keeps a page true afterwards; [`thread`] tells the story below it.
//! - [`fallback`] holds what is told when nobody answers or nobody can be reached.
//! - [`answer`] answers commands; [`reaction`] is the one-tap acknowledgement.
//! - [`template`] puts an operator's own words in place of ours.

pub mod answer;
pub mod edit;
pub mod fallback;
pub mod message;
pub mod page;
pub mod reaction;
pub mod rich;
pub mod size;
pub mod template;
pub mod thread;

mod alerts;
mod annotations;
mod headline;
mod html;
mod links;
mod sample;
mod status;
mod story;
pub(crate) mod text;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use crate::domain::policy::Policy;
use jiff::Timestamp;

/// What a message depends on besides its incident.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The policy of the incident's run.
    pub policy: &'a Policy,
    /// The reaction that acknowledges, as the virtual user places it.
    pub ack_reaction: &'a str,
    /// The present instant.
    pub now: Timestamp,
}
