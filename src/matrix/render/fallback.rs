//! What is told when nobody answers, and when nobody can be reached. These messages wake people.

use super::Context;
use super::alerts::{describe, since, summary_line};
use super::headline::{headline, list_name, severity_mark, worst};
use super::links::links;
use super::message::{Mentions, Message};
use super::page::{about, call, human};
use super::rich::{Document, Rich};
use super::size::fit;
use super::text::{count, short};
use super::time::age;
use crate::domain::policy::Mention;
use crate::domain::view::IncidentView;

/// Tells a fallback room that the ladder ran out. Notifies the whole room: it is the last resort, once per run.
pub fn unanswered(view: &IncidentView, context: &Context<'_>) -> Message {
    let told = Rich::from(format!(
        "Nobody acknowledged: the ladder of {} has run out. It has been firing for {}.",
        count(u64::from(view.levels), "level"),
        age(since(view), context.now)
    ));
    last_resort("🚨", "UNANSWERED", view, &told, &[Mention::Room], context)
}

/// Tells a room once more that nobody has taken the incident; `number` counts from 1. Notifies `called`.
pub fn reminder(view: &IncidentView, number: u32, called: &[Mention], context: &Context<'_>) -> Message {
    let most = context.policy.max_reminders.max(number);
    let told = Rich::from(format!(
        "Still nobody after {}: reminder {number} of {most}.",
        age(since(view), context.now)
    ));
    last_resort("🚨", "STILL UNANSWERED", view, &told, called, context)
}

/// Tells a fallback room that no room of a level can be reached. Notifies the whole room.
pub fn unreachable(view: &IncidentView, level: u32, context: &Context<'_>) -> Message {
    let rooms = context.policy.level(level).map(|level| level.rooms.as_slice()).unwrap_or_default();
    let rooms: Vec<_> = rooms.iter().take(10).map(|room| Rich::new().code(&short(room, 100))).collect();
    let mark = format!("⚠️{}", severity_mark(worst(view)));
    let told = Rich::from(format!(
        "No room of level {} of {} could be reached: ",
        human(level),
        list_name(&view.room_list)
    ))
    .then(&Rich::join(&rooms, ", "))
    .text(". The people there do not know of this incident.");
    last_resort(&mark, "UNREACHABLE", view, &told, &[Mention::Room], context)
}

fn last_resort(
    mark: &str,
    state: &str,
    view: &IncidentView,
    told: &Rich,
    called: &[Mention],
    context: &Context<'_>,
) -> Message {
    fit(|limits| {
        let mut text = Document::default();
        text.paragraph(&[headline(mark, state, view, context), summary_line(view, limits)]);
        text.paragraph(std::slice::from_ref(told));
        describe(&mut text, view, limits, context);
        text.paragraph(&[about(view, context), links(view)]);
        text.paragraph(&[call(called, view, context)]);
        Message::text(text, Mentions::from(called)).from_url(view.external_url.as_deref())
    })
}
