//! A room that the virtual user is in, but where its power level is too low to send messages.

use super::{ALICE, HOUR, MINUTE, SECOND, list};
use crate::world::{Group, Setup, World};
use ruma::RoomId;

const OPS: &str = "#ops:example.test";
const MANAGERS: &str = "#managers:example.test";

fn mute(world: &World, room: &RoomId, level: i64) {
    world.homeserver.change_power_levels(room, |levels| levels["events_default"] = level.into());
}

#[tokio::test]
async fn a_muted_room_beside_another_is_reported_and_gets_its_page_once_it_is_not() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&[OPS, MANAGERS]])).await;
    mute(&world, &rooms.ops, 50);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    assert_eq!(world.posts(&rooms.ops), []);
    let reported = world.only_post(&rooms.fallback).body;
    assert!(reported.contains("finance cannot reach #ops:example.test"), "{reported}");
    assert!(reported.contains("has power level 0 there, and messages need 50"), "{reported}");
    world.pass(MINUTE * 5).await;
    world.only_post(&rooms.fallback);
    mute(&world, &rooms.ops, 0);
    world.pass(SECOND * 20).await;
    let page = world.only_post(&rooms.ops);
    assert!(page.body.contains("DiskFull"), "{}", page.body);
    assert!(world.posts(&rooms.fallback)[1].body.contains("finance can reach #ops:example.test"));
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_muted_room_on_its_own_calls_the_next_level_at_once() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&[OPS], &[MANAGERS]])).await;
    mute(&world, &rooms.ops, 50);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    let posts = world.posts(&rooms.fallback);
    assert!(posts.iter().any(|message| message.body.contains("UNREACHABLE")), "{posts:#?}");
    mute(&world, &rooms.ops, 0);
    world.pass(SECOND * 20).await;
    assert!(world.only_post(&rooms.ops).body.contains("DiskFull"), "what it missed");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_was_muted_before_it_was_joined_is_reported_before_there_is_a_page() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.change_power_levels(&rooms.ops, |levels| levels["events_default"] = 50.into());
    let world = setup.start(&list("finance", &[&[OPS], &[MANAGERS]])).await;
    assert!(world.only_post(&rooms.fallback).body.contains("messages need 50"));
    world.pass(HOUR).await;
    world.only_post(&rooms.fallback);
}

#[tokio::test]
async fn a_message_that_is_refused_for_itself_is_no_trouble_of_its_room() {
    let (world, rooms) = World::finance("").await;
    let refused = crate::homeserver::Fault::Status(403, "M_FORBIDDEN");
    world.homeserver.fail_until_cleared(super::messages_to(&rooms.ops), refused);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 10).await;
    world.only_post(&rooms.fallback);
    assert_eq!(world.count("SELECT count(*) FROM room_trouble").await, 0);
}
