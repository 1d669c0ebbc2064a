//! An alias that moves, beside other lists and other names of its rooms.

use super::aliases::{OPS, bodies, with};
use super::{ALICE, MINUTE, list, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Setup, World, finance_list};

const FINANCE: &str = "finance";

#[tokio::test]
async fn a_slow_alias_delays_no_other_list() {
    let setup = Setup::prepare().await;
    setup.rooms();
    setup.homeserver.public_room(ALICE, "#other:example.test");
    let lists = format!("{}{}", finance_list(""), list("other", &[&["#other:example.test"]]));
    let world = setup.start(&lists).await;
    let new = world.homeserver.public_room(ALICE, "#new-other:example.test");
    world.homeserver.set_alias("#other:example.test", Some(&new));
    let held = world.homeserver.hold_before(Match::to(Endpoint::Alias).about(OPS));
    let leads_there = format!("SELECT count(*) FROM room_alias WHERE room = '{new}'");
    tokio::select! {
        _ = world.bot.step("attendance") => panic!("the slow alias was answered"),
        () = async {
            held.reached().await;
            while world.count_of(&leads_there).await == 0 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    held.release();
}

#[tokio::test]
async fn another_list_in_the_old_room_stays_there() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let lists = format!("{}{}", finance_list(""), list("other", &[&[rooms.ops.as_str()]]));
    let world = setup.start(&lists).await;
    let alice = world.homeserver.person(ALICE);
    let limit = Fault::RateLimit { retry_after: MINUTE * 6 };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let (_, answer) = world.post_to("other", &Group::firing("Secret", world.now()).payload()).await;
    world.settle().await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.pass(MINUTE * 10).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    assert_eq!(with(&world, &rooms.ops, "Secret").len(), 1);
    let secret = answer["incident"].as_i64().unwrap();
    for command in [format!("show {secret}"), format!("ack {secret}"), "pending".to_owned()] {
        alice.says(&new, &command);
    }
    world.settle().await;
    assert_eq!(with(&world, &new, "Secret"), [] as [String; 0], "{:#?}", bodies(&world, &new));
    assert_eq!(world.phase(secret).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn lists_with_the_same_alias_move_together_and_one_that_cannot_join_is_reported() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let lists = format!("{}{}", finance_list(""), list("other", &[&[OPS]]));
    let world = setup.start(&lists).await;
    let new = world.homeserver.private_room(ALICE);
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.settle().await;
    world.homeserver.set_alias(OPS, Some(&new));
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.pass(MINUTE * 5).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    assert_eq!(with(&world, &rooms.fallback, "other cannot reach").len(), 1);
    world.post_to("other", &Group::firing("HostDown", world.now()).payload()).await;
    world.settle().await;
    assert_eq!(with(&world, &rooms.fallback, "HostDown").len(), 2, "unreachable, then unanswered");
    assert_eq!(with(&world, &rooms.ops, "HostDown"), [] as [String; 0]);
}

#[tokio::test]
async fn a_room_that_the_list_has_by_another_name_keeps_its_pages() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list(FINANCE, &[&[OPS, rooms.ops.as_str()]])).await;
    let limit = Fault::RateLimit { retry_after: MINUTE * 6 };
    world.homeserver.fail_next(messages_to(&rooms.ops), limit);
    world.report(&Group::firing("DiskFull", world.now())).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.pass(MINUTE * 7).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1);
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!((with(&world, &rooms.ops, "HostDown").len(), with(&world, &new, "HostDown").len()), (1, 1));
    world.pass(MINUTE).await;
}
