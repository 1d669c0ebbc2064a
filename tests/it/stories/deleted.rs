//! What matrixbot takes away itself, and what others take away of its messages.

use super::{
    ALICE, acknowledged, alice, headlines, history, minutes, page, pages, phase, seconds, with_mentions,
};
use crate::world::{Group, World};
use ruma::RoomId;
use std::time::Duration;

/// The reactions of the virtual users on each of their pages in a room.
fn placed(world: &World, room: &RoomId) -> Vec<Vec<String>> {
    let ours = world.homeserver.virtual_users();
    let keys = |page: super::SeenMessage| {
        page.reactions.into_iter().filter(|(_, by)| ours.contains(by)).map(|(key, _)| key).collect()
    };
    pages(world, room).into_iter().map(keys).collect()
}

#[tokio::test]
async fn the_tick_of_matrixbot_stands_only_while_nobody_has_acknowledged() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    assert_eq!(placed(&world, &rooms.ops), [["✅"]]);
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, acknowledged(1, "DiskFull"));
    assert_eq!(placed(&world, &rooms.ops), [[""; 0]], "acknowledged");
    world.pass(minutes(1)).await;
    assert_eq!(phase(&world, number).await, "acknowledged", "its own removal withdraws nothing");

    alice(&world).says(&rooms.ops, "unack 1").await;
    world.pass(seconds(15)).await;
    let both: [&[&str]; 2] = [&[], &["✅"]];
    assert_eq!(placed(&world, &rooms.ops), both, "the page of the next run has one");
    world.report(&group.resolved()).await;
    world.pass(seconds(5)).await;
    assert_eq!(placed(&world, &rooms.ops), [[""; 0]; 2], "resolved");
    assert_eq!(
        history(&world, number).await,
        "run_started paged told acknowledged run_started paged told resolved"
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_by_reaction_keeps_the_reaction_of_the_person() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let page = page(&world, &rooms.ops);
    let reaction = world.homeserver.person(ALICE).reacts(&page, "✅");
    world.pass(seconds(5)).await;
    let reactions = &pages(&world, &rooms.ops)[0].reactions;
    assert_eq!(reactions, &[("✅".to_owned(), ALICE.try_into().unwrap())]);
    world.homeserver.person(ALICE).redacts(&reaction);
    world.settle().await;
    assert_eq!(phase(&world, number).await, "firing", "the person's redaction does withdraw");
    world.pass(seconds(15)).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_pages_in_one_room_cause_one_edit() {
    let (world, rooms) = with_mentions("    repeat: 1").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.pass(minutes(46)).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 2);
    let first = &headlines(&world, &rooms.ops)[0];
    assert!(first.starts_with("↪️ CONTINUED #1 DiskFull"), "{first}");
    let edits = || {
        let events = world.homeserver.timeline(&rooms.ops);
        events.iter().filter(|e| e.relation.as_ref().is_some_and(|(_, kind)| kind == "m.replace")).count()
    };
    let before = edits();
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, acknowledged(1, "DiskFull"));
    world.pass(seconds(5)).await;
    assert_eq!(edits(), before + 1);
    assert!(headlines(&world, &rooms.ops)[1].starts_with("👀 ACKNOWLEDGED #1 DiskFull"));
    world.report(&group.resolved()).await;
    world.pass(seconds(5)).await;
    assert_eq!(edits(), before + 2);
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_resolve_of_a_page_that_somebody_deleted_is_a_message_of_its_own() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.homeserver.person(ALICE).redacts(&page(&world, &rooms.ops));
    world.pass(minutes(2)).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 0);
    world.report(&group.clone().resolved()).await;
    world.pass(seconds(5)).await;
    let [resolved] = <[_; 1]>::try_from(headlines(&world, &rooms.ops)).unwrap();
    assert!(resolved.starts_with("🟢 RESOLVED #1 DiskFull"), "{resolved}");
    world.pass(Duration::from_hours(1)).await;
    assert_eq!(headlines(&world, &rooms.ops).len(), 1, "once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_resolve_of_a_page_that_the_homeserver_purged_is_a_message_of_its_own() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.homeserver.purges(&page(&world, &rooms.ops));
    world.pass(minutes(40)).await;
    world.report(&group.resolved()).await;
    world.pass(seconds(5)).await;
    let headlines = headlines(&world, &rooms.ops);
    assert!(
        headlines.last().is_some_and(|last| last.starts_with("🟢 RESOLVED #1 DiskFull")),
        "{headlines:?}"
    );
    world.nothing_is_left().await;
}
