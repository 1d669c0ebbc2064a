//! People see a message as soon as the homeserver has it, which may be before matrixbot knows its event id. Their
//! reactions and replies still count, and an acknowledgement in another room cancels unsent pages.

use super::{ALICE, HOUR, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Rooms, Setup, World};
use std::time::Duration;

/// The page is in the room, but the homeserver's reply was lost.
async fn unknown_page() -> (World, Rooms, i64) {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    (world, rooms, number)
}

/// A list whose only level has the rooms `ops` and `managers`.
async fn two_rooms() -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = list("finance", &[&["#ops:example.test", "#managers:example.test"]]);
    (setup.start(&list).await, rooms)
}

async fn is_acknowledged(world: &World, rooms: &Rooms, number: i64) {
    assert_eq!(world.phase(number).await, "acknowledged");
    let page = world.posts(&rooms.ops).remove(0);
    assert!(page.body.contains("ACKNOWLEDGED"), "{}", page.body);
    assert!(page.edited, "the page was sent unacknowledged first");
    world.pass(HOUR * 2).await;
    assert_eq!(world.posts(&rooms.managers).len(), 0, "no other room is paged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_to_a_page_with_an_unknown_event_id_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.ops), "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing", "the target is still unknown");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_reply_to_a_page_with_an_unknown_event_id_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).replies(&world.first_event(&rooms.ops), "ack on it");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_command_in_the_thread_of_a_page_with_an_unknown_event_id_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).says_in_thread(&world.first_event(&rooms.ops), "ack");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_reaction_while_no_process_runs_acknowledges() {
    let (mut world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    let (_, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    world.dies_at(&held).await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.ops), "✅");
    world.restart_bot().await;
    world.settle().await;
    world.pass(MINUTE * 5).await;
    is_acknowledged(&world, &rooms, answer["incident"].as_i64().unwrap()).await;
}

#[tokio::test]
async fn a_reaction_that_is_redacted_before_the_page_is_known_has_no_effect() {
    let (world, rooms, number) = unknown_page().await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.first_event(&rooms.ops), "✅");
    world.settle().await;
    alice.redacts(&reaction);
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'acknowledged'").await, 0);
    world.pass(MINUTE * 15).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "it escalates");
}

#[tokio::test]
async fn chatter_stays_ignored() {
    let (world, rooms, number) = unknown_page().await;
    let alice = world.homeserver.person(ALICE);
    let chatter = alice.says(&rooms.ops, "who wants coffee?");
    alice.reacts(&chatter, "✅");
    alice.replies(&chatter, "ack");
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(world.homeserver.messages(&rooms.ops).len(), 3);
}

#[tokio::test]
async fn an_ack_in_another_room_is_shown_by_a_page_of_unknown_outcome() {
    let (world, rooms) = two_rooms().await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.managers), "✅");
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    for room in [&rooms.ops, &rooms.managers] {
        assert!(world.only_post(room).body.contains("ACKNOWLEDGED"), "{}", world.only_post(room).body);
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_ack_in_another_room_cancels_a_pending_page() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.managers), "✅");
    world.pass(MINUTE * 5).await;
    assert_eq!(world.posts(&rooms.ops), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_ack_in_another_room_cancels_a_page_that_is_rate_limited_meanwhile() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), limit);
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // The reaction is the last event for the other room, so its page is already settled.
    let placed = world.homeserver.hold_after(Match::send().in_room(&rooms.managers).of_type("m.reaction"));
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        placed.reached().await;
        world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.managers), "✅");
        world.homeserver.deliver_all().await;
        world.bot.step("inbox").await.unwrap();
        assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, 1);
        placed.release();
        held.release();
    });
    world.pass(MINUTE * 5).await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert!(world.only_post(&rooms.managers).body.contains("ACKNOWLEDGED"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_delayed_page_shows_the_state_when_it_is_sent() {
    let (world, rooms) = World::finance("").await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.pass(SECOND * 10).await;
    world.report(&group.alert("db-2", "critical", "firing", world.now())).await;
    world.pass(MINUTE).await;
    let page = world.only_post(&rooms.ops);
    assert!(page.body.contains("db-1") && page.body.contains("db-2"), "{}", page.body);
    world.nothing_is_left().await;
}
