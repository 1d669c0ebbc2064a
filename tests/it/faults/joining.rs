//! Rooms that matrixbot joins by invitation, and rooms that are upgraded.

use super::{ALICE, HOUR, MINUTE, SECOND, list, messages_to};
use crate::homeserver::people::Person;
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Setup, World, finance_list};
use ruma::{OwnedRoomId, RoomId};
use serde_json::Value;
use sqlx::Executor;

/// A list whose only level is a private room, without an invitation yet.
async fn private_room() -> (World, OwnedRoomId, Person) {
    let setup = Setup::prepare().await;
    setup.rooms();
    let alice = setup.homeserver.person(ALICE);
    let room = setup.homeserver.private_room(ALICE);
    let world = setup.start(&list("finance", &[&[room.as_str()]])).await;
    (world, room, alice)
}

fn last_membership(world: &World, room: &RoomId) -> Value {
    let timeline = world.homeserver.timeline(room);
    timeline.iter().rfind(|event| event.kind == "m.room.member").unwrap().content.clone()
}

#[tokio::test]
async fn an_invitation_to_a_room_of_the_list_is_accepted() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    assert!(!world.homeserver.is_joined(&room, user.as_str()));
    alice.invites(&room, &user);
    world.settle().await;
    assert!(world.homeserver.is_joined(&room, user.as_str()));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice.reacts(&world.only_post(&room).event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_invitation_is_accepted_once_the_homeserver_works() {
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
async fn a_lost_invitation_is_accepted_nevertheless() {
    let (world, room, alice) = private_room().await;
    let user = World::virtual_user("finance");
    alice.invites(&room, &user);
    world.homeserver.lose_unpushed_events();
    world.pass(SECOND * 20).await;
    assert!(world.homeserver.is_joined(&room, user.as_str()));
}

#[tokio::test]
async fn an_invitation_to_any_other_room_is_declined_with_a_reason() {
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
async fn an_upgraded_room_is_followed_with_a_notice() {
    let (world, rooms) = World::finance("").await;
    let alice = world.homeserver.person(ALICE);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let replacement = alice.upgrades(&rooms.ops);
    world.settle().await;
    let notice = world.only_post(&replacement);
    assert!(notice.body.contains("replaces") && notice.body.contains(rooms.ops.as_str()), "{}", notice.body);
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(world.posts(&replacement).len(), 2);
    assert!(world.posts(&replacement)[1].body.contains("HostDown"));
    alice.says(&replacement, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(
        world.phase(number).await,
        "acknowledged",
        "an incident that was paged in the old room can be acknowledged in the new one"
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
    assert_eq!(world.posts(&rooms.ops), []);
    assert!(world.posts(&third).iter().any(|message| message.body.contains("DiskFull")));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_pending_page_goes_to_the_replacement_room() {
    let (world, rooms) = World::finance("").await;
    let limit = Fault::RateLimit { retry_after: MINUTE };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let replacement = world.homeserver.person(ALICE).upgrades(&rooms.ops);
    world.pass(MINUTE * 2).await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert!(world.posts(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_is_rejected_during_an_upgrade_goes_to_the_replacement() {
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
    assert!(world.posts(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_private_replacement_is_joined_once_it_invites() {
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
    let posts = world.posts(&replacement);
    assert!(
        posts.len() == 1 && posts[0].body.contains("This room replaces"),
        "the notice is posted after the join: {posts:#?}"
    );
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(world.posts(&replacement).iter().any(|message| message.body.contains("DiskFull")));
    world.pass(HOUR).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_report_during_the_resolution_of_an_alias_is_paged() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.fail_until_cleared(Match::to(Endpoint::Alias), Fault::Status(503, "M_UNKNOWN"));
    let world = setup.start(&finance_list("")).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.clear_faults();
    world.clock.advance(MINUTE);
    // The alias is resolved, but this lock delays moving its pending messages.
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
    let posts = world.posts(&rooms.ops);
    assert!(posts.iter().any(|message| message.body.contains("DiskFull")), "{posts:#?}");
    assert!(posts.iter().any(|message| message.body.contains("HostDown")), "{posts:#?}");
    assert_eq!(posts.len(), 2, "{posts:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn rooms_that_nobody_knew_to_be_unreachable_are_not_reported_as_reachable_again() {
    let setup = Setup::prepare().await;
    let user = World::virtual_user("finance");
    let alice = setup.homeserver.person(ALICE);
    let rooms: Vec<_> = (0..3).map(|_| setup.homeserver.private_room(ALICE)).collect();
    let list = list("finance", &[&[rooms[0].as_str()], &[rooms[1].as_str()]])
        .replace("#fallback:example.test", rooms[2].as_str());
    // Nobody has invited the virtual user yet, as at the first start.
    let world = setup.start(&list).await;
    world.pass(SECOND * 20).await;
    for room in &rooms {
        alice.invites(room, &user);
    }
    world.settle().await;
    world.pass(MINUTE).await;
    for room in &rooms {
        assert!(world.homeserver.is_joined(room, user.as_str()));
        assert_eq!(world.posts(room), [], "nobody has read that it was unreachable");
    }
    // From now on they know.
    alice.kicks(&rooms[0], &user);
    world.pass(SECOND * 20).await;
    alice.invites(&rooms[0], &user);
    world.pass(SECOND * 20).await;
    let notices: Vec<String> = world.posts(&rooms[2]).into_iter().map(|post| post.body).collect();
    assert!(notices.len() == 2 && notices[1].contains("again"), "{notices:#?}");
}
