//! Rooms that are entered by invitation, and rooms that move.

use super::{ALICE, HOUR, MINUTE, SECOND, list, messages_to};
use crate::homeserver::people::Person;
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Scenery, World, finance_list};
use ruma::{OwnedRoomId, RoomId};
use serde_json::Value;
use sqlx::Executor;

/// A private room is the only level of the list; nobody has invited anybody yet.
async fn private_room() -> (World, OwnedRoomId, Person) {
    let scenery = Scenery::prepare().await;
    scenery.rooms();
    let alice = scenery.homeserver.person(ALICE);
    let room = scenery.homeserver.private_room(ALICE);
    let world = scenery.begin(&list("finance", &[&[room.as_str()]])).await;
    (world, room, alice)
}

fn last_membership(world: &World, room: &RoomId) -> Value {
    let timeline = world.homeserver.timeline(room);
    timeline.iter().rfind(|event| event.kind == "m.room.member").unwrap().content.clone()
}

#[tokio::test]
async fn an_invitation_to_a_room_of_the_list_is_taken() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    assert!(!world.homeserver.is_joined(&room, user.as_str()));
    alice.invites(&room, &user);
    world.settle().await;
    assert!(world.homeserver.is_joined(&room, user.as_str()));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice.reacts(&world.only(&room).event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_invitation_is_taken_once_the_homeserver_lets_us() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    world.homeserver.fail_until_cleared(Match::to(Endpoint::Join), Fault::Status(503, "M_UNKNOWN"));
    alice.invites(&room, &user);
    world.settle().await;
    assert!(!world.homeserver.is_joined(&room, user.as_str()));
    world.homeserver.clear_faults();
    world.pass(SECOND * 20).await;
    assert!(world.homeserver.is_joined(&room, user.as_str()));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_invitation_that_we_never_hear_of_is_taken_all_the_same() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    alice.invites(&room, &user);
    world.homeserver.lose_unpushed_events();
    world.pass(SECOND * 20).await;
    assert!(world.homeserver.is_joined(&room, user.as_str()));
}

#[tokio::test]
async fn an_invitation_to_any_other_room_is_declined_with_a_word() {
    let (world, _, alice) = private_room().await;
    let user = World::virtual_user("finance");
    let elsewhere = world.homeserver.private_room(ALICE);
    alice.invites(&elsewhere, &user);
    world.settle().await;
    let content = last_membership(&world, &elsewhere);
    assert_eq!(content["membership"], "leave");
    assert!(content["reason"].as_str().unwrap().contains("room list"), "{content}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_is_upgraded_is_followed_and_said_there() {
    let (world, rooms) = World::finance("").await;
    let alice = world.homeserver.person(ALICE);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let replacement = alice.upgrades(&rooms.ops);
    world.settle().await;
    let said = world.only(&replacement);
    assert!(said.body.contains("replaces") && said.body.contains(rooms.ops.as_str()), "{}", said.body);
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(world.said(&replacement).len(), 2);
    assert!(world.said(&replacement)[1].body.contains("HostDown"));
    alice.says(&replacement, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(
        world.phase(number).await,
        "acknowledged",
        "what was paged in the old room is handled in the new one"
    );
    world.pass(MINUTE).await;
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_is_upgraded_twice_is_followed() {
    let (world, rooms) = World::finance("").await;
    let alice = world.homeserver.person(ALICE);
    let second = alice.upgrades(&rooms.ops);
    world.settle().await;
    let third = alice.upgrades(&second);
    world.settle().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.said(&rooms.ops), []);
    assert!(world.said(&third).iter().any(|message| message.body.contains("DiskFull")));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_waits_goes_to_the_room_that_replaces_its_own() {
    let (world, rooms) = World::finance("").await;
    let limit = Fault::RateLimit { retry_after: MINUTE };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let replacement = world.homeserver.person(ALICE).upgrades(&rooms.ops);
    world.pass(MINUTE * 2).await;
    assert_eq!(world.said(&rooms.ops), []);
    assert!(world.said(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    assert_eq!(world.said(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_is_refused_while_its_room_moves_goes_to_the_replacement() {
    let (world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), Fault::Status(403, "M_FORBIDDEN"));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    let (_, replacement) = tokio::join!(world.bot.work(), async {
        held.reached().await;
        let replacement = world.homeserver.person(ALICE).upgrades(&rooms.ops);
        world.homeserver.deliver_all().await;
        world.bot.step("inbox").await.unwrap();
        held.release();
        replacement
    });
    world.pass(SECOND * 10).await;
    assert!(world.said(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    assert_eq!(world.said(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_replacement_that_does_not_let_us_in_yet_is_entered_when_it_does() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    alice.invites(&room, &user);
    world.settle().await;
    let replacement = alice.upgrades(&room);
    world.settle().await;
    assert!(!world.homeserver.is_joined(&replacement, user.as_str()));
    alice.invites(&replacement, &user);
    world.settle().await;
    assert!(world.homeserver.is_joined(&replacement, user.as_str()));
    let said = world.said(&replacement);
    assert!(
        said.len() == 1 && said[0].body.contains("This room replaces"),
        "it is said there after all: {said:#?}"
    );
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(world.said(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    world.pass(HOUR).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_report_that_comes_while_an_alias_is_being_followed_is_paged() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    scenery.homeserver.fail_until_cleared(Match::to(Endpoint::Alias), Fault::Status(503, "M_UNKNOWN"));
    let world = scenery.begin(&finance_list("")).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.clear_faults();
    world.clock.advance(MINUTE);
    // The alias is followed, but what waits for it cannot be moved yet.
    let mut holder = world.database.connect().await;
    holder.execute("BEGIN; SELECT id FROM outbox WHERE state = 'pending' FOR UPDATE").await.unwrap();
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let (served, ()) = tokio::join!(world.bot.step("outbox"), async {
        while world.count(blocked).await == 0 {}
        assert_eq!(world.post(&Group::firing("HostDown", world.now()).payload()).await.0, 200);
        holder.execute("COMMIT").await.unwrap();
    });
    served.unwrap();
    world.settle().await;
    let said = world.said(&rooms.ops);
    assert!(said.iter().any(|message| message.body.contains("DiskFull")), "{said:#?}");
    assert!(said.iter().any(|message| message.body.contains("HostDown")), "{said:#?}");
    assert_eq!(said.len(), 2, "{said:#?}");
    world.nothing_is_left().await;
}
