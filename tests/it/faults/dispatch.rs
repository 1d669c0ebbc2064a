//! The outbox in its production loop.

use super::{MINUTE, list, messages_to};
use crate::homeserver::{Endpoint, Fault};
use crate::world::{Group, Setup, World};
use matrixbot::matrix::{Client, Timeouts};
use matrixbot::outbox::OutboxSettings;
use matrixbot::rooms;
use matrixbot::worker::Registered;
use secrecy::SecretString;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The longest real time to wait for a condition.
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

/// Waits until a condition holds, while the outbox runs.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, waiting).await.is_ok(), "timed out: {what}");
}

/// A list whose only level has this many rooms.
async fn many_rooms(count: usize) -> (World, Vec<ruma::OwnedRoomId>) {
    let setup = Setup::prepare().await;
    setup.rooms();
    let names: Vec<String> = (0..count).map(|n| format!("#r{n}:example.test")).collect();
    let rooms = names.iter().map(|name| setup.homeserver.public_room(super::ALICE, name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (setup.start(&list("finance", &[&names])).await, rooms)
}

#[tokio::test]
async fn a_slow_room_delays_no_other() {
    let (world, rooms) = many_rooms(4).await;
    let (outbox, shutdown) = outbox(&world, 2);
    let held = world.homeserver.hold_before(messages_to(&rooms[0]));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(outbox.run(&shutdown), async {
        held.reached().await;
        until("the other rooms", async || rooms[1..].iter().all(|room| !world.posts(room).is_empty())).await;
        world.post(&Group::firing("HostDown", world.now()).payload()).await;
        until("the next", async || rooms[1..].iter().all(|room| world.posts(room).len() == 2)).await;
        assert_eq!(world.posts(&rooms[0]), []);
        held.release();
        until("the slow one", async || world.posts(&rooms[0]).len() == 2).await;
        shutdown.cancel();
    });
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn seventy_slow_rooms_of_a_list_delay_no_other_list() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let names: Vec<String> = (0..70).map(|n| format!("#r{n}:example.test")).collect();
    let slow: Vec<_> = names.iter().map(|name| setup.homeserver.public_room(super::ALICE, name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let lists = list("slow", &[&names]) + &list("finance", &[&["#ops:example.test"]]);
    let world = setup.start(&lists).await;
    let (outbox, shutdown) = outbox(&world, OutboxSettings::default().rooms_at_once);
    let held: Vec<_> = slow.iter().map(|room| world.homeserver.hold_before(messages_to(room))).collect();
    world.post_to("slow", &Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(outbox.run(&shutdown), async {
        let sends = async || world.homeserver.count(Endpoint::Send) >= 32;
        until("the places of a list", sends).await;
        world.post(&Group::firing("HostDown", world.now()).payload()).await;
        until("the other list", async || !world.posts(&rooms.ops).is_empty()).await;
        assert_eq!(
            world.homeserver.count(Endpoint::Send) - sends_to(&world, &rooms.ops),
            32,
            "no more than its places"
        );
        for held in &held {
            held.release();
        }
        until("the slow ones", async || slow.iter().all(|room| !world.homeserver.messages(room).is_empty()))
            .await;
        shutdown.cancel();
    });
    world.settle().await;
    world.nothing_is_left().await;
}

/// How many requests to send came for a room.
fn sends_to(world: &World, room: &ruma::RoomId) -> usize {
    let requests = world.homeserver.requests();
    requests
        .iter()
        .filter(|request| {
            request.endpoint == Endpoint::Send && request.room.as_deref() == Some(room.as_str())
        })
        .count()
}

#[tokio::test]
async fn a_failing_room_and_a_rate_limited_room_delay_no_other() {
    let (world, rooms) = many_rooms(4).await;
    let (outbox, shutdown) = outbox(&world, 1);
    world.homeserver.fail_until_cleared(messages_to(&rooms[0]), Fault::Status(500, "M_UNKNOWN"));
    world.homeserver.fail_until_cleared(messages_to(&rooms[1]), Fault::RateLimit { retry_after: MINUTE });
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(outbox.run(&shutdown), async {
        until("the others", async || rooms[2..].iter().all(|room| !world.posts(room).is_empty())).await;
        shutdown.cancel();
    });
    assert!(world.attempts(&rooms[0]).1 <= 1 && world.attempts(&rooms[1]).1 <= 1, "the clock stands still");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    for room in &rooms {
        world.only_post(room);
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_stop_finishes_in_flight_messages_and_starts_none() {
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
        // Two rooms are served at a time, in any order. Once both held rooms are reached, the third one is done.
        for held in &held {
            held.reached().await;
        }
        shutdown.cancel();
        let before = world.homeserver.count(Endpoint::Send);
        for held in &held {
            held.release();
        }
        until("the in-flight messages", async || rooms[..2].iter().all(|room| !world.posts(room).is_empty()))
            .await;
        assert_eq!(world.homeserver.count(Endpoint::Send), before);
    });
    assert!(rooms[..2].iter().all(|room| world.posts(room).len() == 1), "the next message is not started");
    world.settle().await;
    assert!(rooms.iter().all(|room| world.posts(room).len() == 2));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_outbox_continues_after_a_database_outage() {
    let (world, rooms) = many_rooms(2).await;
    let (outbox, shutdown) = outbox(&world, 8);
    tokio::join!(outbox.run(&shutdown), async {
        world.database.down().await;
        assert_eq!(world.post(&Group::firing("DiskFull", world.now()).payload()).await.0, 503);
        world.database.up().await;
        let (status, _) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
        assert_eq!(status, 200);
        until("the page", async || rooms.iter().all(|room| !world.posts(room).is_empty())).await;
        shutdown.cancel();
    });
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unreadable_row_stops_no_room() {
    let (world, rooms) = many_rooms(1).await;
    let limit = Fault::RateLimit { retry_after: MINUTE };
    world.homeserver.fail_next(messages_to(&rooms[0]), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let mut connection = world.database.connect().await;
    sqlx::query(
        r#"UPDATE outbox SET kind = 'reminder', payload = '{"what": "something of a later release"}'
           WHERE state = 'pending'"#,
    )
    .execute(&mut connection)
    .await
    .unwrap();
    world.report(&Group::firing("HostDown", world.now())).await;
    world.pass(MINUTE * 2).await;
    assert!(world.only_post(&rooms[0]).body.contains("HostDown"));
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 1);
    let missing = "SELECT count(*) FROM audit_finding WHERE counted AND name = 'page_without_message'";
    assert_eq!(world.count(missing).await, 1, "the audit misses the page");
    sqlx::query("DELETE FROM audit_finding").execute(&mut connection).await.unwrap();
    world.nothing_is_left().await;
}
