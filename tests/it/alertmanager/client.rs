//! The client of Alertmanager's API, against the fake.

use super::{Alert, Alertmanager, Fault};
use jiff::{Timestamp, ToSpan as _};
use matrixbot::alertmanager::api::{Alertmanager as Client, ApiError, Credentials};
use matrixbot::clock::{Clock as _, SystemClock};
use matrixbot::domain::watch::ListedAlert;
use secrecy::SecretString;
use serde_json::json;
use std::slice;
use std::time::Duration;
use url::Url;

fn client(peers: &[&Alertmanager]) -> Client {
    let urls: Vec<Url> = peers.iter().map(|peer| peer.url()).collect();
    Client::new(&urls, &Credentials::None, None).unwrap()
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn targets(alertmanager: &Alertmanager) -> Vec<String> {
    alertmanager
        .requests()
        .into_iter()
        .map(|request| format!("{} {}", request.method, request.target))
        .collect()
}

#[tokio::test]
async fn a_poll_reads_the_status_and_all_alerts_of_each_peer() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    two.change(|state| state.name = "process-1".to_owned());
    one.join(&two);
    let mut disk = Alert::new("DiskFull", "finance");
    disk.receivers = vec!["team.a".into(), "finance".into(), "team.a".into()];
    disk.inhibited_by = vec!["00000000000000aa".into()];
    disk.annotations.insert("summary".into(), "]}\"\\ \u{2028} é".into());
    let fingerprint = disk.fingerprint();
    one.fire(disk);
    for name in ["A", "B", "C"] {
        two.fire(Alert::new(name, "finance"));
    }
    let client = client(&[&one, &two]);
    let polled = client.poll(now()).await;
    let routes = polled.routes.clone().unwrap();
    assert_eq!(routes.patience("finance"), Some(Duration::from_mins(5)));
    let [first, second]: [_; 2] = polled.answers().try_into().unwrap();
    let (first, second) = (first.unwrap(), second.unwrap());
    let listed: ListedAlert = first.alerts[&fingerprint].clone();
    assert!(listed.suppressed && listed.silenced_by.is_empty());
    assert_eq!(listed.inhibited_by, ["00000000000000aa".into()]);
    assert_eq!(listed.receivers, ["team.a".into(), "finance".into()], "each once, in their order");
    assert_eq!(listed.ends_at, listed.updated_at + Duration::from_mins(4));
    assert_eq!(first.started_at.as_millisecond(), one.change(|state| state.started_at.as_millisecond()));
    assert!(first.clock.duration_since(now()).abs() < jiff::SignedDuration::from_secs(5));
    assert_eq!((first.cluster.as_deref(), second.cluster.as_deref()), (Some("process-0"), Some("process-1")));
    assert_eq!((first.alerts.len(), second.alerts.len()), (1, 3));
    for peer in [&one, &two] {
        assert_eq!(targets(peer), ["GET /api/v2/status", "GET /api/v2/alerts"]);
    }
    let clustered = async || {
        let [first, second]: [_; 2] = client.statuses().await.try_into().unwrap();
        first.unwrap().is_clustered_with(&second.unwrap())
    };
    assert!(clustered().await);
    one.restart();
    assert!(!clustered().await, "the other one has not heard of the new process");
    assert!(client.poll(now()).await.answers()[0].as_ref().unwrap().alerts.is_empty());
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_no_answer() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    for peer in [&one, &two] {
        (0..50).for_each(|n| peer.fire(Alert::new(&format!("A{n}"), "finance")));
    }
    let client = client(&[&one, &two]);
    let listing = json!([{"fingerprint": "no", "startsAt": "2026-11-28T00:00:00Z"}]).to_string();
    for (fault, words) in [
        (Fault::CutListing, "its answer is not Alertmanager's"),
        (Fault::NotJson, "its answer is not Alertmanager's"),
        (Fault::Status(200, listing), "its answer is not Alertmanager's"),
        (Fault::Status(200, "[]".into()), "its answer is not Alertmanager's"),
        (
            Fault::Status(503, "Limit of concurrent GET requests reached (1), try again later.\n".into()),
            "it answered 503: Limit of concurrent GET requests reached (1), try again later.",
        ),
        (Fault::Status(401, "Unauthorized\n".into()), "it answered 401: it rejects the credentials"),
    ] {
        one.fail(Some(fault));
        let polled = client.poll(now()).await;
        assert_eq!(polled.peers[0].as_ref().unwrap_err().to_string(), words);
        assert_eq!(polled.peers[1].as_ref().unwrap().alerts.len(), 50);
        assert!(polled.routes.is_some(), "of the other peer");
    }
    two.fail(Some(Fault::NotJson));
    assert!(matches!(client.groups("finance", now()).await, Err(ApiError::Unauthorized(401))));
}

#[tokio::test]
async fn a_prefix_and_credentials_are_used_for_every_request() {
    let alertmanager = Alertmanager::start();
    alertmanager.fire(Alert::new("A", "finance"));
    alertmanager.change(|state| {
        state.prefix = "/am".to_owned();
        state.authorization = Some("Basic bWF0cml4Ym90OnMzY3JldA==".to_owned());
    });
    let url = Url::parse(&format!("{}/", alertmanager.url())).unwrap();
    let basic = Credentials::Basic("matrixbot".into(), SecretString::from("s3cret"));
    let right = Client::new(slice::from_ref(&url), &basic, None).unwrap();
    assert_eq!(right.poll(now()).await.answers()[0].as_ref().unwrap().alerts.len(), 1);
    assert_eq!(right.groups("finance", now()).await.unwrap().len(), 1);
    assert_eq!(
        targets(&alertmanager),
        ["GET /am/api/v2/status", "GET /am/api/v2/alerts", "GET /am/api/v2/alerts/groups?receiver=^finance$"]
    );
    let wrong = Client::new(&[url], &Credentials::Bearer(SecretString::from("s3cret")), None).unwrap();
    assert!(matches!(wrong.poll(now()).await.peers[..], [Err(ApiError::Unauthorized(401))]));
    assert!(!format!("{right:?} {wrong:?}").contains("s3cret"));
}

#[tokio::test]
async fn groups_bring_what_a_webhook_would_bring() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    two.change(|state| state.version = "0.25.0".to_owned());
    let alert = |name: &str| Alert::new(name, "team.a").with_label("job", "node");
    one.fire(alert("A"));
    one.fire(Alert { muted_by: vec!["night".into()], ..alert("Muted") });
    one.fire(Alert { receivers: vec!["teamXa".into()], ..alert("Other") });
    let mut earlier = alert("A").with_label("instance", "db\0");
    earlier.annotations.insert("huge".into(), "x".repeat(100_000));
    earlier.starts_at = now() - 1.hour();
    two.fire(earlier.clone());
    two.fire(alert("A"));
    let groups = client(&[&one, &two]).groups("team.a", now()).await.unwrap();
    assert_eq!(targets(&one), [r"GET /api/v2/alerts/groups?receiver=^team\.a$"]);
    let names: Vec<(&str, usize)> =
        groups.iter().map(|group| (group.labels["alertname"].as_str(), group.alerts.len())).collect();
    assert_eq!(names, [("A", 2), ("Muted", 1)], "the same group on both peers is one");
    let alerts = &groups[0].alerts;
    let plain = alerts.iter().find(|one| !one.alert.labels.contains_key("instance")).unwrap();
    let full = alerts.iter().find(|one| one.alert.labels.contains_key("instance")).unwrap();
    assert_eq!(plain.alert.fingerprint, alert("A").fingerprint());
    assert_eq!((plain.alert.firing, plain.alert.start_known, &plain.alert.defect), (true, true, &None));
    assert_eq!(plain.alert.annotations["summary"], "A is down");
    assert!(plain.alert.generator_url.as_deref().unwrap().starts_with("http://prometheus.example.test/"));
    assert_eq!((plain.suppressed, plain.muted_by.as_deref()), (false, Some([].as_slice())));
    assert_eq!(full.alert.labels["instance"], "db\u{fffd}");
    assert_eq!(full.alert.starts_at.as_millisecond(), earlier.starts_at.as_millisecond());
    assert_eq!(full.alert.defect.as_deref(), Some("parts that are too long or too many are left out"));
    assert_eq!(full.muted_by, None, "0.25 does not report it");
    let muted = &groups[1].alerts[0];
    assert_eq!((muted.suppressed, muted.muted_by.as_deref()), (true, Some(["night".to_owned()].as_slice())));
}

#[tokio::test]
async fn alerts_are_found_by_odd_labels() {
    let alertmanager = Alertmanager::start();
    let odd = "a\\b \"c\"\nd\te {x=\"y\"}, + é & = ";
    alertmanager.fire(Alert::new("A", "finance").with_label("odd", odd).with_label("service.name", "x"));
    alertmanager.fire(Alert::new("B", "finance").with_label("odd", "a"));
    let client = client(&[&alertmanager]);
    let found = async |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = client.alerts_with(&labels, now()).await.unwrap();
        found.into_iter().map(|one| one.alert.labels["alertname"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(&[("odd", odd), ("service.name", "x")]).await, ["A"]);
    assert_eq!(found(&[("severity", "critical")]).await.len(), 2);
    assert!(found(&[("odd", "b")]).await.is_empty());
    // A proxy that ignores the filter does not widen what is found.
    let all = alertmanager.change(|state| {
        json!(
            state
                .alerts
                .iter()
                .map(|alert| json!({
                    "labels": alert.labels, "annotations": {}, "fingerprint": alert.fingerprint(),
                    "startsAt": "2026-11-28T00:00:00Z", "status": {"state": "active"},
                }))
                .collect::<Vec<_>>()
        )
        .to_string()
    });
    alertmanager.fail(Some(Fault::Status(200, all)));
    assert_eq!(found(&[("odd", "a")]).await, ["B"]);
}
