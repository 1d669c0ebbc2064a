//! Rooms that cannot be reached: the next level is called at once, the fallback room is told, nobody waits in vain.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, Scenery, World, finance_list};
use ruma::OwnedRoomId;

const OPS: &str = "#ops:example.test";
const MANAGERS: &str = "#managers:example.test";

/// The first level is a private room that the virtual user was invited to.
async fn private_first_level() -> (World, OwnedRoomId, Rooms) {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let alice = scenery.homeserver.person(ALICE);
    let room = scenery.homeserver.private_room(ALICE);
    alice.invites(&room, &World::virtual_user("finance"));
    let world = scenery.begin(&list("finance", &[&[room.as_str()], &[MANAGERS]])).await;
    (world, room, rooms)
}

/// The page went to the next level at the same instant, and the fallback room was told why.
fn next_level_is_called(world: &World, rooms: &Rooms) {
    world.only(&rooms.managers);
    let said = world.said(&rooms.fallback);
    let told: Vec<_> = said.iter().filter(|message| message.body.contains("UNREACHABLE")).collect();
    assert_eq!(told.len(), 1, "{said:#?}");
    let told = told[0];
    assert!(told.body.contains("level 1"), "{}", told.body);
    let fallback = world.homeserver.timeline(&rooms.fallback);
    let ringing = &fallback.iter().find(|event| event.event_id == told.event_id).unwrap().notifies;
    assert!(ringing.is_empty() || ringing[0] == ALICE, "{ringing:?}");
}

#[tokio::test]
async fn thrown_out_of_a_public_room_it_comes_back() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(ALICE).kicks(&rooms.ops, &user);
    world.settle().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only(&rooms.ops);
    assert_eq!(world.said(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn thrown_out_without_hearing_of_it_the_page_comes_back_to_the_room() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(ALICE).kicks(&rooms.ops, &World::virtual_user("finance"));
    world.homeserver.lose_unpushed_events();
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // Only sending is done: it believes to be in the room.
    world.bot.step("outbox").await.unwrap();
    world.only(&rooms.ops);
    world.settle().await;
    assert_eq!(world.said(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn thrown_out_without_hearing_of_it_it_is_back_before_there_is_a_page() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(ALICE).kicks(&rooms.ops, &user);
    world.homeserver.lose_unpushed_events();
    world.pass(MINUTE * 5).await;
    assert!(world.homeserver.is_joined(&rooms.ops, user.as_str()));
}

#[tokio::test]
async fn thrown_out_while_a_send_is_uncertain_the_page_is_there_once() {
    for devices in [true, false] {
        let scenery = Scenery::prepare().await;
        if !devices {
            scenery.homeserver.without_devices();
        }
        let rooms = scenery.rooms();
        let world = scenery.begin(&finance_list("")).await;
        world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
        world.report(&Group::firing("DiskFull", world.now())).await;
        world.homeserver.person(ALICE).kicks(&rooms.ops, &World::virtual_user("finance"));
        world.homeserver.lose_unpushed_events();
        world.clock.advance(SECOND * 5);
        world.bot.step("outbox").await.unwrap();
        world.pass(MINUTE).await;
        world.only(&rooms.ops);
        assert_eq!(world.said(&rooms.managers), []);
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn thrown_out_of_a_private_room_the_next_level_is_called_at_once() {
    let (world, room, rooms) = private_first_level().await;
    world.homeserver.person(ALICE).kicks(&room, &World::virtual_user("finance"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.said(&room), []);
    next_level_is_called(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_private_room_that_invites_again_is_paged_again() {
    let (world, room, rooms) = private_first_level().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.report(&Group::firing("DiskFull", world.now())).await;
    alice.invites(&room, &user);
    world.settle().await;
    assert!(world.only(&room).body.contains("DiskFull"), "what it missed");
    world.report(&Group::firing("HostDown", world.now())).await;
    let pages = world.said(&room);
    assert!(pages.len() == 2 && pages[1].body.contains("HostDown"), "{pages:#?}");
    assert_eq!(world.said(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_a_room_missed_comes_to_it_once_it_can_be_reached() {
    let scenery = Scenery::prepare().await;
    let alice = scenery.homeserver.person(ALICE);
    let (room, last) = (scenery.homeserver.private_room(ALICE), scenery.homeserver.private_room(ALICE));
    let list = list("finance", &[&[room.as_str()]]).replace("#fallback:example.test", last.as_str());
    let world = scenery.begin(&list).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let over = world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(world.phase(number).await, "unanswered");
    world.report(&Group::firing("HostDown", world.now()).resolved()).await;
    assert_eq!(world.phase(over).await, "resolved");
    let user = World::virtual_user("finance");
    alice.invites(&last, &user);
    world.pass(MINUTE).await;
    let told = world.said(&last);
    assert!(
        told.iter().any(|message| message.body.contains("UNANSWERED") && message.body.contains("DiskFull")),
        "{told:#?}"
    );
    assert!(told.iter().all(|message| !message.body.contains("HostDown")), "that is over: {told:#?}");
    alice.invites(&room, &user);
    world.pass(MINUTE).await;
    assert!(world.only(&room).body.contains("DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_comes_late_tells_how_things_stand_by_then() {
    let (world, room, rooms) = private_first_level().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only(&rooms.managers);
    world.pass(MINUTE * 5).await;
    alice.invites(&room, &user);
    world.settle().await;
    let page = world.only(&room).body;
    assert!(page.contains("Escalated to level 2 of 2 at 12:00 UTC."), "{page}");
    let late =
        "This page is late. It was due at 12:00 UTC (level 1 of 2), but could not be sent to this room.";
    assert!(page.contains(late), "{page}");
    alice.says(&room, "ack 1");
    world.pass(SECOND * 5).await;
    let page = &world.said(&room)[0].body;
    assert!(page.starts_with("👀 ACKNOWLEDGED #1"), "whoever comes late can take it: {page}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_is_back_after_somebody_took_it_is_not_woken_and_can_ask_who_did() {
    let (world, room, rooms) = private_first_level().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.report(&Group::firing("DiskFull", world.now())).await;
    alice.joins(&rooms.managers);
    alice.says(&rooms.managers, "ack 1 on it");
    world.settle().await;
    alice.invites(&room, &user);
    world.pass(MINUTE).await;
    assert_eq!(world.said(&room), []);
    alice.says(&room, "show 1");
    world.settle().await;
    let shown = world.only(&room).body;
    assert!(shown.starts_with("👀 ACKNOWLEDGED #1 DiskFull"), "{shown}");
    assert!(shown.contains("Acknowledged by @alice:example.test at 12:00 UTC: “on it”."), "{shown}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn banned_from_a_room_the_next_level_is_called_at_once() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(ALICE).bans(&rooms.ops, &World::virtual_user("finance"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.said(&rooms.ops), []);
    next_level_is_called(&world, &rooms);
    let asked = world.homeserver.count(Endpoint::Join);
    world.pass(MINUTE * 14).await;
    assert!(world.homeserver.count(Endpoint::Join) - asked < 100, "it does not insist");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn muted_in_a_room_the_next_level_is_called_at_once() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.change_power_levels(&rooms.ops, |levels| levels["events_default"] = 50.into());
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.said(&rooms.ops), []);
    next_level_is_called(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alias_that_leads_nowhere_calls_the_next_level_and_works_once_it_leads_somewhere() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let world = scenery.begin(&list("finance", &[&["#nowhere:example.test"], &[MANAGERS]])).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    next_level_is_called(&world, &rooms);
    let nowhere = world.homeserver.public_room(ALICE, "#nowhere:example.test");
    world.pass(SECOND * 20).await;
    assert!(world.only(&nowhere).body.contains("DiskFull"), "what it missed");
    world.report(&Group::firing("HostDown", world.now())).await;
    assert!(world.said(&nowhere)[1].body.contains("HostDown"));
    assert_eq!(world.said(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alias_that_cannot_be_asked_for_is_asked_for_again() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    scenery.homeserver.fail_until_cleared(Match::to(Endpoint::Alias), Fault::Status(503, "M_UNKNOWN"));
    let world = scenery.begin(&list("finance", &[&[OPS], &[MANAGERS]])).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only(&rooms.ops);
    assert_eq!(world.said(&rooms.fallback), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_of_two_rooms_is_enough_and_the_other_is_not_forgotten() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let world = scenery.begin(&list("finance", &[&["#nowhere:example.test", OPS], &[MANAGERS]])).await;
    let told = world.only(&rooms.fallback);
    assert!(told.body.contains("finance cannot reach #nowhere:example.test"), "{}", told.body);
    assert_eq!(told.msgtype, "m.notice", "nobody is woken before there is an alert");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only(&rooms.ops);
    world.pass(SECOND * (15 * 60 - 1)).await;
    assert_eq!(world.said(&rooms.managers), [], "those who were told have their time");
    world.pass(SECOND * 5).await;
    world.only(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn when_every_room_of_a_level_is_gone_the_next_is_called_once() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let nowhere = ["#nowhere:example.test", "#neither:example.test"];
    let world = scenery.begin(&list("finance", &[&nowhere, &[MANAGERS]])).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    next_level_is_called(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn when_nobody_can_be_reached_at_all_it_comes_to_rest_as_unanswered() {
    let scenery = Scenery::prepare().await;
    let list = list("finance", &[&["#a:example.test"], &["#b:example.test"]]);
    let world = scenery.begin(&list).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.phase(number).await, "unanswered");
    world.pass(MINUTE * 60).await;
    assert!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await >= 3);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_is_too_large_is_cut_and_sent() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::Status(413, "M_TOO_LARGE"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    let page = world.only(&rooms.ops);
    assert_eq!(page.html, None);
    assert!(page.body.contains("DiskFull"), "{}", page.body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_the_homeserver_never_takes_calls_the_next_level() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_until_cleared(messages_to(&rooms.ops), Fault::Status(400, "M_BAD_JSON"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    next_level_is_called(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_is_lost_is_told_once_and_so_is_that_it_is_back() {
    let (world, room, rooms) = private_first_level().await;
    let other = world.another().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.homeserver.deliver_all().await;
    tokio::join!(world.bot.work(), other.work());
    world.pass(MINUTE * 5).await;
    let told = world.only(&rooms.fallback);
    assert!(told.body.contains("cannot reach") && told.body.contains(room.as_str()), "{}", told.body);
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"matrixbot_rooms_unreachable{room_list="finance"} 1"#), "{metrics}");
    alice.invites(&room, &user);
    world.pass(MINUTE * 5).await;
    let said = world.said(&rooms.fallback);
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[1].body.contains("can reach") && said[1].body.contains("again"), "{}", said[1].body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_outage_of_the_homeserver_is_no_trouble_of_a_room() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.down().await;
    world.pass(MINUTE * 10).await;
    world.homeserver.up().await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.said(&rooms.fallback), []);
}

#[tokio::test]
async fn what_hangs_on_a_notice_that_is_refused_waits_for_nothing() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    let world = scenery.begin(&list("finance", &[&["#nowhere:example.test"], &[MANAGERS]])).await;
    let refused = Fault::Status(400, "M_BAD_JSON");
    let held = world.homeserver.hold_then(messages_to(&rooms.fallback), refused);
    let group = Group::firing("DiskFull", world.now());
    world.post(&group.payload()).await;
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        let more = group.alert("db-2", "critical", "firing", world.now());
        assert_eq!(world.post(&more.payload()).await.0, 200);
        held.release();
    });
    world.pass(MINUTE).await;
    world.only(&rooms.managers);
    world.nothing_is_left().await;
}
