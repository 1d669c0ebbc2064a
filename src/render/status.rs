//! Where an incident stands, in a sentence or two: who took it, until when, why it is over.

use super::Context;
use super::alerts::brief;
use super::rich::Rich;
use super::story::rung;
use super::text::short;
use super::time::{instant, lasting};
use crate::domain::incident::{Fingerprint, Phase};
use crate::domain::timeline::{Entry, Kind, ResolveReason, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;

/// The longest comment that is repeated.
const LONGEST_COMMENT: usize = 300;

/// Where the incident stands. `story` is its timeline, at least from the beginning of its run.
pub(super) fn status(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    match &view.incident.phase {
        Phase::Firing => firing(view, story, context),
        Phase::Acknowledged { until, .. } => acknowledged(view, story, *until, context),
        Phase::Snoozed { until } => {
            let by = latest(story, |kind| matches!(kind, Kind::Snoozed { .. }));
            let until = instant(*until, context.now);
            match by {
                Some(Entry { kind: Kind::Snoozed { who, comment, .. }, .. }) => Rich::from("By ")
                    .user(who)
                    .text(&format!(" until {until}"))
                    .then(&said(comment.as_deref()))
                    .text(". Then it pages again."),
                _ => Rich::from(format!("Until {until}. Then it pages again.")),
            }
        }
        Phase::Unanswered { .. } => {
            let when = latest(story, |kind| matches!(kind, Kind::Unanswered));
            let when =
                when.map(|entry| format!(" at {}", instant(entry.at, context.now))).unwrap_or_default();
            Rich::from(format!("Nobody acknowledged; the ladder ran out{when}."))
        }
        Phase::Suppressed => Rich::from("Held back by maintenance; nobody is paged."),
        Phase::Resolved { .. } | Phase::Closed => resolved(view, story, context),
    }
}

/// Why a run began; nothing for a new incident. `names` may be empty where alerts are only counted.
pub(super) fn why_it_runs(why: &RunReason, names: &dyn Fn(&[Fingerprint]) -> String) -> Rich {
    match why {
        RunReason::Fired => Rich::new(),
        RunReason::Refired => Rich::from("It fires again after it had resolved."),
        RunReason::NewAlert { joined } => {
            let what = match joined.len() {
                0 | 1 => "An alert".to_owned(),
                several => format!("{several} alerts"),
            };
            Rich::from(format!("{what} joined that nobody has seen yet{}.", named(&names(joined))))
        }
        RunReason::SeverityRose { fingerprints } => {
            Rich::from(format!("It became worse{}.", named(&names(fingerprints))))
        }
        RunReason::GivenBack { who } => Rich::new().user(who).text(" gave it back."),
        RunReason::AckExpired { ackers } => Rich::from("The acknowledgement")
            .then(&of(ackers.iter().map(AsRef::as_ref)))
            .text(" has expired."),
        RunReason::SnoozeOver { who: Some(who) } => Rich::new().user(who).text(" ended the snooze."),
        RunReason::SnoozeOver { who: None } => Rich::from("The snooze is over."),
        RunReason::EscalationAsked { who } => Rich::new().user(who).text(" asked for escalation."),
        RunReason::MaintenanceOver => Rich::from("Maintenance is over, and it still fires."),
    }
}

fn named(names: &str) -> String {
    if names.is_empty() { String::new() } else { format!(": {names}") }
}

/// A comment, in quotes; nothing if there is none.
pub(super) fn said(comment: Option<&str>) -> Rich {
    let comment = short(comment.unwrap_or_default(), LONGEST_COMMENT);
    if comment.is_empty() { Rich::new() } else { Rich::from(": ").em(&format!("“{comment}”")) }
}

fn firing(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    let why = latest(story, |kind| matches!(kind, Kind::RunStarted { .. }));
    let why = match why {
        Some(Entry { kind: Kind::RunStarted { why, .. }, .. }) => {
            why_it_runs(why, &|fingerprints: &[Fingerprint]| brief(view, fingerprints, context))
        }
        _ => Rich::new(),
    };
    let paged = match view.incident.run.level {
        Some(level) if level > 0 || view.incident.run.loop_no > 0 => {
            let paged = latest(story, |kind| matches!(kind, Kind::Paged { .. }));
            let when =
                paged.map(|entry| format!(" at {}", instant(entry.at, context.now))).unwrap_or_default();
            let rung = rung(view.incident.run.loop_no, level, view.levels);
            Rich::from(format!("Escalated to {rung}{when}."))
        }
        _ => Rich::new(),
    };
    Rich::join(&[why, paged], " ")
}

fn acknowledged(
    view: &IncidentView,
    story: &[Entry],
    until: Option<Timestamp>,
    context: &Context<'_>,
) -> Rich {
    let entry = latest(story, |kind| matches!(kind, Kind::Acknowledged { .. }));
    let mut line = if view.incident.ackers.is_empty() {
        Rich::from("Somebody has it")
    } else {
        Rich::from("By ").users(view.incident.ackers.iter().map(AsRef::as_ref))
    };
    if let Some(Entry { at, kind: Kind::Acknowledged { comment, .. }, .. }) = entry {
        line = line.text(&format!(" at {}", instant(*at, context.now)));
        line = line.then(&said(comment.as_deref()));
    }
    match until {
        Some(until) => {
            line.text(&format!(". Pages again at {} if it still fires.", instant(until, context.now)))
        }
        None => line.text("."),
    }
}

fn resolved(view: &IncidentView, story: &[Entry], context: &Context<'_>) -> Rich {
    let forced = matches!(view.incident.phase, Phase::Resolved { forced: true, .. });
    let entry = latest(story, |kind| matches!(kind, Kind::Resolved { .. }));
    let line = match entry {
        Some(Entry { at, kind: Kind::Resolved { why, lasted }, .. }) => {
            let lasted = lasting(*lasted);
            let at = instant(*at, context.now);
            match why {
                ResolveReason::Cleared => Rich::from(format!("After {lasted}, at {at}.")),
                ResolveReason::ByHand { who, comment, .. } => Rich::from("By ")
                    .user(who)
                    .text(&format!(" after {lasted}, at {at}"))
                    .then(&said(comment.as_deref()))
                    .text("."),
                ResolveReason::Stale => {
                    Rich::from(format!("After {lasted}, at {at}: Alertmanager no longer reports it."))
                }
            }
        }
        _ => match view.resolved_at {
            Some(at) => Rich::from(format!("At {}.", instant(at, context.now))),
            None => Rich::new(),
        },
    };
    if forced && view.alerts.iter().any(|alert| alert.firing) {
        line.text(" Its alerts still fire; something new will page again.")
    } else {
        line
    }
}

/// The newest entry of a kind.
fn latest(story: &[Entry], wanted: impl Fn(&Kind) -> bool) -> Option<&Entry> {
    story.iter().rev().find(|entry| wanted(&entry.kind))
}

fn of<'a>(users: impl Iterator<Item = &'a ruma::UserId>) -> Rich {
    let users = Rich::new().users(users);
    if users.is_empty() { users } else { Rich::from(" of ").then(&users) }
}
