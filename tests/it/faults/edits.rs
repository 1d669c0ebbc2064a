//! Few edits keep a message up to date, and the newest state wins.

use super::{ALICE, MINUTE, SECOND, messages_to};
use crate::homeserver::view::SeenEvent;
use crate::homeserver::{Fault, Match};
use crate::world::{Group, World};
use ruma::RoomId;
use std::time::Duration;

fn edits(world: &World, room: &RoomId) -> Vec<SeenEvent> {
    let mut events = world.homeserver.timeline(room);
    events.retain(|event| event.relation.as_ref().is_some_and(|(_, kind)| kind == "m.replace"));
    events
}

async fn joins(world: &World, group: Group, instance: &str) -> Group {
    let group = group.alert(instance, "critical", "firing", world.now());
    let (status, answer) = world.post(&group.payload()).await;
    assert_eq!(status, 200, "{answer}");
    group
}

#[tokio::test]
async fn many_changes_make_one_edit() {
    let (world, rooms) = World::finance("").await;
    let mut group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    for n in 0..10 {
        group = joins(&world, group, &format!("web-{n}")).await;
        world.clock.advance(Duration::from_millis(150));
        world.settle().await;
    }
    world.pass(MINUTE).await;
    assert_eq!(edits(&world, &rooms.ops).len(), 1);
    let page = world.only_post(&rooms.ops);
    assert!(page.body.contains("11 alerts") || page.body.contains("web-9"), "{}", page.body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_action_of_a_person_is_shown_immediately() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.settle().await;
    assert_eq!(edits(&world, &rooms.ops).len(), 1);
    assert!(world.only_post(&rooms.ops).body.contains("ACKNOWLEDGED"));
}

#[tokio::test]
async fn a_change_while_an_edit_is_in_flight_makes_another_edit() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    let group = joins(&world, group, "web-1").await;
    world.clock.advance(SECOND * 3);
    let held = world.homeserver.hold_before(messages_to(&rooms.ops));
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        joins(&world, group, "web-2").await;
        held.release();
    });
    world.pass(MINUTE).await;
    let edits = edits(&world, &rooms.ops);
    assert_eq!(edits.len(), 2);
    assert!(!edits[0].body.contains("web-2") && edits[1].body.contains("web-2"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn edits_delayed_by_a_rate_limit_become_one_with_the_newest_state() {
    let (world, rooms) = World::finance("").await;
    let mut group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    let limit = Fault::RateLimit { retry_after: SECOND * 20 };
    world.homeserver.fail_times(2, messages_to(&rooms.ops), limit);
    for n in 0..10 {
        group = joins(&world, group, &format!("web-{n}")).await;
        world.pass(SECOND * 3).await;
    }
    world.report(&group.resolved()).await;
    world.pass(MINUTE * 2).await;
    let edits = edits(&world, &rooms.ops);
    assert_eq!(edits.len(), 1, "{edits:#?}");
    assert!(world.only_post(&rooms.ops).body.contains("RESOLVED"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_edit_that_is_rate_limited_while_another_waits_is_replaced_by_it() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    let group = joins(&world, group, "web-1").await;
    world.clock.advance(SECOND * 3);
    let limit = Fault::RateLimit { retry_after: SECOND * 20 };
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), limit);
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        joins(&world, group, "web-2").await;
        held.release();
    });
    world.pass(MINUTE).await;
    let edits = edits(&world, &rooms.ops);
    assert_eq!(edits.len(), 1);
    assert!(edits[0].body.contains("web-2"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_edit_whose_reply_is_lost_arrives_once_and_the_newest_state_wins() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let group = joins(&world, group, "web-1").await;
    world.clock.advance(SECOND * 3);
    world.settle().await;
    joins(&world, group, "web-2").await;
    world.pass(MINUTE).await;
    let edits = edits(&world, &rooms.ops);
    assert_eq!(edits.len(), 2);
    assert!(world.only_post(&rooms.ops).body.contains("web-2"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn no_event_relates_to_a_page_before_the_page_is_sent() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_times(4, messages_to(&rooms.ops), Fault::DropBeforeAccepting);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    joins(&world, group, "web-1").await;
    world.pass(MINUTE).await;
    let events = world.homeserver.timeline(&rooms.ops);
    let ours: Vec<_> = events
        .iter()
        .filter(|event| event.sender == World::virtual_user("finance") && event.kind != "m.room.member")
        .collect();
    assert_eq!(ours[0].relation, None, "the page comes first");
    assert!(world.only_post(&rooms.ops).body.contains("web-1"), "the page shows the changes since then");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_that_cannot_be_placed_delays_nothing() {
    let (world, rooms) = World::finance("").await;
    let placing = Match::send().in_room(&rooms.ops).of_type("m.reaction");
    world.homeserver.fail_until_cleared(placing, Fault::Status(400, "M_BAD_JSON"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    world.nothing_is_left().await;
}
