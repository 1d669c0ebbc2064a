//! One incident as one line of a list.

use crate::domain::answer::IncidentLine;
use crate::domain::incident::PhaseName;
use crate::render::headline::phase_mark;
use crate::render::page::human;
use crate::render::rich::Rich;
use crate::render::text::{count, short};
use crate::render::time::{age, instant};
use jiff::Timestamp;

/// `🔴 #42 DiskFull · critical · 3 alerts · 12 min · level 1 of 2`.
pub(super) fn incident_line(incident: &IncidentLine, now: Timestamp) -> Rich {
    let mark = phase_mark(incident.phase, incident.severity.as_ref());
    let lead = Rich::from(format!("{mark} ")).strong(&format!("#{} {}", incident.number, name(incident)));
    let severity =
        incident.severity.as_ref().and_then(|severity| severity.name.as_deref()).unwrap_or_default();
    let alerts = if incident.alerts > 1 { count(incident.alerts, "alert") } else { String::new() };
    let pieces = [
        lead,
        short(severity, 20).into(),
        alerts.into(),
        age(incident.since, now).into(),
        standing(incident, now),
    ];
    Rich::join(&pieces, " · ")
}

fn standing(incident: &IncidentLine, now: Timestamp) -> Rich {
    let until = incident.until.map(|until| format!(" until {}", instant(until, now))).unwrap_or_default();
    let by = |line: Rich| {
        if incident.ackers.is_empty() {
            line
        } else {
            line.text(" by ").users(incident.ackers.iter().take(5).map(AsRef::as_ref))
        }
    };
    match incident.phase {
        PhaseName::Firing => match incident.level {
            Some(level) => Rich::from(format!("level {} of {}", human(level), incident.levels)),
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
