//! The Matrix client against the fake homeserver: the effect of each request, and the meaning of each failure.

use crate::homeserver::{Endpoint, Fault, Homeserver, Match, RoomKind};
use matrixbot::clock::ManualClock;
use matrixbot::matrix::{Client, ClientError, Failure, Identity, RequestObserver, Timeouts};
use matrixbot::rooms::user_id::{self, DEVICE_ID};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedTransactionId, RoomAliasId, RoomId, RoomOrAliasId, TransactionId, UserId,
    mxc_uri, server_name,
};
use secrecy::SecretString;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALICE: &str = "@alice:example.test";
const OPS: &str = "#ops:example.test";

/// A homeserver with one room that a virtual user with a device has joined.
struct Fixture {
    homeserver: Homeserver,
    client: Client,
    finance: Identity,
    room: OwnedRoomId,
}

impl Fixture {
    async fn new() -> Self {
        Self::of(Homeserver::start(), Timeouts::default()).await
    }

    async fn of(homeserver: Homeserver, timeouts: Timeouts) -> Self {
        let client = client_of(&homeserver, "test-as-token", timeouts);
        let room = homeserver.public_room(ALICE, OPS);
        let mut finance = Identity::new(finance());
        client.register_virtual_user(&finance.user_id).await.unwrap();
        client.ensure_device(&finance.user_id, DEVICE_ID.into(), "matrixbot").await.unwrap();
        finance.device_id = Some(DEVICE_ID.into());
        client.join(&finance, room_or_alias(OPS), &[]).await.unwrap();
        Self { homeserver, client, finance, room }
    }

    async fn send_text(&self, txn_id: &str, text: &str) -> Result<OwnedEventId, ClientError> {
        self.send(txn_id, &json!({"msgtype": "m.text", "body": text})).await
    }

    async fn send(&self, txn_id: &str, content: &Value) -> Result<OwnedEventId, ClientError> {
        self.send_raw(txn_id, &to_raw_value(content).unwrap()).await
    }

    async fn send_raw(&self, txn_id: &str, content: &RawValue) -> Result<OwnedEventId, ClientError> {
        self.client.send_event(&self.finance, &self.room, "m.room.message", &txn(txn_id), content).await
    }

    /// The error of the next send, which fails with this fault.
    async fn failure(&self, fault: Fault) -> ClientError {
        self.homeserver.fail_next(Match::send(), fault);
        self.send_text("t", "page").await.unwrap_err()
    }

    fn messages_in_room(&self) -> usize {
        self.homeserver.messages(&self.room).len()
    }
}

fn client_of(homeserver: &Homeserver, token: &str, timeouts: Timeouts) -> Client {
    Client::new(homeserver.url(), SecretString::from(token), timeouts).unwrap()
}

fn finance() -> ruma::OwnedUserId {
    user_id::user_id_for("finance", "_alerts_", server_name!("example.test")).unwrap()
}

fn txn(id: &str) -> OwnedTransactionId {
    <&TransactionId>::from(id).to_owned()
}

fn room_or_alias(room: &str) -> &RoomOrAliasId {
    <&RoomOrAliasId>::try_from(room).unwrap()
}

fn short() -> Timeouts {
    Timeouts { connect: Duration::from_secs(1), request: Duration::from_millis(300) }
}

#[tokio::test]
async fn a_virtual_user_registers_sets_a_name_and_joins_by_alias() {
    let fixture = Fixture::new().await;
    let identity = &fixture.finance;
    fixture.client.register_virtual_user(&identity.user_id).await.expect("registering again is success");
    fixture.client.set_display_name(identity, "Finance alerts").await.unwrap();
    fixture.client.set_avatar(identity, mxc_uri!("mxc://example.test/abc")).await.unwrap();

    let who = fixture.client.whoami(Some(identity)).await.unwrap();
    assert_eq!(who.user_id, finance());
    assert_eq!(who.device_id.as_deref().map(ToString::to_string).as_deref(), Some(DEVICE_ID));
    assert_eq!(fixture.homeserver.display_name(finance().as_str()).as_deref(), Some("Finance alerts"));
    assert_eq!(fixture.homeserver.virtual_users(), [finance()]);
    assert_eq!(fixture.client.joined_rooms(identity).await.unwrap(), [fixture.room.clone()].into());
    let members = fixture.client.joined_members(identity, &fixture.room).await.unwrap();
    assert_eq!(members, [finance(), UserId::parse(ALICE).unwrap()].into());
}

#[tokio::test]
async fn an_alias_resolves_to_its_room() {
    let fixture = Fixture::new().await;
    let resolved = fixture.client.resolve_alias(&RoomAliasId::parse(OPS).unwrap()).await.unwrap();
    assert_eq!(resolved.room_id, fixture.room);
    assert_eq!(resolved.via, [server_name!("example.test")]);

    let unknown = RoomAliasId::parse("#nowhere:example.test").unwrap();
    let error = fixture.client.resolve_alias(&unknown).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NotFound);
}

#[tokio::test]
async fn a_message_is_seen_and_its_resend_is_not() {
    let fixture = Fixture::new().await;
    let first = fixture.send_text("page-1", "Disk full").await.unwrap();
    let again = fixture.send_text("page-1", "Disk full").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(fixture.homeserver.rendered(&fixture.room), "_alerts_finance: Disk full\n");
}

#[tokio::test]
async fn a_resend_from_a_device_is_recognised_after_a_restart_for_a_day() {
    let clock = Arc::new(ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap()));
    let fixture = Fixture::of(Homeserver::start_on(clock.clone()), Timeouts::default()).await;
    let first = fixture.send_text("page-1", "Disk full").await.unwrap();
    fixture.homeserver.restart().await;
    assert_eq!(fixture.send_text("page-1", "Disk full").await.unwrap(), first);

    clock.advance(Duration::from_hours(25));
    fixture.homeserver.restart().await;
    assert_ne!(fixture.send_text("page-1", "Disk full").await.unwrap(), first);
}

#[tokio::test]
async fn without_a_device_a_resend_after_a_restart_is_a_duplicate_but_the_first_can_be_found() {
    let homeserver = Homeserver::start();
    homeserver.without_devices();
    let mut fixture = Fixture::of(homeserver, Timeouts::default()).await;
    fixture.finance.device_id = None;
    let supported =
        fixture.client.ensure_device(&fixture.finance.user_id, DEVICE_ID.into(), "matrixbot").await.unwrap();
    assert!(!supported);

    let since = jiff::Timestamp::UNIX_EPOCH;
    let first = fixture.send_text("page-1", "Disk full").await.unwrap();
    fixture.homeserver.restart().await;
    let find = |txn_id| {
        let (client, identity, room) = (&fixture.client, &fixture.finance, &fixture.room);
        async move { client.find_by_transaction_id(identity, room, &txn(txn_id), since).await.unwrap() }
    };
    assert_eq!(find("page-1").await, Some(first.clone()));
    assert_eq!(find("page-2").await, None);
    assert_ne!(fixture.send_text("page-1", "Disk full").await.unwrap(), first);
    assert_eq!(fixture.messages_in_room(), 2);
}

#[tokio::test]
async fn a_send_is_found_by_its_transaction_id_behind_many_others() {
    let fixture = Fixture::new().await;
    let alice = fixture.homeserver.person(ALICE);
    let wanted = fixture.send_text("wanted", "Disk full").await.unwrap();
    for n in 0..250 {
        fixture.send_text(&format!("other-{n}"), "noise").await.unwrap();
        alice.says(&fixture.room, "hm");
    }
    let since = jiff::Timestamp::UNIX_EPOCH;
    let found = fixture
        .client
        .find_by_transaction_id(&fixture.finance, &fixture.room, &txn("wanted"), since)
        .await
        .unwrap();
    assert_eq!(found, Some(wanted));
    assert_eq!(fixture.homeserver.count(Endpoint::Messages), 3);
}

#[tokio::test]
async fn a_search_ends_at_the_time_of_the_first_attempt() {
    let clock = Arc::new(ManualClock::new("2026-11-24T12:00:00Z".parse().unwrap()));
    let fixture = Fixture::of(Homeserver::start_on(clock.clone()), Timeouts::default()).await;
    for n in 0..150 {
        fixture.send_text(&format!("old-{n}"), "noise").await.unwrap();
    }
    let since = clock.advance(Duration::from_hours(1));
    let found = fixture
        .client
        .find_by_transaction_id(&fixture.finance, &fixture.room, &txn("never"), since)
        .await
        .unwrap();
    assert_eq!(found, None);
    assert_eq!(fixture.homeserver.count(Endpoint::Messages), 1);
}

#[tokio::test]
async fn two_virtual_users_with_the_same_transaction_id_lose_a_message() {
    let fixture = Fixture::new().await;
    let other = Identity::new(UserId::parse("@_alerts_network:example.test").unwrap());
    fixture.client.register_virtual_user(&other.user_id).await.unwrap();
    fixture.client.join(&other, room_or_alias(OPS), &[]).await.unwrap();
    let first = fixture.send_text("same", "Disk full").await.unwrap();
    let content = to_raw_value(&json!({"msgtype": "m.text", "body": "Link down"})).unwrap();
    let second = fixture
        .client
        .send_event(&other, &fixture.room, "m.room.message", &txn("same"), &content)
        .await
        .unwrap();
    assert_eq!(first, second, "this is why transaction ids are globally unique");
}

#[tokio::test]
async fn reactions_threads_and_edits_come_back_as_relations_newest_first() {
    let fixture = Fixture::new().await;
    let alice = fixture.homeserver.person(ALICE).named("alice");
    let page = fixture.send_text("page-1", "Disk full").await.unwrap();
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": page, "key": "✅"}});
    let seed = fixture
        .client
        .send_event(
            &fixture.finance,
            &fixture.room,
            "m.reaction",
            &txn("seed-1"),
            &to_raw_value(&reaction).unwrap(),
        )
        .await
        .unwrap();
    let ack = alice.reacts(&page, "✅");
    let word = alice.says_in_thread(&page, "looking");
    let edit = json!({
        "msgtype": "m.text", "body": "* Disk full: alice has it", "m.mentions": {},
        "m.new_content": {"msgtype": "m.text", "body": "Disk full: alice has it"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": page},
    });
    let edit = fixture.send("edit-1", &edit).await.unwrap();

    let relations = fixture.client.relations(&fixture.finance, &fixture.room, &page, None).await.unwrap();
    let ids: Vec<String> = relations.events.iter().map(|event| id_of(event)).collect();
    assert_eq!(ids, [edit.as_str(), word.as_str(), ack.as_str(), seed.as_str()]);
    assert_eq!(relations.next, None);
    let seen = "_alerts_finance: Disk full: alice has it (edited)\n  [✅ _alerts_finance, alice]\n  > alice: looking\n";
    assert_eq!(fixture.homeserver.rendered(&fixture.room), seen);

    alice.redacts(&ack);
    fixture
        .client
        .redact(&fixture.finance, &fixture.room, &seed, &txn("unseed-1"), Some("done"))
        .await
        .unwrap();
    let relations = fixture.client.relations(&fixture.finance, &fixture.room, &page, None).await.unwrap();
    assert_eq!(relations.events.len(), 2);
}

fn id_of(event: &RawValue) -> String {
    let event: Value = serde_json::from_str(event.get()).unwrap();
    event["event_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn pages_of_messages_lead_through_the_whole_room() {
    let fixture = Fixture::new().await;
    let alice = fixture.homeserver.person(ALICE);
    let sent: Vec<String> = (0..230).map(|n| alice.says(&fixture.room, &n.to_string()).to_string()).collect();
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let page = fixture
            .client
            .messages(&fixture.finance, &fixture.room, from.as_deref(), std::slice::from_ref(&alice.user_id))
            .await
            .unwrap();
        found.extend(page.events.iter().map(|event| id_of(event)));
        alice.says(&fixture.room, "meanwhile");
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    found.reverse();
    assert!(found.ends_with(&sent), "every message is returned once and in order");
}

#[tokio::test]
async fn creators_of_version_12_rooms_are_above_every_level() {
    let fixture = Fixture::new().await;
    let bob = fixture.homeserver.person("@bob:example.test");
    bob.joins(&fixture.room);
    fixture.homeserver.set_power(&fixture.room, "@bob:example.test", 50);
    let levels = fixture.client.power_levels(&fixture.finance, &fixture.room).await.unwrap();
    assert_eq!(levels.of(&UserId::parse(ALICE).unwrap()), i64::MAX);
    assert_eq!(levels.of(&bob.user_id), 50);
    assert_eq!(levels.of(&finance()), 0);
    assert!(levels.may_mention_room(&bob.user_id));
    assert!(!levels.may_mention_room(&finance()));
    assert!(levels.may_send(&finance(), "m.room.message"));
}

#[tokio::test]
async fn creators_of_older_rooms_have_the_level_they_are_given() {
    let fixture = Fixture::new().await;
    let kind = RoomKind { version: "11".to_owned(), ..RoomKind::default() };
    let room = fixture.homeserver.room(ALICE, &kind);
    fixture.client.join(&fixture.finance, room.as_str().try_into().unwrap(), &[]).await.unwrap();
    let alice = UserId::parse(ALICE).unwrap();
    assert_eq!(fixture.client.power_level_of(&fixture.finance, &room, &alice).await.unwrap(), 100);
}

#[tokio::test]
async fn an_encrypted_room_is_recognised() {
    let fixture = Fixture::new().await;
    let secret = fixture.homeserver.room(ALICE, &RoomKind { encrypted: true, ..RoomKind::default() });
    fixture.client.join(&fixture.finance, secret.as_str().try_into().unwrap(), &[]).await.unwrap();
    assert!(fixture.client.is_encrypted(&fixture.finance, &secret).await.unwrap());
    assert!(!fixture.client.is_encrypted(&fixture.finance, &fixture.room).await.unwrap());
}

#[tokio::test]
async fn rooms_are_left_and_invites_declined_with_a_reason() {
    let fixture = Fixture::new().await;
    let room = fixture.homeserver.private_room(ALICE);
    fixture.homeserver.person(ALICE).invites(&room, &finance());
    fixture.client.leave(&fixture.finance, &room, Some("This room is not on my list.")).await.unwrap();
    let last = fixture.homeserver.timeline(&room).pop().unwrap();
    assert_eq!(last.content["reason"], "This room is not on my list.");
    fixture.client.leave(&fixture.finance, &room, None).await.expect("leaving again is success");
    let never = fixture.homeserver.private_room(ALICE);
    let error = fixture.client.leave(&fixture.finance, &never, None).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
}

#[tokio::test]
async fn versions_are_answered() {
    let fixture = Fixture::new().await;
    let versions = fixture.client.versions().await.unwrap();
    assert!(versions.versions.contains(&"v1.11".to_owned()));
}

#[tokio::test]
async fn a_rate_limit_returns_how_long_to_wait() {
    let fixture = Fixture::new().await;
    let error = fixture.failure(Fault::RateLimit { retry_after: Duration::from_millis(4053) }).await;
    // The header has whole seconds, and takes precedence.
    assert_eq!(error.failure(), Failure::RateLimited { retry_after: Some(Duration::from_secs(5)) });
    assert!(!error.may_have_acted());
    assert_eq!(fixture.messages_in_room(), 0);
}

#[tokio::test]
async fn server_errors_are_temporary() {
    let fixture = Fixture::new().await;
    for status in [500, 502, 503, 504] {
        let error = fixture.failure(Fault::Status(status, "M_UNKNOWN")).await;
        assert_eq!(error.failure(), Failure::Temporary);
        assert!(error.may_have_acted());
    }
}

#[tokio::test]
async fn a_lost_reply_is_temporary_and_the_resend_is_seen_once() {
    let fixture = Fixture::new().await;
    let error = fixture.failure(Fault::DropReplyAfterAccepting).await;
    assert_eq!(error.failure(), Failure::Temporary);
    assert!(error.may_have_acted());
    assert_eq!(fixture.messages_in_room(), 1);
    fixture.send_text("t", "page").await.unwrap();
    assert_eq!(fixture.messages_in_room(), 1);
}

#[tokio::test]
async fn a_lost_request_is_temporary_and_nothing_is_seen() {
    let fixture = Fixture::new().await;
    let error = fixture.failure(Fault::DropBeforeAccepting).await;
    assert_eq!(error.failure(), Failure::Temporary);
    assert_eq!(fixture.messages_in_room(), 0);
}

#[tokio::test]
async fn silence_is_a_timeout_which_is_temporary() {
    let fixture = Fixture::of(Homeserver::start(), short()).await;
    let error = fixture.failure(Fault::Hang).await;
    assert_eq!(error.failure(), Failure::Temporary);
    assert_eq!(error.to_string(), "send: the homeserver did not answer in time");
    assert!(error.may_have_acted());
}

#[tokio::test]
async fn a_request_can_be_held_before_and_after_it_is_carried_out() {
    let fixture = Fixture::new().await;
    let held = fixture.homeserver.hold_after(Match::send().in_room(&fixture.room));
    let (sent, ()) = tokio::join!(fixture.send_text("held", "page"), async {
        held.reached().await;
        assert_eq!(fixture.messages_in_room(), 1);
        held.release();
    });
    sent.unwrap();
    let held = fixture.homeserver.hold_before(Match::send().by(&finance()).of_type("m.room.message"));
    let (sent, ()) = tokio::join!(fixture.send_text("held-2", "page"), async {
        held.reached().await;
        assert_eq!(fixture.messages_in_room(), 1);
        fixture.homeserver.person(ALICE).kicks(&fixture.room, &finance());
        held.release();
    });
    assert_eq!(sent.unwrap_err().failure(), Failure::Forbidden);
    assert_eq!(fixture.homeserver.faults_left(), 0);
}

#[tokio::test]
async fn answers_of_a_proxy_are_temporary_failures() {
    let fixture = Fixture::new().await;
    for status in [200, 302, 401, 403, 404, 502] {
        let error = fixture.failure(Fault::NonJson(status)).await;
        assert_eq!(error.failure(), Failure::Temporary, "{error}");
        assert!(error.may_have_acted());
    }
}

#[tokio::test]
async fn an_unreachable_homeserver_is_temporary_and_certainly_did_nothing() {
    let fixture = Fixture::new().await;
    fixture.homeserver.down().await;
    let error = fixture.send_text("t", "page").await.unwrap_err();
    assert_eq!(error.failure(), Failure::Temporary);
    assert_eq!(error.to_string(), "send: the homeserver cannot be reached");
    assert!(!error.may_have_acted());
    fixture.homeserver.up().await;
    fixture.send_text("t", "page").await.unwrap();
}

#[tokio::test]
async fn outsiders_are_forbidden_to_send() {
    let fixture = Fixture::new().await;
    fixture.homeserver.person(ALICE).kicks(&fixture.room, &finance());
    let error = fixture.send_text("t", "page").await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
    assert_eq!(error.errcode(), Some("M_FORBIDDEN"));
    fixture.client.join(&fixture.finance, room_or_alias(OPS), &[]).await.unwrap();
    fixture.homeserver.person(ALICE).bans(&fixture.room, &finance());
    let error = fixture.client.join(&fixture.finance, room_or_alias(OPS), &[]).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Forbidden);
}

#[tokio::test]
async fn sending_needs_the_power_level() {
    let fixture = Fixture::new().await;
    fixture.homeserver.change_power_levels(&fixture.room, |levels| levels["events_default"] = json!(10));
    assert_eq!(fixture.send_text("t", "page").await.unwrap_err().failure(), Failure::Forbidden);
    fixture.homeserver.set_power(&fixture.room, finance().as_str(), 10);
    fixture.send_text("t", "page").await.unwrap();
}

#[tokio::test]
async fn an_upgraded_room_is_closed_and_its_alias_moves() {
    let fixture = Fixture::new().await;
    let replacement = fixture.homeserver.person(ALICE).upgrades(&fixture.room);
    assert_eq!(fixture.send_text("t", "page").await.unwrap_err().failure(), Failure::Forbidden);
    assert_eq!(fixture.homeserver.room_of(OPS), replacement);
    let joined = fixture.client.join(&fixture.finance, room_or_alias(OPS), &[]).await.unwrap();
    assert_eq!(joined, replacement);
}

#[tokio::test]
async fn unknown_rooms_and_aliases_are_not_found() {
    let fixture = Fixture::new().await;
    for room in ["!unknown", "#unknown:example.test"] {
        let error = fixture.client.join(&fixture.finance, room_or_alias(room), &[]).await.unwrap_err();
        assert_eq!(error.failure(), Failure::NotFound, "{error}");
    }
}

#[tokio::test]
async fn content_above_the_event_limit_is_too_large() {
    let fixture = Fixture::new().await;
    fixture.send_text("fits", &"x".repeat(64_000)).await.unwrap();
    let error = fixture.send_text("t", &"x".repeat(65_000)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::TooLarge);
}

#[tokio::test]
async fn content_that_breaks_the_rules_is_a_bad_request() {
    let fixture = Fixture::new().await;
    let error =
        fixture.send("t", &json!({"msgtype": "m.text", "body": "x", "number": 1.5})).await.unwrap_err();
    assert_eq!(error.failure(), Failure::BadRequest);

    let page = fixture.send_text("page", "Disk full").await.unwrap();
    let relation = |rel_type: &str, event_id: &OwnedEventId| {
        json!({
            "msgtype": "m.text", "body": "x",
            "m.relates_to": {"rel_type": rel_type, "event_id": event_id, "key": "✅"},
        })
    };
    let in_thread = fixture.send("t2", &relation("m.thread", &page)).await.unwrap();
    let error = fixture.send("t3", &relation("m.thread", &in_thread)).await.unwrap_err();
    assert_eq!(error.failure(), Failure::BadRequest);
    assert_eq!(error.errcode(), Some("M_UNKNOWN"));

    let reaction = to_raw_value(&relation("m.annotation", &page)).unwrap();
    let react = |txn_id| {
        let (client, identity, room, reaction) =
            (&fixture.client, &fixture.finance, &fixture.room, &reaction);
        async move { client.send_event(identity, room, "m.reaction", &txn(txn_id), reaction).await }
    };
    react("r1").await.unwrap();
    let error = react("r2").await.unwrap_err();
    assert_eq!(error.failure(), Failure::BadRequest);
    assert_eq!(error.errcode(), Some("M_DUPLICATE_ANNOTATION"));
}

#[tokio::test]
async fn a_lone_surrogate_always_makes_the_homeserver_fail() {
    let fixture = Fixture::new().await;
    let content = RawValue::from_string(r#"{"msgtype":"m.text","body":"\ud800"}"#.to_owned()).unwrap();
    let error = fixture.send_raw("t", &content).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Temporary);
}

#[tokio::test]
async fn a_wrong_token_is_recognised() {
    let fixture = Fixture::new().await;
    let stranger = client_of(&fixture.homeserver, "wrong-token", Timeouts::default());
    let error = stranger.whoami(None).await.unwrap_err();
    assert_eq!(error.failure(), Failure::UnknownToken);
    assert!(!format!("{error:?} {stranger:?}").contains("wrong-token"));
}

#[tokio::test]
async fn an_unregistered_virtual_user_is_recognised() {
    let fixture = Fixture::new().await;
    let stranger = Identity::new(UserId::parse("@_alerts_stranger:example.test").unwrap());
    let error = fixture.client.joined_rooms(&stranger).await.unwrap_err();
    assert_eq!(error.failure(), Failure::UserNotRegistered);
    let outside = Identity::new(UserId::parse(ALICE).unwrap());
    let error = fixture.client.joined_rooms(&outside).await.unwrap_err();
    assert_eq!(error.failure(), Failure::UserBlocked);
    let error = fixture.client.register_virtual_user(&outside.user_id).await.unwrap_err();
    assert_eq!(error.errcode(), Some("M_EXCLUSIVE"));
}

#[tokio::test]
async fn an_unknown_device_is_recognised() {
    let mut fixture = Fixture::new().await;
    fixture.finance.device_id = Some("GONE".into());
    assert_eq!(fixture.send_text("t", "page").await.unwrap_err().failure(), Failure::UnknownDevice);
    fixture.client.ensure_device(&fixture.finance.user_id, "GONE".into(), "matrixbot").await.unwrap();
    fixture.send_text("t", "page").await.unwrap();
}

/// Records observed requests.
#[derive(Default)]
struct Observed(Mutex<Vec<(&'static str, Option<u16>)>>);

impl RequestObserver for Observed {
    fn on_request(&self, endpoint: &'static str, code: Option<u16>, _elapsed: Duration) {
        self.0.lock().unwrap().push((endpoint, code));
    }
}

#[tokio::test]
async fn the_observer_gets_every_request() {
    let fixture = Fixture::of(Homeserver::start(), short()).await;
    let observed = Arc::new(Observed::default());
    let client = fixture.client.clone().observed_by(observed.clone());
    client.versions().await.unwrap();
    fixture.homeserver.fail_next(Match::to(Endpoint::WhoAmI), Fault::Status(503, "M_UNKNOWN"));
    client.whoami(None).await.unwrap_err();
    fixture.homeserver.fail_next(Match::to(Endpoint::Leave).in_room(room()), Fault::Hang);
    client.leave(&fixture.finance, room(), None).await.unwrap_err();
    let expected = [("versions", Some(200)), ("whoami", Some(503)), ("leave", None)];
    assert_eq!(*observed.0.lock().unwrap(), expected);
}

fn room() -> &'static RoomId {
    <&RoomId>::try_from("!anywhere").unwrap()
}
