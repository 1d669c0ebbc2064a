//! Guarantees for any input from Alertmanager: only our own markup, bounded size, no foreign mentions.

use super::*;
use crate::domain::answer::{Answer, IncidentLine};
use crate::domain::hold::HeldAlerts;
use crate::domain::incident::{Phase, PhaseName, Rung};
use crate::domain::on_call::Called;
use crate::domain::policy::Severity;
use crate::domain::silencing::{Failed, SilenceLine, SilenceResult, SilencingAnswer, UnsilenceResult};
use crate::domain::view::AlertView;
use crate::domain::webhook::Labels;
use crate::render::size::{MOST_BYTES, MOST_VISIBLE, visible_characters};
use crate::render::{answer, fallback, page, thread};
use insta::assert_snapshot;
use proptest::prelude::*;
use ruma::event_id;
use ruma::events::Mentions;
use ruma::events::room::message::RoomMessageEventContent;
use ruma::html::{Html, NodeData, NodeRef};

const TAGS: [&str; 9] = ["p", "br", "strong", "em", "code", "ul", "li", "a", "html"];

/// Hostile text.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{1,12}",
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("</code></li></ul><h1>".to_owned()),
        Just("@room @bob:example.org https://matrix.to/#/@bob:example.org".to_owned()),
        Just("https://matrix.to/#/@bob:example.org".to_owned()),
        Just("https://example.org/?q=\"onclick='x'&<b>".to_owned()),
        Just("javascript:alert(1)".to_owned()),
        Just("\u{202E}\u{0}\u{FEFF}\r\n\u{2028}".to_owned()),
        ("[<>&\"'\\\\\u{1F525}x ]", 1..2000_usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn nasty_labels() -> impl Strategy<Value = Labels> {
    let key = prop_oneof![
        Just("summary".to_owned()),
        Just("description".to_owned()),
        Just("runbook_url".to_owned()),
        Just("alertname".to_owned()),
        Just("instance".to_owned()),
        nasty(),
    ];
    proptest::collection::btree_map(key, nasty(), 0..8)
}

fn nasty_alert() -> impl Strategy<Value = AlertView> {
    (
        nasty_labels(),
        nasty_labels(),
        any::<bool>(),
        proptest::option::of(nasty()),
        proptest::option::of(nasty()),
        proptest::option::of(nasty()),
    )
        .prop_map(|(labels, annotations, firing, generator_url, defect, severity)| AlertView {
            fingerprint: String::new(),
            firing,
            severity: Severity { name: severity, rank: 0, escalate: true },
            labels,
            annotations,
            starts_at: minutes_ago(5),
            cleared_at: (!firing).then(now),
            left_out_since: None,
            generator_url,
            defect,
        })
}

fn nasty_view() -> impl Strategy<Value = IncidentView> {
    let alerts = prop_oneof![
        proptest::collection::vec(nasty_alert(), 0..4),
        (nasty_alert(), 1..600_usize).prop_map(|(alert, times)| vec![alert; times]),
    ];
    (alerts, nasty_labels(), nasty(), proptest::option::of(nasty()), 0..1000_u64).prop_map(
        |(mut alerts, group_labels, room_list, external_url, truncated)| {
            for (number, alert) in alerts.iter_mut().enumerate() {
                alert.fingerprint = number.to_string();
            }
            IncidentView { room_list, group_labels, external_url, truncated, alerts, ..view() }
        },
    )
}

/// Checks one message: ruma can parse it, its HTML has only our markup, it has text, it is small enough, and it
/// notifies exactly `mentions`.
fn check(message: &Message, mentions: &Mentions) {
    let content = message.content().unwrap();
    assert!(message.bytes() <= MOST_BYTES, "{} bytes", message.bytes());
    serde_json::from_value::<RoomMessageEventContent>(content.clone()).unwrap();
    assert!(content["body"].as_str().is_some_and(|body| !body.trim().is_empty()));
    for content in [Some(&content), content.get("m.new_content")].into_iter().flatten() {
        let users: Vec<_> = mentions.user_ids.iter().map(|user| user.as_str()).collect();
        let found = content["m.mentions"]["user_ids"].as_array().cloned().unwrap_or_default();
        assert_eq!(found, users, "mentions");
        assert_eq!(content["m.mentions"]["room"].as_bool().unwrap_or(false), mentions.room);
        let body = content["body"].as_str().unwrap();
        assert!(!body.contains(|c: char| c.is_control() && c != '\n'), "{body:?}");
        check_html(content["formatted_body"].as_str().unwrap());
    }
}

fn check_html(html: &str) {
    let parsed = Html::parse(html);
    for child in parsed.children() {
        check_node(&child);
    }
    // Parsing and writing must not change it: the parser repaired nothing.
    assert_eq!(parsed.to_string().replace("&#39;", "'"), as_parser_writes(html));
}

/// The parser does not escape quotes in text but escapes hard spaces; do the same.
fn as_parser_writes(html: &str) -> String {
    html.replace("&#39;", "'")
        .replace('\u{a0}', "&nbsp;")
        .split('<')
        .map(|piece| match piece.split_once('>') {
            Some((tag, text)) => format!("{tag}>{}", text.replace("&quot;", "\"")),
            None => piece.replace("&quot;", "\""),
        })
        .collect::<Vec<_>>()
        .join("<")
}

fn check_node(node: &NodeRef) {
    match node.data() {
        NodeData::Element(element) => {
            assert!(TAGS.contains(&&*element.name.local), "<{}>", &*element.name.local);
            for attribute in element.attrs.borrow().iter() {
                assert_eq!((&*element.name.local, &*attribute.name.local), ("a", "href"));
                let link = attribute.value.to_string();
                let person = ["@alice:example.org", "@bob:example.org"]
                    .map(|user| format!("https://matrix.to/#/{user}"))
                    .contains(&link);
                let web = link.starts_with("http://") || link.starts_with("https://");
                assert!(web && (person || !link.contains("//matrix.to")), "{link}");
            }
        }
        NodeData::Text(_) | NodeData::Document => {}
        NodeData::Other => panic!("neither an element nor text"),
    }
    for child in node.children() {
        check_node(&child);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_page_of_hostile_alerts_is_safe(view in nasty_view()) {
        let policy = sample::policy();
        let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
        let story = [fired(5), entry(5, Kind::Paged { loop_no: 0, level: 0 })];
        let message = page::page(&view, &story, rung, &context(&policy));
        check(&message, &Mentions::with_user_ids([alice()]));
    }

    #[test]
    fn edits_and_notices_of_hostile_alerts_are_safe(view in nasty_view(), comment in nasty(), phase in 0..6_u8) {
        let policy = sample::policy();
        let context = context(&policy);
        let mut view = view;
        view.incident.ackers = vec![alice(), bob()];
        view.incident.phase = match phase {
            0 => Phase::Firing,
            1 => Phase::Acknowledged { until: None, reminded: false },
            2 => Phase::Snoozed { until: minutes_ahead(5) },
            3 => Phase::Unanswered { reminders: 1 },
            4 => Phase::Suppressed,
            _ => Phase::Resolved { forced: true, kept_ack: None },
        };
        let root = event_id!("$root");
        let acked = acknowledged(1, Some(&comment));
        let joined = view.alerts.iter().map(|alert| alert.fingerprint.clone()).collect();
        let story = [started(1, RunReason::NewAlert { joined }), acked.clone()];
        check(&page::edit(root, &view, &story, &context), &Mentions::default());
        check(&thread::notice(root, &view, &acked, &context).unwrap(), &Mentions::default());
        check(&thread::notice(root, &view, &story[0], &context).unwrap(), &Mentions::default());
        let ackers = Mentions::with_user_ids([alice(), bob()]);
        check(&thread::ack_reminder(root, &view, minutes_ahead(5), &context), &ackers);
        check(&fallback::unanswered(&view, &story, &context), &Mentions::with_room_mention());
        check(&fallback::reminder(&view, &story, 1, &Called::default(), &context), &Mentions::default());
        check(&fallback::unreachable(&view, 0, &context), &Mentions::with_room_mention());
        check(&page::show(&view, &story, &context), &Mentions::default());
    }

    #[test]
    fn lists_of_hostile_incidents_are_safe(name in nasty(), severity in nasty(), number in 1..300_usize) {
        let policy = sample::policy();
        let context = context(&policy);
        let line = IncidentLine {
            number: i64::MAX,
            name: name.clone(),
            phase: PhaseName::Acknowledged,
            severity: Some(Severity { name: Some(severity), rank: 0, escalate: true }),
            alerts: u64::MAX,
            level: Some(0),
            levels: 2,
            since: minutes_ago(5),
            ackers: vec![alice(), bob()],
            until: Some(minutes_ahead(5)),
            held: Some(HeldAlerts::All { until: Some(minutes_ahead(5)) }),
        };
        let incidents = vec![line; number];
        let pending = Answer::Pending { room_list: name.clone(), incidents, more: u64::MAX };
        check(&answer::answer(&pending, &context), &Mentions::default());
        let entries = vec![acknowledged(1, Some(&name)); number];
        let timeline = Answer::Timeline { number: 1, name: name.clone(), levels: 2, entries, earlier: 0 };
        check(&answer::answer(&timeline, &context), &Mentions::default());
        let mistake = Answer::Mistake { problem: format!("x{name}"), hint: name.clone() };
        check(&answer::answer(&mistake, &context), &Mentions::default());
        for of in silencing(&name) {
            check(&answer::answer(&Answer::Silencing { of }, &context), &Mentions::default());
        }
        let not_available = Answer::NotAvailable { command: name };
        check(&answer::answer(&not_available, &context), &Mentions::default());
    }
}

/// Answers about silences whose texts all come from others.
fn silencing(name: &str) -> [SilencingAnswer; 3] {
    let text = || name.to_owned();
    let failed = || vec![Failed { alertmanager: text(), why: text() }; 100];
    let line = SilenceLine {
        id: text(),
        alertmanager: text(),
        incidents: (1..1000).collect(),
        created_by: text(),
        comment: text(),
        from: None,
        until: Timestamp::UNIX_EPOCH,
    };
    let wide = SilenceResult::TooWide { others: 100, names: vec![text(); 5] };
    [
        SilencingAnswer::Silence { number: 1, name: text(), result: wide },
        SilencingAnswer::List { room_list: text(), silences: vec![line; 200], failed: failed() },
        SilencingAnswer::Unsilence { id: text(), result: UnsilenceResult::Unknown, failed: failed() },
    ]
}

#[test]
fn a_page_of_a_huge_group_names_the_number_of_omitted_alerts() {
    let policy = sample::policy();
    let mut view = view();
    let alert = view.alerts[0].clone();
    view.alerts = (0..500)
        .map(|number| {
            let mut alert = alert.clone();
            alert.labels.insert("instance".to_owned(), format!("db-{number}"));
            alert
        })
        .collect();
    let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
    let body = page::page(&view, &[], rung, &context(&policy)).text.plain().to_owned();
    assert!(body.contains("500 alerts"), "{body}");
    assert!(body.contains("… and 485 more alerts."), "{body}");
}

/// A page of alerts whose annotations and labels all have this length.
fn long_winded(alerts: usize, length: usize) -> Message {
    let policy = sample::policy();
    let mut view = view();
    let alert = view.alerts[0].clone();
    view.alerts = (0..alerts)
        .map(|number| {
            let mut alert = alert.clone();
            alert.fingerprint = number.to_string();
            for key in ["summary", "description", "impact", "what_to_do", "contact"] {
                alert
                    .annotations
                    .insert(key.to_owned(), format!("{number} {}", "words & such ".repeat(length / 13)));
            }
            for key in ["instance", "path", "query"] {
                alert.labels.insert(key.to_owned(), format!("{number}{}", "x".repeat(length)));
            }
            alert
        })
        .collect();
    let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
    page::page(&view, &[], rung, &context(&policy))
}

#[test]
fn whatever_its_alerts_have_to_say_a_page_is_read_on_a_phone() {
    for (alerts, length) in [(1, 300), (1, 20_000), (2, 20_000), (15, 2_000), (200, 20_000)] {
        let message = long_winded(alerts, length);
        assert!(visible_characters(&message) <= MOST_VISIBLE, "{alerts} alerts of {length}");
        let body = message.text.plain();
        assert!(body.starts_with("🔴 FIRING #42 DiskFull"), "{body}");
        assert!(body.ends_with("or type \"ack 42\"."), "{body}");
        for link in ["Runbook: https://runbooks", "Dashboard: https://grafana", "Alertmanager: http"] {
            assert!(body.contains(link), "{link}: {body}");
        }
        assert!(body.contains(" more characters)"), "{body}");
    }
    assert_snapshot!(long_winded(2, 20_000).text.plain());
}

#[test]
fn show_contains_more_than_a_page() {
    let policy = sample::policy();
    let mut view = single();
    view.alerts[0].annotations.insert("description".to_owned(), "x".repeat(20_000));
    let message = page::show(&view, &[], &context(&policy));
    assert!(message.text.plain().contains("… (14001 more characters)"), "{}", message.text.plain());
}

#[test]
fn a_huge_description_ends_with_the_number_of_cut_characters() {
    let policy = sample::policy();
    let mut view = single();
    view.alerts[0].annotations.insert("description".to_owned(), "x".repeat(560_000));
    let rung = Rung { run_no: 1, loop_no: 0, level: 0 };
    let body = page::page(&view, &[], rung, &context(&policy)).text.plain().to_owned();
    assert!(body.contains("… (558501 more characters)"), "{body}");
}

#[test]
fn the_first_hundred_characters_have_state_number_name_severity_and_place() {
    let policy = sample::policy();
    let mut view = single();
    let name = "AVeryLongAlertNameThatSomebodyThoughtWasAGoodIdeaAtTheTime";
    view.group_labels.insert("alertname".to_owned(), name.to_owned());
    let rung = Rung { run_no: 1, loop_no: 0, level: 1 };
    let body = page::page(&view, &[], rung, &context(&policy)).text.plain().to_owned();
    let phone: String = body.chars().take(100).collect();
    assert_eq!(
        phone,
        "🔴⏫ ESCALATED #42 AVeryLongAlertNameThatSomebodyThoughtWasAGoodId… · critical · instance=db-1:9100, m"
    );
}
