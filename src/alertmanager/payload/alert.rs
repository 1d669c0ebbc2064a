//! Parses one alert of a webhook, and keeps as much of it as possible.

use super::text::{self, Fields, kind_of};
use super::{bounds, fingerprint};
use crate::domain::time;
use crate::domain::webhook::{Labels, WebhookAlert};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::time::Duration;

/// How far ahead of ours another clock may be. A start further in the future would make the alert's own resolution look
/// old. Alertmanager itself produces such starts: an alert posted with an end and no start gets its end as its start.
const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// A start this far in the future is a defect.
const IMPLAUSIBLE: Duration = Duration::from_hours(1);
/// The most names that a defect lists.
const MOST_NAMES: usize = 3;

/// The links that Grafana sends with each alert, and the annotations that they become, so that messages show them. An
/// annotation of that name stays.
const LINKS: [(&str, &str); 3] =
    [("dashboardURL", "dashboard_url"), ("panelURL", "panel_url"), ("silenceURL", "silence_url")];

/// Parses an alert of a webhook; never fails. `now`: when it arrived.
pub(super) fn read(raw: &RawValue, now: Timestamp) -> WebhookAlert {
    read_with(raw, now, |fields, defects| firing(fields, now, defects))
}

/// Parses an alert that Alertmanager's API lists, as if a webhook had brought it; never fails. It is firing, and its
/// `status` is that of its suppression.
pub(super) fn read_listed(raw: &RawValue, now: Timestamp) -> WebhookAlert {
    read_with(raw, now, |_fields, _defects| true)
}

fn read_with(
    raw: &RawValue,
    now: Timestamp,
    is_firing: impl FnOnce(&Fields<'_>, &mut Vec<String>) -> bool,
) -> WebhookAlert {
    let mut defects: Vec<String> = Vec::new();
    let fields: Fields<'_> = serde_json::from_str(raw.get()).unwrap_or_else(|_not_an_object| {
        defects.push(format!("it is {}, not an object", kind_of(raw)));
        Fields::new()
    });
    let is_object = defects.is_empty();
    let labels = read_labels(&fields, "labels", &mut defects);
    if is_object && labels.is_empty() && !fields.contains_key("labels") {
        defects.push("it has no labels".to_owned());
    }
    if is_object && labels.get("alertname").is_none_or(String::is_empty) {
        defects.push("it has no alertname".to_owned());
    }
    let mut annotations = read_labels(&fields, "annotations", &mut defects);
    for (field, name) in LINKS {
        if let Some(url) = fields.get(field).and_then(|raw| text::read_url(raw)) {
            annotations.entry(name.to_owned()).or_insert(url);
        }
    }
    let sent = fields.get("fingerprint").and_then(|raw| text::read(raw));
    let fingerprint = sent.as_deref().and_then(fingerprint::valid).unwrap_or_else(|| {
        if is_object {
            defects.push("it has no valid fingerprint".to_owned());
        }
        fingerprint::computed(&labels)
    });
    let firing = !is_object || is_firing(&fields, &mut defects);
    let start = if is_object { starts_at(&fields, now, &mut defects) } else { None };
    let ends_at = fields.get("endsAt").and_then(|raw| instant(raw)).filter(|_| !firing);
    let labels = labels_within(labels, bounds::LABEL_VALUE, &mut defects);
    let annotations = labels_within(annotations, bounds::ANNOTATION, &mut defects);
    WebhookAlert {
        fingerprint,
        firing,
        labels,
        annotations,
        starts_at: start.unwrap_or(now),
        start_known: start.is_some(),
        ends_at,
        generator_url: fields.get("generatorURL").and_then(|raw| text::read_url(raw)),
        defect: (!defects.is_empty()).then(|| defects.join("; ")),
    }
}

/// Gives an alert that arrived with another alert's fingerprint its own one.
pub(super) fn give_own_fingerprint(alert: &mut WebhookAlert) {
    alert.fingerprint = fingerprint::computed(&alert.labels);
    let defect = "it came with another alert's fingerprint";
    alert.defect = Some(match alert.defect.take() {
        Some(defects) => format!("{defects}; {defect}"),
        None => defect.to_owned(),
    });
}

/// Identifies an alert by its labels and annotations: it is one of several events under the same labels.
pub(super) fn identify_by_content(alert: &mut WebhookAlert) {
    let annotations =
        alert.annotations.iter().map(|(name, text)| (format!("annotation {name}"), text.clone()));
    alert.fingerprint = fingerprint::computed(&alert.labels.clone().into_iter().chain(annotations).collect());
}

fn read_labels(fields: &Fields<'_>, name: &str, defects: &mut Vec<String>) -> Labels {
    let Some(raw) = fields.get(name) else { return Labels::new() };
    let Ok((labels, stringified)) = text::read_labels(raw) else {
        defects.push(format!("its {name} are {}, not an object", kind_of(raw)));
        return Labels::new();
    };
    if !stringified.is_empty() {
        let names: Vec<String> =
            stringified.iter().take(MOST_NAMES).map(|name| bounds::cut(name.clone(), 64)).collect();
        defects.push(format!("not every one of its {name} is a text: {}", names.join(", ")));
    }
    labels
}

fn labels_within(labels: Labels, most: usize, defects: &mut Vec<String>) -> Labels {
    let (labels, cut) = bounds::labels(labels, most);
    let defect = "parts that are too long or too many are left out";
    if cut && !defects.iter().any(|known| known == defect) {
        defects.push(defect.to_owned());
    }
    labels
}

/// Whether the alert is firing: by its own status (never the group's), or else by its end. An alert whose end is
/// unknown is firing.
fn firing(fields: &Fields<'_>, now: Timestamp, defects: &mut Vec<String>) -> bool {
    let status = fields.get("status").and_then(|raw| text::read(raw)).unwrap_or_default();
    if status.eq_ignore_ascii_case("firing") {
        return true;
    }
    if status.eq_ignore_ascii_case("resolved") {
        return false;
    }
    let ended = fields.get("endsAt").and_then(|raw| instant(raw)).is_some_and(|end| end <= now);
    let counts_as = if ended { "resolved" } else { "firing" };
    defects.push(format!("its status is neither firing nor resolved, so it counts as {counts_as}"));
    !ended
}

/// The start; `None` if it is missing or lies in the future.
fn starts_at(fields: &Fields<'_>, now: Timestamp, defects: &mut Vec<String>) -> Option<Timestamp> {
    let Some(at) = fields.get("startsAt").and_then(|raw| instant(raw)) else {
        defects.push("it has no valid startsAt".to_owned());
        return None;
    };
    if at > time::later(now, IMPLAUSIBLE) {
        defects.push("its startsAt lies in the future".to_owned());
    }
    Some(at).filter(|at| *at <= time::later(now, CLOCK_SKEW))
}

/// An instant in microseconds, the precision of Postgres. `None` for Go's zero time and everything before 1970.
fn instant(raw: &RawValue) -> Option<Timestamp> {
    let at: Timestamp = text::read(raw)?.parse().ok()?;
    Timestamp::from_microsecond(at.as_microsecond()).ok().filter(|at| *at > Timestamp::UNIX_EPOCH)
}
