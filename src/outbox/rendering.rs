//! Renders a message from the current state of its incident, at the first attempt.

use crate::domain::incident::Phase;
use crate::domain::on_call::OnCallNow;
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::{Mention, Policy};
use crate::domain::timeline::{Entry, Kind};
use crate::domain::view::IncidentView;
use crate::domain::zone::Zone;
use crate::render::answer::on_call;
use crate::render::message::{Message, Place, reaction};
use crate::render::template::{self, Templated};
use crate::render::{Context, answer, fallback, page, thread};
use crate::store::Head;
use jiff::Timestamp;
use ruma::EventId;
use std::collections::BTreeMap;

/// The result of rendering.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rendered {
    /// Event type and content.
    Ready(&'static str, serde_json::Value),
    /// The message is obsolete, or would show nothing new.
    Obsolete,
}

/// The data for rendering a message, apart from its payload.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) room_list: &'a str,
    /// The incident, if the message is about one.
    pub(super) subject: Option<Subject<'a>>,
    /// The policy of the incident's run; without an incident the list's.
    pub(super) policy: &'a Policy,
    /// Who is on call in the schedules that the policy mentions.
    pub(super) on_call: &'a OnCallNow,
    pub(super) templates: &'a BTreeMap<String, String>,
    pub(super) ack_reaction: &'a str,
    /// Whether the room list is not configured any more, if that shows.
    pub(super) for_good: bool,
    pub(super) now: Timestamp,
    /// The zone of times of day.
    pub(super) zone: &'a Zone,
}

/// An incident and its timeline.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) view: &'a IncidentView,
    pub(super) story: &'a [Entry],
}

/// Renders the removal of a reaction. It is obsolete if the reaction was never sent.
pub(super) fn render_removal(reaction: Option<&str>) -> Rendered {
    reaction.map_or(Rendered::Obsolete, |event| {
        Rendered::Ready("m.room.redaction", serde_json::json!({ "redacts": event }))
    })
}

/// Renders the reaction that acknowledges. It is obsolete if nobody needs to acknowledge.
pub(super) fn render_reaction(head: &Head, to: &EventId, ack_reaction: &str) -> serde_json::Result<Rendered> {
    if !head.to_acknowledge {
        return Ok(Rendered::Obsolete);
    }
    Ok(Rendered::Ready("m.reaction", serde_json::to_value(reaction(to, ack_reaction))?))
}

/// Renders a message.
pub(super) fn render(head: &Head, source: &Source<'_>) -> serde_json::Result<Rendered> {
    let context = Context {
        policy: source.policy,
        on_call: source.on_call,
        ack_reaction: source.ack_reaction,
        for_good: source.for_good,
        now: source.now,
        zone: source.zone,
    };
    let Some((message, template)) = message(head, source, &context) else { return Ok(Rendered::Obsolete) };
    let message = match (template, &source.subject) {
        (Some(template), Some(subject)) => {
            from_template(message, template, source.templates, subject.view, &context)
        }
        _ => message,
    };
    Ok(Rendered::Ready("m.room.message", message.content()?))
}

/// The message with the built-in text, and the template that may replace it. `None`: the message is obsolete.
fn message(head: &Head, source: &Source<'_>, context: &Context<'_>) -> Option<(Message, Option<Templated>)> {
    let root = head.root.as_deref().and_then(|root| <&EventId>::try_from(root).ok());
    let subject = source.subject.as_ref();
    Some(match &head.payload {
        Outgoing::Page => {
            let Subject { view, story } = subject?;
            let rung = head.rung.filter(|rung| is_firing(view) && rung.run_no == view.incident.run.no)?;
            (again(page::page(view, story, rung, context), root), Some(Templated::Page))
        }
        Outgoing::Announcement => {
            let Subject { view, story } = subject.filter(|subject| is_firing(subject.view))?;
            if root.is_some() {
                return None;
            }
            (page::announcement(view, story, context), Some(Templated::Page))
        }
        Outgoing::Fallback => {
            let Subject { view, story } = subject?;
            head.rung.filter(|rung| is_unanswered(view) && rung.run_no == view.incident.run.no)?;
            (again(fallback::unanswered(view, story, context), root), Some(Templated::Fallback))
        }
        Outgoing::Reminder { number, last_resort } => {
            let Subject { view, story } = subject.filter(|subject| is_unanswered(subject.view))?;
            let called = if *last_resort {
                Mention::Room.into()
            } else {
                page::called(view, view.levels.saturating_sub(1), context)
            };
            let reminder = fallback::reminder(view, story, *number, &called, context);
            (again(reminder, root), Some(Templated::Reminder))
        }
        Outgoing::AckReminder => {
            let view = subject?.view;
            let Phase::Acknowledged { until: Some(until), .. } = view.incident.phase else { return None };
            (thread::ack_reminder(root?, view, until, context), None)
        }
        Outgoing::Refresh => (edit(root?, head.shown, subject?, context)?, Some(Templated::Edit)),
        Outgoing::RefreshNewest => {
            root?;
            let newest = <&EventId>::try_from(head.newest.as_deref()?).ok()?;
            (edit(newest, head.newest_shown, subject?, context)?, Some(Templated::Edit))
        }
        Outgoing::Replaced { of } => (page::replaced(of, subject?.view, context), Some(Templated::Edit)),
        Outgoing::Anew => {
            let is_over =
                |subject: &&Subject<'_>| matches!(subject.view.incident.phase, Phase::Resolved { .. });
            let Subject { view, story } = subject.filter(is_over)?;
            (page::anew(view, story, context), Some(Templated::Page))
        }
        Outgoing::ThreadEntry { entry } => {
            (thread::notice(root?, subject?.view, entry, context)?, Some(Templated::Thread))
        }
        Outgoing::FallbackNotice { entry } => {
            let Kind::Undeliverable { level, .. } = entry.kind else { return None };
            let notice = fallback::unreachable(subject?.view, level, context);
            (again(notice, root), Some(Templated::Fallback))
        }
        Outgoing::ShowElsewhere => {
            let Subject { view, story } = subject?;
            (page::show(view, story, context), None)
        }
        Outgoing::Show { to, thread, .. } => {
            let Subject { view, story } = subject?;
            (page::show(view, story, context).at(answer::reply(to, thread.clone())), None)
        }
        Outgoing::Answer { answer, to, thread, .. } => {
            (answer::answer(answer, context).at(answer::reply(to, thread.clone())), None)
        }
        Outgoing::AnswerElsewhere { room, answer } => (answer::elsewhere(room, answer, context), None),
        Outgoing::EntryElsewhere { room, entry } => {
            (thread::elsewhere(room, subject?.view, entry, context)?, None)
        }
        Outgoing::OwnPage => {
            let Subject { view, story } = subject.filter(|subject| subject.view.incident.phase.is_open())?;
            if root.is_some() {
                return None;
            }
            (page::own(view, story, context), Some(Templated::Page))
        }
        Outgoing::HandOver { of } => (on_call::hand_over(of, context), None),
        Outgoing::OnCallChanged { of } => (on_call::changed(of, context), None),
        notice => (about_the_list(notice, source, context)?, None),
    })
}

/// A notice about a room list. `None`: the message is none.
fn about_the_list(payload: &Outgoing, source: &Source<'_>, context: &Context<'_>) -> Option<Message> {
    let list = source.room_list;
    Some(match payload {
        Outgoing::RoomMoved { from } => fallback::room_moved(list, from),
        Outgoing::RoomUnreachable { room, why } => fallback::room_unreachable(list, room, why),
        Outgoing::RoomReachable { room } => fallback::room_reachable(list, room),
        Outgoing::AliasMoved { alias, to } => fallback::alias_moved(list, alias, to),
        Outgoing::AliasWaits { alias, from, to, user, why } => {
            let words = fallback::AliasWaits { alias, from, to, user, why };
            fallback::alias_waits(list, &words)
        }
        Outgoing::SuccessorRefused { room, successor, why } => {
            fallback::successor_refused(list, room, successor, why)
        }
        Outgoing::SuccessorWaits { room, successor, user, why } => {
            fallback::successor_waits(list, (room, successor), user, why)
        }
        Outgoing::AlertmanagerUnreachable { name, since, why } => {
            fallback::alertmanager_unreachable(name, *since, why, context)
        }
        Outgoing::MentionsAbsent { people } => fallback::mentions_absent(list, people),
        Outgoing::AuditFailed { check, subject, since } => {
            fallback::audit_failed(list, *check, subject, *since, context)
        }
        Outgoing::IncidentSetAside { number, name, why } => {
            fallback::set_aside(list, *number, name.as_deref(), why)
        }
        // They are about an incident, or no message with a text.
        Outgoing::Page
        | Outgoing::Announcement
        | Outgoing::OwnPage
        | Outgoing::Fallback
        | Outgoing::FallbackNotice { .. }
        | Outgoing::Reminder { .. }
        | Outgoing::AckReminder
        | Outgoing::Refresh
        | Outgoing::RefreshNewest
        | Outgoing::Replaced { .. }
        | Outgoing::Anew
        | Outgoing::ThreadEntry { .. }
        | Outgoing::EntryElsewhere { .. }
        | Outgoing::Show { .. }
        | Outgoing::ShowElsewhere
        | Outgoing::Answer { .. }
        | Outgoing::AnswerElsewhere { .. }
        | Outgoing::AckReaction { .. }
        | Outgoing::HandOver { .. }
        | Outgoing::OnCallChanged { .. }
        | Outgoing::DigestReaction { .. }
        | Outgoing::RemoveReaction { .. }
        | Outgoing::RemoveDigestReaction { .. }
        | Outgoing::Digest
        | Outgoing::RefreshDigest => return None,
    })
}

/// I5: matrixbot sends a page only while its incident is firing or unanswered, in the same run.
fn is_firing(view: &IncidentView) -> bool {
    matches!(view.incident.phase, Phase::Firing | Phase::Unanswered { .. })
}

fn is_unanswered(view: &IncidentView) -> bool {
    matches!(view.incident.phase, Phase::Unanswered { .. })
}

/// The edit of a message that shows version `shown`, if the incident has a newer version.
fn edit(message: &EventId, shown: i64, subject: &Subject<'_>, context: &Context<'_>) -> Option<Message> {
    let version = i64::try_from(subject.view.incident.version).unwrap_or(i64::MAX);
    (shown < version).then(|| page::edit(message, subject.view, subject.story, context))
}

/// Reduces a content that is too large for the homeserver to its plain text, cut to 4 000 characters.
pub(super) fn shrink(content: &serde_json::Value) -> serde_json::Value {
    const LONGEST: usize = 4_000;
    let mut smaller = content.clone();
    let cut = |object: &mut serde_json::Map<String, serde_json::Value>| {
        object.remove("formatted_body");
        object.remove("format");
        if let Some(serde_json::Value::String(body)) = object.get_mut("body") {
            let kept: String = body.chars().take(LONGEST).collect();
            if kept.len() < body.len() {
                *body = format!("{kept}\n… (cut: the message was too large for the homeserver)");
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

/// Makes a later page a reply to the room's post of the incident. So it is in the room's main timeline and links to the
/// thread.
fn again(message: Message, root: Option<&EventId>) -> Message {
    match root {
        Some(root) => message.at(Place::Reply { to: root.to_owned() }),
        None => message,
    }
}

/// The message with the text of the operator's template, if there is one and it renders.
fn from_template(
    message: Message,
    template: Templated,
    templates: &BTreeMap<String, String>,
    view: &IncidentView,
    context: &Context<'_>,
) -> Message {
    let (message, problem) = template::overridden(message, template, templates, view, context);
    if let Some(problem) = problem {
        tracing::error!(room_list = view.room_list, %problem, "a template fails, the built-in words are sent: {problem}");
    }
    message
}
