//! Tests of the fake homeserver's transactions: as Synapse sends them, with Synapse's failures.

use crate::homeserver::{Homeserver, Refused};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use matrixbot::matrix::{Client, Failure, Identity, Timeouts};
use ruma::{OwnedRoomId, UserId};
use secrecy::SecretString;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};

/// An application service that records its requests, and gives the planned answers or `200 {}`.
#[derive(Default)]
struct Listener {
    got: Mutex<Vec<(String, Value)>>,
    answers: Mutex<VecDeque<(u16, &'static str)>>,
}

impl Listener {
    fn answers_next(&self, status: u16, body: &'static str) {
        self.answers.lock().unwrap().push_back((status, body));
    }

    /// The path and the bodies of the messages of each transaction so far.
    fn transactions(&self) -> Vec<(String, Vec<String>)> {
        let got = self.got.lock().unwrap();
        got.iter()
            .map(|(path, body)| {
                let events = body["events"].as_array().into_iter().flatten();
                let bodies = events.filter_map(|event| event["content"]["body"].as_str()).map(str::to_owned);
                (path.clone(), bodies.collect())
            })
            .collect()
    }
}

/// A homeserver, its application service, and a room with a virtual user.
struct Fixture {
    homeserver: Homeserver,
    client: Client,
    listener: Arc<Listener>,
    room: OwnedRoomId,
    handle: ServerHandle,
}

impl Fixture {
    async fn new() -> Self {
        let homeserver = Homeserver::start();
        let listener = Arc::new(Listener::default());
        let (address, handle) = listen(Arc::clone(&listener));
        homeserver.set_appservice_url(&address);
        let token = SecretString::from("test-as-token");
        let client = Client::new(homeserver.url(), token, Timeouts::default()).unwrap();
        let finance = Identity::new(UserId::parse("@_alerts_finance:example.test").unwrap());
        client.register_virtual_user(&finance.user_id).await.unwrap();
        let room = homeserver.public_room("@alice:example.test", "#ops:example.test");
        client.join(&finance, room.as_str().try_into().unwrap(), &[]).await.unwrap();
        homeserver.deliver_all().await;
        listener.got.lock().unwrap().clear();
        Self { homeserver, client, listener, room, handle }
    }

    fn alice_says(&self, text: &str) -> ruma::OwnedEventId {
        self.homeserver.person("@alice:example.test").says(&self.room, text)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn listen(listener: Arc<Listener>) -> (String, ServerHandle) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", socket.local_addr().unwrap());
            let server = HttpServer::new(move || {
                App::new().app_data(web::Data::from(Arc::clone(&listener))).default_service(web::to(accept))
            })
            .workers(1)
            .disable_signals()
            .listen(socket)
            .unwrap()
            .run();
            sender.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

async fn accept(request: HttpRequest, body: web::Bytes, listener: web::Data<Listener>) -> HttpResponse {
    assert_eq!(request.headers().get("Authorization").unwrap(), "Bearer test-hs-token");
    let body = serde_json::from_slice(&body).unwrap();
    listener.got.lock().unwrap().push((request.path().to_owned(), body));
    let (status, body) = listener.answers.lock().unwrap().pop_front().unwrap_or((200, "{}"));
    HttpResponse::build(status.try_into().unwrap()).body(body)
}

fn path(txn_id: u32) -> String {
    format!("/_matrix/app/v1/transactions/{txn_id}")
}

#[tokio::test]
async fn messages_of_people_and_own_messages_are_pushed() {
    let fixture = Fixture::new().await;
    fixture.alice_says("ack 1");
    let finance = Identity::new(UserId::parse("@_alerts_finance:example.test").unwrap());
    let content =
        serde_json::value::to_raw_value(&serde_json::json!({"msgtype": "m.text", "body": "done"})).unwrap();
    fixture.client.send_event(&finance, &fixture.room, "m.room.message", "t".into(), &content).await.unwrap();
    assert_eq!(fixture.homeserver.deliver().await.events, 2);
    assert_eq!(fixture.listener.transactions(), [(path(2), vec!["ack 1".to_owned(), "done".to_owned()])]);
}

#[tokio::test]
async fn events_of_rooms_without_virtual_users_are_not_pushed() {
    let fixture = Fixture::new().await;
    let room = fixture.homeserver.private_room("@alice:example.test");
    fixture.homeserver.person("@alice:example.test").says(&room, "private");
    assert_eq!(fixture.homeserver.deliver().await.events, 0);
    fixture.homeserver.person("@alice:example.test").invites(&room, user("@_alerts_finance:example.test"));
    assert_eq!(fixture.homeserver.deliver().await.events, 1, "an invite is pushed");
}

fn user(id: &str) -> &UserId {
    <&UserId>::try_from(id).unwrap()
}

#[tokio::test]
async fn a_transaction_is_retried_unchanged_until_it_is_accepted() {
    let fixture = Fixture::new().await;
    fixture.alice_says("one");
    fixture.listener.answers_next(503, "{}");
    let refused = fixture.homeserver.deliver().await.refused;
    assert_eq!(refused, Some(Refused::Answered { status: 503, body: "{}".to_owned() }));
    fixture.alice_says("two");
    fixture.listener.answers_next(200, "");
    assert!(fixture.homeserver.deliver().await.refused.is_some(), "an empty body is a failure");
    assert_eq!(fixture.homeserver.deliver().await.events, 2);
    let one = (path(2), vec!["one".to_owned()]);
    assert_eq!(
        fixture.listener.transactions(),
        [one.clone(), one.clone(), one, (path(3), vec!["two".to_owned()])]
    );
}

#[tokio::test]
async fn a_transaction_holds_at_most_100_events() {
    let fixture = Fixture::new().await;
    for n in 0..250 {
        fixture.alice_says(&n.to_string());
    }
    fixture.homeserver.deliver_all().await;
    let sizes: Vec<usize> = fixture.listener.transactions().iter().map(|(_, events)| events.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[tokio::test]
async fn events_can_be_lost_repeated_and_numbered_again() {
    let fixture = Fixture::new().await;
    fixture.alice_says("lost");
    assert_eq!(fixture.homeserver.lose_unpushed_events(), 1);
    fixture.homeserver.repeat_transaction_ids();
    let received = fixture.alice_says("received");
    fixture.homeserver.deliver_all().await;
    fixture.homeserver.push("7", &[received]).await.unwrap();
    let received = vec!["received".to_owned()];
    assert_eq!(fixture.listener.transactions(), [(path(1), received.clone()), (path(7), received)]);
}

#[tokio::test]
async fn push_in_background_pushes_everything() {
    let fixture = Fixture::new().await;
    fixture.homeserver.push_in_background();
    fixture.listener.answers_next(500, "{}");
    fixture.alice_says("one");
    fixture.homeserver.delivered().await;
    fixture.alice_says("two");
    fixture.homeserver.delivered().await;
    let last = fixture.listener.transactions().pop().unwrap();
    assert_eq!(last.1, ["two"]);
}

#[tokio::test]
async fn a_ping_calls_the_application_service_back() {
    let fixture = Fixture::new().await;
    fixture.client.ping("matrixbot", Some("ping-1".into())).await.unwrap();
    let (path, body) = fixture.listener.got.lock().unwrap().pop().unwrap();
    assert_eq!(path, "/_matrix/app/v1/ping");
    assert_eq!(body["transaction_id"], "ping-1");

    fixture.listener.answers_next(403, "{}");
    let error = fixture.client.ping("matrixbot", None).await.unwrap_err();
    assert_eq!((error.errcode(), error.failure()), (Some("M_BAD_STATUS"), Failure::Temporary));
    let error = fixture.client.ping("another", None).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
}
