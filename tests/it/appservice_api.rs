//! Tests of the Application Service API: what the homeserver gets as an answer.

use crate::world::{World, http_client};
use matrixbot::appservice::http::LARGEST_BODY;
use reqwest::Method;
use ruma::api::Metadata;
use ruma::api::appservice as ruma_api;
use ruma::api::path_builder::PathBuilder;
use serde_json::{Value, json};

type Answer = (u16, Value);

const TXN: &str = "/_matrix/app/v1/transactions/17";
const USER: &str = "/_matrix/app/v1/users/@_alerts_finance:example.test";

async fn world() -> World {
    World::finance("").await.0
}

/// A request without a token. Returns status and body, which must be JSON.
async fn ask(
    world: &World,
    method: Method,
    path: &str,
    authorization: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let url = format!("{}{path}", world.bot.appservice);
    let mut request = http_client().request(method, url).body(body);
    if let Some(header) = authorization {
        request = request.header("Authorization", header);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/json", "every answer is JSON: {path}");
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// A request of the homeserver.
async fn request(world: &World, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {}", world.homeserver.appservice().hs_token);
    ask(world, method, path, Some(&token), body).await
}

async fn put(world: &World, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    request(world, Method::PUT, path, body).await
}

async fn get(world: &World, path: &str) -> Answer {
    request(world, Method::GET, path, "").await
}

async fn has_counted(world: &World, series: &str) -> bool {
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    metrics.lines().any(|line| line == series)
}

#[tokio::test]
async fn a_transaction_of_synapse_is_stored_and_answered_with_an_empty_object() {
    let world = world().await;
    let body = include_str!("../fixtures/appservice/invite.json");
    let count = serde_json::from_str::<Value>(body).unwrap()["events"].as_array().unwrap().len();
    let before = world.count("SELECT count(*) FROM inbox").await;
    assert_eq!(put(&world, TXN, body).await, (200, json!({})));
    let stored = world.count("SELECT count(*) FROM inbox").await - before;
    assert_eq!(usize::try_from(stored).unwrap(), count);
    let event = "SELECT count(*) FROM inbox WHERE event_id = '$Mewm8N1rZ8DCegTnQPMdzSvIiG9ijsOSt-vE2UijPgk'";
    assert_eq!(world.count(event).await, 1);
    // The same transaction at the old path without the prefix.
    assert_eq!(put(&world, "/transactions/17", body).await, (200, json!({})));
    assert_eq!(world.count("SELECT count(*) FROM inbox").await - before, stored);
    let duplicate = format!(r#"matrixbot_appservice_events_total{{result="duplicate"}} {count}"#);
    assert!(has_counted(&world, &duplicate).await);
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn no_event_makes_a_transaction_fail() {
    let world = world().await;
    let before = world.count("SELECT count(*) FROM inbox").await;
    let body = r#"{"events": [1, null, "x", {"type": []}, {"deep": [[[1e999]]]}, "\ud800"], "ephemeral": 7}"#;
    assert_eq!(put(&world, TXN, body).await.0, 200);
    assert_eq!(put(&world, TXN, &b"{\"events\": [\"\xff\"]}"[..]).await.0, 200);
    assert_eq!(put(&world, TXN, r#"{"events": []}"#).await.0, 200);
    assert_eq!(world.count("SELECT count(*) FROM inbox").await - before, 7, "each is stored as malformed");
    assert_eq!(put(&world, TXN, body).await.0, 200);
    assert!(has_counted(&world, r#"matrixbot_appservice_events_total{result="duplicate"} 6"#).await);
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_body_that_is_not_a_transaction_is_rejected_without_quoting_it() {
    let world = world().await;
    for (body, errcode) in [
        ("", "M_NOT_JSON"),
        ("s3cret", "M_NOT_JSON"),
        (r#"{"events": [}"#, "M_NOT_JSON"),
        ("{}", "M_BAD_JSON"),
        ("[]", "M_BAD_JSON"),
        (r#"{"events": "s3cret"}"#, "M_BAD_JSON"),
    ] {
        let (status, answer) = put(&world, TXN, body).await;
        assert_eq!((status, &answer["errcode"]), (400, &json!(errcode)), "{body}");
        assert!(!answer.to_string().contains("s3cret"));
    }
    let unreadable = r#"matrixbot_appservice_transactions_total{result="unreadable"} 6"#;
    assert!(has_counted(&world, unreadable).await);
}

#[tokio::test]
async fn the_size_of_a_transaction_is_limited() {
    let world = world().await;
    let sized = |size: usize| {
        let mut body = br#"{"events": []}"#.to_vec();
        body.resize(size, b' ');
        body
    };
    assert_eq!(put(&world, TXN, sized(LARGEST_BODY)).await.0, 200);
    let (status, answer) = put(&world, TXN, sized(LARGEST_BODY + 1)).await;
    assert_eq!((status, &answer["errcode"]), (413, &json!("M_TOO_LARGE")));
}

#[tokio::test]
async fn while_the_database_is_unavailable_the_homeserver_is_asked_to_retry() {
    let world = world().await;
    world.database.down().await;
    let (status, answer) = put(&world, TXN, r#"{"events": [{"event_id": "$a", "room_id": "!b:c"}]}"#).await;
    assert_eq!((status, &answer["errcode"]), (503, &json!("M_UNKNOWN")));
    let unavailable = r#"matrixbot_appservice_transactions_total{result="unavailable"} 1"#;
    assert!(has_counted(&world, unavailable).await);
    assert_eq!(get(&world, USER).await.0, 503);
    world.database.up().await;
}

#[tokio::test]
async fn only_the_homeserver_is_authorized() {
    let world = world().await;
    let token = world.homeserver.appservice().hs_token;
    let bytes: Vec<String> = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = bytes.concat();
    let (right, lower) = (format!("Bearer {token}"), format!("bearer {token}"));
    for (method, path) in [
        (Method::PUT, TXN),
        (Method::PUT, "/transactions/17"),
        (Method::GET, USER),
        (Method::GET, "/rooms/%23a:example.test"),
        (Method::GET, "/_matrix/app/v1/thirdparty/protocol/irc"),
        (Method::POST, "/_matrix/app/v1/ping"),
    ] {
        let ask = async |query: &str, header: Option<&str>| {
            let path = format!("{path}{query}");
            ask(&world, method.clone(), &path, header, r#"{"events": []}"#).await
        };
        let (status, answer) = ask("", None).await;
        assert_eq!((status, &answer["errcode"]), (401, &json!("M_UNAUTHORIZED")), "{path}");
        for (query, header) in [
            (String::new(), Some("Bearer wrong")),
            (String::new(), Some("Bearer")),
            (String::new(), Some("Basic aHM=")),
            ("?access_token=wrong".to_owned(), None),
            ("?access_token=".to_owned(), None),
            (format!("?access_token={token}"), Some("Bearer wrong")),
            (format!("?access_token={token}&access_token=wrong"), None),
        ] {
            let (status, answer) = ask(&query, header).await;
            let expected = (403, &json!("M_FORBIDDEN"));
            assert_eq!((status, &answer["errcode"]), expected, "{path}{query} {header:?}");
        }
        for (query, header) in [
            (String::new(), Some(&right)),
            (format!("?access_token={token}"), None),
            (format!("?access_token={encoded}"), Some(&lower)),
            // A token that the homeserver has put into the query without escaping it.
            ("?access_token=not+escaped".to_owned(), Some(&right)),
        ] {
            let (status, _) = ask(&query, header.map(String::as_str)).await;
            let unsupported = path.contains("room") || path.contains("third");
            assert_eq!(status, if unsupported { 404 } else { 200 }, "{path}");
        }
    }
    let unauthorized = r#"matrixbot_appservice_transactions_total{result="unauthorized"} 16"#;
    assert!(has_counted(&world, unauthorized).await);
}

#[tokio::test]
async fn a_user_exists_if_it_is_a_virtual_user() {
    let world = world().await;
    for path in [USER, "/users/%40_alerts_finance%3Aexample.test"] {
        assert_eq!(get(&world, path).await, (200, json!({})), "{path}");
    }
    for user in [
        "@_alerts_nobody:example.test",
        "@alice:example.test",
        "nonsense",
        "%2F",
        "%40_alerts_finance%3Aexample.test%2Fx",
    ] {
        let (status, answer) = get(&world, &format!("/_matrix/app/v1/users/{user}")).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")), "{user}");
    }
}

#[tokio::test]
async fn a_user_that_the_homeserver_lost_is_registered_again_when_it_asks() {
    let world = world().await;
    let user = World::virtual_user("finance");
    world.homeserver.forgets(&user);
    assert_eq!(get(&world, USER).await.0, 200);
    assert!(world.homeserver.virtual_users().contains(&user));
}

#[tokio::test]
async fn there_are_no_aliases_and_no_third_party_networks() {
    let world = world().await;
    for path in [
        "/_matrix/app/v1/rooms/%23alerts:example.test",
        "/rooms/%23alerts%2Fx:example.test",
        "/_matrix/app/v1/thirdparty/protocol/irc",
        "/_matrix/app/v1/thirdparty/user/irc?nick=x",
        "/_matrix/app/v1/thirdparty/user?userid=@a:b",
        "/_matrix/app/v1/thirdparty/location/irc",
        "/_matrix/app/v1/thirdparty/location?alias=x",
        "/_matrix/app/unstable/thirdparty/protocol/irc",
    ] {
        let (status, answer) = get(&world, path).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")), "{path}");
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let world = world().await;
    for body in [r#"{"transaction_id": "mautrix-go_1"}"#, ""] {
        let answer = request(&world, Method::POST, "/_matrix/app/v1/ping", body).await;
        assert_eq!(answer, (200, json!({})));
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let world = world().await;
    for path in ["/", "/_matrix/app/v1/", "/_matrix/app/v2/ping", "/_matrix/client/versions", "/transactions"]
    {
        let (status, answer) = get(&world, path).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_UNRECOGNIZED")), "{path}");
    }
    for path in [TXN, "/transactions/17", "/_matrix/app/v1/ping"] {
        let (status, answer) = get(&world, path).await;
        assert_eq!((status, &answer["errcode"]), (405, &json!("M_UNRECOGNIZED")), "{path}");
    }
    assert_eq!(put(&world, "/_matrix/app/v1/users/@a:b.c", "").await.0, 405);
}

/// Every endpoint that ruma knows is served.
#[tokio::test]
async fn the_whole_api_is_served() {
    fn paths<M: Metadata>() -> Vec<(Method, String)> {
        let method = Method::from_bytes(M::METHOD.as_str().as_bytes()).unwrap();
        M::PATH_BUILDER.all_paths().map(|path| (method.clone(), path.replace(['{', '}'], "x"))).collect()
    }
    let world = world().await;
    let all = [
        paths::<ruma_api::event::push_events::v1::Request>(),
        paths::<ruma_api::ping::send_ping::v1::Request>(),
        paths::<ruma_api::query::query_user_id::v1::Request>(),
        paths::<ruma_api::query::query_room_alias::v1::Request>(),
        paths::<ruma_api::thirdparty::get_protocol::v1::Request>(),
        paths::<ruma_api::thirdparty::get_location_for_protocol::v1::Request>(),
        paths::<ruma_api::thirdparty::get_location_for_room_alias::v1::Request>(),
        paths::<ruma_api::thirdparty::get_user_for_protocol::v1::Request>(),
        paths::<ruma_api::thirdparty::get_user_for_user_id::v1::Request>(),
    ]
    .concat();
    assert_eq!(all.len(), 9, "{all:?}");
    for (method, path) in all {
        let (status, answer) = request(&world, method, &path, r#"{"events": []}"#).await;
        assert_ne!(answer["errcode"], "M_UNRECOGNIZED", "{path}");
        assert!(status == 200 || answer["errcode"] == "M_NOT_FOUND", "{path}: {answer}");
    }
}
