//! Operators' templates.

use super::*;
use crate::domain::on_call::OnCallNow;
use crate::domain::zone;
use crate::render::size::MOST_BYTES;
use crate::render::template::{TemplateProblem, Templated, Templates, check, overridden, sample_message};
use ruma::events::room::message::RoomMessageEventContent;

fn templates(entries: &[(&str, &str)]) -> Templates {
    entries.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect()
}

fn page_with(
    entries: &[(&str, &str)],
    change: impl FnOnce(&mut IncidentView),
) -> (Message, Option<TemplateProblem>) {
    let policy = sample::policy();
    let context = Context {
        policy: &policy,
        on_call: OnCallNow::none(),
        ack_reaction: "✅",
        for_good: false,
        now: now(),
        zone: &zone::UTC,
    };
    let mut view = sample::view(now());
    change(&mut view);
    let message = sample_message(Templated::Page, &view, &context);
    overridden(message, Templated::Page, &templates(entries), &view, &context)
}

#[test]
fn a_template_replaces_the_built_in_text() {
    let source = "{{ mark }} {{ title }} ({{ severity }}) for {{ age_seconds | duration }}\n\
                  {% for alert in alerts %}- {{ alert.annotations.summary }}\n{% endfor %}";
    let (message, problem) = page_with(&[("page_text", source)], |_| ());
    assert_eq!(problem, None);
    assert_eq!(
        message.text.plain(),
        "🔴 #42 DiskFull (critical) for 5 min\n- /var/lib/postgresql is 91% full\n- /srv/backup is 92% full"
    );
    assert_eq!(
        message.text.html(),
        "🔴 #42 DiskFull (critical) for 5 min<br>- /var/lib/postgresql is 91% full<br>- /srv/backup is 92% full"
    );
    assert_eq!(message.mentions.user_ids.len(), 1, "the mentions stay");
}

#[test]
fn html_is_escaped_and_sanitised() {
    let source = "<b>{{ alerts[0].annotations.summary }}</b><script>x</script><a href=\"javascript:x\">y</a>";
    let (message, problem) = page_with(&[("page_html", source)], |view| {
        view.alerts[0].annotations.insert("summary".to_owned(), "<img src=x>".to_owned());
    });
    assert_eq!(problem, None);
    assert_eq!(message.text.html(), "<b>&lt;img src=x&gt;</b>xy");
    assert!(message.text.plain().starts_with("🔴 FIRING #42"), "the text is the built-in one");
}

#[test]
fn the_built_in_message_can_be_wrapped() {
    let (message, problem) = page_with(
        &[
            ("page_html", "{{ built_in_html }}<p>Call 112.</p>"),
            ("page_text", "{{ built_in_text }}\nCall 112."),
        ],
        |_| (),
    );
    assert_eq!(problem, None);
    assert!(message.text.html().ends_with("<p>Call 112.</p>"));
    assert!(message.text.html().starts_with("<p>🔴 <strong>FIRING #42 DiskFull</strong>"));
    assert!(message.text.plain().ends_with("\nCall 112."));
}

#[test]
fn a_template_that_fails_is_replaced_by_the_built_in_text_and_reported() {
    let source = "{{ title }}\n{{ alerts[0].annotations.owner }}";
    let (message, problem) = page_with(&[("page_text", source)], |_| ());
    assert!(message.text.plain().starts_with("🔴 FIRING #42"));
    let problem = problem.unwrap();
    assert_eq!(problem.template, "page_text");
    assert!(problem.problem.starts_with("line 2: undefined value"), "{problem}");
}

#[test]
fn the_steps_and_the_size_of_a_template_are_limited() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}x";
    let (_, problem) = page_with(&[("page_text", endless)], |_| ());
    assert!(problem.unwrap().problem.contains("runs too long"));
    let large = "{% for a in range(5000) %}{{ title }}{% endfor %}";
    let (message, problem) = page_with(&[("page_text", large)], |_| ());
    assert!(problem.unwrap().problem.contains("too large"));
    assert!(message.bytes() <= MOST_BYTES);
}

#[test]
fn an_empty_message_is_a_problem() {
    let (message, problem) = page_with(&[("page_text", "{% if number == 1 %}x{% endif %} \u{0}")], |_| ());
    assert_eq!(problem.unwrap().problem, "it makes an empty message");
    serde_json::from_value::<RoomMessageEventContent>(message.content().unwrap()).unwrap();
}

#[test]
fn check_reports_every_problem() {
    assert_eq!(check(&Templates::new(), now()), []);
    let good: Vec<_> = Templated::ALL.iter().map(|what| format!("{}_text", what.name())).collect();
    let good: Vec<_> = good.iter().map(|name| (name.as_str(), "{{ title }}: {{ built_in_text }}")).collect();
    assert_eq!(check(&templates(&good), now()), []);
    let problems = check(
        &templates(&[
            ("page_markdown", "x"),
            ("page_text", "{{ title"),
            ("page_html", "{{ titel }}"),
            ("edit_text", "{{ title }}"),
        ]),
        now(),
    );
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "template page_markdown: there is no template of this name");
    assert!(lines[1].starts_with("template page_text: line 1: syntax error"), "{}", lines[1]);
    assert!(lines[2].starts_with("template page_html: line 1: undefined value"), "{}", lines[2]);
}
