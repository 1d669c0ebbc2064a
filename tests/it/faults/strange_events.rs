//! Whatever strangers put into a room: no event stops the queue of its room, and nothing counts that should not.

use super::{ALICE, MINUTE, SECOND, list};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Setup, World};
use serde_json::json;
use sqlx::Executor;

const BOB: &str = "@bob:example.test";

/// Random enough that Postgres cannot compress it below the size of an index row.
fn long_id() -> String {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let letters = (0..6000).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + u8::try_from(state % 75).unwrap())
    });
    format!("${}", letters.filter(char::is_ascii_alphanumeric).collect::<String>())
}

#[tokio::test]
async fn a_reply_to_an_id_of_thousands_of_characters_stops_nobody() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let reply = json!({"m.in_reply_to": {"event_id": long_id()}});
    let content = json!({"msgtype": "m.text", "body": "ack", "m.relates_to": reply});
    alice.sends(&rooms.ops, "m.room.message", content).unwrap();
    let thread = json!({"rel_type": "m.thread", "event_id": long_id()});
    let content = json!({"msgtype": "m.text", "body": "ack", "m.relates_to": thread});
    alice.sends(&rooms.ops, "m.room.message", content).unwrap();
    let reaction = json!({"rel_type": "m.annotation", "event_id": long_id(), "key": "✅"});
    alice.sends(&rooms.ops, "m.reaction", json!({"m.relates_to": reaction})).unwrap();
    alice.sends(&rooms.ops, "m.room.redaction", json!({"redacts": long_id()})).unwrap();
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn events_with_ids_that_are_too_long_are_kept_as_malformed_and_the_others_count() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let ack = |event_id: &str, sender: &str| {
        json!({
            "type": "m.room.message", "event_id": event_id, "room_id": rooms.ops, "sender": sender, "origin_server_ts": 1,
            "content": {"msgtype": "m.text", "body": format!("ack {number}")},
        })
    };
    let long = long_id();
    let sender = format!("@{}:example.test", "a".repeat(300));
    let events = [ack(&long, ALICE), ack("$short", &sender), ack("$good", ALICE)];
    world.homeserver.push_as_they_were("t1", &events).await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE length(event_id) > 255").await, 0);
    assert_eq!(
        world
            .count("SELECT count(*) FROM inbox WHERE event_id = '$short' AND result LIKE 'malformed%'")
            .await,
        1
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_event_that_the_database_refuses_does_not_stop_its_transaction() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let mut connection = world.database.connect().await;
    connection.execute("ALTER TABLE inbox ADD CHECK (event::text NOT LIKE '%poison%')").await.unwrap();
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, "poison");
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.deliver_all().await;
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE state = 'malformed'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_whose_change_the_database_refuses_is_done_with_and_the_next_one_counts() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let mut connection = world.database.connect().await;
    connection.execute("ALTER TABLE timeline ADD CHECK (entry::text NOT LIKE '%poison%')").await.unwrap();
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, &format!("ack {number} poison"));
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE result LIKE 'failed: %'").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_webhook_that_the_database_refuses_is_never_answered_with_4xx() {
    let (world, _) = World::finance("").await;
    let mut connection = world.database.connect().await;
    connection.execute("ALTER TABLE incident ADD CHECK (group_key NOT LIKE '%Poison%')").await.unwrap();
    let (status, answer) = world.post(&Group::firing("Poison", world.now()).payload()).await;
    assert_eq!(status, 503, "{answer}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn power_levels_that_nobody_can_read_count_as_none() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(BOB).joins(&rooms.ops);
    world.homeserver.change_power_levels(&rooms.ops, |levels| {
        *levels = json!({"users": "everybody", "users_default": {"of": 100}});
    });
    let bob = world.homeserver.person(BOB);
    let command = bob.says(&rooms.ops, &format!("resolve {number}"));
    bob.says(&rooms.ops, "help");
    bob.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged", "what everybody may still counts");
    let answers = world.homeserver.replies_to(&command);
    assert!(answers.len() == 1 && answers[0].body.contains("power level"), "{answers:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_event_that_keeps_failing_is_set_aside_and_handled_once_that_is_possible() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let other = world.report(&Group::firing("HostDown", world.now())).await;
    let broken = Fault::Status(500, "M_UNKNOWN");
    world.homeserver.fail_until_cleared(Match::to(Endpoint::State).in_room(&rooms.ops), broken);
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, &format!("resolve {number}"));
    alice.says(&rooms.ops, &format!("ack {other}"));
    world.settle().await;
    assert_eq!(world.phase(other).await, "firing", "the order of a room holds for a moment");
    world.pass(MINUTE).await;
    assert_eq!(world.phase(other).await, "acknowledged", "but not for ever");
    assert_eq!(world.phase(number).await, "firing");
    let set_aside = "SELECT count(*) FROM inbox WHERE state = 'waiting' AND set_aside_at IS NOT NULL";
    assert_eq!(world.count(set_aside).await, 1);
    let series = r#"matrixbot_appservice_events_total{result="set_aside"}"#;
    assert_eq!(world.bot.series(series).await, Some(1.0));
    assert_eq!(world.bot.series("matrixbot_events_set_aside").await, Some(1.0));
    let (status, ready) = readyz(&world).await;
    assert_eq!((status, &ready["status"]), (200, &json!("degraded")), "{ready}");
    assert!(ready["checks"]["events"]["detail"].as_str().unwrap().starts_with("1 set aside"), "{ready}");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 6).await;
    assert_eq!(world.phase(number).await, "resolved");
    assert_eq!(world.bot.series("matrixbot_events_set_aside").await, Some(0.0));
    world.nothing_is_left().await;
}

async fn readyz(world: &World) -> (u16, serde_json::Value) {
    let answer = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_room_beyond_the_first_hundred_is_served_while_all_the_others_fail() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let names: Vec<String> = (0..100).map(|n| format!("#a{n}:example.test")).collect();
    let others: Vec<_> = names.iter().map(|name| setup.homeserver.public_room(ALICE, name)).collect();
    let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    wanted.push("#ops:example.test");
    let world = setup.start(&list("finance", &[&wanted])).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let broken = Fault::Status(500, "M_UNKNOWN");
    world.homeserver.fail_until_cleared(Match::to(Endpoint::State), broken);
    let alice = world.homeserver.person(ALICE);
    for room in &others {
        alice.says(room, "help");
    }
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.homeserver.clear_faults();
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_slow_invitation_and_a_slow_tombstone_delay_no_acknowledgement() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let alice = setup.homeserver.person(ALICE);
    let private = setup.homeserver.private_room(ALICE);
    let world = setup
        .start(&list("finance", &[&["#ops:example.test"], &[private.as_str(), "#managers:example.test"]]))
        .await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let user = World::virtual_user("finance");
    let invitation = world.homeserver.hold_before(Match::to(Endpoint::Join).in_room(&private));
    alice.invites(&private, &user);
    let successor = alice.upgrades(&rooms.managers);
    let tombstone = world.homeserver.hold_before(Match::to(Endpoint::Join).in_room(&successor));
    world.homeserver.deliver_all().await;
    tokio::join!(world.bot.work(), async {
        tokio::join!(invitation.reached(), tombstone.reached());
        alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
        world.homeserver.deliver_all().await;
        while world.phase(number).await != "acknowledged" {}
        invitation.release();
        tombstone.release();
    });
    world.pass(SECOND * 30).await;
    assert!(world.homeserver.is_joined(&private, user.as_str()));
    assert!(world.homeserver.is_joined(&successor, user.as_str()));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_name_that_no_list_has_is_never_registered() {
    let (world, rooms) = World::finance("").await;
    let nobody = World::virtual_user("nobody");
    let before = world.homeserver.virtual_users();
    let alice = world.homeserver.person(ALICE);
    let elsewhere = world.homeserver.private_room(ALICE);
    for room in [&elsewhere, &rooms.ops] {
        alice.invites(room, &nobody);
    }
    world.settle().await;
    assert_eq!(world.homeserver.virtual_users(), before);
    let path = format!("{}/_matrix/app/v1/users/{nobody}", world.bot.appservice);
    let token = world.homeserver.appservice().hs_token;
    let answer = reqwest::Client::new().get(path).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(world.homeserver.virtual_users(), before);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn only_who_reacted_withdraws_and_only_in_the_room_of_the_reaction() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let (alice, bob) = (world.homeserver.person(ALICE), world.homeserver.person(BOB));
    bob.joins(&rooms.ops);
    let reaction = alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.settle().await;
    let redaction = |room: &ruma::RoomId, sender: &str, id: &str| {
        json!({
            "type": "m.room.redaction", "event_id": id, "room_id": room, "sender": sender, "origin_server_ts": 1,
            "redacts": reaction, "content": {"redacts": reaction},
        })
    };
    let strange = [redaction(&rooms.ops, BOB, "$by_bob"), redaction(&rooms.managers, ALICE, "$elsewhere")];
    world.homeserver.push_as_they_were("t1", &strange).await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    alice.redacts(&reaction);
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing", "the reaction was still known");
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_redaction_by_a_stranger_does_not_swallow_a_reaction_that_comes_later() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.homeserver.lose_unpushed_events();
    let redaction = json!({
        "type": "m.room.redaction", "event_id": "$by_bob", "room_id": rooms.managers, "sender": BOB, "origin_server_ts": 1,
        "redacts": reaction, "content": {},
    });
    world.homeserver.push_as_they_were("t1", &[redaction]).await.unwrap();
    world.settle().await;
    world.homeserver.push("t2", &[reaction]).await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_flood_of_commands_is_answered_once_and_delays_nobody_else() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let (alice, bob) = (world.homeserver.person(ALICE), world.homeserver.person(BOB));
    bob.joins(&rooms.ops);
    world.settle().await;
    let before = (world.posts(&rooms.ops).len(), world.homeserver.count(Endpoint::State));
    for _ in 0..300 {
        bob.says(&rooms.ops, "help");
    }
    alice.says(&rooms.ops, &format!("ack {number}"));
    let page = world.post(&Group::firing("HostDown", world.now()).payload()).await;
    assert_eq!(page.0, 200);
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    let posts = world.posts(&rooms.ops);
    let limited = posts.iter().filter(|message| message.body.contains("too many commands")).count();
    assert_eq!(limited, 1);
    assert_eq!(posts.len() - before.0, 30 + 1 + 2, "thirty answers, one about the rest, the ack's, a page");
    assert_eq!(world.homeserver.count(Endpoint::State) - before.1, 60, "what is dropped costs no request");
    let dropped = r#"matrixbot_appservice_events_total{result="dropped"}"#;
    assert_eq!(world.bot.series(dropped).await, Some(270.0));
    world.pass(SECOND * 30).await;
    bob.says(&rooms.ops, "help");
    world.settle().await;
    assert_eq!(world.posts(&rooms.ops).len() - posts.len(), 1, "after a pause it is answered again");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_event_is_not_kept_for_ever_by_a_transaction_with_a_long_id() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let ack = world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    world.homeserver.push(&"t".repeat(3000), &[ack]).await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
}
