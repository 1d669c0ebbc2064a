//! The outbox in the loop that production runs.

use super::{MINUTE, list, messages_to};
use crate::homeserver::{Endpoint, Fault};
use crate::world::{Group, Scenery, World};
use matrixbot::matrix::{Client, Timeouts};
use matrixbot::outbox::OutboxSettings;
use matrixbot::rooms;
use matrixbot::worker::Registered;
use secrecy::SecretString;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What is waited for happens within this real time, or never.
const BOUND: Duration = Duration::from_secs(20);

/// An outbox that serves this many rooms at once.
fn outbox(world: &World, rooms_at_once: usize) -> (Registered, CancellationToken) {
    let token = SecretString::from(world.homeserver.appservice().as_token);
    let client = Client::new(world.homeserver.url(), token, Timeouts::default()).unwrap();
    let parts = &world.bot.parts;
    let homeserver_rooms = rooms::Rooms::new(client, parts.store.clone());
    let settings =
        OutboxSettings { rooms_at_once, poll: Duration::from_millis(20), ..OutboxSettings::default() };
    let shutdown = CancellationToken::new();
    let outbox = parts.outbox(homeserver_rooms, settings).stopped_by(shutdown.clone());
    (Registered::woken_by(&parts.wakers.outbox, outbox), shutdown)
}

/// Waits until something holds, while the outbox runs.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, waiting).await.is_ok(), "in vain: {what}");
}

/// A list that pages so many rooms at once.
async fn many_rooms(count: usize) -> (World, Vec<ruma::OwnedRoomId>) {
    let scenery = Scenery::prepare().await;
    scenery.rooms();
    let names: Vec<String> = (0..count).map(|n| format!("#r{n}:example.test")).collect();
    let rooms = names.iter().map(|name| scenery.homeserver.public_room(super::ALICE, name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (scenery.begin(&list("finance", &[&names])).await, rooms)
}

#[tokio::test]
async fn a_slow_room_holds_up_no_other() {
    let (world, rooms) = many_rooms(4).await;
    let (outbox, shutdown) = outbox(&world, 2);
    let held = world.homeserver.hold_before(messages_to(&rooms[0]));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(outbox.run(&shutdown), async {
        held.reached().await;
        until("the other rooms", async || rooms[1..].iter().all(|room| !world.said(room).is_empty())).await;
        world.post(&Group::firing("HostDown", world.now()).payload()).await;
        until("the next", async || rooms[1..].iter().all(|room| world.said(room).len() == 2)).await;
        assert_eq!(world.said(&rooms[0]), []);
        held.release();
        until("the slow one", async || world.said(&rooms[0]).len() == 2).await;
        shutdown.cancel();
    });
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_fails_and_one_that_is_limited_hold_up_no_other() {
    let (world, rooms) = many_rooms(4).await;
    let (outbox, shutdown) = outbox(&world, 1);
    world.homeserver.fail_until_cleared(messages_to(&rooms[0]), Fault::Status(500, "M_UNKNOWN"));
    world.homeserver.fail_until_cleared(messages_to(&rooms[1]), Fault::RateLimit { retry_after: MINUTE });
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(outbox.run(&shutdown), async {
        until("the others", async || rooms[2..].iter().all(|room| !world.said(room).is_empty())).await;
        shutdown.cancel();
    });
    assert!(world.attempts(&rooms[0]).1 <= 1 && world.attempts(&rooms[1]).1 <= 1, "the clock stands still");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    for room in &rooms {
        world.only(room);
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_held_and_begins_nothing() {
    let (world, rooms) = many_rooms(3).await;
    let (outbox, shutdown) = outbox(&world, 2);
    let held: Vec<_> =
        rooms[..2].iter().map(|room| world.homeserver.hold_before(messages_to(room))).collect();
    for name in ["DiskFull", "HostDown"] {
        world.post(&Group::firing(name, world.now()).payload()).await;
    }
    let stopped = async {
        outbox.run(&shutdown).await;
        assert_eq!(world.count("SELECT count(*) FROM room_gate WHERE message IS NOT NULL").await, 0);
    };
    tokio::join!(stopped, async {
        // Whichever two of the three rooms are first: the one without a hold is done by then.
        for held in &held {
            held.reached().await;
        }
        shutdown.cancel();
        let before = world.homeserver.count(Endpoint::Send);
        for held in &held {
            held.release();
        }
        until("what was held", async || rooms[..2].iter().all(|room| !world.said(room).is_empty())).await;
        assert_eq!(world.homeserver.count(Endpoint::Send), before);
    });
    assert!(rooms[..2].iter().all(|room| world.said(room).len() == 1), "the next is not begun");
    world.settle().await;
    assert!(rooms.iter().all(|room| world.said(room).len() == 2));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_goes_on_when_the_database_is_back() {
    let (world, rooms) = many_rooms(2).await;
    let (outbox, shutdown) = outbox(&world, 8);
    tokio::join!(outbox.run(&shutdown), async {
        world.database.goes_away().await;
        assert_eq!(world.post(&Group::firing("DiskFull", world.now()).payload()).await.0, 503);
        world.database.comes_back().await;
        let (status, _) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
        assert_eq!(status, 200);
        until("the page", async || rooms.iter().all(|room| !world.said(room).is_empty())).await;
        shutdown.cancel();
    });
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_room() {
    let (world, rooms) = many_rooms(1).await;
    let limit = Fault::RateLimit { retry_after: MINUTE };
    world.homeserver.fail_next(messages_to(&rooms[0]), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let mut connection = world.database.connect().await;
    sqlx::query(
        r#"UPDATE outbox SET payload = '{"what": "something of a later release"}' WHERE state = 'pending'"#,
    )
    .execute(&mut connection)
    .await
    .unwrap();
    world.report(&Group::firing("HostDown", world.now())).await;
    world.pass(MINUTE * 2).await;
    assert!(world.only(&rooms[0]).body.contains("HostDown"));
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 1);
    world.nothing_is_left().await;
}
