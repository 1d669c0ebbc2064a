//! The alerts of an incident as people read them: what all share is said once, and each alert says what is its own.

use super::Context;
use super::html::WebLink;
use super::rich::{Document, Rich};
use super::size::Limits;
use super::text::{capitalised, clean, clip, clip_loudly, count, one_line};
use super::time::instant;
use crate::domain::view::{AlertView, IncidentView};
use crate::domain::webhook::Labels;
use std::collections::BTreeSet;

/// The annotations that say in a few words what is wrong, best first.
const SUMMARIES: [&str; 3] = ["summary", "title", "message"];
/// The annotation that says it at length.
const DESCRIPTION: &str = "description";
/// How many annotations are shown besides.
const OTHER_ANNOTATIONS: usize = 5;
/// How many links of one alert are shown.
const LINKS: usize = 5;

/// What the alerts of a message have in common.
struct Shared<'a> {
    labels: Labels,
    annotations: Labels,
    generator_url: Option<&'a str>,
    single: bool,
}

/// The summary for the line below the headline: of the only alert, or the one that all alerts share.
pub(super) fn summary_line(view: &IncidentView, limits: Limits) -> Rich {
    let alerts = shown_alerts(view);
    let shared = shared(&alerts);
    Rich::new().text(&summary(&shared.annotations, limits))
}

/// The alerts, from the description that all share to the links that all share.
pub(super) fn describe(document: &mut Document, view: &IncidentView, limits: Limits, context: &Context<'_>) {
    let alerts = shown_alerts(view);
    let shared = shared(&alerts);
    let shown = alerts.len().min(limits.alerts);
    let budget = limits.text / shown.max(1);
    document.paragraph(&[Rich::new().lines(&description(&shared.annotations, limits.text.min(3000)))]);
    if let (true, Some(alert)) = (shared.single, alerts.first()) {
        document.paragraph(&other_annotations(&alert.annotations, limits));
        document.paragraph(&[labels(&alert.labels, None, limits, context), defect(alert)]);
    } else {
        document.paragraph(&other_annotations(&shared.annotations, limits));
        let items: Vec<_> =
            alerts.iter().take(shown).map(|alert| item(alert, &shared, budget, limits, context)).collect();
        document.list(&items);
        let common = labels(&shared.labels, None, limits, context);
        let common = if common.is_empty() { common } else { Rich::from("All: ").then(&common) };
        document.paragraph(&[left_out(view, alerts.len().saturating_sub(shown)), common]);
    }
}

/// The links that concern the whole incident.
pub(super) fn links(view: &IncidentView) -> Rich {
    let alerts = shown_alerts(view);
    let shared = shared(&alerts);
    let mut links = links_of(&shared.annotations);
    if let Some(link) = shared.generator_url.and_then(WebLink::parse) {
        links.insert(0, Rich::new().link("Source", &link));
    }
    if let Some(base) = view.external_url.as_deref() {
        let everything = matchers(&view.group_labels);
        if let Some(link) = WebLink::parse(&format!("{base}/#/alerts?filter={everything}")) {
            links.push(Rich::new().link("Alertmanager", &link));
        }
    }
    Rich::join(&links, " · ")
}

/// Since when the incident fires: the earliest start of the alerts that do.
pub(super) fn since(view: &IncidentView) -> jiff::Timestamp {
    let firing = view.alerts.iter().filter(|alert| alert.firing).map(|alert| alert.starts_at);
    firing.min().unwrap_or(view.incident.opened_at)
}

/// The alerts that a message is about: those that fire, or all when none does.
fn shown_alerts(view: &IncidentView) -> Vec<&AlertView> {
    let firing = view.alerts.iter().any(|alert| alert.firing);
    view.alerts.iter().filter(|alert| alert.firing == firing).collect()
}

fn shared<'a>(alerts: &[&'a AlertView]) -> Shared<'a> {
    let common = |of: fn(&AlertView) -> &Labels| {
        let mut common = alerts.first().map(|alert| of(alert).clone()).unwrap_or_default();
        for alert in alerts {
            common.retain(|key, value| of(alert).get(key) == Some(value));
        }
        common
    };
    let generator_url = alerts.first().and_then(|alert| alert.generator_url.as_deref());
    let same = alerts.iter().all(|alert| alert.generator_url.as_deref() == generator_url);
    Shared {
        labels: common(|alert| &alert.labels),
        annotations: common(|alert| &alert.annotations),
        generator_url: generator_url.filter(|_| same),
        single: alerts.len() == 1,
    }
}

/// One alert of several: what it is, what is its own, since when.
fn item(
    alert: &AlertView,
    shared: &Shared<'_>,
    budget: usize,
    limits: Limits,
    context: &Context<'_>,
) -> Vec<Rich> {
    let own: Labels = alert
        .annotations
        .iter()
        .filter(|(key, _)| !shared.annotations.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let labels = labels(&alert.labels, Some(&shared.labels), limits, context);
    let summary = Rich::new().strong(&summary(&own, limits));
    let time = match alert.cleared_at {
        Some(at) => Rich::from(format!("cleared {}", instant(at, context.now)).as_str()),
        None => Rich::from(format!("since {}", instant(alert.starts_at, context.now)).as_str()),
    };
    let mut about = vec![time];
    if limits.links {
        if shared.generator_url.is_none()
            && let Some(link) = alert.generator_url.as_deref().and_then(WebLink::parse)
        {
            about.push(Rich::new().link("Source", &link));
        }
        about.extend(links_of(&own));
    }
    let mut lines = vec![summary, labels, Rich::new().lines(&description(&own, budget.min(1000)))];
    lines.extend(other_annotations(&own, limits));
    lines.push(Rich::join(&about, " · "));
    lines.push(defect(alert));
    lines.retain(|line| !line.is_empty() && !line.plain().trim().is_empty());
    lines
}

/// What is wrong, in a few words; nothing if the annotations do not say.
fn summary(annotations: &Labels, limits: Limits) -> String {
    let text =
        SUMMARIES.iter().find_map(|key| annotations.get(*key)).map(|text| one_line(text)).unwrap_or_default();
    clip(&text, limits.value.max(60))
}

/// What is wrong, at length; nothing if that is what the summary says already.
fn description(annotations: &Labels, most: usize) -> String {
    let Some(text) = annotations.get(DESCRIPTION) else { return String::new() };
    let repeated = SUMMARIES.iter().any(|key| annotations.get(*key) == Some(text));
    if repeated { String::new() } else { clip_loudly(clean(text).trim(), most) }
}

/// The annotations that are neither summary nor description nor a link.
fn other_annotations(annotations: &Labels, limits: Limits) -> Vec<Rich> {
    let shown_elsewhere = |key: &str| {
        key == DESCRIPTION || SUMMARIES.iter().find(|name| annotations.contains_key(**name)) == Some(&key)
    };
    annotations
        .iter()
        .filter(|(key, value)| !shown_elsewhere(key) && WebLink::parse(value).is_none())
        .filter(|(_, value)| !value.trim().is_empty())
        .take(OTHER_ANNOTATIONS)
        .map(|(key, value)| {
            Rich::new().text(&format!(
                "{}: {}",
                clip(&one_line(key), 40),
                clip(&one_line(value), limits.value)
            ))
        })
        .collect()
}

/// The annotations that are links, named after their keys: `runbook_url` is the "Runbook".
fn links_of(annotations: &Labels) -> Vec<Rich> {
    annotations
        .iter()
        .filter_map(|(key, value)| WebLink::parse(value).map(|link| Rich::new().link(&link_name(key), &link)))
        .take(LINKS)
        .collect()
}

fn link_name(key: &str) -> String {
    let words = key.to_lowercase().replace(['_', '-'], " ");
    let name = words.trim_end_matches(" url").trim_end_matches(" link");
    clip(&capitalised(&one_line(name)), 30)
}

/// Labels, without those that the message says elsewhere.
fn labels(labels: &Labels, except: Option<&Labels>, limits: Limits, context: &Context<'_>) -> Rich {
    let told = |key: &str| key == "alertname" || key == context.policy.severity_label;
    let wanted: Vec<_> = labels
        .iter()
        .filter(|(key, _)| !told(key) && !except.is_some_and(|except| except.contains_key(*key)))
        .collect();
    let mut pieces: Vec<_> = wanted
        .iter()
        .take(limits.labels)
        .map(|(key, value)| {
            Rich::new().code(&format!(
                "{}={}",
                clip(&one_line(key), 40),
                clip(&one_line(value), limits.value)
            ))
        })
        .collect();
    if let more @ 1.. = wanted.len().saturating_sub(limits.labels) {
        pieces.push(Rich::new().em(&format!("and {} more", count(more as u64, "label"))));
    }
    Rich::join(&pieces, "  ")
}

/// What was wrong with an alert as it came.
fn defect(alert: &AlertView) -> Rich {
    match &alert.defect {
        Some(defect) => Rich::new().text("⚠️ ").em(&clip(&one_line(defect), 200)),
        None => Rich::new(),
    }
}

/// How many alerts are not shown, and who left them out.
fn left_out(view: &IncidentView, hidden: usize) -> Rich {
    let ours = (hidden > 0).then(|| format!("… and {}", count_more(hidden as u64)));
    let theirs = (view.truncated > 0)
        .then(|| format!("… and {} that Alertmanager left out of its message", count_more(view.truncated)));
    let notes: Vec<_> = ours.into_iter().chain(theirs).map(|note| Rich::new().em(&note)).collect();
    Rich::join(&notes, " ")
}

fn count_more(number: u64) -> String {
    if number == 1 { "1 more alert".to_owned() } else { format!("{number} more alerts") }
}

/// Labels as Alertmanager's pages take them in a link: `{a="b",c="d"}`, percent-encoded.
fn matchers(labels: &Labels) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    url::form_urlencoded::byte_serialize(format!("{{{}}}", pairs.join(",")).as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// The names of alerts by what tells them apart, for one line: `db-1:9100 /data1, db-2:9100 /data2`.
pub(super) fn brief(view: &IncidentView, fingerprints: &[String], context: &Context<'_>) -> String {
    let all: Vec<_> = view.alerts.iter().collect();
    let shared = shared(&all);
    let wanted: BTreeSet<_> = fingerprints.iter().collect();
    let mut names: Vec<_> = view
        .alerts
        .iter()
        .filter(|alert| wanted.contains(&alert.fingerprint))
        .take(5)
        .map(|alert| alert_name(alert, &shared, context))
        .collect();
    if let more @ 1.. = fingerprints.len().saturating_sub(names.len()) {
        names.push(if names.is_empty() { count(more as u64, "alert") } else { format!("{more} more") });
    }
    names.join(", ")
}

fn alert_name(alert: &AlertView, shared: &Shared<'_>, context: &Context<'_>) -> String {
    let told = |key: &str| key == context.policy.severity_label;
    let own: Vec<_> = alert
        .labels
        .iter()
        .filter(|(key, value)| !told(key) && (shared.single || shared.labels.get(*key) != Some(value)))
        .map(|(_, value)| clip(&one_line(value), 40))
        .collect();
    let own = clip(&own.join(" "), 80);
    if own.is_empty() { "1 alert".to_owned() } else { own }
}
