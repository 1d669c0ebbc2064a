//! What templates can use.
//!
//! `number`, `name`, `title` (`#42 DiskFull`), `room_list`, `phase` (as in the database), `severity` (of the worst
//! alert, may be empty), `mark` (its emoji), `level`, `levels`, `round` (from 1; `level` is 0 before the first page),
//! `ackers`, `opened_at`, `since`, `resolved_at` (RFC 3339; `resolved_at` may be empty), `age_seconds`, `truncated`,
//! `external_url` (may be empty), `group_labels`, `common_labels`, `ack_reaction`, `alerts`, `built_in_text` and
//! `built_in_html` (the built-in message). Each alert has `fingerprint`, `firing`, `severity`, `labels`,
//! `annotations`, `starts_at`, `cleared_at`, `generator_url`, `defect`. The filter `duration` says seconds in words.

use crate::domain::time::between;
use crate::domain::view::{AlertView, IncidentView};
use crate::domain::webhook::Labels;
use crate::render::Context;
use crate::render::alerts::since;
use crate::render::headline::{name, severity_mark, title, worst};
use crate::render::page::human;
use crate::render::rich::Document;
use crate::render::text::{clean, clip_loudly};
use crate::render::time::lasting;
use jiff::Timestamp;
use minijinja::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many alerts templates see.
const MOST_ALERTS: usize = 100;
/// The longest value of a label or annotation that templates see.
const LONGEST_VALUE: usize = 4000;

/// The variables of an incident whose built-in message is `built_in`.
pub(super) fn variables(view: &IncidentView, built_in: &Document, context: &Context<'_>) -> Value {
    let incident = &view.incident;
    let severity = worst(view);
    let severity_name = severity.and_then(|severity| severity.name.as_deref()).unwrap_or_default();
    let since = since(view);
    table([
        ("number", Value::from(view.number)),
        ("name", Value::from(name(view))),
        ("title", Value::from(title(view))),
        ("room_list", text(&view.room_list)),
        ("phase", Value::from(incident.phase.name().as_str())),
        ("severity", text(severity_name)),
        ("mark", Value::from(severity_mark(severity))),
        ("level", Value::from(incident.run.level.map_or(0, human))),
        ("levels", Value::from(view.levels)),
        ("round", Value::from(human(incident.run.loop_no))),
        ("ackers", incident.ackers.iter().map(|acker| text(acker.as_str())).collect()),
        ("opened_at", time(Some(incident.opened_at))),
        ("since", time(Some(since))),
        ("resolved_at", time(view.resolved_at)),
        ("age_seconds", Value::from(between(since, view.resolved_at.unwrap_or(context.now)).as_secs())),
        ("truncated", Value::from(view.truncated)),
        ("external_url", text(view.external_url.as_deref().unwrap_or_default())),
        ("group_labels", labels(&view.group_labels)),
        ("common_labels", labels(&view.common_labels)),
        ("ack_reaction", text(context.ack_reaction)),
        ("alerts", view.alerts.iter().take(MOST_ALERTS).map(alert).collect()),
        ("built_in_text", Value::from(built_in.plain())),
        ("built_in_html", Value::from_safe_string(built_in.html().to_owned())),
    ])
}

/// The filter `duration`: seconds in words.
pub(super) fn duration(seconds: Value) -> Result<String, minijinja::Error> {
    u64::try_from(seconds).map(|seconds| lasting(Duration::from_secs(seconds)))
}

fn alert(alert: &AlertView) -> Value {
    table([
        ("fingerprint", text(&alert.fingerprint)),
        ("firing", Value::from(alert.firing)),
        ("severity", text(alert.severity.name.as_deref().unwrap_or_default())),
        ("labels", labels(&alert.labels)),
        ("annotations", labels(&alert.annotations)),
        ("starts_at", time(Some(alert.starts_at))),
        ("cleared_at", time(alert.cleared_at)),
        ("generator_url", text(alert.generator_url.as_deref().unwrap_or_default())),
        ("defect", text(alert.defect.as_deref().unwrap_or_default())),
    ])
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::from(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

fn labels(labels: &Labels) -> Value {
    Value::from(labels.iter().map(|(key, value)| (clean(key), text(value))).collect::<BTreeMap<_, _>>())
}

fn text(text: &str) -> Value {
    Value::from(clip_loudly(&clean(text), LONGEST_VALUE))
}

fn time(at: Option<Timestamp>) -> Value {
    Value::from(at.map(|at| at.to_string()).unwrap_or_default())
}
