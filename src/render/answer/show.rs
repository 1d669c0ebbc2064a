//! `show 42`: everything that is known of an incident.

use crate::domain::timeline::Entry;
use crate::domain::view::IncidentView;
use crate::render::Context;
use crate::render::alerts::{describe, summary_line};
use crate::render::headline::{headline, state};
use crate::render::links::links;
use crate::render::message::Message;
use crate::render::page::about;
use crate::render::rich::Document;
use crate::render::size::fit_at_length;
use crate::render::status::status;

/// An incident as it stands. `story` is its timeline, at least from the beginning of its run.
pub fn show(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let (mark, state) = state(view);
    fit_at_length(|limits| {
        let mut text = Document::default();
        let status = status(view, story, context);
        text.paragraph(&[headline(mark, state, view, context), status, summary_line(view, limits)]);
        describe(&mut text, view, limits, context);
        text.paragraph(&[about(view, context), links(view)]);
        Message::notice(text).from_url(view.external_url.as_deref())
    })
}
