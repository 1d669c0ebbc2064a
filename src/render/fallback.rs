//! What is posted when nobody acknowledges, and when a room is unreachable.

use super::Context;
use super::headline::{headline, list_name, severity_mark, worst};
use super::message::Message;
use super::page::{Sections, call};
use super::rich::{Document, Rich};
use super::story::of_run;
use super::text::{count, from_one, short};
use super::time::age;
use crate::domain::policy::Mention;
use crate::domain::timeline::{Entry, Kind};
use crate::domain::view::IncidentView;
use jiff::Timestamp;

/// Tells a fallback room that the ladder ran out. Notifies the whole room: it is the last resort, once per run.
/// `story` is the incident's timeline, at least from the beginning of its run.
pub fn unanswered(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let levels = count(u64::from(view.levels), "level");
    let told =
        Rich::from(format!("{}: the ladder of {levels} has run out.", nobody_took_it(story, context.now)));
    last_resort("🚨", "UNANSWERED", view, told, &[Mention::Room], context)
}

/// Tells a room once more that nobody has taken the incident; `number` counts from 1. Notifies `called`. `story` is the
/// incident's timeline, at least from the beginning of its run.
pub fn reminder(
    view: &IncidentView,
    story: &[Entry],
    number: u32,
    called: &[Mention],
    context: &Context<'_>,
) -> Message {
    let most = context.policy.max_reminders.max(number);
    let told = Rich::from(format!("{}: reminder {number} of {most}.", nobody_took_it(story, context.now)));
    last_resort("🚨", "STILL UNANSWERED", view, told, called, context)
}

/// For how long somebody could have taken it: since the run's first page was in a room. The alerts may fire for longer.
fn nobody_took_it(story: &[Entry], now: Timestamp) -> String {
    match of_run(story).iter().find(|entry| matches!(entry.kind, Kind::Told { .. })) {
        Some(first) => format!("Nobody has taken it in the {} since the first page", age(first.at, now)),
        None => "Nobody has taken it".to_owned(),
    }
}

/// Tells a fallback room that no room of a level can be reached. Notifies the whole room.
pub fn unreachable(view: &IncidentView, level: u32, context: &Context<'_>) -> Message {
    let rooms = context.policy.level(level).map(|level| level.rooms.as_slice()).unwrap_or_default();
    let rooms: Vec<_> = rooms.iter().take(10).map(|room| Rich::new().code(&short(room, 100))).collect();
    let mark = format!("⚠️{}", severity_mark(worst(view)));
    let told = Rich::from(format!(
        "No room of level {} of {} could be reached: ",
        from_one(level),
        list_name(&view.room_list)
    ))
    .then(&Rich::join(&rooms, ", "))
    .text(". The people there do not know of this incident.");
    last_resort(&mark, "ROOM UNREACHABLE", view, told, &[Mention::Room], context)
}

fn last_resort(
    mark: &str,
    state: &str,
    view: &IncidentView,
    reason: Rich,
    called: &[Mention],
    context: &Context<'_>,
) -> Message {
    let headline = headline(mark, state, view, context);
    Sections { headline, status: Rich::new(), reasons: vec![reason], last: call(called, view, context) }
        .waking(view, called, context)
}

/// Says in a room that it takes the place of another one of the room list.
pub fn room_moved(room_list: &str, from: &str) -> Message {
    let words = Rich::from(format!("{room_list} is paged here from now on: this room replaces ").as_str());
    line(&words.code(&short(from, 100)).text("."))
}

/// Says in another room of the room list that this one cannot be reached.
pub fn room_unreachable(room_list: &str, room: &str, why: &str) -> Message {
    let words = Rich::from(format!("⚠️ {room_list} cannot reach ").as_str()).code(&short(room, 100));
    line(&words.text(format!(": nobody is paged there. The homeserver says: {}", short(why, 500)).as_str()))
}

/// Says in another room of the room list that this one can be reached again.
pub fn room_reachable(room_list: &str, room: &str) -> Message {
    line(&Rich::from(format!("{room_list} can reach ").as_str()).code(&short(room, 100)).text(" again."))
}

fn line(text: &Rich) -> Message {
    Message::notice(Document::line(text))
}
