//! Templates of operators, which replace built-in texts.
//!
//! A room list may have templates named `page_text`, `page_html`, `edit_text` and so on, in Jinja's language. A text
//! template without an HTML one also becomes the HTML. [`check`] finds invalid templates at the start. If a template
//! fails for an incident, matrixbot posts the built-in text and logs why. A template changes the text of a message,
//! never whom it notifies.
//!
//! A template can use `number`, `name`, `title` (`#42 DiskFull`), `room_list`, `phase` (as in the database), `severity`
//! (of the worst alert, may be empty), `mark` (its emoji), `level`, `levels`, `round` (from 1; `level` is 0 before the
//! first page), `ackers`, `opened_at`, `since`, `resolved_at` (RFC 3339; `resolved_at` may be empty), `age_seconds`,
//! `truncated`, `external_url` (may be empty), `group_labels`, `common_labels`, `ack_reaction`, `alerts`,
//! `built_in_text` and `built_in_html` (the built-in message). Each alert has `fingerprint`, `firing`, `severity`,
//! `labels`, `annotations`, `starts_at`, `cleared_at`, `generator_url`, `defect`. The filter `duration` formats seconds
//! in words.

use super::alerts::since;
use super::headline::{name, severity_mark, title, worst};
use super::message::Message;
use super::rich::{Document, Rich};
use super::size::MOST_BYTES;
use super::text::{clean, clip_with_count, from_one};
use super::time::lasting;
use super::{Context, fallback, page, sample, thread};
use crate::domain::incident::Rung;
use crate::domain::input::Via;
use crate::domain::on_call::{Called, OnCallNow};
use crate::domain::reaction;
use crate::domain::time::between;
use crate::domain::timeline::{Entry, Kind};
use crate::domain::view::{AlertView, IncidentView};
use crate::domain::webhook::Labels;
use crate::domain::zone;
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use ruma::html::{Html, SanitizerConfig};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most steps of a template.
const FUEL: u64 = 200_000;
/// The most bytes that a template may produce.
const LONGEST: usize = MOST_BYTES;

/// A room list's templates, by name.
pub type Templates = BTreeMap<String, String>;

/// The messages that can have templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Templated {
    /// A page.
    Page,
    /// An updated page.
    Edit,
    /// A notice in an incident's thread.
    Thread,
    /// A notice in the fallback rooms: nobody acknowledged, or a room is unreachable.
    Fallback,
    /// A reminder that nobody has acknowledged.
    Reminder,
}

/// A problem with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}: {problem}")]
pub struct TemplateProblem {
    /// Its name.
    pub template: String,
    /// The problem, with its line.
    pub problem: String,
}

impl Templated {
    /// Every message that can have templates.
    pub const ALL: [Self; 5] = [Self::Page, Self::Edit, Self::Thread, Self::Fallback, Self::Reminder];

    /// The prefix of its templates' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Edit => "edit",
            Self::Thread => "thread",
            Self::Fallback => "fallback",
            Self::Reminder => "reminder",
        }
    }
}

/// `message` with the text of the room list's templates. If a template fails, the unchanged `message` and the problem.
pub fn overridden(
    message: Message,
    what: Templated,
    templates: &Templates,
    view: &IncidentView,
    context: &Context<'_>,
) -> (Message, Option<TemplateProblem>) {
    match try_overridden(&message, what, templates, view, context) {
        Ok(Some(text)) => (Message { text, ..message }, None),
        Ok(None) => (message, None),
        Err(problem) => (message, Some(problem)),
    }
}

/// Every problem with templates: unknown names, and failures with a sample incident.
pub fn check(templates: &Templates, now: Timestamp) -> Vec<TemplateProblem> {
    let known = |name: &str| {
        Templated::ALL
            .into_iter()
            .any(|what| name.strip_prefix(what.name()).is_some_and(|form| matches!(form, "_text" | "_html")))
    };
    let unknown = templates.keys().filter(|name| !known(name)).map(|name| TemplateProblem {
        template: name.clone(),
        problem: "there is no template of this name".to_owned(),
    });
    let policy = sample::policy();
    let context = Context {
        policy: &policy,
        on_call: OnCallNow::none(),
        ack_reaction: reaction::default_ack(),
        for_good: false,
        now,
        zone: &zone::UTC,
    };
    let view = sample::view(now);
    let failing = Templated::ALL.into_iter().flat_map(|what| {
        // Check each form on its own, to report all problems at once.
        ["text", "html"].into_iter().filter_map(move |form| {
            let name = format!("{}_{form}", what.name());
            templates.get(&name).map(|source| (what, Templates::from([(name, source.clone())])))
        })
    });
    let failing = failing.filter_map(|(what, one)| {
        overridden(sample_message(what, &view, &context), what, &one, &view, &context).1
    });
    unknown.chain(failing).collect()
}

fn try_overridden(
    message: &Message,
    what: Templated,
    templates: &Templates,
    view: &IncidentView,
    context: &Context<'_>,
) -> Result<Option<Document>, TemplateProblem> {
    let variables = variables(view, &message.text, context);
    let render = |form: &str| {
        let name = format!("{}_{form}", what.name());
        let Some(source) = templates.get(&name) else { return Ok(None) };
        rendered(&name, source, &variables)
            .map(Some)
            .map_err(|problem| TemplateProblem { template: name, problem })
    };
    let plain = render("text")?.map(|text| clean(&text).trim().to_owned());
    let html = render("html")?.map(|html| sanitised(&html));
    let text = match (plain, html) {
        (None, None) => return Ok(None),
        (Some(plain), None) => Document::line(&Rich::new().lines(&plain)),
        (None, Some(html)) => Document::from_parts(message.text.plain().to_owned(), html),
        (Some(plain), Some(html)) => Document::from_parts(plain, html),
    };
    let problem = if text.plain().is_empty() {
        "it makes an empty message"
    } else if (Message { text: text.clone(), ..message.clone() }).bytes() > MOST_BYTES {
        "it makes a message that is too large"
    } else {
        return Ok(Some(text));
    };
    Err(TemplateProblem { template: what.name().to_owned(), problem: problem.to_owned() })
}

fn rendered(name: &str, source: &str, variables: &Value) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|name| {
        if name.ends_with("_html") { AutoEscape::Html } else { AutoEscape::None }
    });
    environment.add_filter("duration", duration);
    let describe = |error: minijinja::Error| {
        let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
        let what = if error.kind() == ErrorKind::OutOfFuel {
            "it runs too long".to_owned()
        } else {
            error.to_string()
        };
        format!("{line}{what}")
    };
    let rendered = environment.render_named_str(name, source, variables.clone()).map_err(describe)?;
    if rendered.len() > LONGEST {
        Err("it makes a message that is too large".to_owned())
    } else {
        Ok(rendered)
    }
}

/// Removes everything from HTML that the Matrix specification does not allow.
fn sanitised(html: &str) -> String {
    let parsed = Html::parse(&clean(html));
    parsed.sanitize_with(&SanitizerConfig::compat().remove_reply_fallback());
    parsed.to_string().trim().to_owned()
}

pub(super) fn sample_message(what: Templated, view: &IncidentView, context: &Context<'_>) -> Message {
    let root = ruma::event_id!("$sample");
    let who = ruma::user_id!("@alice:example.org").to_owned();
    let kind = Kind::Acknowledged { who, via: Via::Command, until: None, comment: None };
    let entry = Entry { at: context.now, version: 1, kind };
    match what {
        Templated::Page => page::page(view, &[], Rung { run_no: 1, loop_no: 0, level: 0 }, context),
        Templated::Edit => page::edit(root, view, &[], context),
        Templated::Thread => thread::notice(root, view, &entry, context)
            .unwrap_or_else(|| fallback::unanswered(view, &[], context)),
        Templated::Fallback => fallback::unanswered(view, &[], context),
        Templated::Reminder => fallback::reminder(view, &[], 1, &Called::default(), context),
    }
}

/// The most alerts that templates get.
const MOST_ALERTS: usize = 100;
/// The longest value of a label or annotation that templates get.
const LONGEST_VALUE: usize = 4000;

/// The variables of an incident whose built-in message is `built_in`.
fn variables(view: &IncidentView, built_in: &Document, context: &Context<'_>) -> Value {
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
        ("mark", Value::from(severity_mark(severity, context.policy))),
        ("level", Value::from(incident.run.level.map_or(0, from_one))),
        ("levels", Value::from(view.levels)),
        ("round", Value::from(from_one(incident.run.loop_no))),
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
fn duration(seconds: Value) -> Result<String, minijinja::Error> {
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
    Value::from(clip_with_count(&clean(text), LONGEST_VALUE))
}

fn time(at: Option<Timestamp>) -> Value {
    Value::from(at.map(|at| at.to_string()).unwrap_or_default())
}
