use super::{AppserviceState, LARGEST_BODY, configure};
use crate::appservice::serving::Serves;
use crate::engine::EngineError;
use crate::rooms::UserError;
use crate::store::StoreError;
use crate::telemetry::Metrics;
use actix_web::http::header::AUTHORIZATION;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use actix_web::{App, test, web};
use ruma::UserId;
use ruma::api::Metadata;
use ruma::api::appservice as ruma_api;
use ruma::api::path_builder::PathBuilder;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// A transaction: its name and its events.
type Transaction = (String, Vec<String>);

/// Keeps every event, unless it is away; knows one user.
#[derive(Clone, Default)]
struct Keeper {
    kept: Rc<RefCell<Vec<Transaction>>>,
    away: Rc<Cell<bool>>,
}

impl Keeper {
    fn error() -> StoreError {
        StoreError::Database(sqlx::Error::PoolTimedOut)
    }
}

impl Serves for Keeper {
    async fn accept_events(&self, txn_id: &str, events: Vec<Box<RawValue>>) -> Result<u64, EngineError> {
        if self.away.get() {
            return Err(EngineError::Unavailable(Self::error()));
        }
        let events = events.iter().map(|event| event.get().to_owned()).collect();
        self.kept.borrow_mut().push((txn_id.to_owned(), events));
        Ok(1)
    }

    async fn ensure_user(&self, user_id: &UserId) -> Result<bool, UserError> {
        if self.away.get() {
            Err(Self::error().into())
        } else {
            Ok(user_id == "@_alerts_finance:example.org")
        }
    }
}

struct Bench {
    keeper: Keeper,
    metrics: Arc<Metrics>,
    state: web::Data<AppserviceState<Keeper>>,
}

type Answer = (u16, Value);

impl Bench {
    fn new() -> Self {
        let keeper = Keeper::default();
        let metrics = Arc::new(Metrics::new().unwrap());
        let state = web::Data::new(AppserviceState::new(keeper.clone(), &"hs".into(), metrics.clone()));
        Self { keeper, metrics, state }
    }

    async fn ask(&self, request: TestRequest) -> Answer {
        let app = test::init_service(
            App::new()
                .configure(|config| configure(config, self.state.clone()))
                .default_service(web::to(crate::http::answer::unknown_path)),
        )
        .await;
        let answer = test::call_service(&app, request.to_request()).await;
        let (status, content_type) = (answer.status(), answer.headers().get("content-type").cloned());
        assert_eq!(content_type.unwrap(), "application/json", "every answer is JSON");
        (status.as_u16(), test::read_body_json(answer).await)
    }

    async fn put(&self, path: &str, body: impl Into<web::Bytes>) -> Answer {
        self.ask(shown(TestRequest::put().uri(path).set_payload(body))).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(shown(TestRequest::get().uri(path))).await
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics.render().unwrap().lines().any(|line| line == series)
    }
}

fn shown(request: TestRequest) -> TestRequest {
    request.insert_header((AUTHORIZATION, "Bearer hs"))
}

const TXN: &str = "/_matrix/app/v1/transactions/17";

#[actix_web::test]
async fn a_transaction_of_synapse_is_kept_and_answered_with_an_empty_object() {
    let bench = Bench::new();
    for path in [TXN, "/transactions/17"] {
        let body: &'static [u8] = include_bytes!("../../../tests/fixtures/appservice/invite.json");
        assert_eq!(bench.put(path, body).await, (200, json!({})));
    }
    let kept = bench.keeper.kept.borrow();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].0, "17");
    assert!(kept[0].1[0].contains("$Mewm8N1rZ8DCegTnQPMdzSvIiG9ijsOSt-vE2UijPgk"));
    assert!(bench.counted(r#"matrixbot_appservice_transactions_total{result="accepted"} 2"#));
    assert!(bench.counted(r#"matrixbot_appservice_events_total{result="accepted"} 2"#));
}

#[actix_web::test]
async fn no_event_makes_a_transaction_fail() {
    let bench = Bench::new();
    let body = r#"{"events": [1, null, "x", {"type": []}, {"deep": [[[1e999]]]}, "\ud800"], "ephemeral": 7}"#;
    assert_eq!(bench.put(TXN, body).await.0, 200);
    assert_eq!(bench.put(TXN, &b"{\"events\": [\"\xff\"]}"[..]).await.0, 200);
    assert_eq!(bench.put(TXN, r#"{"events": []}"#).await.0, 200);
    assert_eq!(bench.keeper.kept.borrow()[0].1.len(), 6);
    assert!(bench.counted(r#"matrixbot_appservice_events_total{result="duplicate"} 5"#));
}

#[actix_web::test]
async fn what_is_no_transaction_is_refused_without_quoting_it() {
    let bench = Bench::new();
    for (body, errcode) in [
        ("", "M_NOT_JSON"),
        ("s3cret", "M_NOT_JSON"),
        (r#"{"events": [}"#, "M_NOT_JSON"),
        ("{}", "M_BAD_JSON"),
        ("[]", "M_BAD_JSON"),
        (r#"{"events": "s3cret"}"#, "M_BAD_JSON"),
    ] {
        let (status, answer) = bench.put(TXN, body).await;
        assert_eq!((status, &answer["errcode"]), (400, &json!(errcode)), "{body}");
        assert!(!answer.to_string().contains("s3cret"));
    }
    assert!(bench.counted(r#"matrixbot_appservice_transactions_total{result="unreadable"} 6"#));
}

#[actix_web::test]
async fn a_transaction_may_be_large_but_not_larger() {
    let bench = Bench::new();
    let sized = |size: usize| {
        let mut body = br#"{"events": []}"#.to_vec();
        body.resize(size, b' ');
        body
    };
    assert_eq!(bench.put(TXN, sized(LARGEST_BODY)).await.0, 200);
    let (status, answer) = bench.put(TXN, sized(LARGEST_BODY + 1)).await;
    assert_eq!((status, &answer["errcode"]), (413, &json!("M_TOO_LARGE")));
}

#[actix_web::test]
async fn while_the_database_is_away_the_homeserver_is_told_to_come_again() {
    let bench = Bench::new();
    bench.keeper.away.set(true);
    let (status, answer) = bench.put(TXN, r#"{"events": []}"#).await;
    assert_eq!((status, &answer["errcode"]), (503, &json!("M_UNKNOWN")));
    assert_eq!(bench.get("/_matrix/app/v1/users/@_alerts_finance:example.org").await.0, 503);
    assert!(bench.counted(r#"matrixbot_appservice_transactions_total{result="unavailable"} 1"#));
}

#[actix_web::test]
async fn only_the_homeserver_is_answered() {
    let bench = Bench::new();
    for (method, path) in [
        (Method::PUT, TXN),
        (Method::PUT, "/transactions/17"),
        (Method::GET, "/_matrix/app/v1/users/@_alerts_finance:example.org"),
        (Method::GET, "/rooms/%23a:example.org"),
        (Method::GET, "/_matrix/app/v1/thirdparty/protocol/irc"),
        (Method::POST, "/_matrix/app/v1/ping"),
    ] {
        let ask = |query: &str, header: Option<&str>| {
            let uri = format!("{path}{query}");
            let request =
                TestRequest::default().method(method.clone()).uri(&uri).set_payload(r#"{"events": []}"#);
            let request = match header {
                Some(header) => request.insert_header((AUTHORIZATION, header)),
                None => request,
            };
            bench.ask(request)
        };
        let (status, answer) = ask("", None).await;
        assert_eq!((status, &answer["errcode"]), (401, &json!("M_UNAUTHORIZED")), "{path}");
        for (query, header) in [
            ("", Some("Bearer wrong")),
            ("", Some("Bearer")),
            ("", Some("Basic aHM=")),
            ("?access_token=wrong", None),
            ("?access_token=", None),
            ("?access_token=wrong", Some("Bearer hs")),
            ("?access_token=hs", Some("Bearer wrong")),
            ("?access_token=hs&access_token=wrong", None),
        ] {
            let (status, answer) = ask(query, header).await;
            assert_eq!(
                (status, &answer["errcode"]),
                (403, &json!("M_FORBIDDEN")),
                "{path}{query} {header:?}"
            );
        }
        for (query, header) in
            [("", Some("Bearer hs")), ("?access_token=hs", None), ("?access_token=%68s", Some("bearer hs"))]
        {
            assert!(
                ask(query, header).await.0 < 401 || path.contains("room") || path.contains("third"),
                "{path}"
            );
        }
    }
    assert!(bench.counted(r#"matrixbot_appservice_transactions_total{result="unauthorized"} 18"#));
}

#[actix_web::test]
async fn an_empty_token_lets_nobody_in() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let state = web::Data::new(AppserviceState::new(Keeper::default(), &"".into(), metrics.clone()));
    let bench = Bench { keeper: Keeper::default(), metrics, state };
    let request = TestRequest::put().uri(&format!("{TXN}?access_token=")).set_payload(r#"{"events": []}"#);
    assert_eq!(bench.ask(request).await.0, 403);
}

#[actix_web::test]
async fn a_user_is_known_if_it_is_ours() {
    let bench = Bench::new();
    for path in
        ["/_matrix/app/v1/users/@_alerts_finance:example.org", "/users/%40_alerts_finance%3Aexample.org"]
    {
        assert_eq!(bench.get(path).await, (200, json!({})), "{path}");
    }
    for path in [
        "@_alerts_nobody:example.org",
        "@alice:example.org",
        "nonsense",
        "%2F",
        "%40_alerts_finance%3Aexample.org%2Fx",
    ] {
        let (status, answer) = bench.get(&format!("/_matrix/app/v1/users/{path}")).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")), "{path}");
    }
}

#[actix_web::test]
async fn there_are_no_aliases_and_no_third_party_networks() {
    let bench = Bench::new();
    for path in [
        "/_matrix/app/v1/rooms/%23alerts:example.org",
        "/rooms/%23alerts%2Fx:example.org",
        "/_matrix/app/v1/thirdparty/protocol/irc",
        "/_matrix/app/v1/thirdparty/user/irc?nick=x",
        "/_matrix/app/v1/thirdparty/user?userid=@a:b",
        "/_matrix/app/v1/thirdparty/location/irc",
        "/_matrix/app/v1/thirdparty/location?alias=x",
        "/_matrix/app/unstable/thirdparty/protocol/irc",
    ] {
        let (status, answer) = bench.get(path).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_NOT_FOUND")), "{path}");
    }
}

#[actix_web::test]
async fn a_ping_is_answered() {
    let bench = Bench::new();
    let ping = || shown(TestRequest::post().uri("/_matrix/app/v1/ping"));
    assert_eq!(
        bench.ask(ping().set_payload(r#"{"transaction_id": "mautrix-go_1"}"#)).await,
        (200, json!({}))
    );
    assert_eq!(bench.ask(ping()).await, (200, json!({})));
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let bench = Bench::new();
    for path in ["/", "/_matrix/app/v1/", "/_matrix/app/v2/ping", "/_matrix/client/versions", "/transactions"]
    {
        let (status, answer) = bench.get(path).await;
        assert_eq!((status, &answer["errcode"]), (404, &json!("M_UNRECOGNIZED")), "{path}");
    }
    for path in [TXN, "/transactions/17", "/_matrix/app/v1/ping"] {
        let (status, answer) = bench.get(path).await;
        assert_eq!((status, &answer["errcode"]), (405, &json!("M_UNRECOGNIZED")), "{path}");
    }
    let (status, _) = bench.put("/_matrix/app/v1/users/@a:b.c", "").await;
    assert_eq!(StatusCode::from_u16(status).unwrap(), StatusCode::METHOD_NOT_ALLOWED);
}

/// Everything that ruma knows of the API has a path here.
#[actix_web::test]
async fn the_whole_api_is_served() {
    fn paths<M: Metadata>() -> Vec<(http::Method, String)> {
        M::PATH_BUILDER.all_paths().map(|path| (M::METHOD, path.replace(['{', '}'], "x"))).collect()
    }
    let bench = Bench::new();
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
        let method = Method::from_bytes(method.as_str().as_bytes()).unwrap();
        let request = TestRequest::default().method(method).uri(&path).set_payload(r#"{"events": []}"#);
        let (status, answer) = bench.ask(shown(request)).await;
        assert_ne!(answer["errcode"], "M_UNRECOGNIZED", "{path}");
        assert!(status == 200 || answer["errcode"] == "M_NOT_FOUND", "{path}: {answer}");
    }
}
