//! Sentences for an incident's current state and for each entry of its timeline.

use super::Context;
use super::alerts::{ShowSeverity, brief, since};
use super::hold::{held, over, partly, quoted};
use super::rich::Rich;
use super::text::{count, from_one, short};
use super::time::{instant, lasting};
use crate::domain::incident::{Fingerprint, Phase};
use crate::domain::input::Via;
use crate::domain::time::between;
use crate::domain::timeline::{AlertsChanged, Entry, Kind, ResolveReason, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use std::time::Duration;

/// The incident's current state. `story` is its timeline, at least from the start of its run.
pub(super) fn status(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    let hold = view.incident.hold.as_ref().filter(|_| view.incident.phase.is_open());
    let hold = hold.map_or_else(Rich::new, |hold| Rich::from("🔇 ").then(&held(hold, context)));
    Rich::join(&[of_phase(view, story, context), hold], " ")
}

fn of_phase(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    match &view.incident.phase {
        Phase::Firing => firing(view, story, context),
        Phase::Acknowledged { until, .. } => acknowledged(view, story, *until, context),
        Phase::Snoozed { until } => {
            let by = latest(story, |kind| matches!(kind, Kind::Snoozed { .. }));
            let until = instant(*until, context);
            match by {
                Some(Entry { kind: Kind::Snoozed { who, comment, .. }, .. }) => Rich::from("Snoozed by ")
                    .user(who)
                    .text(&format!(" until {until}"))
                    .then(&quoted(comment.as_deref()))
                    .text(". Then it pages again."),
                _ => Rich::from(format!("Snoozed until {until}. Then it pages again.")),
            }
        }
        Phase::Unanswered { .. } => {
            let when = latest(story, |kind| matches!(kind, Kind::Unanswered));
            let when = when.map(|entry| format!(" at {}", instant(entry.at, context))).unwrap_or_default();
            Rich::from(format!("Nobody acknowledged. Escalation ended{when}."))
        }
        Phase::Suppressed => Rich::from("Maintenance is active. Nobody is paged."),
        Phase::Resolved { .. } | Phase::Closed => resolved(view, story, context),
    }
}

fn firing(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    let why = latest(story, |kind| matches!(kind, Kind::RunStarted { .. }));
    let why = match why {
        Some(Entry { kind: Kind::RunStarted { why, .. }, .. }) => Wording::of(view, context).why_it_runs(why),
        _ => Rich::new(),
    };
    let paged = match view.incident.run.level {
        Some(level) if level > 0 || view.incident.run.loop_no > 0 => {
            let paged = latest(story, |kind| matches!(kind, Kind::Paged { .. }));
            let when = paged.map(|entry| format!(" at {}", instant(entry.at, context))).unwrap_or_default();
            let rung = rung(view.incident.run.loop_no, level, view.levels);
            Rich::from(format!("Escalated to {rung}{when}."))
        }
        _ => Rich::new(),
    };
    let held = match (latest(story, |kind| matches!(kind, Kind::RunStarted { .. })), view.incident.next_at) {
        (Some(Entry { kind: Kind::RunStarted { held_until: Some(_), .. }, .. }), Some(at))
            if view.incident.run.level.is_none() && view.incident.hold.is_none() =>
        {
            Rich::from(format!("🌙 It pages at {}.", instant(at, context)))
        }
        _ => Rich::new(),
    };
    Rich::join(&[why, paged, held], " ")
}

fn acknowledged(
    view: &IncidentView,
    story: &[Entry],
    until: Option<Timestamp>,
    context: &Context<'_>,
) -> Rich {
    let entry = latest(story, |kind| matches!(kind, Kind::Acknowledged { .. }));
    let mut line = if view.incident.ackers.is_empty() {
        Rich::from("Acknowledged")
    } else {
        Rich::from("Acknowledged by ").users(view.incident.ackers.iter().map(AsRef::as_ref))
    };
    if let Some(Entry { at, kind: Kind::Acknowledged { comment, .. }, .. }) = entry {
        line = line.text(&format!(" at {}", instant(*at, context)));
        line = line.then(&quoted(comment.as_deref()));
    }
    match until {
        Some(until) => {
            line.text(&format!(". It pages again at {} if it is still firing.", instant(until, context)))
        }
        None => line.text("."),
    }
}

fn resolved(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    let forced = matches!(view.incident.phase, Phase::Resolved { forced: true, .. });
    let entry = latest(story, |kind| matches!(kind, Kind::Resolved { .. }));
    let line = match entry {
        Some(Entry { at, kind: Kind::Resolved { why, lasted, since }, .. }) => {
            let lasted = lasting(since_start(view, *at, *lasted, *since));
            let at = instant(*at, context);
            match why {
                ResolveReason::Cleared => Rich::from(format!("Resolved after {lasted}, at {at}.")),
                ResolveReason::ByHand { who, comment, .. } => Rich::from("Resolved by ")
                    .user(who)
                    .text(&format!(" after {lasted}, at {at}"))
                    .then(&quoted(comment.as_deref()))
                    .text("."),
                ResolveReason::Stale => Rich::from(format!(
                    "Resolved as stale after {lasted}, at {at}: Alertmanager sent no more updates."
                )),
                ResolveReason::NotListed => Rich::from(format!(
                    "Resolved after {lasted}, at {at}: Alertmanager no longer lists its alerts."
                )),
                ResolveReason::Replaced { by } => {
                    Rich::from(format!("Ended after {lasted}, at {at}: it continues as #{by}."))
                }
            }
        }
        _ => match view.resolved_at {
            Some(at) => Rich::from(format!("Resolved at {}.", instant(at, context))),
            None => Rich::new(),
        },
    };
    if forced && view.alerts.iter().any(|alert| alert.firing) {
        line.text(if context.for_good {
            " Its alerts are still firing, but its room list is not configured any more: it pages nobody again."
        } else {
            " Its alerts are still firing. It pages again if an alert is new or gets worse."
        })
    } else {
        line
    }
}

/// The newest entry of a kind.
fn latest(story: &[Entry], wanted: impl Fn(&Kind) -> bool) -> Option<&Entry> {
    story.iter().rev().find(|entry| wanted(&entry.kind))
}

fn by<'a>(users: impl Iterator<Item = &'a ruma::UserId>) -> Rich {
    let users = Rich::new().users(users);
    if users.is_empty() { users } else { Rich::from(" by ").then(&users) }
}

/// What sentences about an incident depend on.
#[derive(Clone, Copy)]
pub(super) struct Wording<'a> {
    /// How many levels the ladder has.
    levels: u32,
    /// The incident, for the names of its alerts; `None`: only count alerts.
    view: Option<&'a IncidentView>,
    context: &'a Context<'a>,
}

/// The entries of the newest run; all entries if its start is not among them.
pub(super) fn of_run(story: &[Entry]) -> &[Entry] {
    let began = story.iter().rposition(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
    story.get(began.unwrap_or(0)..).unwrap_or_default()
}

impl<'a> Wording<'a> {
    /// Sentences that name the incident's alerts.
    pub(super) fn of(view: &'a IncidentView, context: &'a Context<'a>) -> Self {
        Self { levels: view.levels, view: Some(view), context }
    }

    /// Sentences that only count alerts.
    pub(super) fn counting(levels: u32, context: &'a Context<'a>) -> Self {
        Self { levels, view: None, context }
    }

    /// One entry as a sentence.
    pub(super) fn sentence(&self, entry: &Entry) -> Rich {
        match &entry.kind {
            Kind::RunStarted { why, suppressed, held_until, .. } => {
                self.run_started(why, *suppressed, *held_until)
            }
            Kind::AlertsChanged(changes) => self.alerts_changed(changes),
            Kind::Paged { loop_no, level } => {
                Rich::from(format!("🔔 Paging {}.", self.rung(*loop_no, *level)))
            }
            Kind::PageSent { loop_no, level } => {
                Rich::from(format!("📨 The page to {} was sent.", self.rung(*loop_no, *level)))
            }
            Kind::Undeliverable { loop_no, level } => {
                Rich::from(format!("⚠️ No room of {} was reachable.", self.rung(*loop_no, *level)))
            }
            Kind::Unanswered => Rich::from("🚨 Nobody acknowledged. Escalation ended."),
            Kind::Reminded { number } => Rich::from(format!("🚨 Still unanswered. Sent reminder {number}.")),
            Kind::HeldBack { hold } => Rich::from("🔇 ").then(&held(hold, self.context)),
            Kind::Released { by } => Rich::from(format!("🔔 {}. It stays snoozed.", over(by))),
            Kind::PartlySilenced { by } if by.is_empty() => {
                Rich::from("🔔 None of its alerts is silenced any more.")
            }
            Kind::PartlySilenced { by } => Rich::from("🔇 ").then(&partly(by, self.context)),
            Kind::SilencedAgain { alertmanager, until } => Rich::from(format!(
                "🔇 Alertmanager {} had lost its silence. matrixbot made it again, until {}.",
                short(alertmanager, 60),
                instant(*until, self.context)
            )),
            Kind::Suppressed => Rich::from("🔧 Maintenance is active. Nobody is paged."),
            Kind::Closed => Rich::from("🏁 Closed."),
            Kind::HoldEnded => Rich::from("🟢 All alerts are resolved now."),
            Kind::RefiredAcknowledged => {
                Rich::from("🔁 Firing again. It is still acknowledged, so nobody is paged.")
            }
            Kind::Resolved { why, lasted, since } => {
                let lasted = self.view.map_or(*lasted, |view| since_start(view, entry.at, *lasted, *since));
                resolved_sentence(why, &lasting(lasted))
            }
            Kind::AckEndsSoon { until } => {
                Rich::from(format!("⏰ The acknowledgement ends at {}.", instant(*until, self.context)))
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
                let line = Rich::from("👀 ")
                    .user(who)
                    .text(" acknowledged")
                    .text(how(*via))
                    .then(&quoted(comment.as_deref()));
                match until {
                    Some(until) => line
                        .text(&format!(". The acknowledgement ends at {}.", instant(*until, self.context))),
                    None => line.text(". Escalation stopped."),
                }
            }
            Kind::JoinedAck { who, via, comment } => Rich::from("👀 ")
                .user(who)
                .text(" also acknowledged")
                .text(how(*via))
                .then(&quoted(comment.as_deref()))
                .text("."),
            Kind::LateAck { who, .. } => Rich::new().user(who).text(
                " acknowledged too late. What was firing then was already resolved or had started again.",
            ),
            Kind::Snoozed { who, via, until, comment } => Rich::from("💤 ")
                .user(who)
                .text(&format!(" snoozed it until {}", instant(*until, self.context)))
                .text(how(*via))
                .then(&quoted(comment.as_deref()))
                .text("."),
            Kind::EscalationAsked { who, via } => {
                Rich::from("⏫ ").user(who).text(" escalated it").text(how(*via)).text(".")
            }
            _ => Rich::new(),
        }
    }

    fn run_started(&self, why: &RunReason, suppressed: bool, held_until: Option<Timestamp>) -> Rich {
        let line = match why {
            RunReason::Fired => Rich::from("🔥 Firing."),
            _ => Rich::from("🔁 ").then(&self.why_it_runs(why)),
        };
        if suppressed {
            return line.text(" Maintenance is active. Nobody is paged.");
        }
        match held_until {
            Some(at) => line.text(&format!(" It pages at {}.", instant(at, self.context))),
            None => line,
        }
    }

    fn alerts_changed(&self, changes: &AlertsChanged) -> Rich {
        let piece = |words: &str, which: &[Fingerprint]| {
            let names =
                self.names(which, ShowSeverity::No).unwrap_or_else(|| count(which.len() as u64, "alert"));
            if which.is_empty() { Rich::new() } else { Rich::from(format!("{words}: {names}.")) }
        };
        let pieces = [
            piece("➕ Also firing", &changes.joined),
            piece("➖ Resolved", &changes.cleared),
            piece("〰️ Severity changed", &changes.changed),
            piece("🔁 New start time, so this may be another outage", &changes.renewed),
            piece("❔ Alertmanager no longer reports", &changes.left_out),
            piece("〰️ Alertmanager reports again", &changes.returned),
        ];
        Rich::join(&pieces, " ")
    }

    /// Why a run started; empty for a new incident.
    pub(super) fn why_it_runs(&self, why: &RunReason) -> Rich {
        match why {
            RunReason::Fired => Rich::new(),
            RunReason::Refired => Rich::from("It was resolved and is firing again."),
            RunReason::Renewed { fingerprints } => Rich::from(format!(
                "New start time, so this may be another outage{}.",
                self.named(fingerprints)
            )),
            RunReason::NewAlert { joined } => {
                let what = match joined.len() {
                    0 | 1 => "New alert".to_owned(),
                    several => format!("{several} new alerts"),
                };
                Rich::from(format!("{what} in this incident{}.", self.named(joined)))
            }
            RunReason::SeverityRose { fingerprints } => {
                Rich::from(format!("An alert got worse{}.", self.named(fingerprints)))
            }
            RunReason::GivenBack { who } => Rich::new().user(who).text(" withdrew the acknowledgement."),
            RunReason::AckExpired { ackers } => {
                Rich::from("The acknowledgement").then(&by(ackers.iter().map(AsRef::as_ref))).text(" ended.")
            }
            RunReason::SnoozeOver { who: Some(who) } => Rich::new().user(who).text(" ended the snooze."),
            RunReason::SnoozeOver { who: None } => Rich::from("The snooze ended."),
            RunReason::EscalationAsked { who } => Rich::new().user(who).text(" escalated it."),
            RunReason::Released { by } => Rich::from(format!("{} and it is still firing.", over(by))),
            RunReason::MaintenanceOver => Rich::from("Maintenance ended and it is still firing."),
        }
    }

    /// The names of alerts; `None` if sentences only count them.
    fn names(&self, fingerprints: &[Fingerprint], severity: ShowSeverity) -> Option<String> {
        let names = brief(self.view?, fingerprints, severity, self.context);
        (!names.is_empty()).then_some(names)
    }

    fn named(&self, fingerprints: &[Fingerprint]) -> String {
        self.names(fingerprints, ShowSeverity::Yes).map(|names| format!(": {names}")).unwrap_or_default()
    }

    fn rung(&self, loop_no: u32, level: u32) -> String {
        rung(loop_no, level, self.levels)
    }
}

/// "level 2 of 3", "level 2 of 3, round 2".
pub(super) fn rung(loop_no: u32, level: u32, levels: u32) -> String {
    let round = if loop_no == 0 { String::new() } else { format!(", round {}", from_one(loop_no)) };
    format!("level {} of {levels}{round}", from_one(level))
}

/// How long the alerts of an incident had been firing when it was resolved at `at`: they may have started before it opened,
/// `lasted` before. `known`: the earliest start that it knew then.
fn since_start(view: &IncidentView, at: Timestamp, lasted: Duration, known: Option<Timestamp>) -> Duration {
    let first = known.map_or(since(view), |known| known.min(since(view)));
    between(first, at).max(lasted)
}

fn resolved_sentence(why: &ResolveReason, lasted: &str) -> Rich {
    match why {
        ResolveReason::Cleared => Rich::from(format!("🟢 Resolved after {lasted}.")),
        ResolveReason::ByHand { who, via, comment } => Rich::from("🟢 ")
            .user(who)
            .text(&format!(" resolved it after {lasted}"))
            .text(how(*via))
            .then(&quoted(comment.as_deref()))
            .text("."),
        ResolveReason::Stale => {
            Rich::from(format!("🟢 Resolved as stale after {lasted}: Alertmanager sent no more updates."))
        }
        ResolveReason::NotListed => {
            Rich::from(format!("🟢 Resolved after {lasted}: Alertmanager no longer lists its alerts."))
        }
        ResolveReason::Replaced { by } => {
            Rich::from(format!("🟢 Ended after {lasted}: it continues as #{by}."))
        }
    }
}

/// How a person acted; empty for commands and replies.
fn how(via: Via) -> &'static str {
    match via {
        Via::Command | Via::Reply => "",
        Via::Reaction => " with a reaction",
        Via::Api => " from the command line",
    }
}
