//! A homeserver that has forgotten us: restored from a backup, or cleaned by somebody.

use super::MINUTE;
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, World};

const NAMED: &str = "    display_name: Finance alerts\n";

async fn the_page_comes(world: &World, rooms: &Rooms) {
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // Only sending is done: nobody looks after accounts and rooms.
    world.bot.step("outbox").await.unwrap();
    world.only(&rooms.ops);
    world.settle().await;
    assert_eq!(world.said(&rooms.managers), []);
    assert_eq!(world.said(&rooms.fallback), []);
    world.nothing_is_left().await;
}

fn name(world: &World) -> Option<String> {
    world.homeserver.display_name(World::virtual_user("finance").as_str())
}

#[tokio::test]
async fn an_account_that_is_gone_is_made_again_and_the_page_comes() {
    let (world, rooms) = World::finance(NAMED).await;
    let user = World::virtual_user("finance");
    world.homeserver.forgets(&user);
    the_page_comes(&world, &rooms).await;
    for room in [&rooms.ops, &rooms.managers, &rooms.fallback] {
        assert!(world.homeserver.is_joined(room, user.as_str()), "it is back in every room");
    }
    assert_eq!(name(&world).as_deref(), Some("Finance alerts"));
}

#[tokio::test]
async fn an_account_that_is_gone_is_missed_before_there_is_a_page() {
    let (world, rooms) = World::finance(NAMED).await;
    let user = World::virtual_user("finance");
    world.homeserver.forgets(&user);
    world.pass(MINUTE * 5).await;
    assert!(world.homeserver.is_joined(&rooms.ops, user.as_str()));
    assert_eq!(name(&world).as_deref(), Some("Finance alerts"));
}

#[tokio::test]
async fn a_device_that_is_gone_is_made_again_and_the_page_comes() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.forgets_devices(&World::virtual_user("finance"));
    the_page_comes(&world, &rooms).await;
}

#[tokio::test]
async fn a_device_that_is_gone_keeps_nobody_from_joining() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(super::ALICE).kicks(&rooms.ops, &user);
    world.homeserver.deliver_all().await;
    world.bot.step("inbox").await.unwrap();
    world.homeserver.forgets_devices(&user);
    the_page_comes(&world, &rooms).await;
}

#[tokio::test]
async fn an_account_that_cannot_be_made_now_is_made_later() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.forgets(&World::virtual_user("finance"));
    world.homeserver.fail_until_cleared(Match::to(Endpoint::Register), Fault::Status(500, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE).await;
    assert_eq!(world.said(&rooms.ops), []);
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only(&rooms.ops);
    assert_eq!(world.said(&rooms.managers), []);
    world.nothing_is_left().await;
}
