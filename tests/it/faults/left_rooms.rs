//! Commands in a room that its list has left or that was replaced: they are answered, and change only what was posted there.

use super::aliases::with;
use super::{ALICE, MINUTE};
use crate::world::{Group, Rooms, World, finance_list};
use ruma::{OwnedRoomId, RoomId};

const HERE_NO_MORE: &str = "Alerts of finance are posted in ";

/// The answers in a room that say where pages go, of which each must name `to`.
fn directions(world: &World, room: &RoomId, to: &RoomId) -> usize {
    let answers = with(world, room, HERE_NO_MORE);
    assert!(
        answers.iter().all(|body| body.contains(to.as_str()) && !body.contains("HostDown")),
        "{answers:#?}"
    );
    answers.len()
}

fn let_write(world: &World, room: &RoomId) {
    world.homeserver.change_power_levels(room, |levels| levels["events_default"] = 0.into());
}

/// The usual world after an upgrade of its first room, and an incident that was posted in the successor alone.
async fn upgraded() -> (World, Rooms, OwnedRoomId, i64) {
    let (world, rooms) = World::finance("").await;
    let successor = world.homeserver.person(ALICE).upgrades(&rooms.ops);
    world.settle().await;
    let number = world.report(&Group::firing("HostDown", world.now())).await;
    (world, rooms, successor, number)
}

#[tokio::test]
async fn a_command_in_a_replaced_room_about_what_was_not_posted_there_is_answered_and_changes_nothing() {
    let (world, rooms, successor, number) = upgraded().await;
    let alice = world.homeserver.person(ALICE);
    for command in [format!("ack {number}"), "ack all".to_owned(), "pending".to_owned()] {
        alice.says(&rooms.ops, &command);
    }
    alice.says(&rooms.ops, "nobody needs an answer to this");
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(directions(&world, &successor, &successor), 3, "matrixbot may not write in the old room");
    let_write(&world, &rooms.ops);
    alice.says(&rooms.ops, "help");
    world.settle().await;
    assert_eq!(directions(&world, &rooms.ops, &successor), 1);
    for _ in 0..40 {
        alice.says(&rooms.ops, "pending");
    }
    world.settle().await;
    assert!(directions(&world, &rooms.ops, &successor) <= 30, "rate limited like every answer");
    assert_eq!(world.phase(number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_in_a_former_successor_is_answered_there() {
    let (world, rooms, successor, first) = upgraded().await;
    let_write(&world, &rooms.ops);
    let store = world.database.store(1);
    let mut tx = store.begin().await.unwrap();
    matrixbot::store::room_move::undo(&mut tx, rooms.ops.as_str(), true, world.now()).await.unwrap();
    matrixbot::store::commit(tx).await.unwrap();
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1);
    let alice = world.homeserver.person(ALICE);
    alice.says(&successor, &format!("ack {number}"));
    world.settle().await;
    assert_eq!((world.phase(first).await, world.phase(number).await), ("firing".into(), "firing".into()));
    assert_eq!(directions(&world, &successor, &rooms.ops), 1);
    alice.says(&successor, "ack all");
    world.settle().await;
    assert_eq!(
        (world.phase(first).await, world.phase(number).await),
        ("acknowledged".into(), "firing".into())
    );
    alice.says(&successor, &format!("unack {first}"));
    world.settle().await;
    assert_eq!(world.phase(first).await, "firing", "it was posted there");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn ack_all_in_a_room_that_the_alias_left_acknowledges_what_was_posted_there_and_names_nothing_else() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias("#ops:example.test", Some(&new));
    world.pass(MINUTE * 5).await;
    let later = world.report(&Group::firing("HostDown", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, "ack all");
    world.settle().await;
    assert_eq!(
        (world.phase(number).await, world.phase(later).await),
        ("acknowledged".into(), "firing".into())
    );
    assert_eq!(with(&world, &rooms.ops, "HostDown"), [] as [String; 0]);
    assert_eq!(with(&world, &rooms.ops, "#1 DiskFull: acknowledged").len(), 1);
    alice.says(&rooms.ops, "ack all");
    world.settle().await;
    assert_eq!(directions(&world, &rooms.ops, &new), 1, "nothing that was posted there is open");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_in_a_room_that_the_alias_left_is_answered_there() {
    let (world, rooms) = World::finance("").await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias("#ops:example.test", Some(&new));
    world.pass(MINUTE * 5).await;
    let number = world.report(&Group::firing("HostDown", world.now())).await;
    let alice = world.homeserver.person(ALICE);
    alice.says(&rooms.ops, &format!("ack {number}"));
    alice.says(&rooms.ops, &format!("show {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(directions(&world, &rooms.ops, &new), 2);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_in_a_room_that_is_not_configured_any_more_is_answered_without_the_other_rooms() {
    let (mut world, rooms) = World::finance("").await;
    world.reload(&finance_list("").replace("#ops:", "#fallback:")).await;
    world.settle().await;
    world.report(&Group::firing("HostDown", world.now())).await;
    world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    world.settle().await;
    assert_eq!(with(&world, &rooms.ops, "Alerts of finance are no longer posted in this room").len(), 1);
    assert_eq!(with(&world, &rooms.ops, "HostDown"), [] as [String; 0]);
    world.nothing_is_left().await;
}
