//! The client against a real Alertmanager. Ignored: it needs the URL of one without alerts in `ALERTMANAGER`
//! (`scripts/test.sh story` starts one), whose root receiver is `a`. `scripts/soak.sh truth` plays whole stories on real ones.

use matrixbot::alertmanager::api::{Alertmanager, Credentials, NewSilence, SilenceEnd};
use matrixbot::clock::{Clock as _, SystemClock};
use matrixbot::domain::watch::{Remembered, Sight, Watch};
use serde_json::{Value, json};
use std::slice;
use std::time::Duration;
use url::Url;

async fn report(url: &Url, alerts: &[Value]) {
    let request = reqwest::Client::new().post(url.join("/api/v2/alerts").unwrap());
    let request = request.header("content-type", "application/json").body(json!(alerts).to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
#[ignore = "needs a real Alertmanager: `scripts/test.sh story` runs it"]
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
    let made = client.make_silence(&new, now()).await.unwrap();
    assert_eq!(client.alerts_with(&labels, now()).await.unwrap()[0].silenced_by, slice::from_ref(&made.id));
    let longer = client.prolong_silence(&made.id, Duration::from_mins(10), now()).await.unwrap().unwrap();
    assert_eq!(longer.id, made.id, "it was prolonged in place");
    assert!(watch.polled(now(), client.poll(now()).await.answers()));
    assert_eq!(watch.sight(&fingerprint), Some(Sight::Suppressed));
    assert_eq!(client.end_silence(&made.id).await.unwrap(), SilenceEnd::Ended);
    let listed = client.silences(now()).await.unwrap();
    assert!(listed.iter().find(|one| one.id == made.id).unwrap().was_ended());
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert_eq!(client.end_silence(unknown).await.unwrap(), SilenceEnd::Gone);
    let groups = client.groups("a", now()).await.unwrap();
    assert!(groups.iter().flat_map(|group| &group.alerts).any(|one| one.alert.fingerprint == fingerprint));
}
