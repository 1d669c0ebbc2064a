//! Whose clients ring: whom a level or a severity names, and nobody else.

use super::{BOB, alice, minutes, page, rung};
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
async fn a_level_calls_whom_it_names_with_a_pill_that_counts() {
    let (world, ops) = world_with("[\"@bob:example.test\"]", "{}").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(rung(&world, &ops), ["bob"]);
    let event = world.homeserver.timeline(&ops).into_iter().find(|event| !event.notifies.is_empty()).unwrap();
    assert_eq!(event.content["m.mentions"]["user_ids"], serde_json::json!([BOB]));
    let html = event.content["formatted_body"].as_str().unwrap();
    assert!(html.contains("<a href=\"https://matrix.to/#/@bob:example.test\">"), "{html}");
    alice(&world).reacts(&page(&world, &ops), "✅").await;
    assert_eq!(rung(&world, &ops), ["bob"], "an edit or a word in the thread calls nobody");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_whole_room_is_called_if_the_room_allows_it() {
    let (world, ops) = world_with("[\"@room\"]", "{}").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(rung(&world, &ops), Vec::<String>::new(), "without the power level nothing rings");
    world.homeserver.set_power(&ops, World::virtual_user("finance").as_str(), 50);
    assert_eq!(rung(&world, &ops), ["alice, bob"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_severity_names_others_or_nobody() {
    let severities = "{critical: {rank: 2, mention: [\"@alice:example.test\", \"@bob:example.test\"]}, info: {rank: 0, escalate: false, mention: []}}";
    let (world, ops) = world_with("[\"@bob:example.test\"]", severities).await;
    world.report(&Group::new("Harmless").alert("db-1", "info", "firing", world.now())).await;
    assert_eq!(rung(&world, &ops), Vec::<String>::new());
    world.report(&Group::new("Odd").alert("db-1", "odd", "firing", world.now())).await;
    assert_eq!(rung(&world, &ops), ["bob"], "what no severity names, the level does");
    world.report(&Group::new("Grave").alert("db-1", "critical", "firing", world.now())).await;
    assert_eq!(rung(&world, &ops), ["bob", "alice, bob"]);
    world.pass(minutes(30)).await;
    assert_eq!(rung(&world, &ops), ["bob", "alice, bob"], "one level, no fallback room");
    world.nothing_is_left().await;
}
