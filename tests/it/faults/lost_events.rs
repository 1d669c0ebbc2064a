//! Synapse loses events when it is stopped while a transaction is in flight. matrixbot reads lost events back, and they
//! count once even if they are also pushed later.

use super::{ALICE, MINUTE, SECOND};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, World};
use matrixbot::worker::Progress;

/// A paged incident, after every room was read to its end.
async fn firing() -> (World, Rooms, i64) {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    reconcile(&world).await;
    world.pass(MINUTE).await;
    (world, rooms, number)
}

async fn reconcile(world: &World) {
    world.bot.step("reconcile").await.unwrap();
    world.settle().await;
}

async fn acks(world: &World) -> i64 {
    world
        .count("SELECT count(*) FROM timeline WHERE kind IN ('acknowledged', 'joined_ack', 'late_ack')")
        .await
}

#[tokio::test]
async fn a_lost_reaction_is_found_and_acknowledges_once() {
    let (world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.homeserver.lose_unpushed_events();
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    for _ in 0..3 {
        reconcile(&world).await;
    }
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_lost_command_is_found_and_answered_once_even_if_it_is_pushed_later() {
    let (world, rooms, number) = firing().await;
    let command = world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    reconcile(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.homeserver.push("4711", &[command]).await.unwrap();
    reconcile(&world).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the page and one answer");
    assert_eq!(acks(&world).await, 1);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_lost_redaction_is_found_and_withdraws_the_acknowledgement() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let reaction = alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    alice.redacts(&reaction);
    world.homeserver.lose_unpushed_events();
    reconcile(&world).await;
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
    reconcile(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(acks(&world).await, 1);
}

#[tokio::test]
async fn events_during_downtime_are_found_at_the_next_start() {
    let (mut world, rooms, number) = firing().await;
    world.bot.kill().await;
    let alice = world.homeserver.person(ALICE);
    alice.reacts(&world.only_post(&rooms.ops).event_id, "✅");
    alice.says(&rooms.ops, "pending");
    world.homeserver.lose_unpushed_events();
    world.clock.advance(MINUTE * 10);
    world.restart_bot().await;
    reconcile(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.posts(&rooms.ops).len(), 2);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unreadable_room_does_not_stop_reading_others() {
    let (world, rooms, number) = firing().await;
    world.homeserver.fail_until_cleared(
        Match::to(Endpoint::Messages).in_room(&rooms.fallback),
        Fault::Status(403, "M_FORBIDDEN"),
    );
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    reconcile(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn a_room_that_fails_temporarily_does_not_stop_reading_others_and_is_read_later() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    // The first room of the list: all others follow.
    let reading = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_until_cleared(reading, Fault::Status(500, "M_UNKNOWN"));
    alice.says(&rooms.ops, &format!("ack {number}"));
    alice.says(&rooms.fallback, "!pending");
    world.homeserver.lose_unpushed_events();
    let progress = world.bot.step("reconcile").await.unwrap();
    assert_eq!(progress, Progress::Idle(SECOND * 10), "the worker retries soon");
    world.settle().await;
    assert_eq!(world.posts(&rooms.fallback).len(), 1, "pending is answered");
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.clear_faults();
    reconcile(&world).await;
    assert_eq!(world.phase(number).await, "acknowledged");
}

#[tokio::test]
async fn rooms_that_answer_rubbish_or_never_do_not_keep_others_from_being_read() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    // The first rooms that are read: one is never answered, the other one not in Matrix's words.
    let reading = |room| Match::to(Endpoint::Messages).in_room(room);
    world.homeserver.fail_until_cleared(reading(&rooms.managers), Fault::NonJson(200));
    let held = world.homeserver.hold_before(reading(&rooms.ops));
    alice.says(&rooms.fallback, &format!("ack {number}"));
    alice.says(&rooms.fallback, "!pending");
    world.homeserver.lose_unpushed_events();
    let found = "SELECT count(*) FROM inbox WHERE source <> 'transaction' AND event::text LIKE '%pending%'";
    tokio::select! {
        _ = world.bot.step("reconcile") => panic!("the room that is not answered was read"),
        () = async {
            held.reached().await;
            while world.count(found).await == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    held.release();
    world.homeserver.clear_faults();
    world.settle().await;
    assert_eq!(world.posts(&rooms.fallback).len(), 2, "both commands are answered");
}

#[tokio::test]
async fn our_own_edits_and_threads_are_ignored_when_read_back() {
    let (world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    world.pass(MINUTE).await;
    let before = world.homeserver.timeline(&rooms.ops).len();
    for _ in 0..3 {
        reconcile(&world).await;
        world.pass(MINUTE * 3).await;
    }
    assert_eq!(world.homeserver.timeline(&rooms.ops).len(), before);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_storm_does_not_cause_requests_for_each_message_in_every_round() {
    let (world, _) = World::finance("    digest: none\n").await;
    for n in 0..20 {
        world.report(&Group::firing(&format!("G{n}"), world.now())).await;
    }
    let before = world.homeserver.count(Endpoint::Relations);
    reconcile(&world).await;
    for _ in 0..19 {
        world.pass(MINUTE * 3).await;
    }
    let asked = world.homeserver.count(Endpoint::Relations) - before;
    assert_eq!(asked, 20 + 2 * 20, "twice in an hour, and each incident is in two rooms by then");
}

#[tokio::test]
async fn an_old_acknowledgement_is_found_again_and_does_not_count_again() {
    let (world, rooms, number) = firing().await;
    let alice = world.homeserver.person(ALICE);
    let page = world.only_post(&rooms.ops).event_id;
    alice.replies(&page, "ack");
    world.settle().await;
    alice.says(&rooms.ops, &format!("unack {number}"));
    let refused = world.homeserver.person("@mallory:example.test");
    refused.joins(&rooms.ops).replies(&page, "resolve");
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");

    // Long after, with the homeserver's copy of everything still there.
    let mut connection = world.database.connect().await;
    let age = "UPDATE inbox SET received_at = received_at - interval '1 year'";
    sqlx::query(age).execute(&mut connection).await.unwrap();
    world.homeserver.set_power(&rooms.ops, "@mallory:example.test", 50);
    world.bot.step("retention").await.unwrap();
    assert_eq!(
        world.count("SELECT count(*) FROM inbox WHERE received_at < '2026-01-01' AND incidents = '{}'").await,
        0
    );
    world.pass(31 * MINUTE).await;
    reconcile(&world).await;
    assert_eq!(acks(&world).await, 1);
    assert_ne!(world.phase(number).await, "acknowledged");
    assert_ne!(world.phase(number).await, "resolved", "what was refused stays so");

    // Once the incident is closed, they go.
    world.report(&Group::firing("DiskFull", world.now()).resolved()).await;
    world.pass(11 * MINUTE).await;
    assert_eq!(world.phase(number).await, "closed");
    world.bot.step("retention").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM inbox WHERE received_at < '2026-01-01'").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_while_matrixbot_was_down_stops_the_escalation_that_became_due() {
    let (mut world, rooms, number) = firing().await;
    world.homeserver.person(ALICE).reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.homeserver.lose_unpushed_events();
    world.clock.advance(MINUTE * 20);
    world.restart_bot().await;
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert!(world.posts(&rooms.managers).is_empty(), "{:#?}", world.posts(&rooms.managers));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_late_escalation_does_not_wait_for_rooms_that_cannot_be_read() {
    let (mut world, rooms, number) = firing().await;
    world.clock.advance(MINUTE * 20);
    world.restart_bot().await;
    world.homeserver.fail_until_cleared(Match::to(Endpoint::Messages), Fault::Status(500, "M_UNKNOWN"));
    world.settle().await;
    assert!(world.posts(&rooms.managers).is_empty());
    world.pass(SECOND * 15).await;
    world.only_post(&rooms.managers);
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.clear_faults();
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}
