//! People see a message as soon as the homeserver has it, which may be before we know that it is there. What they say
//! to it counts all the same; and what they say elsewhere stops what nobody has seen yet.

use super::{ALICE, HOUR, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Rooms, Scenery, World};
use std::time::Duration;

/// The page is in the room, but the homeserver's reply to it was lost.
async fn unknown_page() -> (World, Rooms, i64) {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    (world, rooms, number)
}

/// The list pages `ops` and `managers` at once.
async fn two_rooms() -> (World, Rooms) {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let list = list("finance", &[&["#ops:example.test", "#managers:example.test"]]);
    (scenery.begin(&list).await, rooms)
}

async fn is_acknowledged(world: &World, rooms: &Rooms, number: i64) {
    assert_eq!(world.phase(number).await, "acknowledged");
    let page = world.said(&rooms.ops).remove(0);
    assert!(page.body.contains("ACKNOWLEDGED"), "{}", page.body);
    assert!(page.edited, "it was sent as it was first");
    world.pass(HOUR * 2).await;
    assert_eq!(world.said(&rooms.managers).len(), 0, "nobody else is called");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_to_a_page_that_we_do_not_know_of_yet_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.ops), "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing", "we cannot know yet what she means");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_reply_to_a_page_that_we_do_not_know_of_yet_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).replies(&world.first_event(&rooms.ops), "ack on it");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_word_in_the_thread_of_a_page_that_we_do_not_know_of_yet_acknowledges() {
    let (world, rooms, number) = unknown_page().await;
    world.homeserver.person(ALICE).says_in_thread(&world.first_event(&rooms.ops), "ack");
    world.pass(SECOND * 10).await;
    is_acknowledged(&world, &rooms, number).await;
}

#[tokio::test]
async fn a_reaction_while_nobody_works_acknowledges() {
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
async fn a_reaction_that_was_taken_back_before_we_knew_of_the_page_does_nothing() {
    let (world, rooms, number) = unknown_page().await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.first_event(&rooms.ops), "✅");
    world.settle().await;
    alice.redacts(&reaction);
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'acknowledged'").await, 0);
    world.pass(MINUTE * 15).await;
    assert_eq!(world.said(&rooms.managers).len(), 1, "it climbs");
}

#[tokio::test]
async fn what_people_say_to_each_other_stays_ignored() {
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
async fn an_ack_elsewhere_is_shown_by_a_page_that_may_be_there() {
    let (world, rooms) = two_rooms().await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.managers), "✅");
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    for room in [&rooms.ops, &rooms.managers] {
        assert!(world.only(room).body.contains("ACKNOWLEDGED"), "{}", world.only(room).body);
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_ack_elsewhere_stops_a_page_that_waits() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).reacts(&world.first_event(&rooms.managers), "✅");
    world.pass(MINUTE * 5).await;
    assert_eq!(world.said(&rooms.ops), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_ack_elsewhere_stops_a_page_that_is_refused_at_that_moment() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), limit);
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // The reaction is the last that goes to the other room: then its page is known.
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
    assert_eq!(world.said(&rooms.ops), []);
    assert!(world.only(&rooms.managers).body.contains("ACKNOWLEDGED"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_waited_tells_what_is_when_it_goes_out() {
    let (world, rooms) = World::finance("").await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.pass(SECOND * 10).await;
    world.report(&group.alert("db-2", "critical", "firing", world.now())).await;
    world.pass(MINUTE).await;
    let page = world.only(&rooms.ops);
    assert!(page.body.contains("db-1") && page.body.contains("db-2"), "{}", page.body);
    world.nothing_is_left().await;
}
