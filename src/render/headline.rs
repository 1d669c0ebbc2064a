//! The first line of every message about an incident, which phones show: state, number, name, severity, place and
//! number of alerts, in this order.

use super::Context;
use super::rich::Rich;
use super::text::{count, short};
use crate::domain::incident::{Phase, PhaseName};
use crate::domain::policy::{Policy, Severity};
use crate::domain::view::{self, AlertView, IncidentView, Shared};

/// The longest name of an incident in a headline.
const LONGEST_NAME: usize = 48;
/// The longest place in a headline.
const LONGEST_PLACE: usize = 64;
/// The headline. `mark` and `state`: the incident's state as an emoji and as a word.
pub(super) fn headline(mark: &str, state: &str, view: &IncidentView, context: &Context<'_>) -> Rich {
    let lead = Rich::new().text(&format!("{mark} ")).strong(&format!("{state} {}", title(view)));
    // A resolved incident has no severity any more.
    let severity = worst(view).filter(|_| view.incident.phase.is_open());
    let severity = severity
        .and_then(|severity| severity.name.as_deref())
        .map(|name| short(name, 20))
        .unwrap_or_default();
    let parts = [lead, Rich::from(severity), Rich::from(place(view, context)), amount(view)];
    Rich::join(&parts, " · ")
}

/// `#42 DiskFull`.
pub(super) fn title(view: &IncidentView) -> String {
    format!("#{} {}", view.number, name(view))
}

/// The incident's name, on one line and cut to `LONGEST_NAME`.
pub(super) fn name(view: &IncidentView) -> String {
    let name = short(&view.name(), LONGEST_NAME);
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// A room list's name, on one line and cut to 64 characters.
pub(super) fn list_name(room_list: &str) -> String {
    short(room_list, 64)
}

/// How many alerts are firing, and how many are resolved.
fn amount(view: &IncidentView) -> Rich {
    let firing = view.alerts.iter().filter(|alert| alert.firing).count();
    let cleared = (view.alerts.len().saturating_sub(firing) as u64).saturating_add(view.omitted.cleared);
    let firing = (firing as u64).saturating_add(view.omitted.firing).saturating_add(view.truncated);
    let words = match (firing, cleared) {
        (0 | 1, 0) | (0, 1) => String::new(),
        (firing, 0) => count(firing, "alert"),
        (0, cleared) => count(cleared, "alert"),
        (firing, cleared) => format!("{} ({cleared} resolved)", count(firing, "alert")),
    };
    Rich::from(words)
}

/// The worst severity of the firing alerts, or of the resolved ones if none is firing.
pub(super) fn worst(view: &IncidentView) -> Option<&Severity> {
    let firing = view.alerts.iter().any(|alert| alert.firing);
    let mut alerts: Vec<_> = view.alerts.iter().filter(|alert| alert.firing == firing).collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity.rank));
    alerts.first().map(|alert| &alert.severity)
}

/// The place: shared labels that name one, or else the group's labels: `instance=db-1`.
fn place(view: &IncidentView, context: &Context<'_>) -> String {
    let shared = Shared::of(relevant(view), view.omitted.shared.as_ref()).labels;
    short(&view::place(&shared, &view.group_labels, &context.policy.severity_label), LONGEST_PLACE)
}

/// The firing alerts; all of them if none is firing.
pub(super) fn relevant(view: &IncidentView) -> impl Iterator<Item = &AlertView> {
    let firing = view.alerts.iter().any(|alert| alert.firing);
    view.alerts.iter().filter(move |alert| alert.firing == firing)
}

/// The mark of a severity: that of the configuration, or else red, orange, blue, or a bell for an unknown one.
pub(super) fn severity_mark<'a>(severity: Option<&Severity>, policy: &'a Policy) -> &'a str {
    if let Some(emoji) = severity.and_then(|severity| policy.emoji(severity)) {
        return emoji;
    }
    let name =
        severity.and_then(|severity| severity.name.as_deref()).unwrap_or_default().to_ascii_lowercase();
    match name.trim() {
        "critical" | "crit" | "page" | "fatal" | "emergency" | "disaster" | "error" | "high" | "major"
        | "p1" | "p0" | "sev0" | "sev1" => "🔴",
        "warning" | "warn" | "average" | "medium" | "minor" | "p2" | "p3" | "sev2" | "sev3" => "🟠",
        "info" | "information" | "informational" | "notice" | "low" | "none" | "debug" | "p4" | "p5"
        | "sev4" => "🔵",
        _ => "🔔",
    }
}

/// The mark and the word of a state.
pub(super) fn state<'a>(view: &IncidentView, policy: &'a Policy) -> (&'a str, &'static str) {
    match &view.incident.phase {
        Phase::Firing if view.incident.flap_count > 0 => (severity_mark(worst(view), policy), "FIRING AGAIN"),
        Phase::Firing => (severity_mark(worst(view), policy), "FIRING"),
        Phase::Acknowledged { .. } => ("👀", "ACKNOWLEDGED"),
        Phase::Snoozed { .. } => ("💤", "SNOOZED"),
        Phase::Unanswered { .. } => ("🚨", "UNANSWERED"),
        Phase::Suppressed => ("🔧", "SUPPRESSED"),
        Phase::Resolved { .. } | Phase::Closed => ("🟢", "RESOLVED"),
    }
}

/// The mark of a phase in a list of incidents.
pub(super) fn phase_mark<'a>(phase: PhaseName, severity: Option<&Severity>, policy: &'a Policy) -> &'a str {
    match phase {
        PhaseName::Firing => severity_mark(severity, policy),
        PhaseName::Acknowledged => "👀",
        PhaseName::Snoozed => "💤",
        PhaseName::Unanswered => "🚨",
        PhaseName::Suppressed => "🔧",
        PhaseName::Resolved | PhaseName::Closed => "🟢",
    }
}
