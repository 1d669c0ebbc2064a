//! The alerts of an incident as people read them: what all share is said once, and each alert says what is its own.

use super::Context;
use super::annotations::{self, description, others, summary};
use super::headline::severity_mark;
use super::html::WebLink;
use super::rich::{Document, Rich};
use super::size::Limits;
use super::text::{count, short};
use super::time::instant;
use crate::domain::view::{AlertView, IncidentView};
use crate::domain::webhook::Labels;
use jiff::Timestamp;

/// What the alerts of a message have in common.
pub(super) struct Shared<'a> {
    /// The alerts.
    pub(super) alerts: Vec<&'a AlertView>,
    /// The labels that are the same in all.
    pub(super) labels: Labels,
    /// The annotations that are the same in all.
    pub(super) annotations: Labels,
    /// Where all come from.
    pub(super) generator_url: Option<&'a str>,
}

impl<'a> Shared<'a> {
    /// Of the alerts that a message is about: those that fire, or all when none does.
    pub(super) fn of_shown(view: &'a IncidentView) -> Self {
        let firing = view.alerts.iter().any(|alert| alert.firing);
        Self::of(view.alerts.iter().filter(|alert| alert.firing == firing).collect())
    }

    fn of(alerts: Vec<&'a AlertView>) -> Self {
        let common = |of: fn(&AlertView) -> &Labels| {
            let mut common = alerts.first().map(|alert| of(alert).clone()).unwrap_or_default();
            for alert in &alerts {
                common.retain(|key, value| of(alert).get(key) == Some(value));
            }
            common
        };
        let url = alerts.first().and_then(|alert| alert.generator_url.as_deref());
        let same = alerts.iter().all(|alert| alert.generator_url.as_deref() == url);
        Self {
            labels: common(|alert| &alert.labels),
            annotations: common(|alert| &alert.annotations),
            generator_url: url.filter(|_| same),
            alerts,
        }
    }
}

/// The summary for the line below the headline: of the only alert, or the one that all alerts share.
pub(super) fn summary_line(view: &IncidentView, limits: Limits) -> Rich {
    Rich::from(summary(&Shared::of_shown(view).annotations, limits))
}

/// The alerts, without their summary if all share it.
pub(super) fn describe(document: &mut Document, view: &IncidentView, limits: Limits, context: &Context<'_>) {
    let shared = Shared::of_shown(view);
    let common_description = description(&shared.annotations, limits.text);
    let common_others = others(&shared.annotations, limits);
    let common_labels = labels(&shared.labels, None, limits, context);
    if let [alert] = shared.alerts.as_slice() {
        document.paragraph(&[common_description]);
        document.paragraph(&common_others);
        document.paragraph(&[common_labels, defect(alert), left_out(view, 0)]);
        return;
    }
    let shown = shared.alerts.len().min(limits.alerts);
    let teller = Teller {
        shared: &shared,
        since: since(view),
        resolved_at: view.resolved_at,
        budget: limits.text / shown.max(1),
        limits,
        context,
    };
    let items: Vec<_> = shared.alerts.iter().take(shown).map(|alert| teller.item(alert)).collect();
    document.list(&items);
    document.paragraph(&[left_out(view, shared.alerts.len().saturating_sub(shown))]);
    document.paragraph(&[common_description]);
    document.paragraph(&common_others);
    if !common_labels.is_empty() {
        document.paragraph(&[Rich::from("All: ").then(&common_labels)]);
    }
}

/// Since when the incident fires: the earliest start of the alerts that do.
pub(super) fn since(view: &IncidentView) -> Timestamp {
    let firing = view.alerts.iter().filter(|alert| alert.firing).map(|alert| alert.starts_at);
    firing.min().unwrap_or(view.incident.opened_at)
}

/// The names of alerts by what tells them apart, for one line: `db-1:9100 /data1, db-2:9100 /data2`.
pub(super) fn brief(view: &IncidentView, fingerprints: &[String], context: &Context<'_>) -> String {
    let shared = Shared::of(view.alerts.iter().collect());
    let wanted = |alert: &&&AlertView| fingerprints.contains(&alert.fingerprint);
    let mut names: Vec<_> =
        shared.alerts.iter().filter(wanted).take(5).map(|alert| own_name(alert, &shared, context)).collect();
    match fingerprints.len().saturating_sub(names.len()) {
        0 => {}
        unnamed if names.is_empty() => names.push(count(unnamed as u64, "alert")),
        unnamed => names.push(format!("{unnamed} more")),
    }
    names.join(", ")
}

/// Tells of one alert among several.
struct Teller<'a> {
    shared: &'a Shared<'a>,
    /// Since when the incident fires.
    since: Timestamp,
    /// When it resolved.
    resolved_at: Option<Timestamp>,
    /// How many characters one description may have.
    budget: usize,
    limits: Limits,
    context: &'a Context<'a>,
}

impl Teller<'_> {
    /// What it is, what is its own, since when if not since the beginning.
    fn item(&self, alert: &AlertView) -> Vec<Rich> {
        let mut own = alert.annotations.clone();
        own.retain(|key, _| !self.shared.annotations.contains_key(key));
        let labels = labels(&alert.labels, Some(&self.shared.labels), self.limits, self.context);
        let summary = Rich::new().strong(&summary(&own, self.limits));
        let title = if summary.is_empty() { labels.clone() } else { summary.clone() };
        let mark = if self.severities_differ() {
            Rich::from(format!("{} ", severity_mark(Some(&alert.severity))))
        } else {
            Rich::new()
        };
        let title = if title.is_empty() { Rich::from("1 alert") } else { title };
        let mut lines = vec![mark.then(&title)];
        if !summary.is_empty() {
            lines.push(labels);
        }
        lines.push(description(&own, self.budget));
        lines.extend(others(&own, self.limits));
        lines.push(self.time_and_links(alert, &own));
        lines.push(defect(alert));
        lines
    }

    fn time_and_links(&self, alert: &AlertView, own: &Labels) -> Rich {
        let now = self.context.now;
        let at = |at: Timestamp| instant(at, now);
        let time = match alert.cleared_at {
            Some(cleared) if self.resolved_at.map(at) == Some(at(cleared)) => String::new(),
            Some(cleared) => format!("cleared {}", at(cleared)),
            None if at(alert.starts_at) == at(self.since) => String::new(),
            None => format!("since {}", at(alert.starts_at)),
        };
        let mut links = Vec::new();
        if self.limits.links {
            let source = alert.generator_url.as_deref().filter(|_| self.shared.generator_url.is_none());
            links.extend(source.and_then(WebLink::parse).map(|link| Rich::new().link("Source", &link)));
            links.extend(annotations::links(own));
        }
        links.insert(0, Rich::from(time));
        Rich::join_links(&links)
    }

    fn severities_differ(&self) -> bool {
        let mut names = self.shared.alerts.iter().map(|alert| &alert.severity.name);
        names.next().is_some_and(|first| names.any(|name| name != first))
    }
}

/// Labels, without those that the message says elsewhere.
fn labels(labels: &Labels, except: Option<&Labels>, limits: Limits, context: &Context<'_>) -> Rich {
    let told = |key: &str| key == "alertname" || key == context.policy.severity_label;
    let shared = |key: &str| except.is_some_and(|except| except.contains_key(key));
    let own: Vec<_> = labels.iter().filter(|(key, _)| !told(key) && !shared(key)).collect();
    let pair = |key: &str, value: &str| {
        let (key, value) = (short(key, 40), short(value, limits.value));
        Rich::new().code(&format!("{key}={value}"))
    };
    let mut pieces: Vec<_> = own.iter().take(limits.labels).map(|(key, value)| pair(key, value)).collect();
    match own.len().saturating_sub(limits.labels) {
        0 => {}
        more => pieces.push(Rich::new().em(&format!("and {more} more labels"))),
    }
    Rich::join_labels(&pieces)
}

/// The values of the labels that an alert does not share with the others.
fn own_name(alert: &AlertView, shared: &Shared<'_>, context: &Context<'_>) -> String {
    let single = shared.alerts.len() == 1;
    let told = |key: &str| key == context.policy.severity_label || (single && key == "alertname");
    let own: Vec<_> = alert
        .labels
        .iter()
        .filter(|(key, value)| !told(key) && (single || shared.labels.get(*key) != Some(value)))
        .map(|(_, value)| short(value, 40))
        .collect();
    let name = short(&own.join(" "), 80);
    if name.is_empty() { "1 alert".to_owned() } else { name }
}

/// What was wrong with an alert as it came.
fn defect(alert: &AlertView) -> Rich {
    match &alert.defect {
        Some(defect) => Rich::from("⚠️ ").em(&short(defect, 200)),
        None => Rich::new(),
    }
}

/// How many alerts are not shown, and who left them out.
fn left_out(view: &IncidentView, hidden: usize) -> Rich {
    let more =
        |number: u64| if number == 1 { "1 more alert".to_owned() } else { format!("{number} more alerts") };
    let ours = (hidden > 0).then(|| format!("… and {}.", more(hidden as u64)));
    let theirs = (view.truncated > 0)
        .then(|| format!("… and {} that Alertmanager did not send.", more(view.truncated)));
    let notes: Vec<_> = ours.into_iter().chain(theirs).map(|note| Rich::new().em(&note)).collect();
    Rich::join(&notes, " ")
}
