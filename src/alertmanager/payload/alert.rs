//! One alert of a webhook, kept as best it can.

use super::text::{self, Fields, kind_of};
use super::{bounds, fingerprint};
use crate::domain::time;
use crate::domain::webhook::{Labels, WebhookAlert};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::time::Duration;

/// How far ahead of us another clock may be. An episode from further in the future would make its own clear look old:
/// Alertmanager itself dates an alert that was posted with an end and no start into the future, by its end.
const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// From here on a start in the future is worth a word.
const IMPLAUSIBLE: Duration = Duration::from_hours(1);
/// The most names that a defect spells out.
const MOST_NAMES: usize = 3;

/// The alert that `raw` describes; never fails. `now`: when it came.
pub(super) fn read(raw: &RawValue, now: Timestamp) -> WebhookAlert {
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
    let annotations = read_labels(&fields, "annotations", &mut defects);
    let said = fields.get("fingerprint").and_then(|raw| text::read(raw));
    let fingerprint = said.as_deref().and_then(fingerprint::valid).unwrap_or_else(|| {
        if is_object {
            defects.push("it has no valid fingerprint".to_owned());
        }
        fingerprint::computed(&labels)
    });
    let firing = !is_object || firing(&fields, now, &mut defects);
    let starts_at = if is_object { starts_at(&fields, now, &mut defects) } else { now };
    let labels = labels_within(labels, bounds::LABEL_VALUE, &mut defects);
    let annotations = labels_within(annotations, bounds::ANNOTATION, &mut defects);
    WebhookAlert {
        fingerprint,
        firing,
        labels,
        annotations,
        starts_at,
        generator_url: fields.get("generatorURL").and_then(|raw| text::read_url(raw)),
        defect: (!defects.is_empty()).then(|| defects.join("; ")),
    }
}

/// Gives an alert that came with the fingerprint of another one a fingerprint of its own.
pub(super) fn give_own_fingerprint(alert: &mut WebhookAlert) {
    alert.fingerprint = fingerprint::computed(&alert.labels);
    let defect = "it came with another alert's fingerprint";
    alert.defect = Some(match alert.defect.take() {
        Some(defects) => format!("{defects}; {defect}"),
        None => defect.to_owned(),
    });
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

/// Whether it fires: what its own status says, whatever the group's; failing that, whether it has ended. What is
/// not known to be over fires.
fn firing(fields: &Fields<'_>, now: Timestamp, defects: &mut Vec<String>) -> bool {
    let status = fields.get("status").and_then(|raw| text::read(raw)).unwrap_or_default();
    if status.eq_ignore_ascii_case("firing") {
        return true;
    }
    if status.eq_ignore_ascii_case("resolved") {
        return false;
    }
    let over = fields.get("endsAt").and_then(|raw| instant(raw)).is_some_and(|end| end <= now);
    let taken_for = if over { "resolved" } else { "firing" };
    defects.push(format!("its status is neither firing nor resolved, so it counts as {taken_for}"));
    !over
}

fn starts_at(fields: &Fields<'_>, now: Timestamp, defects: &mut Vec<String>) -> Timestamp {
    match fields.get("startsAt").and_then(|raw| instant(raw)) {
        Some(at) if at <= time::later(now, CLOCK_SKEW) => at,
        Some(at) => {
            if at > time::later(now, IMPLAUSIBLE) {
                defects.push("its startsAt lies in the future".to_owned());
            }
            now
        }
        None => {
            defects.push("it has no valid startsAt".to_owned());
            now
        }
    }
}

/// An instant to the microsecond, which is what Postgres keeps. Go's zero time, and all before 1970, is none.
fn instant(raw: &RawValue) -> Option<Timestamp> {
    let at: Timestamp = text::read(raw)?.parse().ok()?;
    Timestamp::from_microsecond(at.as_microsecond()).ok().filter(|at| *at > Timestamp::UNIX_EPOCH)
}
