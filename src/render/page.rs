//! A page: the message that is meant to wake somebody. It relates to nothing, so that a thread can begin from it.
//!
//! A page can come late, because its room could not be reached or the homeserver was away. Then it says so; and if the
//! ladder has gone on meanwhile, it shows the incident as it stands instead of asking for what is past.

use super::Context;
use super::alerts::{brief, describe, since, summary_line};
use super::headline::{headline, list_name, state, worst};
use super::links::links;
use super::message::{Mentions, Message};
use super::rich::{Document, Rich};
use super::size::{Limits, fit};
use super::status::{status, why_it_runs};
use super::story::{of_run, rung as rung_words};
use super::time::{instant, lasting};
use crate::domain::incident::{Fingerprint, Phase, Rung};
use crate::domain::policy::Mention;
use crate::domain::time::between;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::OwnedUserId;
use std::time::Duration;

/// How late a page may come without saying so.
const LATE: Duration = Duration::from_mins(1);

/// The page of a rung. `story` is the incident's timeline, at least from the beginning of its run.
pub fn page(view: &IncidentView, story: &[Entry], rung: Rung, context: &Context<'_>) -> Message {
    let called = called(view, rung.level, context);
    fit(|limits| {
        let text = page_text(view, story, rung, &called, limits, context);
        Message::text(text, Mentions::from(called.as_slice())).from_url(view.external_url.as_deref())
    })
}

/// Why a page goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageReason {
    /// A run began.
    RunBegan(RunReason),
    /// Nobody took it from the rung before.
    NotAcknowledged {
        /// How long that rung had been told; `None` if its page was never in a room.
        told_for: Option<Duration>,
    },
    /// No room of the level before can be reached.
    Unreachable {
        /// That level.
        level: u32,
    },
    /// A person asked for the next level.
    Asked {
        /// The person.
        who: OwnedUserId,
    },
}

impl PageReason {
    /// Why the page of `rung` goes out, read off the incident's timeline.
    pub fn of(story: &[Entry], rung: Rung) -> Self {
        let run = of_run(story);
        let before: Vec<_> = run.iter().take_while(|entry| !is_page(entry, rung)).collect();
        let mut told = None;
        for entry in before.iter().rev() {
            match &entry.kind {
                Kind::RunStarted { why, .. } if rung.level == 0 && rung.loop_no == 0 => {
                    return Self::RunBegan(why.clone());
                }
                Kind::EscalationAsked { who, .. } => return Self::Asked { who: who.clone() },
                Kind::Undeliverable { level, .. } => return Self::Unreachable { level: *level },
                Kind::Told { .. } => {
                    told = Some(entry.at);
                    break;
                }
                Kind::Paged { .. } => break,
                _ => {}
            }
        }
        if rung.level == 0 && rung.loop_no == 0 {
            // The beginning of the run is not in the story: nothing can be said of it.
            return Self::RunBegan(RunReason::Fired);
        }
        let told_for = |told: Timestamp| paged_at(story, rung).map(|paged| between(told, paged));
        Self::NotAcknowledged { told_for: told.and_then(told_for) }
    }
}

fn is_page(entry: &Entry, rung: Rung) -> bool {
    matches!(entry.kind, Kind::Paged { loop_no, level } if (loop_no, level) == (rung.loop_no, rung.level))
}

/// When the page of a rung was decided.
fn paged_at(story: &[Entry], rung: Rung) -> Option<Timestamp> {
    of_run(story).iter().find(|entry| is_page(entry, rung)).map(|entry| entry.at)
}

/// Whether the ladder has gone on since the page was decided.
fn overtaken(view: &IncidentView, rung: Rung) -> bool {
    view.incident.phase != Phase::Firing || view.incident.rung().is_some_and(|newest| newest > rung)
}

/// Whom the page of a level calls: what the worst severity says, else what the level says.
pub fn called(view: &IncidentView, level: u32, context: &Context<'_>) -> Vec<Mention> {
    let severity = worst(view).and_then(|severity| severity.name.as_ref());
    let by_severity = severity.and_then(|name| context.policy.severities.get(name)?.mention.clone());
    by_severity.or_else(|| context.policy.level(level).map(|level| level.mention.clone())).unwrap_or_default()
}

fn page_text(
    view: &IncidentView,
    story: &[Entry],
    rung: Rung,
    called: &[Mention],
    limits: Limits,
    context: &Context<'_>,
) -> Document {
    let mut document = Document::default();
    let escalated = rung.level > 0 || rung.loop_no > 0;
    let (mark, word) = state(view);
    if overtaken(view, rung) {
        let headline = headline(mark, word, view, context);
        document.paragraph(&[headline, status(view, story, context), summary_line(view, limits)]);
    } else {
        let headline = if escalated {
            headline(&format!("{mark}⏫"), "ESCALATED", view, context)
        } else {
            headline(mark, word, view, context)
        };
        document.paragraph(&[headline, summary_line(view, limits)]);
        document.paragraph(&[reason_line(view, rung, &PageReason::of(story, rung), context)]);
    }
    document.paragraph(&[late_line(view, story, rung, context)]);
    describe(&mut document, view, limits, context);
    document.paragraph(&[about(view, context), links(view)]);
    document.paragraph(&[call(called, view, context)]);
    document
}

/// Why this page goes out, where that is not plain: nothing for the first page of a new incident.
fn reason_line(view: &IncidentView, rung: Rung, reason: &PageReason, context: &Context<'_>) -> Rich {
    let place = rung_words(rung.loop_no, rung.level, view.levels);
    match reason {
        PageReason::RunBegan(why) => {
            why_it_runs(why, &|fingerprints: &[Fingerprint]| brief(view, fingerprints, context))
        }
        PageReason::NotAcknowledged { told_for: Some(told_for) } => {
            Rich::from(format!("Nobody acknowledged within {}. Now paging {place}.", lasting(*told_for)))
        }
        PageReason::NotAcknowledged { told_for: None } => {
            Rich::from(format!("Nobody acknowledged. Now paging {place}."))
        }
        PageReason::Unreachable { level } => {
            Rich::from(format!("No room of level {} could be reached. Now paging {place}.", human(*level)))
        }
        PageReason::Asked { who } => {
            Rich::new().user(who).text(&format!(" asked for escalation. Now paging {place}."))
        }
    }
}

/// When the page should have come, if it comes late.
fn late_line(view: &IncidentView, story: &[Entry], rung: Rung, context: &Context<'_>) -> Rich {
    match paged_at(story, rung).filter(|paged| between(*paged, context.now) >= LATE) {
        Some(paged) => Rich::from(format!(
            "This page comes late: {} was paged at {}, and it could not be sent here before.",
            rung_words(rung.loop_no, rung.level, view.levels),
            instant(paged, context.now)
        )),
        None => Rich::new(),
    }
}

/// Which list it concerns, and since when it fires, or when it began if it is over.
pub(super) fn about(view: &IncidentView, context: &Context<'_>) -> Rich {
    let flaps = match view.incident.flap_count {
        0 => String::new(),
        1 => " · came back once".to_owned(),
        times => format!(" · came back {times} times"),
    };
    let began = if view.incident.phase.is_open() { "firing since" } else { "began at" };
    let at = instant(since(view), context.now);
    Rich::from(format!("{} · {began} {at}{flaps}", list_name(&view.room_list)))
}

/// Whom a message calls, and to what.
pub(super) fn call(called: &[Mention], view: &IncidentView, context: &Context<'_>) -> Rich {
    let names: Vec<_> = called
        .iter()
        .map(|mention| match mention {
            Mention::User(user) => Rich::new().user(user),
            Mention::Room => Rich::from("@room"),
        })
        .collect();
    Rich::join(&[Rich::join(&names, " "), how_to_acknowledge(view, context)], " ")
}

/// How to take the incident.
pub(super) fn how_to_acknowledge(view: &IncidentView, context: &Context<'_>) -> Rich {
    Rich::new()
        .text(&format!("To acknowledge: react {}, reply ", context.ack_reaction))
        .command("ack")
        .text(", or say ")
        .command(&format!("ack {}", view.number))
        .text(".")
}

/// A level or round as people count: from 1.
pub(super) fn human(index: u32) -> u64 {
    u64::from(index).saturating_add(1)
}
