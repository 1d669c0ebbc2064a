//! The entries of a timeline as sentences.

use super::Context;
use super::page::human;
use super::rich::Rich;
use super::status::{said, why_it_runs};
use super::text::count;
use super::time::{instant, lasting};
use crate::domain::incident::Fingerprint;
use crate::domain::input::Via;
use crate::domain::timeline::{Entry, Kind, ResolveReason, RunReason};

/// What a story is told with, besides its entries.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    /// How many levels the ladder has.
    pub(super) levels: u32,
    /// What alerts are called; empty where they are only counted.
    pub(super) names: &'a dyn Fn(&[Fingerprint]) -> String,
    /// The rest.
    pub(super) context: &'a Context<'a>,
}

/// What alerts are called where they are only counted: nothing.
pub(super) fn unnamed(_: &[Fingerprint]) -> String {
    String::new()
}

/// The entries of the newest run; all that there are, if its beginning is not among them.
pub(super) fn of_run(story: &[Entry]) -> &[Entry] {
    let began = story.iter().rposition(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
    story.get(began.unwrap_or(0)..).unwrap_or_default()
}

impl Teller<'_> {
    /// One entry as a sentence.
    pub(super) fn sentence(&self, entry: &Entry) -> Rich {
        match &entry.kind {
            Kind::RunStarted { why, suppressed, .. } => self.run_started(why, *suppressed),
            Kind::AlertsChanged { joined, cleared, changed } => self.alerts_changed(joined, cleared, changed),
            Kind::Paged { loop_no, level } => say(&format!("🔔 Paging {}.", self.rung(*loop_no, *level))),
            Kind::Told { loop_no, level } => {
                say(&format!("📨 The page of {} is in its room.", self.rung(*loop_no, *level)))
            }
            Kind::Undeliverable { loop_no, level } => {
                say(&format!("⚠️ No room of {} could be reached.", self.rung(*loop_no, *level)))
            }
            Kind::Unanswered => say("🚨 Nobody acknowledged: the ladder ran out."),
            Kind::Reminded { number } => say(&format!("🚨 Still nobody: reminder {number} was sent.")),
            Kind::Suppressed => say("🔧 Held back by maintenance."),
            Kind::Closed => say("🏁 Closed."),
            Kind::HoldEnded => say("🟢 Every alert has cleared now."),
            Kind::RefiredAcknowledged => {
                say("🔁 It fires again. The acknowledgement still holds; nobody is paged.")
            }
            Kind::Resolved { why, lasted } => resolved(why, &lasting(*lasted)),
            Kind::AckEndsSoon { until } => {
                say(&format!("⏰ The acknowledgement ends at {}.", instant(*until, self.context.now)))
            }
            Kind::Acknowledged { .. }
            | Kind::JoinedAck { .. }
            | Kind::LateAck { .. }
            | Kind::Snoozed { .. }
            | Kind::EscalationAsked { .. } => self.person(&entry.kind),
        }
    }

    fn person(&self, kind: &Kind) -> Rich {
        match kind {
            Kind::Acknowledged { who, via, until, comment } => {
                let line = say("👀 ")
                    .user(who)
                    .text(" acknowledged")
                    .text(how(*via))
                    .then(&said(comment.as_deref()));
                match until {
                    Some(until) => {
                        line.text(&format!(". It holds until {}.", instant(*until, self.context.now)))
                    }
                    None => line.text(". Escalation has stopped."),
                }
            }
            Kind::JoinedAck { who, via, comment } => {
                say("👀 ").user(who).text(" joined").text(how(*via)).then(&said(comment.as_deref())).text(".")
            }
            Kind::LateAck { who, .. } => {
                Rich::new().user(who).text(" wanted to acknowledge, but it was over already.")
            }
            Kind::Snoozed { who, via, until, comment } => say("💤 ")
                .user(who)
                .text(&format!(" snoozed it until {}", instant(*until, self.context.now)))
                .text(how(*via))
                .then(&said(comment.as_deref()))
                .text("."),
            Kind::EscalationAsked { who, via } => {
                say("⏫ ").user(who).text(" asked for the next level").text(how(*via)).text(".")
            }
            _ => Rich::new(),
        }
    }

    fn run_started(&self, why: &RunReason, suppressed: bool) -> Rich {
        let line = match why {
            RunReason::Fired => say("🔥 It fires."),
            _ => say("🔁 ").then(&why_it_runs(why, self.names)),
        };
        if suppressed { line.text(" Maintenance holds it back; nobody is paged.") } else { line }
    }

    fn alerts_changed(
        &self,
        joined: &[Fingerprint],
        cleared: &[Fingerprint],
        changed: &[Fingerprint],
    ) -> Rich {
        let piece = |words: &str, which: &[Fingerprint]| {
            let names = Some((self.names)(which)).filter(|names| !names.is_empty());
            let names = names.unwrap_or_else(|| count(which.len() as u64, "alert"));
            if which.is_empty() { Rich::new() } else { say(&format!("{words}: {names}.")) }
        };
        let pieces = [
            piece("➕ Fires too", joined),
            piece("➖ Cleared", cleared),
            piece("〰️ Severity changed", changed),
        ];
        Rich::join(&pieces, " ")
    }

    fn rung(&self, loop_no: u32, level: u32) -> String {
        rung(loop_no, level, self.levels)
    }
}

/// "level 2 of 3", "level 2 of 3, round 2".
pub(super) fn rung(loop_no: u32, level: u32, levels: u32) -> String {
    let round = if loop_no == 0 { String::new() } else { format!(", round {}", human(loop_no)) };
    format!("level {} of {levels}{round}", human(level))
}

fn resolved(why: &ResolveReason, lasted: &str) -> Rich {
    match why {
        ResolveReason::Cleared => say(&format!("🟢 Resolved after {lasted}.")),
        ResolveReason::ByHand { who, via, comment } => say("🟢 ")
            .user(who)
            .text(&format!(" resolved it after {lasted}"))
            .text(how(*via))
            .then(&said(comment.as_deref()))
            .text("."),
        ResolveReason::Stale => {
            say(&format!("🟢 Taken for resolved after {lasted}: Alertmanager no longer reports it."))
        }
    }
}

/// How a person acted, where that is worth saying.
fn how(via: Via) -> &'static str {
    match via {
        Via::Command | Via::Reply => "",
        Via::Reaction => " with a reaction",
        Via::Api => " from the command line",
    }
}

fn say(text: &str) -> Rich {
    Rich::from(text)
}
