//! A tombstone may name any room as its successor. Only a room that names the old one as its predecessor is followed.

use super::{ALICE, MINUTE, list};
use crate::homeserver::Endpoint;
use crate::world::{Group, Rooms, Setup, World, finance_list};
use ruma::{OwnedRoomId, RoomId};

const MALLORY: &str = "@mallory:example.test";

/// The list `finance` has a private room of alice's; `lobby` has a public room of mallory's, and the fallback room.
async fn two_lists() -> (World, OwnedRoomId, OwnedRoomId, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let alice = setup.homeserver.person(ALICE);
    let private = setup.homeserver.private_room(ALICE);
    alice.invites(&private, &World::virtual_user("finance"));
    let lobby = setup.homeserver.public_room(MALLORY, "#lobby:example.test");
    let lists =
        format!("{}{}", list("finance", &[&[private.as_str()]]), list("lobby", &[&["#lobby:example.test"]]));
    let world = setup.start(&lists).await;
    (world, private, lobby, rooms)
}

fn bodies(world: &World, room: &RoomId) -> Vec<String> {
    world.homeserver.messages(room).into_iter().map(|message| message.body).collect()
}

async fn report_to(world: &World, list: &str, name: &str) -> i64 {
    let (status, answer) = world.post_to(list, &Group::firing(name, world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    answer["incident"].as_i64().unwrap()
}

#[tokio::test]
async fn naming_another_lists_private_room_opens_nothing_of_it() {
    let (world, private, lobby, _) = two_lists().await;
    let mallory = world.homeserver.person(MALLORY);
    let number = report_to(&world, "finance", "Secret").await;
    mallory.names_successor(&lobby, private.as_str());
    world.settle().await;
    for text in [
        format!("show {number}"),
        format!("timeline {number}"),
        format!("ack {number}"),
        "pending".to_owned(),
    ] {
        mallory.says(&lobby, &text);
    }
    world.settle().await;
    assert_eq!(world.phase(number).await, "firing");
    assert!(
        bodies(&world, &lobby).iter().all(|body| !body.contains("Secret")),
        "{:#?}",
        bodies(&world, &lobby)
    );
    report_to(&world, "lobby", "DoorOpen").await;
    assert!(
        bodies(&world, &lobby).iter().any(|body| body.contains("DoorOpen")),
        "pages stay where they were"
    );
    assert!(bodies(&world, &private).iter().all(|body| !body.contains("DoorOpen")));
    world.pass(MINUTE * 6).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn naming_a_strangers_room_moves_no_page_there() {
    let (world, rooms) = World::finance("").await;
    let stranger = world.homeserver.public_room(MALLORY, "#elsewhere:example.test");
    world.homeserver.person(ALICE).names_successor(&rooms.ops, stranger.as_str());
    world.settle().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&stranger), []);
    let user = World::virtual_user("finance");
    assert!(!world.homeserver.is_joined(&stranger, user.as_str()), "it only looked");
    world.pass(MINUTE * 6).await;
    assert!(!world.homeserver.is_joined(&stranger, user.as_str()));
    let why = "SELECT count(*) FROM room_move WHERE state = 'refused' AND why LIKE '%predecessor%'";
    assert_eq!(world.count(why).await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_was_closed_without_a_successor_is_reported_once() {
    let (world, rooms) = World::finance("").await;
    let stranger = world.homeserver.public_room(MALLORY, "#elsewhere:example.test");
    world.homeserver.person(ALICE).names_successor(&rooms.ops, stranger.as_str());
    world.settle().await;
    world.pass(MINUTE * 10).await;
    let notice = world.only_post(&rooms.fallback).body;
    let closed = format!("#ops:example.test ({}) was closed and names {stranger}", rooms.ops);
    assert!(notice.contains(&closed), "{notice}");
    assert!(notice.contains("Alerts of finance are still posted in the closed room"), "{notice}");
    assert_eq!(world.posts(&rooms.ops), []);
    world.bot.step("liveness").await.unwrap();
    let (status, check) = super::probes::rooms_check(&world).await;
    assert_eq!((status, &check["degraded"]), (200, &true.into()), "{check:#}");
    assert!(check.to_string().contains("names"), "{check:#}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_closed_room_without_another_room_is_told_itself() {
    let setup = Setup::prepare().await;
    let lobby = setup.homeserver.public_room(MALLORY, "#lobby:example.test");
    let alone = list("lobby", &[&["#lobby:example.test"]]).replace("#fallback:", "#lobby:");
    let world = setup.start(&alone).await;
    let stranger = world.homeserver.public_room(MALLORY, "#elsewhere:example.test");
    world.homeserver.person(MALLORY).names_successor(&lobby, stranger.as_str());
    world.settle().await;
    let found = bodies(&world, &lobby);
    assert!(found.len() == 1 && found[0].contains("was closed and names"), "{found:#?}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_successor_that_nobody_can_join_keeps_the_pages_in_the_old_room_and_is_reported() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(ALICE).names_successor(&rooms.ops, "!nowhere:example.test");
    world.settle().await;
    let reported = bodies(&world, &rooms.fallback);
    assert!(reported.len() == 1 && reported[0].contains("moved to !nowhere:example.test"), "{reported:#?}");
    assert!(!reported[0].contains("Nobody is paged"), "{reported:#?}");
    assert!(reported[0].contains("Alerts of finance are still posted in the old room"), "{reported:#?}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.managers), []);
    let asked = world.homeserver.count(Endpoint::Join);
    world.pass(MINUTE * 10).await;
    assert!(world.homeserver.count(Endpoint::Join) - asked < 100, "it does not insist");
    assert_eq!(bodies(&world, &rooms.fallback).len(), 1, "reported once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn in_the_left_room_only_what_was_posted_there_can_be_acted_on() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.person(MALLORY).joins(&rooms.ops);
    setup.homeserver.set_power(&rooms.ops, MALLORY, 50);
    let world = setup.start(&finance_list("")).await;
    let before = world.report(&Group::firing("DiskFull", world.now())).await;
    let (alice, mallory) = (world.homeserver.person(ALICE), world.homeserver.person(MALLORY));
    let successor = alice.upgrades(&rooms.ops);
    world.settle().await;
    let after = world.report(&Group::firing("HostDown", world.now())).await;
    assert!(bodies(&world, &successor).iter().any(|body| body.contains("HostDown")));
    // Who is left behind has not joined the successor.
    for text in [format!("ack {after}"), format!("show {after}"), "pending".to_owned(), "ack all".to_owned()]
    {
        mallory.says(&rooms.ops, &text);
    }
    let page = world.homeserver.messages(&successor).into_iter().find(|page| page.body.contains("HostDown"));
    let reply = serde_json::json!({"m.in_reply_to": {"event_id": page.unwrap().event_id}});
    let reply = serde_json::json!({"msgtype": "m.text", "body": "ack", "m.relates_to": reply});
    mallory.sends(&rooms.ops, "m.room.message", reply).unwrap();
    world.settle().await;
    assert_eq!(world.phase(after).await, "firing");
    assert!(bodies(&world, &rooms.ops).iter().all(|body| !body.contains("HostDown")));
    mallory.says(&rooms.ops, &format!("resolve {before}"));
    world.settle().await;
    assert_eq!(world.phase(before).await, "resolved", "rights are those of the event's own room");
    alice.says(&successor, &format!("ack {after}"));
    world.settle().await;
    assert_eq!(world.phase(after).await, "acknowledged");
    world.pass(MINUTE).await;
}
