//! A page: the message that is meant to wake somebody. It relates to nothing, so that a thread can begin from it.

use super::Context;
use super::alerts::{brief, describe, since, summary_line};
use super::headline::{headline, list_name, severity_mark, worst};
use super::links::links;
use super::message::{Mentions, Message};
use super::rich::{Document, Rich};
use super::size::{Limits, fit};
use super::status::why_it_runs;
use super::story::{of_run, rung as rung_words};
use super::time::{instant, lasting};
use crate::domain::incident::{Fingerprint, Rung};
use crate::domain::policy::Mention;
use crate::domain::time::between;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::OwnedUserId;
use std::time::Duration;

/// The page of a rung. `story` is the incident's timeline, at least from the beginning of its run.
pub fn page(view: &IncidentView, story: &[Entry], rung: Rung, context: &Context<'_>) -> Message {
    let reason = PageReason::of(story, rung);
    let called = called(view, rung.level, context);
    fit(|limits| {
        let text = page_text(view, rung, &reason, &called, limits, context);
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
        let is_page = |entry: &&Entry| matches!(entry.kind, Kind::Paged { loop_no, level } if (loop_no, level) == (rung.loop_no, rung.level));
        let paged_at = run.iter().find(is_page).map(|entry| entry.at);
        let before: Vec<_> = run.iter().take_while(|entry| !is_page(entry)).collect();
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
        let told_for = |told: Timestamp| paged_at.map(|paged| between(told, paged));
        Self::NotAcknowledged { told_for: told.and_then(told_for) }
    }
}

/// Whom the page of a level calls: what the worst severity says, else what the level says.
pub fn called(view: &IncidentView, level: u32, context: &Context<'_>) -> Vec<Mention> {
    let severity = worst(view).and_then(|severity| severity.name.as_ref());
    let by_severity = severity.and_then(|name| context.policy.severities.get(name)?.mention.clone());
    by_severity.or_else(|| context.policy.level(level).map(|level| level.mention.clone())).unwrap_or_default()
}

fn page_text(
    view: &IncidentView,
    rung: Rung,
    reason: &PageReason,
    called: &[Mention],
    limits: Limits,
    context: &Context<'_>,
) -> Document {
    let mut document = Document::default();
    let escalated = rung.level > 0 || rung.loop_no > 0;
    let mark = severity_mark(worst(view));
    let headline = if escalated {
        headline(&format!("{mark}⏫"), "ESCALATED", view, context)
    } else {
        headline(mark, "FIRING", view, context)
    };
    document.paragraph(&[headline, summary_line(view, limits)]);
    document.paragraph(&[reason_line(view, rung, reason, context)]);
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

/// Which list it concerns, and since when it fires.
pub(super) fn about(view: &IncidentView, context: &Context<'_>) -> Rich {
    let flaps = match view.incident.flap_count {
        0 => String::new(),
        1 => " · came back once".to_owned(),
        times => format!(" · came back {times} times"),
    };
    Rich::from(format!("{} · since {}{flaps}", list_name(&view.room_list), instant(since(view), context.now)))
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
