use super::{MOST_ALERTS, Report, fingerprint, parse};
use crate::domain::webhook::WebhookAlert;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn read(body: &Value) -> Report {
    parse(&serde_json::to_vec(body).unwrap(), now()).unwrap()
}

/// Parses a body with this alert only.
fn alert(alert: &Value) -> WebhookAlert {
    read(&json!({"receiver": "r", "groupKey": "g", "alerts": [alert]})).webhook.alerts.remove(0)
}

fn refused(body: &[u8]) -> String {
    parse(body, now()).unwrap_err().to_string()
}

macro_rules! fixture {
    ($name:literal) => {
        parse(include_bytes!(concat!("../../../tests/fixtures/alertmanager/", $name, ".json")), now())
            .unwrap()
    };
}

#[test]
fn real_bodies_of_alertmanager_are_parsed_without_remarks() {
    for (report, firing, resolved) in [
        (fixture!("firing-0.25.0"), 1, 0),
        (fixture!("firing-0.33.1"), 1, 0),
        (fixture!("refired-0.25.0"), 1, 0),
        (fixture!("resolved-0.25.0"), 0, 1),
        (fixture!("grouped-3-0.25.0"), 3, 0),
        (fixture!("grouped-3-one-resolved-0.25.0"), 2, 1),
        (fixture!("grouped-3-one-resolved-0.33.1"), 2, 1),
        (fixture!("grouped-3-all-resolved-0.25.0"), 0, 3),
        (fixture!("truncated-max2-of-5-0.25.0"), 2, 0),
        (fixture!("from-prometheus-0.25.0"), 1, 0),
    ] {
        assert_eq!(report.remarks, Vec::<String>::new());
        let alerts = &report.webhook.alerts;
        assert_eq!(alerts.iter().filter(|alert| alert.firing).count(), firing);
        assert_eq!(alerts.iter().filter(|alert| !alert.firing).count(), resolved);
        for alert in alerts {
            assert_eq!(alert.defect, None);
            assert_eq!(
                fingerprint::computed(&alert.labels),
                alert.fingerprint,
                "it is Alertmanager's algorithm"
            );
            assert!(alert.generator_url.as_ref().unwrap().starts_with("http://"));
        }
    }
}

#[test]
fn every_field_of_a_real_body_is_parsed() {
    let webhook = fixture!("firing-0.33.1").webhook;
    assert_eq!(webhook.group.receiver, "matrix");
    assert_eq!(webhook.group.group_key, r#"{}:{alertname="HighCPU", cluster="eu"}"#);
    assert_eq!(webhook.group.group_labels["cluster"], "eu");
    assert_eq!(webhook.group.common_labels["instance"], "web-1:9100");
    assert_eq!(webhook.group.external_url.as_deref(), Some("http://am.lab.test:9093"));
    assert_eq!(webhook.group.truncated, 0);
    let alert = &webhook.alerts[0];
    assert_eq!(alert.fingerprint, "4c1ec779f82ab322");
    assert_eq!(alert.starts_at, "2026-11-24T03:02:32.799976Z".parse().unwrap());
    assert_eq!(alert.annotations["summary"], "CPU above 95% on web-1");
    assert_eq!(
        alert.generator_url.as_deref(),
        Some("http://prom.lab.test:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1")
    );
    assert_eq!(fixture!("truncated-max2-of-5-0.25.0").webhook.group.truncated, 3);
    assert_eq!(fixture!("firing-0.25.0").webhook.alerts[0].fingerprint, alert.fingerprint);
}

#[test]
fn an_unreadable_body_is_rejected_with_the_problem_and_its_position() {
    assert_eq!(refused(b""), "the body is empty");
    assert_eq!(refused(b"  \n "), "the body is empty");
    assert_eq!(refused(b"7"), "expected an object, found a number (line 1, column 1)");
    assert_eq!(refused(b"[]"), "expected an object, found an array (line 1, column 1)");
    assert_eq!(refused(b"{}"), "`alerts`: it is missing");
    assert_eq!(
        refused(b"{\n  \"alerts\": {}}"),
        "`alerts`: expected an array, found an object (line 2, column 13)"
    );
    assert_eq!(
        refused(br#"{"alerts": null}"#),
        "`alerts`: expected an array, found null (line 1, column 12)"
    );
    assert_eq!(
        refused(b"{\"alerts\": [\n{\"labels\": {\"a\": s3cret}}]}"),
        "`alerts[0].labels.a`: not JSON: expected value (line 2, column 18)"
    );
    assert_eq!(refused(br#"{"alerts": []"#), "not JSON: EOF while parsing an object (line 1, column 13)");
    assert_eq!(refused(br#"{"alerts": []} x"#), "not JSON: trailing characters (line 1, column 16)");
}

#[test]
fn one_malformed_alert_does_not_fail_its_batch() {
    let report = parse(
        br#"{"receiver": "r", "groupKey": "g", "alerts": [
            7,
            {"status": "firing", "labels": {"alertname": "A", "n": 1e999}, "startsAt": "2026-11-24T10:00:00Z"},
            {"status": "firing", "labels": {"alertname": "B"}, "startsAt": "2026-11-24T10:00:00Z", "fingerprint": "4c1ec779f82ab322"}
        ]}"#,
        now(),
    )
    .unwrap();
    let [number, huge, good] = report.webhook.alerts.as_slice() else { panic!("not three alerts") };
    assert_eq!(number.defect.as_deref(), Some("it is a number, not an object"));
    assert!(number.firing && number.starts_at == now());
    assert_eq!(huge.labels["n"], "1e999");
    assert_eq!(good.defect, None);
    assert_eq!(report.remarks, ["2 of 3 alerts are not as Alertmanager sends them."]);
}

#[test]
fn invalid_labels_are_kept_as_text() {
    let invalid = alert(&json!({
        "status": "firing", "startsAt": "2026-11-24T10:00:00Z", "fingerprint": "4C1EC779F82AB322",
        "labels": {"alertname": "A", "n": 1.50, "yes": true, "none": null, "deep": {"a": [1]}},
        "annotations": "none",
    }));
    assert_eq!(invalid.fingerprint, "4c1ec779f82ab322");
    let labels: Vec<String> = invalid.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["alertname=A", r#"deep={"a":[1]}"#, "n=1.5", "yes=true"]);
    assert_eq!(
        invalid.defect.as_deref(),
        Some(
            "not every one of its labels is a text: deep, n, none; its annotations are a string, not an object"
        )
    );
    let bare = alert(&json!({"labels": [], "status": "firing", "startsAt": "2026-11-24T10:00:00Z"}));
    assert_eq!(bare.fingerprint, "cbf29ce484222325");
    assert_eq!(
        bare.defect.as_deref(),
        Some("its labels are an array, not an object; it has no alertname; it has no valid fingerprint")
    );
}

#[test]
fn a_missing_status_is_derived_from_the_end() {
    let with = |status: Value, ends_at: &str| {
        alert(&json!({"status": status, "labels": {"alertname": "A"}, "endsAt": ends_at})).firing
    };
    assert!(with(json!("Firing"), "2026-11-24T10:00:00Z"));
    assert!(!with(json!("RESOLVED"), "0001-01-01T00:00:00Z"));
    assert!(with(json!(null), "0001-01-01T00:00:00Z"));
    assert!(with(json!("?"), "2026-11-24T13:00:00Z"));
    assert!(!with(json!(1), "2026-11-24T10:00:00Z"));
}

#[test]
fn an_implausible_start_is_replaced_by_now() {
    let with = |starts_at: Value| {
        let alert = alert(&json!({"status": "firing", "labels": {"alertname": "A"}, "startsAt": starts_at,
            "fingerprint": "4c1ec779f82ab322"}));
        (alert.starts_at.to_string(), alert.defect.unwrap_or_default())
    };
    assert_eq!(with(json!("2026-11-24T10:00:00.123456789+01:00")).0, "2026-11-24T09:00:00.123456Z");
    assert_eq!(with(json!("2026-11-24T12:00:04Z")), ("2026-11-24T12:00:04Z".to_owned(), String::new()));
    assert_eq!(with(json!("2026-11-24T12:59:00Z")), (now().to_string(), String::new()));
    for (sent, defect) in [
        (json!("0001-01-01T00:00:00Z"), "it has no valid startsAt"),
        (json!("-009999-01-01T00:00:00Z"), "it has no valid startsAt"),
        (json!("yesterday"), "it has no valid startsAt"),
        (json!(1_795_492_081), "it has no valid startsAt"),
        (json!(null), "it has no valid startsAt"),
        (json!("9999-12-30T00:00:00Z"), "its startsAt lies in the future"),
    ] {
        assert_eq!(with(sent.clone()), (now().to_string(), defect.to_owned()), "{sent}");
    }
}

#[test]
fn regular_expression_escapes_are_removed_from_a_receiver() {
    let named = |escaped: &str| {
        read(&json!({"receiver": escaped, "groupKey": "g", "alerts": []})).webhook.group.receiver
    };
    assert_eq!(named(r"web\.hook"), "web.hook");
    assert_eq!(named(r"team\.infra/\(night\)\+\*\?\[\]\{\}\^\$\|-1"), "team.infra/(night)+*?[]{}^$|-1");
    assert_eq!(named(r"back\\slash\\"), r"back\slash\");
    assert_eq!(named(r"\\\."), r"\.");
    assert_eq!(named(r"as \it is\"), r"as \it is\");
}

#[test]
fn a_missing_group_key_is_computed_and_remarked() {
    let without = |group: Value, common: Value| {
        read(&json!({"receiver": "team", "groupLabels": group, "commonLabels": common, "alerts": []}))
    };
    let report = without(json!({"cluster": "eu", "alertname": "A\"B"}), json!({"x": "y"}));
    assert_eq!(report.webhook.group.group_key, r#"computed:team:{alertname="A\"B", cluster="eu"}"#);
    assert_eq!(
        report.remarks,
        ["`groupKey` is missing; it is made from the receiver and the group's labels."]
    );
    assert_eq!(without(json!({}), json!({"x": "y"})).webhook.group.group_key, r#"computed:team:{x="y"}"#);
    let nothing = read(&json!({"alerts": [], "groupLabels": 7, "groupKey": ""}));
    assert_eq!(nothing.webhook.group.group_key, "computed::{}");
    assert_eq!(nothing.remarks.len(), 3);
}

#[test]
fn only_http_urls_are_kept_and_without_credentials() {
    let kept = |url: &str| {
        read(&json!({"receiver": "r", "groupKey": "g", "alerts": [], "externalURL": url}))
            .webhook
            .group
            .external_url
    };
    assert_eq!(kept("https://am.example.org/x?y=z#f").as_deref(), Some("https://am.example.org/x?y=z#f"));
    assert_eq!(kept("https://admin:s3cret@am.example.org/").as_deref(), Some("https://am.example.org/"));
    for url in
        ["", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//am.example.org", "am:9093"]
    {
        assert_eq!(kept(url), None, "{url}");
    }
    assert_eq!(kept(&format!("https://am.example.org/{}", "x".repeat(9000))), None);
}

#[test]
fn an_alert_that_is_listed_twice_counts_once() {
    let a = json!({"status": "resolved", "labels": {"alertname": "A"}, "startsAt": "2026-11-24T10:00:00Z",
        "fingerprint": "00000000000000aa"});
    let mut firing = a.clone();
    firing["status"] = json!("firing");
    firing["startsAt"] = json!("2026-11-24T09:00:00Z");
    let mut other = a.clone();
    other["labels"] = json!({"alertname": "B"});
    let report = read(&json!({"receiver": "r", "groupKey": "g", "alerts": [a, firing, other, other]}));
    let [first, second] = report.webhook.alerts.as_slice() else { panic!("not two alerts") };
    assert!(first.firing, "the firing report wins");
    assert_eq!(second.labels["alertname"], "B");
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.defect.as_deref(), Some("it came with another alert's fingerprint"));
    assert_eq!(report.remarks[0], "2 of the alerts say again what another one says.");
}

#[test]
fn characters_that_postgres_or_matrix_rejects_are_replaced() {
    let body = b"\xef\xbb\xbf{\"receiver\": \"r\\u0000\", \"groupKey\": \"g\\ud800\", \"alerts\": [
        {\"labels\": {\"alertname\": \"\\ud83d\\ude00 \\udc00 \xff\", \"\\ud800\": \"x\", \"n\\u0000\": [\"\\u0000\"]}}]}";
    let webhook = parse(body, now()).unwrap().webhook;
    assert_eq!(webhook.group.receiver, "r\u{fffd}");
    assert!(webhook.group.group_key.starts_with("g\u{fffd}"));
    let labels = &webhook.alerts[0].labels;
    assert!(labels["alertname"].starts_with("😀 \u{fffd}") && labels["alertname"].ends_with(" \u{fffd}"));
    assert_eq!(labels["n\u{fffd}"], r#"["\u0000"]"#, "the escape is text here");
}

#[test]
fn huge_values_are_cut_and_recorded_as_defects() {
    let labels: serde_json::Map<String, Value> = (0..500).map(|n| (format!("l{n:03}"), json!("v"))).collect();
    let huge = alert(
        &json!({"status": "firing", "startsAt": "2026-11-24T10:00:00Z", "fingerprint": "00000000000000aa",
        "labels": {"alertname": "é".repeat(10_000)}, "annotations": labels}),
    );
    assert!(huge.labels["alertname"].len() < 5000 && huge.labels["alertname"].ends_with("é…"));
    assert_eq!(huge.annotations.len(), 128);
    assert_eq!(huge.defect.as_deref(), Some("parts that are too long or too many are left out"));

    let key = |end: &str| {
        let key = format!("{}{end}", "k".repeat(100_000));
        read(&json!({"receiver": "r", "groupKey": key, "alerts": []})).webhook.group.group_key
    };
    assert!(key("a").len() < 17_000);
    assert_ne!(key("a"), key("b"), "different groups stay different");

    let alerts: Vec<Value> = (0..MOST_ALERTS + 5).map(|n| json!({"labels": {"n": n.to_string()}})).collect();
    let report = read(&json!({"receiver": "r", "groupKey": "g", "alerts": alerts, "truncatedAlerts": 2}));
    assert_eq!(report.webhook.alerts.len(), MOST_ALERTS);
    assert_eq!(report.webhook.group.truncated, 7);
}

#[test]
fn an_invalid_count_of_truncated_alerts_is_zero() {
    for (sent, count) in
        [(json!(3), 3), (json!("3"), 3), (json!(-1), 0), (json!(1.5), 0), (json!(null), 0), (json!([]), 0)]
    {
        let report = read(&json!({"receiver": "r", "groupKey": "g", "alerts": [], "truncatedAlerts": sent}));
        assert_eq!(report.webhook.group.truncated, count, "{sent}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = "[".repeat(100_000);
    assert!(refused(format!("{{\"alerts\": {deep}").as_bytes()).starts_with("not JSON"));
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let body =
        format!(r#"{{"receiver": "r", "groupKey": "g", "alerts": [{{"labels": {closed}}}, {closed}]}}"#);
    assert_eq!(parse(body.as_bytes(), now()).unwrap().webhook.alerts.len(), 1);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<f64>().prop_map(|n| json!(n)),
        ".*".prop_map(|s| json!(s)),
        proptest::sample::select(vec![
            "firing",
            "resolved",
            "4c1ec779f82ab322",
            "2026-11-24T10:00:00Z",
            "http://a/"
        ])
        .prop_map(|s| json!(s)),
    ];
    let key = prop_oneof![
        ".{0,4}",
        proptest::sample::select(
            [
                "receiver",
                "alerts",
                "labels",
                "annotations",
                "startsAt",
                "endsAt",
                "status",
                "fingerprint",
                "groupKey",
                "groupLabels",
                "generatorURL",
                "truncatedAlerts"
            ]
            .map(str::to_owned)
            .to_vec()
        ),
    ];
    leaf.prop_recursive(5, 48, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|values| json!(values)),
            proptest::collection::btree_map(key.clone(), inner, 0..8).prop_map(|map| json!(map)),
        ]
    })
}

/// The guarantees of every parsed report.
fn check_guarantees(report: &Report) {
    let alerts = &report.webhook.alerts;
    let mut fingerprints: Vec<&str> = alerts.iter().map(|alert| alert.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), alerts.len(), "each fingerprint once");
    let debug = format!("{report:?}");
    assert!(!debug.contains(r"\0"), "no NUL: {debug}");
    for alert in alerts {
        assert!(fingerprint::valid(&alert.fingerprint).is_some());
        assert!(alert.starts_at <= now() + jiff::SignedDuration::from_hours(1));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(report) = parse(&bytes, now()) {
            check_guarantees(&report);
        }
    }

    #[test]
    fn no_json_makes_it_panic(body in any_json()) {
        if let Ok(report) = parse(&serde_json::to_vec(&body).unwrap(), now()) {
            check_guarantees(&report);
        }
    }

    #[test]
    fn any_element_of_the_list_is_parsed_as_an_alert(alerts in proptest::collection::vec(any_json(), 0..6)) {
        let count = alerts.len();
        let report = read(&json!({"receiver": "r", "groupKey": "g", "alerts": alerts}));
        check_guarantees(&report);
        prop_assert!(report.webhook.alerts.len() <= count);
        prop_assert_eq!(report.webhook.alerts.is_empty(), count == 0);
    }

    #[test]
    fn a_real_body_with_missing_bytes_does_not_panic(at in 0_usize..1400, length in 1_usize..40) {
        let mut body = include_bytes!("../../../tests/fixtures/alertmanager/firing-0.33.1.json").to_vec();
        let start = at.min(body.len());
        let end = (at + length).min(body.len());
        body.drain(start..end);
        if let Ok(report) = parse(&body, now()) {
            check_guarantees(&report);
        }
    }
}
