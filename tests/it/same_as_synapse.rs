//! The fake homeserver and a real Synapse give the client the same answers.
//!
//! Every test runs against the fake. It also runs against Synapse if `MATRIXBOT_TEST_SYNAPSE` has its address and
//! `MATRIXBOT_TEST_AS_TOKEN` the token of a registration with the namespace `@_alerts_.*`.

use crate::homeserver::Homeserver;
use matrixbot::matrix::{Client, ClientError, Failure, Identity, Timeouts};
use matrixbot::rooms::user_id::DEVICE_ID;
use ruma::{OwnedEventId, OwnedRoomId, OwnedTransactionId, RoomId, TransactionId, UserId};
use secrecy::SecretString;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

struct Server {
    url: url::Url,
    token: String,
    client: Client,
    domain: String,
    _fake: Option<Homeserver>,
}

impl Server {
    /// The fake, and Synapse if configured.
    async fn all() -> Vec<Self> {
        let fake = Homeserver::start();
        let mut servers =
            vec![Self::at(fake.url().clone(), "test-as-token".to_owned(), Some(fake.clone())).await];
        if let Ok(url) = std::env::var("MATRIXBOT_TEST_SYNAPSE") {
            let token = std::env::var("MATRIXBOT_TEST_AS_TOKEN").expect("the as_token of that Synapse");
            servers.push(Self::at(url.parse().unwrap(), token, None).await);
        }
        servers
    }

    async fn at(url: url::Url, token: String, fake: Option<Homeserver>) -> Self {
        let client = Client::new(&url, SecretString::from(token.clone()), Timeouts::default()).unwrap();
        let domain = client.whoami(None).await.unwrap().user_id.server_name().to_string();
        Self { url, token, client, domain, _fake: fake }
    }

    /// A new virtual user with a device.
    async fn virtual_user(&self, name: &str) -> Identity {
        let user_id = format!("@_alerts_{name}_{}:{}", matrixbot::ids::unique().simple(), self.domain);
        let mut identity = Identity::new(UserId::parse(user_id).unwrap());
        self.client.register_virtual_user(&identity.user_id).await.unwrap();
        self.client.register_virtual_user(&identity.user_id).await.expect("registering again is success");
        assert!(self.client.ensure_device(&identity.user_id, DEVICE_ID.into(), "matrixbot").await.unwrap());
        identity.device_id = Some(DEVICE_ID.into());
        identity
    }

    async fn room(&self, creator: &Identity, options: Value) -> OwnedRoomId {
        let answer = reqwest::Client::new()
            .post(format!("{}_matrix/client/v3/createRoom?user_id={}", self.url, creator.user_id))
            .bearer_auth(&self.token)
            .body(options.to_string())
            .send()
            .await
            .unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        RoomId::parse(answer["room_id"].as_str().unwrap()).unwrap()
    }

    async fn send(
        &self,
        identity: &Identity,
        room: &RoomId,
        id: &TransactionId,
        content: &Value,
    ) -> Result<OwnedEventId, ClientError> {
        let content = to_raw_value(content).unwrap();
        self.client.send_event(identity, room, "m.room.message", id, &content).await
    }
}

fn txn() -> OwnedTransactionId {
    OwnedTransactionId::from(matrixbot::ids::unique().to_string())
}

fn text(body: &str) -> Value {
    json!({"msgtype": "m.text", "body": body})
}

fn ids(events: &[Box<RawValue>]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let event: Value = serde_json::from_str(event.get()).unwrap();
            event["event_id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_virtual_user_sends_and_reads_back() {
    for server in Server::all().await {
        a_virtual_user_sends_and_reads_back_at(&server).await;
    }
}

async fn a_virtual_user_sends_and_reads_back_at(server: &Server) {
    let (client, finance) = (&server.client, server.virtual_user("finance").await);
    let owner = server.virtual_user("owner").await;
    let room = server.room(&owner, json!({"preset": "public_chat"})).await;
    client.set_display_name(&finance, "Finance alerts").await.unwrap();
    client.join(&finance, room.as_str().try_into().unwrap(), &[]).await.unwrap();
    assert!(client.joined_rooms(&finance).await.unwrap().contains(&room));
    assert_eq!(client.joined_members(&finance, &room).await.unwrap().len(), 2);
    assert_eq!(client.whoami(Some(&finance)).await.unwrap().device_id, finance.device_id);

    let id = txn();
    let page = server.send(&finance, &room, &id, &text("Disk full")).await.unwrap();
    let again = server.send(&finance, &room, &id, &text("Disk full")).await.unwrap();
    assert_eq!(page, again, "the same transaction id is the same event");
    let since = jiff::Timestamp::UNIX_EPOCH;
    let found = client.find_by_transaction_id(&finance, &room, &id, since).await.unwrap();
    assert_eq!(found, Some(page.clone()));
    let nothing = client.find_by_transaction_id(&finance, &room, &txn(), since).await.unwrap();
    assert_eq!(nothing, None);
    let without_device = Identity::new(finance.user_id.clone());
    let hidden = client.find_by_transaction_id(&without_device, &room, &id, since).await.unwrap();
    assert_eq!(hidden, None, "Synapse shows a device's transaction id to that device only");

    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": page, "key": "✅"}});
    let reaction = to_raw_value(&reaction).unwrap();
    let seed = client.send_event(&finance, &room, "m.reaction", &txn(), &reaction).await.unwrap();
    let relations = client.relations(&finance, &room, &page, None).await.unwrap();
    assert_eq!(ids(&relations.events), [seed.to_string()]);
    let twice = client.send_event(&finance, &room, "m.reaction", &txn(), &reaction).await.unwrap_err();
    assert_eq!(twice.errcode(), Some("M_DUPLICATE_ANNOTATION"));
    client.redact(&finance, &room, &seed, &txn(), Some("done")).await.unwrap();
    assert!(client.relations(&finance, &room, &page, None).await.unwrap().events.is_empty());

    let own = client.messages(&finance, &room, None, std::slice::from_ref(&finance.user_id)).await.unwrap();
    assert!(ids(&own.events).contains(&page.to_string()));
    client.leave(&finance, &room, Some("bye")).await.unwrap();
    let error = server.send(&finance, &room, &txn(), &text("too late")).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
}

#[tokio::test]
async fn a_long_room_is_read_page_by_page() {
    for server in Server::all().await {
        a_long_room_is_read_page_by_page_at(&server).await;
    }
}

async fn a_long_room_is_read_page_by_page_at(server: &Server) {
    let (client, owner) = (&server.client, server.virtual_user("owner").await);
    let room = server.room(&owner, json!({})).await;
    let wanted = txn();
    let first = server.send(&owner, &room, &wanted, &text("first")).await.unwrap();
    for n in 0..120 {
        server.send(&owner, &room, &txn(), &text(&n.to_string())).await.unwrap();
    }
    let since = jiff::Timestamp::UNIX_EPOCH;
    assert_eq!(client.find_by_transaction_id(&owner, &room, &wanted, since).await.unwrap(), Some(first));
}

#[tokio::test]
async fn power_and_encryption_are_read() {
    for server in Server::all().await {
        power_and_encryption_are_read_at(&server).await;
    }
}

async fn power_and_encryption_are_read_at(server: &Server) {
    let (client, owner) = (&server.client, server.virtual_user("owner").await);
    let guest = server.virtual_user("guest").await;
    for (version, expected) in [("12", i64::MAX), ("11", 100)] {
        let room = server.room(&owner, json!({"room_version": version})).await;
        let levels = client.power_levels(&owner, &room).await.unwrap();
        assert_eq!(levels.of(&owner.user_id), expected, "room version {version}");
        assert_eq!(levels.of(&guest.user_id), 0);
        assert!(levels.may_mention_room(&owner.user_id));
        assert!(!levels.may_mention_room(&guest.user_id));
        assert!(!client.is_encrypted(&owner, &room).await.unwrap());
        let algorithm = to_raw_value(&json!({"algorithm": "m.megolm.v1.aes-sha2"})).unwrap();
        client.send_state(&owner, &room, "m.room.encryption", "", &algorithm).await.unwrap();
        assert!(client.is_encrypted(&owner, &room).await.unwrap());
    }
}

#[tokio::test]
async fn rejections_are_distinguished() {
    for server in Server::all().await {
        rejections_are_distinguished_at(&server).await;
    }
}

async fn rejections_are_distinguished_at(server: &Server) {
    let (client, owner) = (&server.client, server.virtual_user("owner").await);
    let room = server.room(&owner, json!({})).await;
    let send = |content: Value| {
        let (server, owner, room) = (server, &owner, &room);
        async move { server.send(owner, room, &txn(), &content).await.unwrap_err() }
    };
    assert_eq!(send(text(&"x".repeat(70_000))).await.failure(), Failure::TooLarge);
    assert_eq!(
        send(json!({"msgtype": "m.text", "body": "x", "number": 1.5})).await.failure(),
        Failure::BadRequest
    );
    let surrogate = RawValue::from_string(r#"{"msgtype":"m.text","body":"\ud800"}"#.to_owned()).unwrap();
    let error = client.send_event(&owner, &room, "m.room.message", &txn(), &surrogate).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Temporary);

    let stranger = format!("@_alerts_{}:{}", matrixbot::ids::unique().simple(), server.domain);
    let stranger = Identity::new(UserId::parse(stranger).unwrap());
    assert_eq!(client.joined_rooms(&stranger).await.unwrap_err().failure(), Failure::UserNotRegistered);
    let mut gone = owner.clone();
    gone.device_id = Some("GONE".into());
    let error = server.send(&gone, &room, &txn(), &text("x")).await.unwrap_err();
    assert_eq!(error.failure(), Failure::UnknownDevice, "{error}");

    let alias = format!("#nowhere:{}", server.domain);
    let error = client.join(&owner, alias.as_str().try_into().unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound, "{error}");
    let error = client.resolve_alias(alias.as_str().try_into().unwrap()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound, "{error}");
    for unknown in [format!("!{}", "A".repeat(43)), format!("!unknown:{}", server.domain)] {
        let error = client.join(&owner, unknown.as_str().try_into().unwrap(), &[]).await.unwrap_err();
        assert_eq!(error.failure(), Failure::NotFound, "{error}");
    }
    let private = server.room(&owner, json!({"preset": "private_chat"})).await;
    let guest = server.virtual_user("guest").await;
    let error = client.join(&guest, private.as_str().try_into().unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden, "{error}");

    let wrong = SecretString::from("wrong");
    let wrong = Client::new(&server.url, wrong, Timeouts::default()).unwrap();
    assert_eq!(wrong.whoami(None).await.unwrap_err().failure(), Failure::UnknownToken);
    assert!(!client.versions().await.unwrap().versions.is_empty());
}

#[tokio::test]
async fn membership_follows_the_same_rules() {
    for server in Server::all().await {
        membership_follows_the_same_rules_at(&server).await;
    }
}

async fn membership_follows_the_same_rules_at(server: &Server) {
    let (client, owner) = (&server.client, server.virtual_user("owner").await);
    let guest = server.virtual_user("guest").await;
    let room = server.room(&owner, json!({"preset": "public_chat"})).await;
    let state = |user: &Identity, kind: &'static str, key: String, content: Value| {
        let (client, room, user) = (client, &room, user.clone());
        async move {
            client.send_state(&user, room, kind, &key, &to_raw_value(&content).unwrap()).await.map(|_| ())
        }
    };
    let member = |membership: &str| {
        let content = json!({"membership": membership});
        state(&owner, "m.room.member", guest.user_id.to_string(), content)
    };
    let join = || client.join(&guest, room.as_str().try_into().unwrap(), &[]);
    let errcode = |error: ClientError| error.errcode().unwrap().to_owned();

    assert_eq!(errcode(client.leave(&guest, &room, None).await.unwrap_err()), "M_FORBIDDEN");
    join().await.unwrap();
    join().await.expect("joining again is success");
    let topic = json!({"topic": "mine"});
    let error = state(&guest, "m.room.topic", String::new(), topic).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
    client.leave(&guest, &room, None).await.unwrap();
    client.leave(&guest, &room, None).await.expect("leaving again is success");

    join().await.unwrap();
    member("leave").await.unwrap();
    assert_eq!(errcode(client.leave(&guest, &room, None).await.unwrap_err()), "M_FORBIDDEN");
    join().await.unwrap();
    member("ban").await.unwrap();
    assert_eq!(errcode(join().await.unwrap_err()), "M_BAD_STATE");

    client.leave(&owner, &room, None).await.unwrap();
    let error = client.join(&owner, room.as_str().try_into().unwrap(), &[]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound, "a room that everybody left is gone");
    let nowhere = RoomId::parse(format!("!{}", "A".repeat(43))).unwrap();
    assert_eq!(client.leave(&owner, &nowhere, None).await.unwrap_err().failure(), Failure::NotFound);
    let error = client.joined_members(&owner, &nowhere).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
}

#[tokio::test]
async fn relations_are_listed_and_rejected_alike() {
    for server in Server::all().await {
        relations_are_listed_and_rejected_alike_at(&server).await;
    }
}

async fn relations_are_listed_and_rejected_alike_at(server: &Server) {
    let (client, owner) = (&server.client, server.virtual_user("owner").await);
    let room = server.room(&owner, json!({})).await;
    let page = server.send(&owner, &room, &txn(), &text("page")).await.unwrap();
    let related = |relation: Value| json!({"msgtype": "m.text", "body": "x", "m.relates_to": relation});
    let in_thread = related(json!({"rel_type": "m.thread", "event_id": page}));
    let in_thread = server.send(&owner, &room, &txn(), &in_thread).await.unwrap();
    let mut edit = related(json!({"rel_type": "m.replace", "event_id": page}));
    edit["m.new_content"] = text("page, edited");
    let edit = server.send(&owner, &room, &txn(), &edit).await.unwrap();
    let reply = related(json!({"m.in_reply_to": {"event_id": page}}));
    server.send(&owner, &room, &txn(), &reply).await.unwrap();
    let deep = related(json!({"rel_type": "m.thread", "event_id": in_thread}));
    let error = server.send(&owner, &room, &txn(), &deep).await.unwrap_err();
    assert_eq!((error.errcode(), error.failure()), (Some("M_UNKNOWN"), Failure::BadRequest));

    let relations = client.relations(&owner, &room, &page, None).await.unwrap();
    assert_eq!(
        ids(&relations.events),
        [edit.to_string(), in_thread.to_string()],
        "a plain reply is not listed"
    );
    let unknown = OwnedEventId::try_from("$unknown").unwrap();
    let error = client.relations(&owner, &room, &unknown, None).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound);
    client.redact(&owner, &room, &unknown, &txn(), None).await.expect("Synapse does not check the target");
}
