//! A room that was upgraded: people with enough power still act there, and matrixbot cannot write there any more.

use super::{ALICE, MINUTE, SECOND};
use crate::homeserver::{Endpoint, Match};
use crate::world::{Group, Rooms, World};
use ruma::{OwnedRoomId, RoomId};

/// A paged incident whose room was upgraded since.
async fn upgraded() -> (World, Rooms, OwnedRoomId, i64) {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.bot.step("reconcile").await.unwrap();
    world.pass(10 * SECOND).await;
    let successor = world.homeserver.person(ALICE).upgrades(&rooms.ops);
    world.settle().await;
    (world, rooms, successor, number)
}

fn bodies(world: &World, room: &RoomId) -> Vec<String> {
    let mut messages = world.homeserver.messages(room);
    messages.retain(|message| message.sender == World::virtual_user("finance"));
    messages.into_iter().map(|message| message.body).collect()
}

#[tokio::test]
async fn a_command_in_a_room_that_was_upgraded_is_answered_in_its_successor() {
    let (world, rooms, successor, number) = upgraded().await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    let answers = bodies(&world, &successor);
    let answer = format!("#{number} DiskFull: acknowledged");
    assert!(answers.iter().any(|body| body.contains(&answer)), "{answers:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_reaction_in_a_room_that_was_upgraded_shows_in_its_successor() {
    let (world, rooms, successor, number) = upgraded().await;
    world.homeserver.person(ALICE).reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    let posted = bodies(&world, &successor);
    let of_incident: Vec<_> =
        posted.iter().filter(|body| body.contains(&format!("#{number} DiskFull"))).collect();
    assert_eq!(of_incident.len(), 1, "{posted:#?}");
    assert!(of_incident[0].contains("@alice:example.test acknowledged"), "{posted:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_in_a_read_only_room_without_a_successor_is_answered_in_another_room() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    alice.names_successor(&rooms.ops, "!nowhere:example.test");
    world.homeserver.change_power_levels(&rooms.ops, |levels| levels["events_default"] = 50.into());
    world.settle().await;
    alice.says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    let answer = format!("#{number} DiskFull: acknowledged");
    let elsewhere = bodies(&world, &rooms.fallback);
    assert_eq!(elsewhere.iter().filter(|body| body.contains(&answer)).count(), 1, "{elsewhere:#?}");
    // If no room of the list can be written, nothing goes round and round.
    for room in [&rooms.fallback, &rooms.managers] {
        world.homeserver.change_power_levels(room, |levels| levels["events_default"] = 50.into());
    }
    for command in ["show", "ack", "timeline"] {
        alice.says(&rooms.ops, &format!("{command} {number}"));
    }
    world.settle().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_was_posted_before_the_upgrade_is_read_in_its_own_room() {
    let (world, rooms, successor, number) = upgraded().await;
    world.homeserver.person(ALICE).reacts(&world.only_post(&rooms.ops).event_id, "✅");
    world.homeserver.lose_unpushed_events();
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    // The relations alone, then the room alone.
    let reading = Match::to(Endpoint::Messages).in_room(&rooms.ops);
    world.homeserver.fail_until_cleared(reading, crate::homeserver::Fault::Status(403, "M_FORBIDDEN"));
    world.pass(MINUTE).await;
    world.bot.step("reconcile").await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    let asked = |room: &RoomId| {
        let requests = world.homeserver.requests().into_iter();
        requests
            .filter(|request| {
                request.endpoint == Endpoint::Relations && request.room.as_deref() == Some(room.as_str())
            })
            .count()
    };
    assert!(asked(&rooms.ops) > 0);
    assert_eq!(asked(&successor), 0, "nothing was posted there");
}

#[tokio::test]
async fn a_left_room_is_read_while_something_is_open_there() {
    let (world, rooms, _, number) = upgraded().await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.homeserver.lose_unpushed_events();
    world.bot.step("reconcile").await.unwrap();
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
}
