//! Tests of the webhook: what Alertmanager gets as an answer.

use crate::world::{Setup, World, http_client};
use matrixbot::alertmanager::payload::LARGEST_BODY;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const FIRING: &str = include_str!("../fixtures/alertmanager/firing-0.25.0.json");

/// Two lists with tokens, one without, and a path of a predecessor.
const LISTS: &str = r##"  - name: matrix
    webhook_token: s3cret
    levels: [{rooms: ["#ops:example.test"]}]
  - name: ops
    webhook_token: other
    levels: [{rooms: ["#managers:example.test"]}]
  - name: lab
    webhook_auth: none
    levels: [{rooms: ["#fallback:example.test"]}]
compatibility:
  /webhook-ack: matrix
"##;

async fn world() -> World {
    let setup = Setup::prepare().await;
    setup.rooms();
    setup.start(LISTS).await
}

/// Status, headers and body of an answer.
type Answer = (u16, Vec<(String, String)>, Value);

async fn ask(request: RequestBuilder) -> Answer {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let headers = answer.headers().iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    // The order of different headers is random.
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    (status, headers, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn status(request: RequestBuilder) -> u16 {
    ask(request).await.0
}

/// The room list that accepted a report.
async fn room_list(request: RequestBuilder) -> String {
    let (status, _, body) = ask(request).await;
    assert_eq!(status, 200, "{body}");
    body["room_list"].as_str().unwrap().to_owned()
}

fn untyped(world: &World, method: Method, path: &str) -> RequestBuilder {
    http_client().request(method, format!("{}{path}", world.bot.webhook))
}

fn post(world: &World, path: &str) -> RequestBuilder {
    post_body(world, path, FIRING.to_owned())
}

fn post_body(world: &World, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    untyped(world, Method::POST, path).header("content-type", "application/json").body(body)
}

fn for_receiver(receiver: &str) -> String {
    FIRING.replace(r#""receiver": "matrix""#, &format!(r#""receiver": "{receiver}""#))
}

async fn incidents(world: &World) -> i64 {
    world.count("SELECT count(*) FROM incident").await
}

#[tokio::test]
async fn a_report_is_answered_with_its_incident() {
    let world = world().await;
    let (status, _, body) = ask(post(&world, "/webhook/matrix").bearer_auth("s3cret")).await;
    assert_eq!(status, 200);
    let expected = json!({
        "incident": 1, "room_list": "matrix", "outcome": "done", "firing": 1, "resolved": 0, "remarks": [],
    });
    assert_eq!(body, expected);
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    let counted = r#"matrixbot_webhook_requests_total{code="200",room_list="matrix"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains(r#"matrixbot_webhook_alerts_total{status="firing"} 1"#));
}

#[tokio::test]
async fn without_a_valid_token_known_and_unknown_lists_get_the_same_answer() {
    let world = world().await;
    let locked = ask(post(&world, "/webhook/matrix")).await;
    assert_eq!(locked.0, 401);
    assert_eq!(locked, ask(post(&world, "/webhook/nobody")).await);
    assert_eq!(locked, ask(post(&world, "/webhook/nobody").bearer_auth("wrong")).await);
    let challenges: Vec<&str> = locked
        .1
        .iter()
        .filter(|(name, _)| name == "www-authenticate")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(challenges, ["Bearer realm=\"matrixbot\"", "Basic realm=\"matrixbot\", charset=\"UTF-8\""]);
    assert_eq!(status(post(&world, "/webhook/matrix").bearer_auth("other")).await, 401);
    let (unknown, _, body) = ask(post(&world, "/webhook/nobody").bearer_auth("other")).await;
    assert_eq!((unknown, &body["error"]), (404, &json!("there is no such room list")));
    assert_eq!(incidents(&world).await, 0);
    assert_eq!(status(post(&world, "/webhook/lab")).await, 200);
    assert_eq!(incidents(&world).await, 1);
}

#[tokio::test]
async fn a_list_s_name_is_decoded() {
    let world = world().await;
    assert_eq!(room_list(post(&world, "/webhook/m%61trix").bearer_auth("s3cret")).await, "matrix");
    assert_eq!(status(post(&world, "/webhook/a%2Fb").bearer_auth("s3cret")).await, 404);
}

#[tokio::test]
async fn basic_authentication_is_accepted() {
    let world = world().await;
    let basic = post(&world, "/webhook/matrix").basic_auth("alertmanager", Some("s3cret"));
    assert_eq!(status(basic).await, 200);
    let twice = post(&world, "/webhook/matrix").bearer_auth("s3cret").header("authorization", "Bearer wrong");
    assert_eq!(status(twice).await, 401);
}

#[tokio::test]
async fn a_report_without_a_list_in_its_path_is_routed_by_its_receiver() {
    let world = &world().await;
    let to = |receiver: &str| post_body(world, "/webhook", for_receiver(receiver));
    assert_eq!(room_list(post(world, "/webhook").bearer_auth("s3cret")).await, "matrix");
    assert_eq!(status(to("ops").bearer_auth("s3cret")).await, 401);
    assert_eq!(room_list(to("ops").bearer_auth("other")).await, "ops");
    let (unknown, _, body) = ask(to("who").bearer_auth("other")).await;
    assert_eq!(unknown, 404);
    assert_eq!(body["error"], "no room list has the receiver \"who\", and no label room_list names one");
    assert_eq!(status(to("who")).await, 401);
    assert_eq!(room_list(to("lab")).await, "lab");
    let labelled =
        for_receiver("who").replace(r#""groupLabels": {"#, r#""groupLabels": {"room_list": "ops","#);
    assert_eq!(room_list(post_body(world, "/webhook", labelled).bearer_auth("other")).await, "ops");
}

#[tokio::test]
async fn predecessors_paths_are_routed_by_the_configuration() {
    let world = world().await;
    assert_eq!(room_list(post(&world, "/webhook-ack").bearer_auth("s3cret")).await, "matrix");
    assert_eq!(status(post(&world, "/webhook-ack").bearer_auth("other")).await, 401);
    assert_eq!(status(post(&world, "/skill/eventmanager/webhook").bearer_auth("s3cret")).await, 404);
    assert_eq!(status(post(&world, "/skill/alertmanager/webhook")).await, 401);
    assert_eq!(status(untyped(&world, Method::GET, "/skill/eventmanager-ack/webhook-ack")).await, 405);
}

#[tokio::test]
async fn an_unreadable_body_is_rejected_with_the_reason_and_the_position() {
    let world = world().await;
    let broken = post_body(&world, "/webhook/matrix", "{\n \"alerts\": 7}").bearer_auth("s3cret");
    let (refused, _, body) = ask(broken).await;
    assert_eq!(refused, 400);
    assert_eq!(
        body,
        json!({
            "error": "`alerts`: expected an array, found a number (line 2, column 12)",
            "path": "alerts", "line": 2, "column": 12,
        })
    );
    assert_eq!(status(post_body(&world, "/webhook/matrix", "{")).await, 401, "the token comes first");
}

#[tokio::test]
async fn only_json_is_read() {
    let world = world().await;
    let bare = || untyped(&world, Method::POST, "/webhook/matrix").bearer_auth("s3cret").body(FIRING);
    for accepted in
        ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
    {
        assert_eq!(status(bare().header("content-type", accepted)).await, 200, "{accepted}");
    }
    for refused in ["text/plain", "application/x-www-form-urlencoded", "json", "text/json+json"] {
        assert_eq!(status(bare().header("content-type", refused)).await, 415, "{refused}");
    }
    assert_eq!(status(bare()).await, 200);
    let compressed = bare().header("content-type", "application/json").header("content-encoding", "gzip");
    assert_eq!(status(compressed).await, 415);
}

#[tokio::test]
async fn the_size_of_a_body_is_limited() {
    let world = world().await;
    let padded = |size: usize| {
        let mut body = br#"{"receiver": "matrix", "groupKey": "g", "alerts": []}"#.to_vec();
        body.resize(size, b' ');
        post_body(&world, "/webhook/matrix", body).bearer_auth("s3cret")
    };
    assert_eq!(status(padded(LARGEST_BODY)).await, 200);
    assert_eq!(status(padded(LARGEST_BODY + 1)).await, 413);
}

#[tokio::test]
async fn while_the_database_is_unavailable_the_caller_is_asked_to_retry() {
    let world = world().await;
    let report = || post(&world, "/webhook/matrix").bearer_auth("s3cret");
    world.database.down().await;
    let (unavailable, headers, body) = ask(report()).await;
    assert_eq!(unavailable, 503);
    assert_eq!(body["error"], "the report could not be kept; try again");
    assert!(headers.contains(&("retry-after".to_owned(), "5".to_owned())));
    world.database.up().await;
    assert_eq!(status(report()).await, 200);
}

#[tokio::test]
async fn other_methods_are_rejected_in_json() {
    let world = world().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (status, headers, body) = ask(untyped(&world, method.clone(), "/webhook/matrix")).await;
        assert_eq!(status, 405, "{method}");
        assert!(headers.contains(&("allow".to_owned(), "POST".to_owned())));
        assert_eq!(body["errcode"], "M_UNRECOGNIZED");
    }
}

#[tokio::test]
async fn a_new_configuration_applies_to_the_next_request() {
    let mut world = world().await;
    let list = "  - name: new\n    webhook_token: fresh\n    levels: [{rooms: [\"#ops:example.test\"]}]\n";
    world.reload(list).await;
    assert_eq!(room_list(post(&world, "/webhook/new").bearer_auth("fresh")).await, "new");
    assert_eq!(status(post(&world, "/webhook/matrix").bearer_auth("s3cret")).await, 401);
}
