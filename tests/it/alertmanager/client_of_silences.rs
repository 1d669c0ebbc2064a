//! The client's silences, against the fake.

use super::{Alert, Alertmanager, Fault};
use jiff::{SignedDuration, ToSpan as _};
use matrixbot::alertmanager::api::{
    Alertmanager as Client, ApiError, Credentials, NewSilence, SilenceEnd, SilenceState,
};
use matrixbot::clock::{Clock as _, SystemClock};
use matrixbot::domain::webhook::Labels;
use std::time::Duration;
use url::Url;

const HOUR: Duration = Duration::from_hours(1);

fn client(peers: &[&Alertmanager]) -> Client {
    let urls: Vec<Url> = peers.iter().map(|peer| peer.url()).collect();
    Client::new(&urls, &Credentials::None, None).unwrap()
}

fn new(labels: &Labels) -> NewSilence<'_> {
    NewSilence { labels, lasting: HOUR, created_by: "@alice:example.test", comment: "#42", token: "t-0001" }
}

#[tokio::test]
async fn a_silence_holds_exactly_its_alert_by_alertmanager_s_clock() {
    for ahead in [0, -600, 600] {
        let alertmanager = Alertmanager::start();
        alertmanager.change(|state| state.ahead = ahead.seconds());
        let alert = Alert::new("DiskFull", "finance").with_label("odd", "a\\b \"c\"\nd");
        alertmanager.fire(alert.clone());
        alertmanager.fire(Alert::new("DiskFull", "finance"));
        let client = client(&[&alertmanager]);
        let made = client.make_silence(&new(&alert.labels), SystemClock.now()).await.unwrap();
        assert_eq!((made.state, made.comment.as_str()), (SilenceState::Active, "#42 [t-0001]"));
        assert_eq!(made.created_by, "@alice:example.test");
        let matchers: Vec<&str> = made.matchers.iter().map(|matcher| matcher.name.as_str()).collect();
        assert_eq!(matchers, ["alertname", "odd", "severity"]);
        let lasts = made.ends_at.duration_since(SystemClock.now());
        assert!((lasts - SignedDuration::from_hours(1)).abs() < SignedDuration::from_secs(5), "{lasts}");
        let held = client.alerts_with(&alert.labels, SystemClock.now()).await.unwrap();
        assert_eq!((held.len(), &held[0].silenced_by), (1, &vec![made.id.clone()]));
        let polled = client.poll(SystemClock.now()).await.answers();
        let alerts = &polled[0].as_ref().unwrap().alerts;
        assert_eq!(alerts.values().filter(|alert| alert.suppressed).count(), 1);

        let longer = client.prolong_silence(&made.id, 2 * HOUR, SystemClock.now()).await.unwrap().unwrap();
        assert_eq!((&longer.id, &longer.matchers), (&made.id, &made.matchers));
        assert!(longer.ends_at.duration_since(made.ends_at) > SignedDuration::from_mins(59));
        assert_eq!(client.end_silence(&made.id).await.unwrap(), SilenceEnd::Ended);
        assert_eq!(
            client.prolong_silence(&made.id, HOUR, SystemClock.now()).await.unwrap(),
            None,
            "it has ended"
        );
        let all = client.silences(SystemClock.now()).await.unwrap();
        assert!(all.len() == 1 && all[0].was_ended(), "{all:?}");
        assert_eq!(alertmanager.silences()[0].annotations["matrixbot"], "t-0001");
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_silence() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    let labels = Alert::new("A", "finance").labels;
    let client = client(&[&one, &two]);
    one.fail(Some(Fault::LostAnswer));
    let made = client.make_silence(&new(&labels), SystemClock.now()).await.unwrap();
    assert_eq!((one.silences().len(), two.silences().len()), (1, 0));
    assert_eq!(made.id, one.silences()[0].id);
    // One that does not answer at all has not made it.
    one.fail(Some(Fault::Status(503, "try again later".to_owned())));
    let again = client
        .make_silence(&NewSilence { token: "t-0002", ..new(&labels) }, SystemClock.now())
        .await
        .unwrap();
    assert_eq!((one.silences().len(), two.silences().len()), (1, 1));
    assert!(again.comment.ends_with("[t-0002]"));
    one.fail(None);
    assert_eq!(client.silences(SystemClock.now()).await.unwrap().len(), 2, "of both");
}

#[tokio::test]
async fn what_alertmanager_refuses_is_not_tried_again() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    let client = client(&[&one, &two]);
    let refused = client.make_silence(&new(&Labels::new()), SystemClock.now()).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "it answered 400: invalid silence: at least one matcher must not match the empty string"
    );
    assert!(two.requests().is_empty());
    for peer in [&one, &two] {
        peer.change(|state| state.authorization = Some("Bearer x".to_owned()));
    }
    assert!(matches!(client.silences(SystemClock.now()).await, Err(ApiError::Unauthorized(401))));
}

#[tokio::test]
async fn a_silence_that_no_peer_knows_is_gone() {
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    two.change(|state| state.version = "0.25.0".to_owned());
    let labels = Alert::new("A", "finance").labels;
    let on_two = client(&[&two]).make_silence(&new(&labels), SystemClock.now()).await.unwrap();
    let both = client(&[&one, &two]);
    assert_eq!(
        both.end_silence(&on_two.id).await.unwrap(),
        SilenceEnd::Ended,
        "the first one does not know it"
    );
    let odd = "5f0b1d5c-0000-4000-8000-999999999999";
    assert_eq!(client(&[&two]).end_silence(odd).await.unwrap(), SilenceEnd::Gone, "0.25 answers 500");
    assert_eq!(client(&[&two]).prolong_silence("../status", HOUR, SystemClock.now()).await.unwrap(), None);
    two.fail(Some(Fault::Status(503, String::new())));
    assert!(client(&[&two]).end_silence(odd).await.is_err(), "it may still hold");
}
