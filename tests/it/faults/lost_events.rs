//! Synapse loses events when it is stopped while a transaction is on its way. What was lost is read back, and counts
//! once, whether it is pushed after all or not.

use super::{ALICE, MINUTE};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, World};

/// An incident is paged, and every room was read to its end.
async fn firing() -> (World, Rooms, i64) {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    reads_back(&world).await;
    world.pass(MINUTE).await;
    (world, rooms, number)
}

async fn reads_back(world: &World) {
    world.bot.step("reconcile").await.unwrap();
    world.settle().await;
}

async fn acks(world: &World) -> i64 {
    world
        .count("SELECT count(*) FROM timeline WHERE kind IN ('acknowledged', 'joined_ack', 'late_ack')")
        .await
}

#[tokio::test]
async fn a_reaction_that_was_lost_is_found_and_acknowledges_once() {
    let (world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).reacts(&world.only(&rooms.ops).event_id, "✅");
    world.homeserver.lose_unpushed_events();
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    for _ in 0..3 {
        reads_back(&world).await;
    }
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_that_was_lost_is_found_and_answered_once_even_if_it_comes_late() {
    let (world, rooms, number) = firing().await;
    let command = world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.homeserver.push("4711", &[command]).await.unwrap();
    reads_back(&world).await;
    assert_eq!(world.said(&rooms.ops).len(), 2, "the page and one answer");
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_redaction_that_was_lost_is_found_and_gives_back() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.only(&rooms.ops).event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    alice.redacts(&reaction);
    world.homeserver.lose_unpushed_events();
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "firing");
}

#[tokio::test]
async fn more_than_a_page_of_chatter_hides_no_command() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, &format!("ack {number}"));
    for n in 0..250 {
        alice.says(&rooms.ops, &format!("and another thing, number {n}"));
    }
    world.homeserver.lose_unpushed_events();
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(acks(&world).await, 1);
}

#[tokio::test]
async fn what_happened_while_nobody_ran_is_found_at_the_next_start() {
    let (mut world, rooms, number) = firing().await;
    world.bot.kill().await;
    let alice = world.homeserver.person(ALICE);
    alice.reacts(&world.only(&rooms.ops).event_id, "✅");
    alice.says(&rooms.ops, "pending");
    world.homeserver.lose_unpushed_events();
    world.clock.advance(MINUTE * 10);
    world.restart_bot().await;
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.said(&rooms.ops).len(), 2);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_cannot_be_read_keeps_no_other_from_being_read() {
    let (world, rooms, number) = firing().await;
    world.homeserver.fail_until_cleared(
        Match::to(Endpoint::Messages).in_room(&rooms.fallback),
        Fault::Status(403, "M_FORBIDDEN"),
    );
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn a_room_that_fails_for_a_while_keeps_no_other_from_being_read_and_is_read_later() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    // The first room of the list: all the others come after it.
    let reading = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_until_cleared(reading, Fault::Status(500, "M_UNKNOWN"));
    alice.says(&rooms.ops, &format!("ack {number}"));
    alice.says(&rooms.fallback, "!pending");
    world.homeserver.lose_unpushed_events();
    let failed = world.bot.step("reconcile").await;
    assert!(failed.is_err(), "it is tried again soon");
    world.settle().await;
    assert_eq!(world.said(&rooms.fallback).len(), 1, "pending is answered");
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.clear_faults();
    reads_back(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn an_edit_or_a_thread_that_was_said_by_us_is_not_taken_for_somebody_elses() {
    let (world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    world.pass(MINUTE).await;
    let before = world.homeserver.timeline(&rooms.ops).len();
    for _ in 0..3 {
        reads_back(&world).await;
        world.pass(MINUTE * 3).await;
    }
    assert_eq!(world.homeserver.timeline(&rooms.ops).len(), before);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_storm_is_not_asked_about_message_by_message_all_the_time() {
    let (world, _) = World::finance("").await;
    for n in 0..20 {
        world.report(&Group::firing(&format!("G{n}"), world.now())).await;
    }
    let before = world.homeserver.count(Endpoint::Relations);
    reads_back(&world).await;
    for _ in 0..19 {
        world.pass(MINUTE * 3).await;
    }
    let asked = world.homeserver.count(Endpoint::Relations) - before;
    assert_eq!(asked, 20 + 2 * 20, "twice in an hour; then each is in two rooms");
}
