//! Answers with lists: `pending`, `escalated`, `timeline`.

use crate::domain::answer::IncidentLine;
use crate::domain::digest::Member;
use crate::domain::hold::HeldAlerts;
use crate::domain::incident::PhaseName;
use crate::domain::policy::Policy;
use crate::domain::timeline::Entry;
use crate::render::Context;
use crate::render::digest::numbers;
use crate::render::headline::{list_name, phase_mark};
use crate::render::message::Message;
use crate::render::rich::{Document, Rich};
use crate::render::size::fit_lines;
use crate::render::story::Wording;
use crate::render::text::{count, from_one, short};
use crate::render::time::{age, exact, instant};

/// A list of incidents. `what`: "pending" or "escalated".
pub(super) fn incidents(
    what: &str,
    room_list: &str,
    incidents: &[IncidentLine],
    more: u64,
    context: &Context<'_>,
) -> Message {
    let room_list = list_name(room_list);
    let all = (incidents.len() as u64).saturating_add(more);
    if all == 0 {
        return Message::notice(Document::line(&Rich::from(format!(
            "🟢 {room_list} has no {what} incidents."
        ))));
    }
    let headline =
        Rich::new().strong(&format!("{} {what}", count(all, "incident"))).text(&format!(" · {room_list}"));
    list(&headline, incidents, all, context)
}

/// The open incidents of a room's storm: a line for each of the first ones, and the numbers of all.
pub(super) fn storm(room_list: &str, members: &[Member], policy: &Policy) -> Message {
    let room_list = list_name(room_list);
    if members.is_empty() {
        let words = format!("🟢 {room_list} has no storm with open incidents in this room.");
        return Message::notice(Document::line(&Rich::from(words)));
    }
    let all = members.len();
    let headline = Rich::new()
        .strong(&format!("{} in the storm", count(all as u64, "open incident")))
        .text(&format!(" · {room_list}"));
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| {
        let rank = member.severity.as_ref().map_or(0, |severity| severity.rank);
        (!member.calls(), std::cmp::Reverse(rank), member.number)
    });
    fit_lines(all, |kept| {
        let mut text = Document::default();
        text.paragraph(&[headline.clone(), numbers(members.iter().map(|member| member.number))]);
        let items: Vec<_> = sorted.iter().take(kept).map(|member| vec![storm_line(member, policy)]).collect();
        text.list(&items);
        if let more @ 1.. = all.saturating_sub(kept) {
            text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
        }
        Message::notice(text)
    })
}

/// `🔴 #42 DiskFull · instance=db-1`
fn storm_line(member: &Member, policy: &Policy) -> Rich {
    let mark = phase_mark(member.phase, member.severity.as_ref(), policy);
    let lead =
        Rich::from(format!("{mark} ")).strong(&format!("#{} {}", member.number, short(&member.name, 48)));
    Rich::join(&[lead, short(&member.place, 40).into()], " · ")
}

/// The timeline of an incident, one entry a line.
pub fn timeline(
    number: i64,
    name: &str,
    levels: u32,
    entries: &[Entry],
    earlier: u64,
    context: &Context<'_>,
) -> Message {
    let headline = Rich::new().strong(&format!("Timeline of #{number} {}", short(name, 60)));
    let wording = Wording::counting(levels, context);
    fit_lines(entries.len().min(100), |kept| {
        let skipped = entries.len().saturating_sub(kept);
        let mut text = Document::default();
        let hidden = earlier.saturating_add(skipped as u64);
        let cut = match hidden {
            0 => Rich::new(),
            1 => Rich::new().em("… and 1 earlier entry"),
            _ => Rich::new().em(&format!("… and {hidden} earlier entries")),
        };
        text.paragraph(&[headline.clone(), cut]);
        let items: Vec<_> = entries
            .iter()
            .skip(skipped)
            .map(|entry| {
                vec![
                    Rich::new().code(&exact(entry.at, context.zone)).text(" ").then(&wording.sentence(entry)),
                ]
            })
            .collect();
        text.list(&items);
        text.paragraph(&[Rich::new().em(&format!("Times are {}.", context.zone.name()))]);
        Message::notice(text)
    })
}

fn list(headline: &Rich, incidents: &[IncidentLine], all: u64, context: &Context<'_>) -> Message {
    fit_lines(incidents.len().min(50), |kept| {
        let mut text = Document::default();
        text.paragraph(std::slice::from_ref(headline));
        let items: Vec<_> =
            incidents.iter().take(kept).map(|incident| vec![incident_line(incident, context)]).collect();
        text.list(&items);
        if let more @ 1.. = all.saturating_sub(kept as u64) {
            text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
        }
        Message::notice(text)
    })
}

/// `🔴 #42 DiskFull · critical · 3 alerts · 12 min · level 1 of 2`.
pub(super) fn incident_line(incident: &IncidentLine, context: &Context<'_>) -> Rich {
    let mark = phase_mark(incident.phase, incident.severity.as_ref(), context.policy);
    let lead = Rich::from(format!("{mark} ")).strong(&format!("#{} {}", incident.number, name(incident)));
    let severity =
        incident.severity.as_ref().and_then(|severity| severity.name.as_deref()).unwrap_or_default();
    let alerts = if incident.alerts > 1 { count(incident.alerts, "alert") } else { String::new() };
    let pieces = [
        lead,
        short(severity, 20).into(),
        alerts.into(),
        age(incident.since, context.now).into(),
        standing(incident, context),
        held(incident, context),
    ];
    Rich::join(&pieces, " · ")
}

fn held(incident: &IncidentLine, context: &Context<'_>) -> Rich {
    match incident.held {
        Some(HeldAlerts::All { until: Some(until) }) => {
            Rich::from(format!("🔇 until {}", instant(until, context)))
        }
        Some(HeldAlerts::All { until: None }) => Rich::from("🔇 held back"),
        Some(HeldAlerts::Some) => Rich::from("🔇 some alerts"),
        None => Rich::new(),
    }
}

fn standing(incident: &IncidentLine, context: &Context<'_>) -> Rich {
    let until = incident.until.map(|until| format!(" until {}", instant(until, context))).unwrap_or_default();
    let by = |line: Rich| {
        if incident.ackers.is_empty() {
            line
        } else {
            line.text(" by ").users(incident.ackers.iter().take(5).map(AsRef::as_ref))
        }
    };
    match incident.phase {
        PhaseName::Firing => match incident.level {
            Some(level) => Rich::from(format!("level {} of {}", from_one(level), incident.levels)),
            None => Rich::from("not paged yet"),
        },
        PhaseName::Acknowledged => by(Rich::from("acknowledged")).text(&until),
        PhaseName::Snoozed => by(Rich::from("snoozed")).text(&until),
        PhaseName::Unanswered => Rich::from("unanswered"),
        PhaseName::Suppressed => Rich::from("maintenance"),
        PhaseName::Resolved | PhaseName::Closed => Rich::from("resolved"),
    }
}

fn name(incident: &IncidentLine) -> String {
    short(&incident.name, 60)
}
