//! The homeserver accepts a message twice, and shows its first event only after the second one was settled: both events show
//! the present state, and what people do with either counts.

use super::{ALICE, MINUTE, SECOND, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, World};

/// The page was accepted twice: the search for the first event was blind, and the transaction id was forgotten. Returns the
/// incident's number.
async fn paged_twice(world: &World, rooms: &Rooms) -> i64 {
    world.bot.step("reconcile").await.unwrap();
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let blind = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_next(blind, Fault::EmptyPage);
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.bot.work().await;
    if world.homeserver.is_like_continuwuity() {
        world.homeserver.lose_unpushed_events();
    }
    world.homeserver.forgets_transactions();
    world.pass(10 * SECOND).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the homeserver accepted it twice");
    answer["incident"].as_i64().unwrap()
}

fn both_show(world: &World, rooms: &Rooms, state: &str) {
    for copy in world.posts(&rooms.ops).iter().take(2) {
        assert!(copy.body.contains(state), "{}", copy.body);
    }
}

#[tokio::test]
async fn a_first_event_that_is_found_later_is_kept_up_to_date_and_a_reaction_to_it_counts() {
    let (world, rooms) = World::finance("").await;
    let number = paged_twice(&world, &rooms).await;
    let first = world.posts(&rooms.ops)[0].event_id.clone();
    world.homeserver.person(ALICE).reacts(&first, "✅");
    world.settle().await;
    world.pass(4 * MINUTE).await;
    assert_eq!(
        world.phase(number).await,
        "acknowledged",
        "reconciliation finds the event, and the reaction counts"
    );
    both_show(&world, &rooms, "ACKNOWLEDGED");
    world.pass(4 * MINUTE).await;
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'acknowledged'").await, 1);
    world.report(&Group::firing("DiskFull", world.now()).resolved()).await;
    world.pass(10 * SECOND).await;
    both_show(&world, &rooms, "RESOLVED");
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_first_event_that_is_pushed_later_is_kept_up_to_date_and_a_reply_to_it_counts() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.like_continuwuity();
    let number = paged_twice(&world, &rooms).await;
    let first = world.posts(&rooms.ops)[0].event_id.clone();
    world.homeserver.push("4711", std::slice::from_ref(&first)).await.unwrap();
    world.settle().await;
    world.homeserver.person(ALICE).replies(&first, "ack on it");
    world.settle().await;
    world.pass(10 * SECOND).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    both_show(&world, &rooms, "ACKNOWLEDGED");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_the_homeserver_pushed_is_not_sent_again_though_no_search_finds_it() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.like_continuwuity();
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let blind = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_times(3, blind, Fault::EmptyPage);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.forgets_transactions();
    world.pass(MINUTE).await;
    let page = world.only_post(&rooms.ops);
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}
