//! Messages of which an attempt may have been accepted: the room is searched before they are sent again, and what is sent
//! again shows the present state.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Setup, World};

/// The homeserver is down for more than a minute, and Alertmanager reports in the middle of it.
async fn an_outage_with_a_report(world: &World, group: &Group) {
    world.homeserver.down().await;
    world.pass(SECOND * 40).await;
    world.report(group).await;
    world.pass(SECOND * 40).await;
    world.homeserver.up().await;
    world.pass(MINUTE * 3).await;
}

#[tokio::test]
async fn a_homeserver_that_loses_the_transaction_id_in_a_crash_shows_the_page_once() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.like_continuwuity();
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.forgets_transactions();
    world.pass(MINUTE).await;
    let page = world.only_post(&rooms.ops);
    assert_eq!(page.reactions.len(), 1, "it can be acknowledged");
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_is_resolved_during_an_outage_is_not_sent_as_firing() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::Status(502, "M_UNKNOWN"));
    let group = Group::firing("DiskFull", world.now());
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropBeforeAccepting);
    world.report(&group).await;
    an_outage_with_a_report(&world, &group.resolved()).await;
    assert_eq!(world.posts(&rooms.ops), [], "nobody is woken for what is over");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_arrived_before_an_outage_shows_what_was_resolved_meanwhile() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    an_outage_with_a_report(&world, &group.resolved()).await;
    assert!(world.only_post(&rooms.ops).body.contains("RESOLVED"), "{}", world.only_post(&rooms.ops).body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_is_sent_again_later_says_so_and_shows_what_has_changed() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropBeforeAccepting);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    an_outage_with_a_report(&world, &group.alert("db-2", "critical", "firing", world.now())).await;
    let page = world.homeserver.timeline(&rooms.ops);
    let page = page.iter().find(|event| event.kind == "m.room.message").unwrap();
    assert!(page.body.contains("This page is late."), "{}", page.body);
    assert!(page.body.contains("db-2"), "{}", page.body);
    assert_eq!(world.attempts(&rooms.ops).0.len(), 2, "the page under one transaction id, and one edit");
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_search_that_fails_is_repeated_and_nothing_is_sent_before() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let searching = || Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_times(3, searching(), Fault::Status(500, "M_UNKNOWN"));
    world.homeserver.fail_next(searching(), Fault::Status(400, "M_UNRECOGNIZED"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.forgets_transactions();
    world.pass(MINUTE * 3).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).1, 1, "it was never sent again");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_first_copy_that_arrives_after_the_search_shows_the_same_state() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    // The homeserver has the event, but does not show it yet.
    let empty = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_next(empty, Fault::EmptyPage);
    world.report(&group.alert("db-2", "critical", "firing", world.now())).await;
    world.pass(MINUTE).await;
    let page = world.only_post(&rooms.ops);
    assert!(page.body.contains("db-2"), "{}", page.body);
    assert_eq!(world.attempts(&rooms.ops).1 - 1, 2, "sent twice under one id, and edited once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_copies_in_the_room_show_the_same_state_and_both_can_be_acknowledged() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&["#ops:example.test"]])).await;
    world.homeserver.fail_times(2, messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let empty = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_next(empty, Fault::EmptyPage);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.forgets_transactions();
    world.pass(MINUTE).await;
    let copies = world.posts(&rooms.ops);
    assert_eq!(copies.len(), 2, "the homeserver accepted it twice");
    world.homeserver.person(ALICE).reacts(&copies[1].event_id, "✅");
    world.pass(SECOND * 10).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    for copy in world.posts(&rooms.ops) {
        assert!(copy.body.contains("ACKNOWLEDGED"), "{}", copy.body);
    }
    world.nothing_is_left().await;
}
