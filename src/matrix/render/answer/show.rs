//! `show 42`: everything that is known of an incident.

use crate::domain::timeline::Entry;
use crate::domain::view::IncidentView;
use crate::matrix::render::Context;
use crate::matrix::render::alerts::{describe, summary_line};
use crate::matrix::render::headline::{headline, state};
use crate::matrix::render::links::links;
use crate::matrix::render::message::Message;
use crate::matrix::render::page::about;
use crate::matrix::render::rich::Document;
use crate::matrix::render::size::fit_at_length;
use crate::matrix::render::status::status;

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
