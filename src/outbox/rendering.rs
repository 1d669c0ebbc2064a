//! Rendering a message from its incident as it stands, at the moment of the first attempt.

use crate::domain::incident::Phase;
use crate::domain::lists::ListSettings;
use crate::domain::policy::{Mention, Policy};
use crate::domain::timeline::{Entry, Kind};
use crate::domain::view::IncidentView;
use crate::render::message::{Message, Place, reaction};
use crate::render::template::{self, Templated};
use crate::render::{Context, answer, fallback, page, thread};
use crate::store::{Head, Payload};
use jiff::Timestamp;
use ruma::EventId;
use std::collections::BTreeMap;

const MESSAGE: &str = "m.room.message";

/// A message that is rendered, or why none is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rendered {
    /// Event type and content.
    Ready(&'static str, serde_json::Value),
    /// It is not wanted any more, or shows nothing that is not shown.
    Unwanted,
}

/// An incident and what its messages depend on.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) view: &'a IncidentView,
    pub(super) story: &'a [Entry],
    pub(super) policy: &'a Policy,
    pub(super) templates: &'a BTreeMap<String, String>,
}

/// Renders what has no incident: an answer.
pub(super) fn render_answer(
    payload: &Payload,
    list: &ListSettings,
    now: Timestamp,
) -> serde_json::Result<Rendered> {
    let context = Context { policy: &list.policy, ack_reaction: list.ack_reaction(), now };
    let message = match payload {
        Payload::Answer { answer, to, thread } => {
            answer::answer(answer, &context).at(answer::reply(to, thread.clone()))
        }
        Payload::RoomMoved { from } => fallback::room_moved(&list.name, from),
        Payload::RoomUnreachable { room, why } => fallback::room_unreachable(&list.name, room, why),
        Payload::RoomReachable { room } => fallback::room_reachable(&list.name, room),
        Payload::Page
        | Payload::Fallback
        | Payload::Reminder { .. }
        | Payload::AckReminder
        | Payload::Refresh
        | Payload::RefreshNewest
        | Payload::Tell { .. }
        | Payload::TellFallback { .. }
        | Payload::AckReaction { .. }
        | Payload::Show { .. } => return Ok(Rendered::Unwanted),
    };
    Ok(Rendered::Ready(MESSAGE, message.content()?))
}

/// Renders the reaction that people tap. It needs nothing of its incident but that it is open.
pub(super) fn render_reaction(head: &Head, to: &EventId, ack_reaction: &str) -> serde_json::Result<Rendered> {
    if !head.open {
        return Ok(Rendered::Unwanted);
    }
    Ok(Rendered::Ready("m.reaction", serde_json::to_value(reaction(to, ack_reaction))?))
}

/// Renders what is about an incident.
pub(super) fn render(
    head: &Head,
    subject: &Subject<'_>,
    ack_reaction: &str,
    now: Timestamp,
) -> serde_json::Result<Rendered> {
    let Subject { view, story, policy, .. } = subject;
    let context = Context { policy, ack_reaction, now };
    let root = head.root.as_deref().and_then(|root| <&EventId>::try_from(root).ok());
    let phase = &view.incident.phase;
    let fires = matches!(phase, Phase::Firing | Phase::Unanswered { .. });
    let message = match (&head.payload, root) {
        // I5: a page goes out only while firing or unanswered in the same run.
        (Payload::Page, root) => match head.rung {
            Some(rung) if fires && rung.run_no == view.incident.run.no => {
                Some(again(page::page(view, story, rung, &context), root))
            }
            _ => None,
        },
        (Payload::Fallback, root) => {
            let same_run = head.rung.is_some_and(|rung| rung.run_no == view.incident.run.no);
            (matches!(phase, Phase::Unanswered { .. }) && same_run)
                .then(|| again(fallback::unanswered(view, story, &context), root))
        }
        (Payload::Reminder { number, last_resort }, root) => {
            matches!(phase, Phase::Unanswered { .. }).then(|| {
                let called = if *last_resort {
                    vec![Mention::Room]
                } else {
                    page::called(view, view.levels.saturating_sub(1), &context)
                };
                again(fallback::reminder(view, story, *number, &called, &context), root)
            })
        }
        (Payload::AckReminder, Some(root)) => match phase {
            Phase::Acknowledged { until: Some(until), .. } => {
                Some(thread::ack_reminder(root, view, *until, &context))
            }
            _ => None,
        },
        (Payload::Refresh, Some(root)) => {
            let version = i64::try_from(view.incident.version).unwrap_or(i64::MAX);
            (head.shown < version).then(|| page::edit(root, view, story, &context))
        }
        (Payload::RefreshNewest, Some(_)) => {
            let version = i64::try_from(view.incident.version).unwrap_or(i64::MAX);
            let newest = head.newest.as_deref().and_then(|newest| <&EventId>::try_from(newest).ok());
            newest
                .filter(|_| head.newest_shown < version)
                .map(|newest| page::edit(newest, view, story, &context))
        }
        (Payload::Tell { entry }, Some(root)) => thread::notice(root, view, entry, &context),
        (Payload::TellFallback { entry }, root) => match entry.kind {
            Kind::Undeliverable { level, .. } => {
                Some(again(fallback::unreachable(view, level, &context), root))
            }
            _ => None,
        },
        (Payload::Show { to, thread }, _) => {
            Some(page::show(view, story, &context).at(answer::reply(to, thread.clone())))
        }
        (Payload::Answer { answer, to, thread }, _) => {
            Some(answer::answer(answer, &context).at(answer::reply(to, thread.clone())))
        }
        (Payload::AckReminder | Payload::Refresh | Payload::RefreshNewest | Payload::Tell { .. }, None)
        | (
            Payload::RoomMoved { .. }
            | Payload::RoomUnreachable { .. }
            | Payload::RoomReachable { .. }
            | Payload::AckReaction { .. },
            _,
        ) => None,
    };
    let Some(message) = message else { return Ok(Rendered::Unwanted) };
    Ok(Rendered::Ready(MESSAGE, in_own_words(message, &head.payload, subject, &context).content()?))
}

/// The whole body is too large for the homeserver: its plain text alone, cut.
pub(super) fn shrink(content: &serde_json::Value) -> serde_json::Value {
    const LONGEST: usize = 4_000;
    let mut smaller = content.clone();
    let cut = |object: &mut serde_json::Map<String, serde_json::Value>| {
        object.remove("formatted_body");
        object.remove("format");
        if let Some(serde_json::Value::String(body)) = object.get_mut("body") {
            let kept: String = body.chars().take(LONGEST).collect();
            if kept.len() < body.len() {
                *body = format!("{kept}\n… (cut: the homeserver takes no more)");
            }
        }
    };
    if let Some(object) = smaller.as_object_mut() {
        cut(object);
        if let Some(serde_json::Value::Object(replaced)) = object.get_mut("m.new_content") {
            cut(replaced);
        }
    }
    smaller
}

/// A room has one post of an incident: what pages it again answers that post, so that it stands in the room's main
/// timeline and leads to the thread.
fn again(message: Message, root: Option<&EventId>) -> Message {
    match root {
        Some(root) => message.at(Place::Reply { to: root.to_owned() }),
        None => message,
    }
}

/// The message in the operator's words, if there are any that work.
fn in_own_words(
    message: Message,
    payload: &Payload,
    subject: &Subject<'_>,
    context: &Context<'_>,
) -> Message {
    let what = match payload {
        Payload::Page => Templated::Page,
        Payload::Refresh | Payload::RefreshNewest => Templated::Edit,
        Payload::Tell { .. } => Templated::Thread,
        Payload::Fallback | Payload::TellFallback { .. } => Templated::Fallback,
        Payload::Reminder { .. } => Templated::Reminder,
        Payload::AckReminder
        | Payload::AckReaction { .. }
        | Payload::Answer { .. }
        | Payload::Show { .. }
        | Payload::RoomMoved { .. }
        | Payload::RoomUnreachable { .. }
        | Payload::RoomReachable { .. } => return message,
    };
    let (message, problem) = template::overridden(message, what, subject.templates, subject.view, context);
    if let Some(problem) = problem {
        tracing::error!(room_list = subject.view.room_list, %problem, "a template fails, the built-in words are sent: {problem}");
    }
    message
}
