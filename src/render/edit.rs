//! An edit: a page brought up to date in its place. It wakes nobody.

use super::Context;
use super::alerts::{describe, summary_line};
use super::headline::{headline, state};
use super::links::links;
use super::message::{Mentions, Message, Relation};
use super::page::{about, how_to_acknowledge};
use super::rich::{Document, Rich};
use super::size::fit;
use super::status::status;
use crate::domain::incident::Phase;
use crate::domain::timeline::Entry;
use crate::domain::view::IncidentView;
use ruma::EventId;

/// What the message `root` says from now on. `story` is the incident's timeline, at least from the beginning of its
/// run.
///
/// Some clients show an edit as one more message, so that its fallback is a short one that reads well on its own.
pub fn edit(root: &EventId, view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let (mark, state) = state(view);
    let headline = headline(mark, state, view, context);
    let status = status(view, story, context);
    let fallback = Document::line(&Rich::join(&[headline.clone(), status.clone()], " · "));
    fit(|limits| {
        let mut text = Document::default();
        // What is over needs no explanation any more.
        let limits = if view.incident.phase.is_open() { limits } else { limits.without_descriptions() };
        text.paragraph(&[headline.clone(), status.clone(), summary_line(view, limits)]);
        describe(&mut text, view, limits, context);
        text.paragraph(&[about(view, context), links(view)]);
        if wants_acknowledgement(view) {
            text.paragraph(&[how_to_acknowledge(view, context)]);
        }
        Message::text(text, Mentions::default())
            .from_url(view.external_url.as_deref())
            .related(Relation::Replacement { of: root.to_owned(), fallback: fallback.clone() })
    })
}

fn wants_acknowledgement(view: &IncidentView) -> bool {
    matches!(view.incident.phase, Phase::Firing | Phase::Unanswered { .. } | Phase::Snoozed { .. })
}
