//! Only the mentions of a level or a severity notify people.

use super::{BOB, CAROL, alice, minutes, notified, page};
use crate::world::{Group, Setup, TOKEN, World, finance_list};
use ruma::OwnedRoomId;

/// A list of one level in `#ops` with alice and bob in it.
async fn world_with(mention: &str, severities: &str) -> (World, OwnedRoomId) {
    let setup = Setup::prepare().await;
    let ops = setup.rooms().ops;
    setup.homeserver.person(BOB).joins(&ops);
    let list = format!(
        "  - name: finance\n    webhook_token: {TOKEN}\n    levels: [{{rooms: [\"#ops:example.test\"], mention: {mention}}}]\n    severities: {severities}\n"
    );
    (setup.start(&list).await, ops)
}

#[tokio::test]
async fn a_level_notifies_its_mentions_with_a_pill() {
    let (world, ops) = world_with("[\"@bob:example.test\"]", "{}").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &ops), ["bob"]);
    let event = world.homeserver.timeline(&ops).into_iter().find(|event| !event.notifies.is_empty()).unwrap();
    assert_eq!(event.content["m.mentions"]["user_ids"], serde_json::json!([BOB]));
    let html = event.content["formatted_body"].as_str().unwrap();
    assert!(html.contains("<a href=\"https://matrix.to/#/@bob:example.test\">"), "{html}");
    alice(&world).reacts(&page(&world, &ops), "✅").await;
    assert_eq!(notified(&world, &ops), ["bob"], "an edit or a notice in the thread notifies nobody");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_whole_room_is_notified_if_the_power_level_allows_it() {
    let (world, ops) = world_with("[\"@room\"]", "{}").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &ops), Vec::<String>::new(), "without the power level nobody is notified");
    world.homeserver.set_power(&ops, World::virtual_user("finance").as_str(), 50);
    assert_eq!(notified(&world, &ops), ["alice, bob"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_severity_can_notify_others_or_nobody() {
    let severities = "{critical: {rank: 2, mention: [\"@alice:example.test\", \"@bob:example.test\"]}, info: {rank: 0, escalate: false, mention: []}}";
    let (world, ops) = world_with("[\"@bob:example.test\"]", severities).await;
    world.report(&Group::new("Harmless").alert("db-1", "info", "firing", world.now())).await;
    assert_eq!(notified(&world, &ops), Vec::<String>::new());
    world.report(&Group::new("Odd").alert("db-1", "odd", "firing", world.now())).await;
    assert_eq!(notified(&world, &ops), ["bob"], "for an unknown severity, the mentions of the level count");
    world.report(&Group::new("Grave").alert("db-1", "critical", "firing", world.now())).await;
    assert_eq!(notified(&world, &ops), ["bob", "alice, bob"]);
    world.pass(minutes(30)).await;
    assert_eq!(notified(&world, &ops), ["bob", "alice, bob"], "one level, no fallback room");
    world.nothing_is_left().await;
}

/// The check `mentions` of `/readyz`.
async fn readiness(world: &World) -> String {
    let answer = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    answer["checks"]["mentions"]["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn people_who_are_not_in_the_room_or_do_not_exist_are_named_once() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.person(BOB);
    setup.homeserver.person(CAROL).joins(&rooms.managers);
    let list = finance_list("").replace(
        "escalate_after: 15m",
        "escalate_after: 15m\n        mention: [\"@bob:example.test\", \"@alcie:example.test\", \"@alice:example.test\"]",
    );
    let list = list.replace("critical: {rank: 2}", "critical: {rank: 2, mention: [\"@carol:example.test\"]}");
    let world = setup.start(&list).await;
    let posted = world.homeserver.messages(&rooms.fallback);
    let [notice] = &posted[..] else { panic!("{posted:#?}") };
    assert_eq!(notice.msgtype, "m.notice");
    assert!(notice.body.contains("@bob:example.test: not in #ops:example.test"), "{}", notice.body);
    assert!(notice.body.contains("@alcie:example.test: example.test has no such user"), "{}", notice.body);
    assert!(!notice.body.contains("@alice:") && !notice.body.contains("@carol:"), "{}", notice.body);
    let found = readiness(&world).await;
    assert!(found.contains("@bob:example.test of finance: not in #ops:example.test"), "{found}");

    world.homeserver.person(BOB).joins(&rooms.ops);
    world.pass(minutes(10)).await;
    let found = readiness(&world).await;
    assert_eq!(found, "@alcie:example.test of finance: example.test has no such user");
    assert_eq!(world.homeserver.messages(&rooms.fallback).len(), 1, "nothing is repeated");
    world.homeserver.person(BOB).leaves(&rooms.ops);
    world.pass(minutes(10)).await;
    let posted = world.homeserver.messages(&rooms.fallback);
    assert_eq!(posted.len(), 2);
    assert!(posted[1].body.contains("@bob:") && !posted[1].body.contains("@alcie:"), "{}", posted[1].body);
    world.nothing_is_left().await;
}
