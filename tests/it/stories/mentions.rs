//! Only the mentions of a level or a severity notify people.

use super::{BOB, alice, minutes, notified, page};
use crate::world::{Group, Setup, TOKEN, World};
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
