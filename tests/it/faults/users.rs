//! A virtual user that the homeserver does not let act: suspended, locked, deactivated, or without its device. Its messages
//! wait, however long that takes, and nobody is notified of rooms that have no trouble.

use super::{ALICE, HOUR, MINUTE, list};
use crate::homeserver::{Blocked, Endpoint, Fault, Match};
use crate::world::{Group, Rooms, Setup, World, finance_list};
use std::time::Duration;

/// Nothing is given up, nobody is notified, and the ladder stays where it is.
async fn everything_waits(world: &World, rooms: &Rooms, number: i64) {
    world.pass(HOUR * 2).await;
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    for room in [&rooms.ops, &rooms.managers, &rooms.fallback] {
        assert_eq!(world.posts(room), []);
    }
    assert_eq!(world.phase(number).await, "firing");
    assert_eq!(
        world.count("SELECT count(*) FROM timeline WHERE kind = 'paged'").await,
        1,
        "send_cap does not run"
    );
    assert_eq!(world.count("SELECT count(*) FROM outbox").await, 1, "no notices about notices");
}

/// Once the user may act again, the page comes, and its level has its whole time.
async fn everything_comes(world: &World, rooms: &Rooms) {
    world.pass(MINUTE * 3).await;
    let page = world.only_post(&rooms.ops);
    assert!(page.body.contains("This page is late."), "{}", page.body);
    world.pass(MINUTE * 11).await;
    assert_eq!(world.posts(&rooms.managers), [], "its 15 min begin when it is sent");
    world.pass(MINUTE * 5).await;
    world.only_post(&rooms.managers);
    assert_eq!(world.posts(&rooms.fallback), []);
    world.nothing_is_left().await;
}

async fn readiness(world: &World) -> (u16, String) {
    let answer = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_pages_of_a_suspended_user_wait_and_come_when_it_may_send_again() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.blocks(&user, Some(Blocked::Suspended));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    everything_waits(&world, &rooms, number).await;
    let (_, checks) = readiness(&world).await;
    assert!(checks.contains("M_USER_SUSPENDED"), "{checks}");
    let series = r#"matrixbot_virtual_user_trouble{room_list="finance"}"#;
    world.bot.step("gauges").await.unwrap();
    assert_eq!(world.bot.series(series).await, Some(1.0));
    world.homeserver.blocks(&user, None);
    everything_comes(&world, &rooms).await;
    world.bot.step("gauges").await.unwrap();
    assert_eq!(world.bot.series(series).await, Some(0.0));
}

#[tokio::test]
async fn the_homeserver_is_asked_less_and_less_often_for_a_user_that_cannot_send() {
    let (world, _) = World::finance("").await;
    world.homeserver.blocks(&World::virtual_user("finance"), Some(Blocked::Suspended));
    for name in ["DiskFull", "HostDown", "LinkDown"] {
        world.report(&Group::firing(name, world.now())).await;
    }
    let before = world.homeserver.count(Endpoint::Send);
    world.pass(HOUR).await;
    let asked = world.homeserver.count(Endpoint::Send) - before;
    assert!((30..=80).contains(&asked), "asked {asked} times in an hour");
}

#[tokio::test]
async fn the_pages_of_a_locked_user_wait_and_come_when_it_may_act_again() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.blocks(&user, Some(Blocked::Locked));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    everything_waits(&world, &rooms, number).await;
    world.homeserver.blocks(&user, None);
    everything_comes(&world, &rooms).await;
}

#[tokio::test]
async fn the_pages_of_a_deactivated_user_wait() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.blocks(&user, Some(Blocked::Deactivated));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    everything_waits(&world, &rooms, number).await;
    world.homeserver.blocks(&user, None);
    everything_comes(&world, &rooms).await;
}

#[tokio::test]
async fn a_user_that_cannot_join_is_no_trouble_of_its_rooms() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let joining = Match::to(Endpoint::Join);
    setup.homeserver.fail_until_cleared(joining, Fault::Status(403, "M_USER_SUSPENDED"));
    let world = setup.start(&finance_list("")).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    everything_waits(&world, &rooms, number).await;
    world.homeserver.clear_faults();
    everything_comes(&world, &rooms).await;
}

#[tokio::test]
async fn a_lost_device_is_made_again_in_the_words_of_continuwuity() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.like_continuwuity();
    world.homeserver.forgets_devices(&World::virtual_user("finance"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.fallback), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_device_that_cannot_be_made_gives_up_no_page() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.like_continuwuity();
    let user = World::virtual_user("finance");
    world.homeserver.forgets_devices(&user);
    world.homeserver.fail_until_cleared(Match::to(Endpoint::Device), Fault::Status(500, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    world.homeserver.clear_faults();
    world.pass(MINUTE * 3).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.fallback), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_user_that_cannot_act_delays_no_other_list_in_the_same_room() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let lists = list("finance", &[&["#ops:example.test"]]) + &list("storage", &[&["#ops:example.test"]]);
    let world = setup.start(&lists).await;
    let user = World::virtual_user("finance");
    world.homeserver.blocks(&user, Some(Blocked::Suspended));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    world.settle().await;
    world.post_to("storage", &Group::firing("HostDown", world.now()).payload()).await;
    world.settle().await;
    let messages = world.homeserver.messages(&rooms.ops);
    assert!(messages.len() == 1 && messages[0].body.contains("HostDown"), "{messages:#?}");
    world.homeserver.person(ALICE).reacts(&messages[0].event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(2).await, "acknowledged");
    world.homeserver.blocks(&user, None);
    world.pass(MINUTE * 3).await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn trouble_of_a_user_without_messages_ends_at_the_next_visit() {
    let (world, _) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.blocks(&user, Some(Blocked::Locked));
    world.pass(MINUTE * 5).await;
    assert_eq!(world.count("SELECT count(*) FROM user_trouble").await, 1);
    let (status, checks) = readiness(&world).await;
    assert!(checks.contains("M_USER_LOCKED"), "{status} {checks}");
    world.homeserver.blocks(&user, None);
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.count("SELECT count(*) FROM user_trouble").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM outbox").await, 0, "nothing was posted about rooms");
}

#[tokio::test]
async fn a_room_that_continuwuity_cannot_find_is_passed_by_at_once() {
    let setup = Setup::prepare().await;
    setup.homeserver.like_continuwuity();
    let rooms = setup.rooms();
    let world =
        setup.start(&list("finance", &[&["!nosuch:example.test"], &["#managers:example.test"]])).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    let messages = world.posts(&rooms.fallback);
    assert!(messages.iter().any(|message| message.body.contains("UNREACHABLE")), "{messages:#?}");
    world.nothing_is_left().await;
}
