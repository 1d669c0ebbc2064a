//! A homeserver that rate limits or fails temporarily: only the affected room waits, and nothing is lost.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Rooms, Setup, World};
use std::time::Duration;

/// A list whose only level has the rooms `ops` and `managers`.
async fn two_rooms() -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = list("finance", &[&["#ops:example.test", "#managers:example.test"]]);
    (setup.start(&list).await, rooms)
}

async fn gate(world: &World, room: &ruma::RoomId) -> (i32, i32) {
    let mut connection = world.database.connect().await;
    sqlx::query_as(
        "SELECT failures, (SELECT max(attempts) FROM outbox WHERE outbox.room = $1 AND kind = 'page')
         FROM room_gate WHERE room = $1",
    )
    .bind(room.as_str())
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_rate_limit_pauses_one_room_for_the_requested_time_and_is_no_failure() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_times(2, messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    assert_eq!(gate(&world, &rooms.ops).await, (0, 0), "a rate limit is no failure");
    world.pass(SECOND * 29).await;
    assert_eq!(world.attempts(&rooms.ops).1, 1, "no request for 30 s");
    world.pass(SECOND).await;
    assert_eq!(world.attempts(&rooms.ops).1, 2);
    assert_eq!(world.posts(&rooms.ops), []);
    world.pass(SECOND * 30).await;
    world.only_post(&rooms.ops);
    assert_eq!(gate(&world, &rooms.ops).await, (0, 1));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_rate_limit_of_one_room_delays_no_other_incident() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_mins(2) };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    for name in ["DiskFull", "HostDown", "LinkDown"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    assert_eq!(world.posts(&rooms.managers).len(), 3);
    assert_eq!(world.attempts(&rooms.ops).1, 1, "a rate-limited room gets one request");
    world.pass(MINUTE * 3).await;
    assert_eq!(world.posts(&rooms.ops).len(), 3);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn requests_to_a_failing_homeserver_back_off_and_the_page_arrives_once() {
    let (world, rooms) = two_rooms().await;
    world.homeserver.fail_until_cleared(messages_to(&rooms.ops), Fault::Status(503, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    world.pass(MINUTE * 10).await;
    let attempts = world.attempts(&rooms.ops).1;
    // The pauses are 0.5 to 1 s, 1 to 2 s, … and from the eighth on 1 to 2 min.
    assert!((10..=20).contains(&attempts), "{attempts} attempts in 10 min");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).0.len(), 2, "the page under one transaction id, and one edit");
    assert_eq!(gate(&world, &rooms.ops).await.0, 0, "the failures are reset");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_whose_first_message_is_delayed_gets_all_messages_once() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_times(3, messages_to(&rooms.ops), Fault::Status(502, "M_UNKNOWN"));
    let names = ["A", "B", "C", "D", "E"];
    for name in names {
        world.post(&Group::firing(name, world.now()).payload()).await;
    }
    world.pass(MINUTE).await;
    let posts = world.posts(&rooms.ops);
    let mut seen: Vec<_> = posts
        .iter()
        .map(|message| names.iter().find(|name| message.body.contains(&format!("{name} on"))))
        .collect();
    assert_eq!(seen[0], Some(&"A"), "the room tries the first one alone");
    seen.sort();
    assert_eq!(seen, names.iter().map(Some).collect::<Vec<_>>());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn matrixbot_waits_for_a_homeserver_that_is_down_at_the_start() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.down().await;
    let world = setup.start(&list("finance", &[&["#ops:example.test"]])).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(number > 0);
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.up().await;
    world.pass(MINUTE * 3).await;
    let page = world.only_post(&rooms.ops);
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_outage_does_not_exhaust_the_ladder_or_cause_a_burst() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.down().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 9).await;
    world.homeserver.up().await;
    world.pass(MINUTE * 3).await;
    let page = world.only_post(&rooms.ops);
    let sent =
        world.homeserver.timeline(&rooms.ops).into_iter().find(|event| event.event_id == page.event_id);
    let sent = jiff::Timestamp::from_millisecond(sent.unwrap().sent_at_ms).unwrap();
    let waited = matrixbot::domain::time::between(sent, world.now());
    world.pass((MINUTE * 15).saturating_sub(waited + SECOND)).await;
    assert_eq!(world.posts(&rooms.managers), [], "the 15 min start when the page is sent");
    world.pass(SECOND * 5).await;
    world.only_post(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn no_room_waits_after_an_outage() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_mins(2) };
    world.bot.step("liveness").await.unwrap();
    world.homeserver.down().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.bot.step("liveness").await.unwrap();
    world.pass(MINUTE * 9).await;
    world.homeserver.up().await;
    world.settle().await;
    assert!(
        world.posts(&rooms.ops).is_empty(),
        "the pause lasts until matrixbot notices the end of the outage"
    );
    world.homeserver.fail_next(messages_to(&rooms.managers), limit);
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
    world.only_post(&rooms.ops);
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
    assert!(world.posts(&rooms.managers).is_empty(), "this pause was requested by the homeserver");
    world.pass(MINUTE * 2).await;
    world.only_post(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn rooms_are_served_concurrently() {
    let (world, rooms) = two_rooms().await;
    let held = world.homeserver.hold_before(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    let placed = world.homeserver.hold_after(Match::send().in_room(&rooms.managers).of_type("m.reaction"));
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        placed.reached().await;
        assert_eq!(world.posts(&rooms.managers).len(), 1);
        assert_eq!(world.posts(&rooms.ops).len(), 0);
        placed.release();
        held.release();
    });
    world.settle().await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn pending_messages_are_sent_after_the_operator_fixes_the_token() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_until_cleared(Match::any(), Fault::Status(401, "M_UNKNOWN_TOKEN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    world.homeserver.clear_faults();
    world.pass(MINUTE * 3).await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}
