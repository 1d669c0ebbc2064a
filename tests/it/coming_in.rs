//! HTTP requests from Alertmanager and the homeserver, and their answers.

use crate::world::{Group, TOKEN, World, post};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Sends a request to the webhook listener. Returns the status and the body, which must be JSON.
async fn ask(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> (StatusCode, Value) {
    let mut request =
        reqwest::Client::new().request(method, format!("{}{path}", world.bot.webhook)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/json", "{path}");
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn the_webhook_answers_in_json_with_the_documented_status() {
    let (world, _rooms) = World::finance("").await;
    let firing = Group::firing("DiskFull", world.now()).payload().to_string();
    let json = ("content-type", "application/json");
    let token = format!("Bearer {TOKEN}");
    let token = ("authorization", token.as_str());
    let world = &world;
    let post = |path: &'static str, headers: Vec<(&'static str, &str)>, body: String| {
        let headers: Vec<(&'static str, String)> =
            headers.into_iter().map(|(n, v)| (n, v.to_owned())).collect();
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            ask(world, Method::POST, path, &headers, body).await.0.as_u16()
        }
    };
    assert_eq!(post("/webhook/finance", vec![json, token], firing.clone()).await, 200);
    assert_eq!(post("/webhook/finance", vec![json], firing.clone()).await, 401);
    assert_eq!(post("/webhook/nobody", vec![json], firing.clone()).await, 401);
    assert_eq!(post("/webhook/nobody", vec![json, token], firing.clone()).await, 404);
    assert_eq!(post("/webhook-ack", vec![json, token], firing.clone()).await, 404);
    assert_eq!(post("/elsewhere", vec![json, token], firing.clone()).await, 404);
    assert_eq!(
        post("/webhook/finance", vec![token, ("content-type", "text/plain")], firing.clone()).await,
        415
    );
    assert_eq!(post("/webhook/finance", vec![json, token], "{".to_owned()).await, 400);
    assert_eq!(post("/webhook/finance", vec![json, token], " ".repeat(8 * 1024 * 1024 + 1)).await, 413);
    assert_eq!(ask(world, Method::GET, "/webhook/finance", &[token], "").await.0, 405);
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_report_is_rejected_while_the_database_is_down_and_accepted_on_the_retry() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.database.down().await;
    let (status, answer) = world.post(&group.payload()).await;
    assert_eq!((status, &answer["error"]), (503, &json!("the report could not be kept; try again")));
    world.database.up().await;
    world.report(&group).await;
    assert_eq!(world.homeserver.messages(&rooms.ops).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn reports_of_a_real_alertmanager_are_paged_and_resolved() {
    let (world, rooms) = World::finance("").await;
    for (body, messages) in [
        (include_str!("../fixtures/alertmanager/grouped-3-0.25.0.json"), 1),
        (include_str!("../fixtures/alertmanager/grouped-3-one-resolved-0.25.0.json"), 1),
        (include_str!("../fixtures/alertmanager/truncated-max2-of-5-0.25.0.json"), 2),
        (include_str!("../fixtures/alertmanager/from-prometheus-0.25.0.json"), 3),
    ] {
        let (status, answer) =
            post(&format!("{}/webhook/finance", world.bot.webhook), TOKEN, body.to_owned()).await;
        assert_eq!((status, &answer["remarks"]), (200, &json!([])), "{answer}");
        world.settle().await;
        let pages = world
            .homeserver
            .messages(&rooms.ops)
            .into_iter()
            .filter(|message| message.body.contains('#'))
            .count();
        assert!(pages >= messages, "{answer}");
    }
    let (status, answer) = post(
        &format!("{}/webhook", world.bot.webhook),
        TOKEN,
        include_str!("../fixtures/alertmanager/firing-0.33.1.json").to_owned(),
    )
    .await;
    assert_eq!(
        (status, &answer["error"]),
        (404, &json!("no room list has the receiver \"matrix\", and no label room_list names one"))
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_malformed_alert_is_posted_with_its_batch_and_marked() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    let alerts = body["alerts"].as_array_mut().unwrap();
    alerts.push(json!({"status": "firing", "labels": {"alertname": "Odd", "disk": 7}}));
    alerts.push(json!("nonsense"));
    let (status, answer) = world.post(&body).await;
    assert_eq!(status, 200);
    assert_eq!(answer["firing"], 3);
    assert_eq!(answer["remarks"], json!(["2 of 3 alerts are not as Alertmanager sends them."]));
    world.settle().await;
    let page = world.homeserver.messages(&rooms.ops).remove(0).body;
    assert!(page.contains("it has no valid fingerprint"), "{page}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn events_are_handled_in_the_order_of_arrival() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person("@alice:example.test");
    // Event ids have no order, so the test notices any order except that of arrival.
    let mut commands = Vec::new();
    for _ in 0..6 {
        commands.push(alice.says(&rooms.ops, &format!("ack {number}")));
        commands.push(alice.says(&rooms.ops, &format!("unack {number}")));
    }
    commands.push(alice.says(&rooms.ops, &format!("ack {number} for good")));
    world.homeserver.push("elsewhere", &commands).await.unwrap();
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT event_id FROM inbox WHERE event_id = ANY($1) ORDER BY seq")
            .bind(commands.iter().map(ToString::to_string).collect::<Vec<_>>())
            .fetch_all(world.database.reader())
            .await
            .unwrap();
    assert_eq!(kept, commands.iter().map(ToString::to_string).collect::<Vec<_>>());
    world.settle().await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn transactions_are_rejected_while_the_database_is_down_and_nothing_is_lost() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.database.down().await;
    let command = world.homeserver.person("@alice:example.test").says(&rooms.ops, &format!("ack {number}"));
    assert!(world.homeserver.push("away", std::slice::from_ref(&command)).await.is_err());
    world.database.up().await;
    world.homeserver.push("away", &[command]).await.unwrap();
    world.settle().await;
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_links_of_a_page_lead_where_its_sender_has_a_page() {
    let (world, rooms) = World::finance("").await;
    let mut links = BTreeMap::new();
    for (name, body) in [
        ("Grafana", include_str!("../fixtures/senders/grafana.json")),
        ("Mimir", include_str!("../fixtures/senders/mimir.json")),
        ("vmalert", include_str!("../fixtures/senders/vmalert.json")),
        ("SigNoz", include_str!("../fixtures/senders/signoz.json")),
    ] {
        let (status, answer) = world.post(&serde_json::from_str(body).unwrap()).await;
        assert_eq!((status, &answer["remarks"]), (200, &json!([])), "{answer}");
        world.settle().await;
        let page = world.homeserver.messages(&rooms.ops).pop().unwrap().body;
        let is_link = |line: &&str| line.contains(": http");
        links.insert(name, page.lines().filter(is_link).map(str::to_owned).collect::<Vec<_>>());
    }
    insta::assert_debug_snapshot!(links);
    world.nothing_is_left().await;
}
