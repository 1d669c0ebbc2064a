//! An incident in full: the page that notifies people, the edit that updates it, and `show`.
//!
//! A page has no relation, so a thread can start from it. A page is late if its room or the homeserver was unreachable;
//! then it contains a note. If the incident has changed or escalated meanwhile, the page shows the current state and
//! not the reason it was enqueued for.

use super::Context;
use super::alerts::{Alerts, since};
use super::headline::{headline, list_name, relevant, state};
use super::message::{Message, Place, mentions, names_of};
use super::rich::{Document, Rich};
use super::size::{Limits, fit, fit_at_length};
use super::story::{Wording, of_run, rung as rung_words, status};
use super::text::from_one;
use super::time::{instant, lasting};
use crate::domain::incident::{Phase, Rung};
use crate::domain::on_call::Called;
use crate::domain::time::between;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::events::Mentions;
use ruma::{EventId, OwnedUserId};
use std::time::Duration;

/// How late a page may be without a note.
const LATE: Duration = Duration::from_mins(1);

/// The page of a rung. `story` is the incident's timeline, at least from the start of its run.
pub fn page(view: &IncidentView, story: &[Entry], rung: Rung, context: &Context<'_>) -> Message {
    let (mark, word) = state(view, context.policy);
    let (headline, status, reason) = if overtaken(view, rung) {
        (headline(mark, word, view, context), status(view, story, context), Rich::new())
    } else {
        let reason = PageReason::of(story, rung);
        let escalated = !matches!(reason, PageReason::RunBegan(_));
        let headline = if escalated {
            headline(&format!("{mark}⏫"), "ESCALATED", view, context)
        } else {
            headline(mark, word, view, context)
        };
        (headline, Rich::new(), reason_line(view, rung, &reason, context))
    };
    let called = called(view, rung.level, context);
    let reasons = vec![reason, late_line(view, story, rung, context)];
    Sections { headline, status, reasons, last: call_to_acknowledge(&called, view, context) }
        .notifying(view, &called, context)
}

/// The page of an incident that only digests contained in its room, after the storm. If somebody has acknowledged it, it
/// mentions nobody, and phones do not ring.
pub fn own(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let mut sections = Sections::of_state(view, story, context);
    match view.incident.phase {
        Phase::Firing | Phase::Unanswered { .. } => {
            let called = called(view, view.incident.run.level.unwrap_or(0), context);
            sections.last = call_to_acknowledge(&called, view, context);
            sections.notifying(view, &called, context)
        }
        Phase::Snoozed { .. } => {
            sections.last = vec![how_to_acknowledge(view, context)];
            quiet(&sections, view, context)
        }
        Phase::Acknowledged { .. } | Phase::Suppressed | Phase::Resolved { .. } | Phase::Closed => {
            quiet(&sections, view, context)
        }
    }
}

/// An incident that pages later, at a time of day. It mentions nobody, and phones do not ring.
pub fn announcement(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let mut sections = Sections::of_state(view, story, context);
    sections.last = vec![how_to_acknowledge(view, context)];
    quiet(&sections, view, context)
}

/// A new message for which no phone rings.
fn quiet(sections: &Sections, view: &IncidentView, context: &Context<'_>) -> Message {
    let alerts = Alerts::of(view);
    fit(|limits| {
        Message::notice(sections.document(view, &alerts, limits, context))
            .from_url(view.external_url.as_deref())
    })
}

/// The new text of the message `root`. It notifies nobody. `story` is the incident's timeline, at least from the start
/// of its run.
///
/// Some clients show an edit as a new message, so its fallback is one short line that is complete on its own.
pub fn edit(root: &EventId, view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let mut sections = Sections::of_state(view, story, context);
    if matches!(view.incident.phase, Phase::Firing | Phase::Unanswered { .. } | Phase::Snoozed { .. }) {
        sections.last = vec![how_to_acknowledge(view, context)];
    }
    let fallback = Document::line(&Rich::join(&[sections.headline.clone(), sections.status.clone()], " · "));
    let alerts = Alerts::of(view);
    fit(|limits| {
        // A resolved incident needs no descriptions.
        let limits = if view.incident.phase.is_open() { limits } else { limits.without_descriptions() };
        Message::text(sections.document(view, &alerts, limits, context), Mentions::new())
            .from_url(view.external_url.as_deref())
            .at(Place::Edit { of: root.to_owned(), fallback: fallback.clone() })
    })
}

/// The last text of the message `of`: a newer one in its room shows the incident from now on. It notifies nobody.
pub fn replaced(of: &EventId, view: &IncidentView, context: &Context<'_>) -> Message {
    let headline = headline("↪️", "CONTINUED", view, context);
    let status = Rich::from("A newer message below shows what becomes of it.");
    let mut text = Document::default();
    text.paragraph(&[headline.clone(), status.clone()]);
    let fallback = Document::line(&Rich::join(&[headline, status], " · "));
    Message::text(text, Mentions::new())
        .from_url(view.external_url.as_deref())
        .at(Place::Edit { of: of.to_owned(), fallback })
}

/// The resolved incident as a message of its own: the one that showed it was deleted. It notifies nobody.
pub fn anew(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    Sections::of_state(view, story, context).notifying(view, &Called::default(), context)
}

/// `show 42`: the incident's current state. `story` is its timeline, at least from the start of its run.
pub fn show(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Message {
    let (sections, alerts) = (Sections::of_state(view, story, context), Alerts::of(view));
    fit_at_length(|limits| {
        Message::notice(sections.document(view, &alerts, limits, context))
            .from_url(view.external_url.as_deref())
    })
}

/// The parts of a message about a whole incident, apart from its alerts and links.
pub(super) struct Sections {
    /// The first line.
    pub(super) headline: Rich,
    /// The incident's current state.
    pub(super) status: Rich,
    /// Why the message is posted, one paragraph for each reason.
    pub(super) reasons: Vec<Rich>,
    /// The people it notifies, and how to acknowledge: one line each.
    pub(super) last: Vec<Rich>,
}

impl Sections {
    /// The sections for the current state of an incident.
    fn of_state(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Self {
        let (mark, word) = state(view, context.policy);
        Self {
            headline: headline(mark, word, view, context),
            status: status(view, story, context),
            reasons: Vec::new(),
            last: Vec::new(),
        }
    }

    /// A message that notifies `called`.
    pub(super) fn notifying(&self, view: &IncidentView, called: &Called, context: &Context<'_>) -> Message {
        let alerts = Alerts::of(view);
        fit(|limits| {
            Message::text(self.document(view, &alerts, limits, context), mentions(&called.mentions))
                .from_url(view.external_url.as_deref())
        })
    }

    fn document(
        &self,
        view: &IncidentView,
        alerts: &Alerts<'_>,
        limits: Limits,
        context: &Context<'_>,
    ) -> Document {
        let mut document = Document::default();
        document.paragraph(&[self.headline.clone(), self.status.clone(), alerts.summary(limits)]);
        for reason in &self.reasons {
            document.paragraph(std::slice::from_ref(reason));
        }
        alerts.describe(&mut document, limits, context);
        document.paragraph(&[about(view, context), alerts.links()]);
        document.paragraph(&self.last);
        document
    }
}

/// Why a page is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageReason {
    /// A run began.
    RunBegan(RunReason),
    /// Nobody acknowledged the previous page.
    NotAcknowledged {
        /// The time since the previous page was sent; `None` if it was never sent.
        waited: Option<Duration>,
    },
    /// No room of the previous level is reachable.
    Unreachable {
        /// That level.
        level: u32,
    },
    /// A person escalated it.
    Asked {
        /// The person.
        who: OwnedUserId,
    },
}

impl PageReason {
    /// Why the page of `rung` is sent, derived from the incident's timeline.
    pub fn of(story: &[Entry], rung: Rung) -> Self {
        let run = of_run(story);
        let before: Vec<_> = run.iter().take_while(|entry| !is_page(entry, rung)).collect();
        let mut sent = None;
        for entry in before.iter().rev() {
            match &entry.kind {
                Kind::RunStarted { why, .. } => return Self::RunBegan(why.clone()),
                Kind::EscalationAsked { who, .. } => return Self::Asked { who: who.clone() },
                Kind::Undeliverable { level, .. } => return Self::Unreachable { level: *level },
                Kind::PageSent { .. } => {
                    sent = Some(entry.at);
                    break;
                }
                Kind::Paged { .. } => break,
                _ => {}
            }
        }
        if rung.level == 0 && rung.loop_no == 0 {
            // The timeline lacks the start of the run: the reason is unknown.
            return Self::RunBegan(RunReason::Fired);
        }
        let waited = |sent: Timestamp| paged_at(story, rung).map(|paged| between(sent, paged));
        Self::NotAcknowledged { waited: sent.and_then(waited) }
    }
}

fn is_page(entry: &Entry, rung: Rung) -> bool {
    matches!(entry.kind, Kind::Paged { loop_no, level } if (loop_no, level) == (rung.loop_no, rung.level))
}

/// When the page of a rung was enqueued.
fn paged_at(story: &[Entry], rung: Rung) -> Option<Timestamp> {
    of_run(story).iter().find(|entry| is_page(entry, rung)).map(|entry| entry.at)
}

/// Whether the incident has changed or escalated since the page was enqueued.
fn overtaken(view: &IncidentView, rung: Rung) -> bool {
    view.incident.phase != Phase::Firing || view.incident.rung().is_some_and(|newest| newest > rung)
}

/// The mentions of the page of a level: those of the worst severities.
pub fn called(view: &IncidentView, level: u32, context: &Context<'_>) -> Called {
    let relevant = relevant(view).map(|alert| &alert.severity);
    context.on_call.resolve(&context.policy.mentions(relevant, level))
}

/// Why this page is sent; empty for the first page of a new incident.
fn reason_line(view: &IncidentView, rung: Rung, reason: &PageReason, context: &Context<'_>) -> Rich {
    let place = rung_words(rung.loop_no, rung.level, view.levels);
    match reason {
        PageReason::RunBegan(why) => Wording::of(view, context).why_it_runs(why),
        PageReason::NotAcknowledged { waited: Some(waited) } => {
            Rich::from(format!("Nobody acknowledged within {}. Now paging {place}.", lasting(*waited)))
        }
        PageReason::NotAcknowledged { waited: None } => {
            Rich::from(format!("Nobody acknowledged. Now paging {place}."))
        }
        PageReason::Unreachable { level } => {
            Rich::from(format!("No room of level {} is reachable. Now paging {place}.", from_one(*level)))
        }
        PageReason::Asked { who } => {
            Rich::new().user(who).text(&format!(" escalated it. Now paging {place}."))
        }
    }
}

/// When the page was due, if it is late.
fn late_line(view: &IncidentView, story: &[Entry], rung: Rung, context: &Context<'_>) -> Rich {
    match paged_at(story, rung).filter(|paged| between(*paged, context.now) >= LATE) {
        Some(paged) => Rich::from(format!(
            "This page is late. It was due at {} ({}), but could not be sent to this room.",
            instant(paged, context),
            rung_words(rung.loop_no, rung.level, view.levels)
        )),
        None => Rich::new(),
    }
}

/// The room list, and the start of the incident.
fn about(view: &IncidentView, context: &Context<'_>) -> Rich {
    let flaps = match view.incident.flap_count {
        0 => String::new(),
        1 => " · fired again once".to_owned(),
        times => format!(" · fired again {times} times"),
    };
    let began = if view.incident.phase.is_open() { "firing since" } else { "started at" };
    let at = instant(since(view), context);
    Rich::from(format!("{} · {began} {at}{flaps}", list_name(&view.room_list)))
}

/// The mentions, and how to acknowledge the incident.
pub(super) fn call_to_acknowledge(called: &Called, view: &IncidentView, context: &Context<'_>) -> Vec<Rich> {
    vec![names_of(called), how_to_acknowledge(view, context)]
}

/// How to acknowledge the incident.
fn how_to_acknowledge(view: &IncidentView, context: &Context<'_>) -> Rich {
    Rich::new()
        .text(&format!("To acknowledge: react with {}, reply ", context.ack_reaction))
        .command("ack")
        .text(", or type ")
        .command(&format!("ack {}", view.number))
        .text(".")
}
