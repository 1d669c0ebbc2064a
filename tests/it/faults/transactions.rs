//! Transactions that arrive twice, late, out of order, with a reused id, or malformed: each event counts once.

use super::{ALICE, MINUTE};
use crate::homeserver::Refused;
use crate::world::{Group, Rooms, World};
use serde_json::{Value, json};

async fn firing() -> (World, Rooms, i64) {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    (world, rooms, number)
}

async fn acks(world: &World) -> i64 {
    world
        .count("SELECT count(*) FROM timeline WHERE kind IN ('acknowledged', 'joined_ack', 'late_ack')")
        .await
}

/// Pushes raw events. Returns the answer.
async fn push_raw(world: &World, txn_id: &str, events: &[Value]) -> (u16, Value) {
    let answer = reqwest::Client::new()
        .put(format!("{}/_matrix/app/v1/transactions/{txn_id}", world.bot.appservice))
        .header("Authorization", format!("Bearer {}", world.homeserver.appservice().hs_token))
        .body(json!({ "events": events }).to_string())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_repeated_transaction_counts_once() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let events = [alice.says(&rooms.ops, &format!("ack {number}")), alice.says(&rooms.ops, "pending")];
    for txn_id in ["77", "77", "78"] {
        world.homeserver.push(txn_id, &events).await.unwrap();
        world.settle().await;
    }
    assert_eq!(acks(&world).await, 1);
    assert_eq!(world.posts(&rooms.ops).len(), 3, "the page and two answers");
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reused_transaction_id_hides_no_event() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let help = alice.says(&rooms.ops, "!help");
    world.homeserver.push("7", &[help]).await.unwrap();
    world.settle().await;
    let ack = alice.says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.push("7", &[ack]).await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn transaction_ids_that_restart_from_one_are_accepted() {
    let (world, rooms, number) = firing().await;
    world.homeserver.restart().await;
    world.homeserver.repeat_transaction_ids();
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn a_reaction_after_its_redaction_has_no_effect() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
    let raw = json!({
        "type": "m.reaction", "event_id": reaction, "room_id": rooms.ops, "sender": ALICE,
        "origin_server_ts": world.now().as_millisecond(),
        "content": world.homeserver.event(&reaction)["content"],
    });
    let redaction = alice.redacts(&reaction);
    world.homeserver.push("1001", &[redaction]).await.unwrap();
    world.settle().await;
    assert_eq!(push_raw(&world, "1002", &[raw]).await.0, 200);
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(acks(&world).await, 0);
}

#[tokio::test]
async fn malformed_events_do_not_delay_the_others() {
    let (world, rooms, number) = firing().await;
    let ack = json!({
        "type": "m.room.message", "event_id": "$ack", "room_id": rooms.ops, "sender": ALICE,
        "origin_server_ts": world.now().as_millisecond(),
        "content": {"msgtype": "m.text", "body": format!("ack {number}")},
    });
    let count = std::cell::Cell::new(0);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut event = ack.clone();
        count.set(count.get() + 1);
        event["event_id"] = json!(format!("$broken{}", count.get()));
        change(&mut event);
        event
    };
    let broken = [
        json!(null),
        json!("an event"),
        json!([1, 2]),
        json!({}),
        json!({"event_id": 7, "room_id": {}}),
        with(&|event| event["event_id"] = json!("no sigil")),
        with(&|event| event["room_id"] = json!("nowhere")),
        with(&|event| event["sender"] = json!("nobody")),
        with(&|event| event["content"] = json!("text")),
        with(&|event| event["content"]["body"] = json!({"a": [1.5]})),
        with(&|event| event["origin_server_ts"] = json!("yesterday")),
        with(&|event| event["origin_server_ts"] = json!(-1)),
        with(&|event| event["type"] = json!(null)),
        with(&|event| event["content"]["body"] = json!("a\u{0}b")),
        with(&|event| event["content"]["m.relates_to"] = json!("x")),
        with(&|event| event["state_key"] = json!(5)),
        json!({"type": "m.reaction", "event_id": "$r", "room_id": rooms.ops, "sender": ALICE,
               "origin_server_ts": 1, "content": {"m.relates_to": {"rel_type": "m.annotation", "key": 5}}}),
        json!({"type": "m.room.tombstone", "state_key": "", "event_id": "$t", "room_id": rooms.ops, "sender": ALICE,
               "origin_server_ts": 1, "content": {"replacement_room": "not a room"}}),
        json!({"type": "m.room.member", "state_key": "nobody", "event_id": "$m", "room_id": rooms.ops, "sender": ALICE,
               "origin_server_ts": 1, "content": {"membership": "join"}}),
    ];
    let mut events = broken.to_vec();
    events.push(ack.clone());
    let (status, answer) = push_raw(&world, "5001", &events).await;
    assert_eq!((status, answer), (200, json!({})), "otherwise the homeserver would retry it forever");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert!(
        world
            .count("SELECT count(*) FROM inbox WHERE result LIKE '%malformed%' OR state = 'malformed'")
            .await
            >= 10
    );
    let (status, _) = push_raw(&world, "5001", &events).await;
    assert_eq!(status, 200);
    world.settle().await;
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn our_own_messages_have_no_effect() {
    let (world, rooms, number) = firing().await;
    world.pass(MINUTE).await;
    assert!(
        world.count("SELECT count(*) FROM inbox WHERE result = 'ignored: our own'").await >= 2,
        "page, reaction"
    );
    assert_eq!(world.phase(number).await, "firing", "our own reaction acknowledges nothing");
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_transaction_is_rejected_while_the_database_is_down_and_accepted_on_the_retry() {
    let (world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.database.down().await;
    let delivered = world.homeserver.deliver().await;
    assert_eq!(delivered.events, 0);
    let Some(Refused::Answered { status, body }) = delivered.refused else { panic!("{delivered:?}") };
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("errcode"), "{body}");
    world.database.up().await;
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}
