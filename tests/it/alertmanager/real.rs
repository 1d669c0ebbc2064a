//! The client against real Alertmanagers, and what a poll of 10 000 alerts costs. Ignored: it needs the URL of an
//! Alertmanager without alerts in `ALERTMANAGER` (`scripts/alertmanager.sh start`), whose root receiver is `a`.

use matrixbot::alertmanager::api::{Alertmanager, Credentials, NewSilence, SilenceEnd};
use matrixbot::clock::{Clock as _, SystemClock};
use matrixbot::domain::watch::{Remembered, Sight, Watch};
use serde_json::{Value, json};
use std::slice;
use std::time::Duration;
use url::Url;

const ALERTS: usize = 10_000;

async fn report(url: &Url, alerts: &[Value]) {
    let request = reqwest::Client::new().post(url.join("/api/v2/alerts").unwrap());
    let request = request.header("content-type", "application/json").body(json!(alerts).to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
}

/// Of this process: processor time, and resident memory in MiB.
fn cost() -> (Duration, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<i64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
    // After the state, which is no number, utime is the 11th field; in hundredths of a second.
    (Duration::from_millis(fields[10..12].iter().sum::<i64>().unsigned_abs() * 10), resident / 1024)
}

#[tokio::test]
#[ignore = "needs a real Alertmanager"]
async fn a_real_alertmanager_is_polled_and_silenced() {
    matrixbot::matrix::install_tls_provider();
    let url: Url = std::env::var("ALERTMANAGER").unwrap().parse().unwrap();
    let client = Alertmanager::new(slice::from_ref(&url), &Credentials::None, None).unwrap();
    let now = || SystemClock.now();
    let odd = "a\\b \"c\"\nd\te {x=\"y\"}, + é & = ";
    let alert = |name: &str, value: &str| {
        json!({"labels": {"alertname": name, "odd": value}, "annotations": {"summary": "x".repeat(500)},
            "generatorURL": "http://prometheus.example.test/graph"})
    };
    report(&url, &[alert("Real", odd), alert("Real", "b")]).await;
    let mut watch = Watch::new(vec![url.to_string()], &Remembered::default());
    assert!(watch.polled(now(), client.poll(now()).await.answers()));
    let labels =
        [("alertname", "Real"), ("odd", odd)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let labels = labels.into();
    let found = client.alerts_with(&labels, now()).await.unwrap();
    assert_eq!((found.len(), &found[0].alert.defect), (1, &None));
    let fingerprint = found[0].alert.fingerprint.clone();
    assert!(matches!(watch.sight(&fingerprint), Some(Sight::Active { polls: 1, .. })));

    let new = NewSilence {
        labels: &labels,
        lasting: Duration::from_mins(5),
        created_by: "@alice:example.test",
        comment: "#42",
        token: "t-real",
    };
    let made = client.make_silence(&new).await.unwrap();
    assert_eq!(client.alerts_with(&labels, now()).await.unwrap()[0].silenced_by, slice::from_ref(&made.id));
    let longer = client.prolong_silence(&made.id, Duration::from_mins(10)).await.unwrap().unwrap();
    assert_eq!(longer.id, made.id, "it was prolonged in place");
    assert!(watch.polled(now(), client.poll(now()).await.answers()));
    assert_eq!(watch.sight(&fingerprint), Some(Sight::Suppressed));
    assert_eq!(client.end_silence(&made.id).await.unwrap(), SilenceEnd::Ended);
    let listed = client.silences().await.unwrap();
    assert!(listed.iter().find(|one| one.id == made.id).unwrap().was_ended());
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(client.end_silence(unknown).await.unwrap(), SilenceEnd::Gone);
    let groups = client.groups("a", now()).await.unwrap();
    assert!(groups.iter().flat_map(|group| &group.alerts).any(|one| one.alert.fingerprint == fingerprint));

    let many: Vec<Value> = (0..ALERTS).map(|n| alert("Many", &n.to_string())).collect();
    report(&url, &many).await;
    assert!(watch.polled(now(), client.poll(now()).await.answers()));
    assert!(watch.listed().count() > ALERTS);
}

#[tokio::test]
#[ignore = "needs a real Alertmanager, with the alerts of the other test"]
async fn what_a_poll_costs() {
    matrixbot::matrix::install_tls_provider();
    let url: Url = std::env::var("ALERTMANAGER").unwrap().parse().unwrap();
    let client = Alertmanager::new(slice::from_ref(&url), &Credentials::None, None).unwrap();
    let mut watch = Watch::new(vec![url.to_string()], &Remembered::default());
    client.statuses().await;
    for _ in 0..5 {
        let (processor, resident) = cost();
        assert!(watch.polled(SystemClock.now(), client.poll(SystemClock.now()).await.answers()));
        let after = cost();
        let (took, alerts) = (after.0.saturating_sub(processor), watch.listed().count());
        println!("{alerts} alerts: {took:?} of processor time, from {resident} to {} MiB", after.1);
    }
}
