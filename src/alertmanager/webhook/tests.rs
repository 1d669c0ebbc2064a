use super::{LARGEST_BODY, TakesReports, WebhookState, configure};
use crate::clock::ManualClock;
use crate::domain::input::Outcome;
use crate::domain::lists::{Lists, Webhooks};
use crate::domain::webhook::Webhook;
use crate::engine::{Accepted, EngineError};
use crate::store::StoreError;
use crate::telemetry::Metrics;
use actix_web::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use actix_web::{App, test, web};
use jiff::Timestamp;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

const FIRING: &[u8] = include_bytes!("../../../tests/fixtures/alertmanager/firing-0.25.0.json");

/// Takes every report, unless it is away.
#[derive(Clone, Default)]
struct Taker {
    taken: Rc<RefCell<Vec<(String, String)>>>,
    away: Rc<Cell<bool>>,
    lists: Rc<RefCell<Arc<Lists>>>,
}

impl Taker {
    fn configure(&self, lists: &[(&str, Option<&str>)], compatibility: &[(&str, &str)]) {
        let mut webhooks = Webhooks::default();
        for (name, token) in lists {
            webhooks.add(name, token.map(Into::into), &[].into());
        }
        let owned = |(path, list): &(&str, &str)| ((*path).to_owned(), (*list).to_owned());
        webhooks.compatibility = compatibility.iter().map(owned).collect();
        *self.lists.borrow_mut() = Arc::new(Lists::default().with_webhooks(webhooks));
    }
}

impl TakesReports for Taker {
    fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.lists.borrow())
    }

    async fn report(
        &self,
        room_list: &str,
        webhook: Webhook,
        _now: Timestamp,
    ) -> Result<Accepted, EngineError> {
        if self.away.get() {
            return Err(EngineError::Unavailable(StoreError::Database(sqlx::Error::PoolTimedOut)));
        }
        self.taken.borrow_mut().push((room_list.to_owned(), webhook.receiver.clone()));
        Ok(Accepted { incident: Some(42), outcome: Outcome::Done })
    }
}

struct Bench {
    taker: Taker,
    metrics: Arc<Metrics>,
    state: web::Data<WebhookState<Taker>>,
}

impl Bench {
    fn new() -> Self {
        let taker = Taker::default();
        let metrics = Arc::new(Metrics::new().unwrap());
        let clock = Arc::new(ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap()));
        taker.configure(
            &[("matrix", Some("s3cret")), ("ops", Some("other")), ("lab", None)],
            &[("/webhook-ack", "matrix")],
        );
        let state = web::Data::new(WebhookState::new(taker.clone(), clock, metrics.clone()));
        Self { taker, metrics, state }
    }

    async fn ask(&self, request: TestRequest) -> (StatusCode, Vec<(String, String)>, Value) {
        let app =
            test::init_service(App::new().configure(|config| configure(config, self.state.clone()))).await;
        let answer = test::call_service(&app, request.to_request()).await;
        let status = answer.status();
        let headers =
            answer.headers().iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
        (status, headers, test::read_body_json(answer).await)
    }

    async fn status(&self, request: TestRequest) -> u16 {
        self.ask(request).await.0.as_u16()
    }

    fn taken(&self) -> Vec<(String, String)> {
        self.taker.taken.borrow().clone()
    }
}

fn post(path: &str) -> TestRequest {
    TestRequest::post().uri(path).insert_header((CONTENT_TYPE, "application/json")).set_payload(FIRING)
}

fn bearer(request: TestRequest, token: &str) -> TestRequest {
    request.insert_header((AUTHORIZATION, format!("Bearer {token}")))
}

fn said(receiver: &str) -> Vec<u8> {
    String::from_utf8_lossy(FIRING)
        .replace(r#""receiver": "matrix""#, &format!(r#""receiver": "{receiver}""#))
        .into()
}

#[actix_web::test]
async fn a_report_is_answered_with_its_incident() {
    let bench = Bench::new();
    let (status, _, body) = bench.ask(bearer(post("/webhook/matrix"), "s3cret")).await;
    assert_eq!(status, 200);
    assert_eq!(body["incident"], 42);
    assert_eq!(body["room_list"], "matrix");
    assert_eq!(
        (&body["outcome"], &body["firing"], &body["resolved"]),
        (&"done".into(), &1.into(), &0.into())
    );
    assert_eq!(body["remarks"], serde_json::json!([]));
    assert_eq!(bench.taken(), [("matrix".to_owned(), "matrix".to_owned())]);
    let metrics = bench.metrics.render(Timestamp::UNIX_EPOCH).unwrap();
    assert!(
        metrics.contains(r#"matrixbot_webhook_requests_total{code="200",room_list="matrix"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"matrixbot_webhook_alerts_total{status="firing"} 1"#));
}

#[actix_web::test]
async fn without_its_token_a_list_and_no_list_look_the_same() {
    let bench = Bench::new();
    let locked = bench.ask(post("/webhook/matrix")).await;
    let missing = bench.ask(post("/webhook/nobody")).await;
    let wrong = bench.ask(bearer(post("/webhook/nobody"), "wrong")).await;
    assert_eq!(locked.0, 401);
    assert_eq!(locked, missing);
    assert_eq!(locked, wrong);
    let challenges: Vec<&str> = locked
        .1
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(challenges, ["Bearer realm=\"matrixbot\"", "Basic realm=\"matrixbot\", charset=\"UTF-8\""]);
    assert_eq!(bench.status(bearer(post("/webhook/matrix"), "other")).await, 401);
    let (status, _, body) = bench.ask(bearer(post("/webhook/nobody"), "other")).await;
    assert_eq!((status.as_u16(), &body["error"]), (404, &"there is no such room list".into()));
    assert_eq!(bench.status(post("/webhook/lab")).await, 200);
    assert_eq!(bench.taken().len(), 1);
}

#[actix_web::test]
async fn a_list_s_name_is_decoded() {
    let bench = Bench::new();
    assert_eq!(bench.status(bearer(post("/webhook/m%61trix"), "s3cret")).await, 200);
    assert_eq!(bench.status(bearer(post("/webhook/a%2Fb"), "s3cret")).await, 404);
}

#[actix_web::test]
async fn basic_does_as_well() {
    let bench = Bench::new();
    let basic = post("/webhook/matrix").insert_header((AUTHORIZATION, "Basic YWxlcnRtYW5hZ2VyOnMzY3JldA=="));
    assert_eq!(bench.status(basic).await, 200);
    let twice = bearer(post("/webhook/matrix"), "s3cret").append_header((AUTHORIZATION, "Bearer wrong"));
    assert_eq!(bench.status(twice).await, 401);
}

#[actix_web::test]
async fn a_report_without_a_list_in_its_path_goes_where_its_receiver_says() {
    let bench = Bench::new();
    assert_eq!(bench.status(bearer(post("/webhook"), "s3cret")).await, 200);
    assert_eq!(bench.status(bearer(post("/webhook").set_payload(said("ops")), "s3cret")).await, 401);
    assert_eq!(bench.status(bearer(post("/webhook").set_payload(said("ops")), "other")).await, 200);
    let (status, _, body) = bench.ask(bearer(post("/webhook").set_payload(said("who")), "other")).await;
    assert_eq!(status, 404);
    assert_eq!(
        body["error"],
        "no room list is named as the receiver \"who\", and no label room_list names one"
    );
    assert_eq!(bench.status(post("/webhook").set_payload(said("who"))).await, 401);
    assert_eq!(bench.status(post("/webhook").set_payload(said("lab"))).await, 200);
    let labelled = String::from_utf8(said("who"))
        .unwrap()
        .replace(r#""groupLabels": {"#, r#""groupLabels": {"room_list": "ops","#);
    assert_eq!(bench.status(bearer(post("/webhook").set_payload(labelled), "other")).await, 200);
    let lists: Vec<String> = bench.taken().into_iter().map(|(list, _)| list).collect();
    assert_eq!(lists, ["matrix", "ops", "lab", "ops"]);
}

#[actix_web::test]
async fn predecessors_paths_lead_where_the_configuration_says() {
    let bench = Bench::new();
    assert_eq!(bench.status(bearer(post("/webhook-ack"), "s3cret")).await, 200);
    assert_eq!(bench.status(bearer(post("/webhook-ack"), "other")).await, 401);
    assert_eq!(bench.status(bearer(post("/skill/eventmanager/webhook"), "s3cret")).await, 404);
    assert_eq!(bench.status(post("/skill/alertmanager/webhook")).await, 401);
    assert_eq!(bench.status(TestRequest::get().uri("/skill/eventmanager-ack/webhook-ack")).await, 405);
}

#[actix_web::test]
async fn what_cannot_be_read_is_refused_with_what_and_where() {
    let bench = Bench::new();
    let broken = bearer(post("/webhook/matrix"), "s3cret").set_payload("{\n \"alerts\": 7}");
    let (status, _, body) = bench.ask(broken).await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        serde_json::json!({
            "error": "`alerts`: expected an array, found a number (line 2, column 12)",
            "path": "alerts", "line": 2, "column": 12,
        })
    );
    assert_eq!(bench.status(post("/webhook/matrix").set_payload("{")).await, 401, "who comes first");
}

#[actix_web::test]
async fn only_json_is_read() {
    let bench = Bench::new();
    let with = |content_type: &str| {
        bearer(TestRequest::post().uri("/webhook/matrix"), "s3cret")
            .insert_header((CONTENT_TYPE, content_type))
            .set_payload(FIRING)
    };
    for accepted in
        ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
    {
        assert_eq!(bench.status(with(accepted)).await, 200, "{accepted}");
    }
    for refused in ["text/plain", "application/x-www-form-urlencoded", "json", "text/json+json"] {
        assert_eq!(bench.status(with(refused)).await, 415, "{refused}");
    }
    let untyped = bearer(TestRequest::post().uri("/webhook/matrix"), "s3cret").set_payload(FIRING);
    assert_eq!(bench.status(untyped).await, 200);
    let compressed = with("application/json").insert_header((CONTENT_ENCODING, "gzip"));
    assert_eq!(bench.status(compressed).await, 415);
}

#[actix_web::test]
async fn a_body_may_be_large_but_not_larger() {
    let bench = Bench::new();
    let padded = |size: usize| {
        let mut body = br#"{"receiver": "matrix", "groupKey": "g", "alerts": []}"#.to_vec();
        body.resize(size, b' ');
        bearer(post("/webhook/matrix"), "s3cret").set_payload(body)
    };
    assert_eq!(bench.status(padded(LARGEST_BODY)).await, 200);
    assert_eq!(bench.status(padded(LARGEST_BODY + 1)).await, 413);
}

#[actix_web::test]
async fn while_the_database_is_away_the_caller_is_told_to_come_again() {
    let bench = Bench::new();
    bench.taker.away.set(true);
    let (status, headers, body) = bench.ask(bearer(post("/webhook/matrix"), "s3cret")).await;
    assert_eq!(status, 503);
    assert_eq!(body["error"], "the report could not be kept; try again");
    assert!(headers.contains(&("retry-after".to_owned(), "5".to_owned())));
    bench.taker.away.set(false);
    assert_eq!(bench.status(bearer(post("/webhook/matrix"), "s3cret")).await, 200);
}

#[actix_web::test]
async fn other_methods_are_refused_in_json() {
    let bench = Bench::new();
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (status, headers, body) = bench.ask(post("/webhook/matrix").method(method.clone())).await;
        assert_eq!(status, 405, "{method}");
        assert!(headers.contains(&("allow".to_owned(), "POST".to_owned())));
        assert_eq!(body["errcode"], "M_UNRECOGNIZED");
    }
}

#[actix_web::test]
async fn a_new_configuration_holds_from_the_next_request_on() {
    let bench = Bench::new();
    bench.taker.configure(&[("new", Some("fresh"))], &[]);
    assert_eq!(bench.status(bearer(post("/webhook/new"), "fresh")).await, 200);
    assert_eq!(bench.status(bearer(post("/webhook/matrix"), "s3cret")).await, 401);
}
