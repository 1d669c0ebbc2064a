//! Rooms have names beside their ids wherever people read about them: also rooms that the configuration names by id.

use super::{ALICE, MINUTE, list};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Setup, World};
use ruma::{OwnedRoomId, RoomId};

const MANAGERS: &str = "#managers:example.test";

/// A list with a room by its id, which has a name, and a fallback room.
async fn named_room() -> (World, OwnedRoomId, OwnedRoomId) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&[rooms.ops.as_str()], &[MANAGERS]])).await;
    world.homeserver.name_room(&rooms.ops, "Finance\u{202E} \"ops\"");
    (world, rooms.ops, rooms.fallback)
}

/// The virtual user is banned from the room, and the fallback room hears of it.
async fn reported(world: &World, room: &RoomId, fallback: &RoomId) -> String {
    world.homeserver.person(ALICE).bans(room, &World::virtual_user("finance"));
    world.settle().await;
    world.homeserver.messages(fallback).last().map(|message| message.body.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_name_comes_with_its_event_and_is_shown_without_tricks() {
    let (world, ops, fallback) = named_room().await;
    world.settle().await;
    let notice = reported(&world, &ops, &fallback).await;
    assert!(notice.contains(&format!("finance cannot reach \"Finance ops\" ({ops})")), "{notice}");
}

#[tokio::test]
async fn a_name_whose_event_was_lost_is_read_later() {
    let (world, ops, fallback) = named_room().await;
    world.homeserver.lose_unpushed_events();
    world.pass(MINUTE * 60 * 6).await;
    let notice = reported(&world, &ops, &fallback).await;
    assert!(notice.contains(&format!("\"Finance ops\" ({ops})")), "{notice}");
}

#[tokio::test]
async fn an_old_event_does_not_bring_an_old_name_back() {
    let (world, ops, fallback) = named_room().await;
    world.settle().await;
    let old = world.homeserver.timeline(&ops).into_iter().rfind(|event| event.kind == "m.room.name").unwrap();
    let mut connection = world.database.connect().await;
    sqlx::query("UPDATE room_name SET name = 'Newer', learned_at = '2026-11-24T13:00:00Z'")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("DELETE FROM inbox").execute(&mut connection).await.unwrap();
    world.homeserver.push("again", &[old.event_id]).await.unwrap();
    world.settle().await;
    let notice = reported(&world, &ops, &fallback).await;
    assert!(notice.contains("\"Newer\""), "{notice}");
}

#[tokio::test]
async fn a_name_that_cannot_be_read_is_no_trouble() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let reading = Match::to(Endpoint::State).of_type("m.room.name");
    setup.homeserver.fail_until_cleared(reading, Fault::Status(500, "M_UNKNOWN"));
    let world = setup.start(&list("finance", &[&[rooms.ops.as_str()], &[MANAGERS]])).await;
    world.bot.step("liveness").await.unwrap();
    let (status, check) = super::probes::rooms_check(&world).await;
    assert_eq!((status, &check["ok"]), (200, &true.into()), "{check:#}");
    let notice = reported(&world, &rooms.ops, &rooms.fallback).await;
    assert!(notice.contains(&format!("finance cannot reach {}", rooms.ops)), "{notice}");
}
