//! A homeserver that wants less, or fails for a while: one room waits, the others do not, and nothing is lost.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, Rooms, Scenery, World};
use std::time::Duration;

/// The list pages `ops` and `managers` at once.
async fn two_rooms() -> (World, Rooms) {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let list = list("finance", &[&["#ops:example.test", "#managers:example.test"]]);
    (scenery.begin(&list).await, rooms)
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
async fn a_rate_limit_stops_one_room_for_as_long_as_asked_and_counts_as_no_failure() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_secs(30) };
    world.homeserver.fail_times(2, messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only(&rooms.managers);
    assert_eq!(gate(&world, &rooms.ops).await, (0, 0), "a rate limit is no failure");
    world.pass(SECOND * 29).await;
    assert_eq!(world.attempts(&rooms.ops).1, 1, "it is left alone for 30 s");
    world.pass(SECOND).await;
    assert_eq!(world.attempts(&rooms.ops).1, 2);
    assert_eq!(world.said(&rooms.ops), []);
    world.pass(SECOND * 30).await;
    world.only(&rooms.ops);
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
    assert_eq!(world.said(&rooms.managers).len(), 3);
    assert_eq!(world.attempts(&rooms.ops).1, 1, "a room that wants less is asked once");
    world.pass(MINUTE * 3).await;
    assert_eq!(world.said(&rooms.ops).len(), 3);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_failing_homeserver_is_asked_less_and_less_often_and_the_page_is_there_once() {
    let (world, rooms) = two_rooms().await;
    world.homeserver.fail_until_cleared(messages_to(&rooms.ops), Fault::Status(503, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only(&rooms.managers);
    world.pass(MINUTE * 10).await;
    let asked = world.attempts(&rooms.ops).1;
    // 0.5 to 1 s, 1 to 2 s, … and from the eighth on 1 to 2 min.
    assert!((10..=20).contains(&asked), "asked {asked} times in 10 min");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).0.len(), 1);
    assert_eq!(gate(&world, &rooms.ops).await.0, 0, "all is well again");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn order_holds_when_the_first_of_a_room_is_delayed() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_times(3, messages_to(&rooms.ops), Fault::Status(502, "M_UNKNOWN"));
    let names = ["A", "B", "C", "D", "E"];
    for name in names {
        world.post(&Group::firing(name, world.now()).payload()).await;
    }
    world.pass(MINUTE).await;
    let said = world.said(&rooms.ops);
    let told: Vec<_> = said
        .iter()
        .map(|message| names.iter().find(|name| message.body.contains(&format!("{name} on"))))
        .collect();
    assert_eq!(told, names.iter().map(Some).collect::<Vec<_>>());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_homeserver_that_is_down_at_the_start_is_waited_for() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    scenery.homeserver.down().await;
    let world = scenery.begin(&list("finance", &[&["#ops:example.test"]])).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(number > 0);
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.up().await;
    world.pass(MINUTE * 3).await;
    let page = world.only(&rooms.ops);
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_outage_in_the_middle_exhausts_no_ladder_and_ends_in_no_burst() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.down().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 9).await;
    world.homeserver.up().await;
    world.pass(MINUTE * 3).await;
    let page = world.only(&rooms.ops);
    let sent =
        world.homeserver.timeline(&rooms.ops).into_iter().find(|event| event.event_id == page.event_id);
    let sent = jiff::Timestamp::from_millisecond(sent.unwrap().sent_at_ms).unwrap();
    let waited = matrixbot::domain::time::between(sent, world.now());
    world.pass((MINUTE * 15).saturating_sub(waited + SECOND)).await;
    assert_eq!(world.said(&rooms.managers), [], "15 min are counted from the sending");
    world.pass(SECOND * 5).await;
    world.only(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn no_room_waits_on_once_an_outage_is_over() {
    let (world, rooms) = two_rooms().await;
    let limit = Fault::RateLimit { retry_after: Duration::from_mins(2) };
    world.bot.step("liveness").await.unwrap();
    world.homeserver.down().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.bot.step("liveness").await.unwrap();
    world.pass(MINUTE * 9).await;
    world.homeserver.up().await;
    world.settle().await;
    assert!(world.said(&rooms.ops).is_empty(), "the pause holds as long as nobody knows");
    world.homeserver.fail_next(messages_to(&rooms.managers), limit);
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
    world.only(&rooms.ops);
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
    assert!(world.said(&rooms.managers).is_empty(), "that is another pause, which was asked for");
    world.pass(MINUTE * 2).await;
    world.only(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn rooms_are_served_side_by_side() {
    let (world, rooms) = two_rooms().await;
    let held = world.homeserver.hold_before(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    let placed = world.homeserver.hold_after(Match::send().in_room(&rooms.managers).of_type("m.reaction"));
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        placed.reached().await;
        assert_eq!(world.said(&rooms.managers).len(), 1);
        assert_eq!(world.said(&rooms.ops).len(), 0);
        placed.release();
        held.release();
    });
    world.settle().await;
    world.only(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_operator_who_mends_the_token_gets_everything_that_waited() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_until_cleared(Match::any(), Fault::Status(401, "M_UNKNOWN_TOKEN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    world.homeserver.clear_faults();
    world.pass(MINUTE * 3).await;
    world.only(&rooms.ops);
    world.nothing_is_left().await;
}
