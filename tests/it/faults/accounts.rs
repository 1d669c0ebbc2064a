//! A homeserver that has lost our accounts: restored from a backup, or cleaned up by someone.

use super::{MINUTE, list};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, Setup, World, finance_list};

const NAMED: &str = "    display_name: Finance alerts\n";

async fn the_page_arrives(world: &World, rooms: &Rooms) {
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // Only the outbox works: no other worker checks accounts and rooms.
    world.bot.step("outbox").await.unwrap();
    world.only_post(&rooms.ops);
    world.settle().await;
    assert_eq!(world.posts(&rooms.managers), []);
    assert_eq!(world.posts(&rooms.fallback), []);
    world.nothing_is_left().await;
}

fn name(world: &World) -> Option<String> {
    world.homeserver.display_name(World::virtual_user("finance").as_str())
}

#[tokio::test]
async fn a_lost_account_is_registered_again_and_the_page_arrives() {
    let (world, rooms) = World::finance(NAMED).await;
    let user = World::virtual_user("finance");
    world.homeserver.forgets(&user);
    the_page_arrives(&world, &rooms).await;
    for room in [&rooms.ops, &rooms.managers, &rooms.fallback] {
        assert!(world.homeserver.is_joined(room, user.as_str()), "it has rejoined every room");
    }
    assert_eq!(name(&world).as_deref(), Some("Finance alerts"));
}

#[tokio::test]
async fn a_lost_account_is_registered_again_before_the_next_page() {
    let (world, rooms) = World::finance(NAMED).await;
    let user = World::virtual_user("finance");
    world.homeserver.forgets(&user);
    world.pass(MINUTE * 5).await;
    assert!(world.homeserver.is_joined(&rooms.ops, user.as_str()));
    assert_eq!(name(&world).as_deref(), Some("Finance alerts"));
}

#[tokio::test]
async fn a_lost_device_is_created_again_and_the_page_arrives() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.forgets_devices(&World::virtual_user("finance"));
    the_page_arrives(&world, &rooms).await;
}

#[tokio::test]
async fn a_lost_device_does_not_prevent_joining() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(super::ALICE).kicks(&rooms.ops, &user);
    world.homeserver.deliver_all().await;
    world.bot.step("inbox").await.unwrap();
    world.homeserver.forgets_devices(&user);
    the_page_arrives(&world, &rooms).await;
}

#[tokio::test]
async fn registering_a_lost_account_is_retried() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.forgets(&World::virtual_user("finance"));
    world.homeserver.fail_until_cleared(Match::to(Endpoint::Register), Fault::Status(500, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE).await;
    assert_eq!(world.posts(&rooms.ops), []);
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_user_without_an_avatar_gets_the_bell_once_and_another_one_stays() {
    let setup = Setup::prepare().await;
    setup.rooms();
    let (own, bare) = (World::virtual_user("network"), World::virtual_user("finance"));
    setup.homeserver.set_avatar(&own, "mxc://example.test/own");
    let lists = format!("{}{}", finance_list(""), list("network", &[&["#ops:example.test"]]));
    let mut world = setup.start(&lists).await;
    assert_eq!(world.homeserver.avatar(&bare).as_deref(), Some("mxc://example.test/png"));
    assert_eq!(world.homeserver.avatar(&own).as_deref(), Some("mxc://example.test/own"));
    world.restart_bot().await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.homeserver.count(Endpoint::Upload), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_homeserver_that_takes_no_pictures_delays_no_page() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.fail_until_cleared(Match::to(Endpoint::Upload), Fault::Status(403, "M_FORBIDDEN"));
    let world = setup.start(&finance_list("")).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.homeserver.avatar(&World::virtual_user("finance")), None);
    world.nothing_is_left().await;
}
