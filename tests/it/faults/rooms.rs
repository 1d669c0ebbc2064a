//! Unreachable rooms: matrixbot pages the next level immediately and notifies the fallback room.

use super::{ALICE, MINUTE, SECOND, list, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, Setup, World, finance_list};
use ruma::OwnedRoomId;

const OPS: &str = "#ops:example.test";
const MANAGERS: &str = "#managers:example.test";

/// A list whose first level is a private room that has invited the virtual user.
async fn private_first_level() -> (World, OwnedRoomId, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let alice = setup.homeserver.person(ALICE);
    let room = setup.homeserver.private_room(ALICE);
    alice.invites(&room, &World::virtual_user("finance"));
    let world = setup.start(&list("finance", &[&[room.as_str()], &[MANAGERS]])).await;
    (world, room, rooms)
}

/// Checks that the next level was paged immediately, and that the fallback room was notified of the reason.
fn assert_next_level_is_paged(world: &World, rooms: &Rooms) {
    world.only_post(&rooms.managers);
    let posts = world.posts(&rooms.fallback);
    let notices: Vec<_> = posts.iter().filter(|message| message.body.contains("UNREACHABLE")).collect();
    assert_eq!(notices.len(), 1, "{posts:#?}");
    let notice = notices[0];
    assert!(notice.body.contains("level 1"), "{}", notice.body);
    let fallback = world.homeserver.timeline(&rooms.fallback);
    let ringing = &fallback.iter().find(|event| event.event_id == notice.event_id).unwrap().notifies;
    assert!(ringing.is_empty() || ringing[0] == ALICE, "{ringing:?}");
}

#[tokio::test]
async fn after_a_kick_from_a_public_room_matrixbot_rejoins() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(ALICE).kicks(&rooms.ops, &user);
    world.settle().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_a_kick_with_a_lost_event_the_page_arrives() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(ALICE).kicks(&rooms.ops, &World::virtual_user("finance"));
    world.homeserver.lose_unpushed_events();
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    // Only the outbox works, and it expects to be in the room.
    world.bot.step("outbox").await.unwrap();
    world.only_post(&rooms.ops);
    world.settle().await;
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_a_kick_with_a_lost_event_matrixbot_rejoins_before_the_next_page() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user("finance");
    world.homeserver.person(ALICE).kicks(&rooms.ops, &user);
    world.homeserver.lose_unpushed_events();
    world.pass(MINUTE * 5).await;
    assert!(world.homeserver.is_joined(&rooms.ops, user.as_str()));
}

#[tokio::test]
async fn after_a_kick_during_an_uncertain_send_the_page_arrives_once() {
    for devices in [true, false] {
        let setup = Setup::prepare().await;
        if !devices {
            setup.homeserver.without_devices();
        }
        let rooms = setup.rooms();
        let world = setup.start(&finance_list("")).await;
        world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
        world.report(&Group::firing("DiskFull", world.now())).await;
        world.homeserver.person(ALICE).kicks(&rooms.ops, &World::virtual_user("finance"));
        world.homeserver.lose_unpushed_events();
        world.clock.advance(SECOND * 5);
        world.bot.step("outbox").await.unwrap();
        world.pass(MINUTE).await;
        world.only_post(&rooms.ops);
        assert_eq!(world.posts(&rooms.managers), []);
        world.nothing_is_left().await;
    }
}

#[tokio::test]
async fn after_a_kick_from_a_private_room_the_next_level_is_paged_immediately() {
    let (world, room, rooms) = private_first_level().await;
    world.homeserver.person(ALICE).kicks(&room, &World::virtual_user("finance"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.posts(&room), []);
    assert_next_level_is_paged(&world, &rooms);
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
    assert!(world.only_post(&room).body.contains("DiskFull"), "the page that it missed");
    world.report(&Group::firing("HostDown", world.now())).await;
    let pages = world.posts(&room);
    assert!(pages.len() == 2 && pages[1].body.contains("HostDown"), "{pages:#?}");
    assert_eq!(world.posts(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn missed_pages_arrive_once_the_room_is_reachable() {
    let setup = Setup::prepare().await;
    let alice = setup.homeserver.person(ALICE);
    let (room, last) = (setup.homeserver.private_room(ALICE), setup.homeserver.private_room(ALICE));
    let list = list("finance", &[&[room.as_str()]]).replace("#fallback:example.test", last.as_str());
    let world = setup.start(&list).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let resolved = world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(world.phase(number).await, "unanswered");
    world.report(&Group::firing("HostDown", world.now()).resolved()).await;
    assert_eq!(world.phase(resolved).await, "resolved");
    let user = World::virtual_user("finance");
    alice.invites(&last, &user);
    world.pass(MINUTE).await;
    let notice = world.posts(&last);
    assert!(
        notice.iter().any(|message| message.body.contains("UNANSWERED") && message.body.contains("DiskFull")),
        "{notice:#?}"
    );
    assert!(
        notice.iter().all(|message| !message.body.contains("HostDown")),
        "a resolved incident is not posted: {notice:#?}"
    );
    alice.invites(&room, &user);
    world.pass(MINUTE).await;
    assert!(world.only_post(&room).body.contains("DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_late_page_shows_the_current_state() {
    let (world, room, rooms) = private_first_level().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.managers);
    world.pass(MINUTE * 5).await;
    alice.invites(&room, &user);
    world.settle().await;
    let page = world.only_post(&room).body;
    assert!(page.contains("Escalated to level 2 of 2 at 12:00 UTC."), "{page}");
    let late =
        "This page is late. It was due at 12:00 UTC (level 1 of 2), but could not be sent to this room.";
    assert!(page.contains(late), "{page}");
    alice.says(&room, "ack 1");
    world.pass(SECOND * 5).await;
    let page = &world.posts(&room)[0].body;
    assert!(page.starts_with("👀 ACKNOWLEDGED #1"), "a late page can be acknowledged: {page}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_is_reachable_again_after_an_ack_is_not_paged_and_can_show_it() {
    let (world, room, rooms) = private_first_level().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.report(&Group::firing("DiskFull", world.now())).await;
    alice.joins(&rooms.managers);
    alice.says(&rooms.managers, "ack 1 on it");
    world.settle().await;
    alice.invites(&room, &user);
    world.pass(MINUTE).await;
    assert_eq!(world.posts(&room), []);
    alice.says(&room, "show 1");
    world.settle().await;
    let answer = world.only_post(&room).body;
    assert!(answer.starts_with("👀 ACKNOWLEDGED #1 DiskFull"), "{answer}");
    assert!(answer.contains("Acknowledged by @alice:example.test at 12:00 UTC: “on it”."), "{answer}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_a_ban_the_next_level_is_paged_immediately() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.person(ALICE).bans(&rooms.ops, &World::virtual_user("finance"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert_next_level_is_paged(&world, &rooms);
    let joins = world.homeserver.count(Endpoint::Join);
    world.pass(MINUTE * 14).await;
    assert!(world.homeserver.count(Endpoint::Join) - joins < 100, "joining backs off");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn without_the_power_to_send_the_next_level_is_paged_immediately() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.change_power_levels(&rooms.ops, |levels| levels["events_default"] = 50.into());
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.posts(&rooms.ops), []);
    assert_next_level_is_paged(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unknown_alias_pages_the_next_level_and_works_once_it_exists() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&["#nowhere:example.test"], &[MANAGERS]])).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_next_level_is_paged(&world, &rooms);
    let nowhere = world.homeserver.public_room(ALICE, "#nowhere:example.test");
    world.pass(SECOND * 20).await;
    assert!(world.only_post(&nowhere).body.contains("DiskFull"), "the page that it missed");
    world.report(&Group::firing("HostDown", world.now())).await;
    assert!(world.posts(&nowhere)[1].body.contains("HostDown"));
    assert_eq!(world.posts(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_failed_resolution_of_an_alias_is_retried() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.fail_until_cleared(Match::to(Endpoint::Alias), Fault::Status(503, "M_UNKNOWN"));
    let world = setup.start(&list("finance", &[&[OPS], &[MANAGERS]])).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE).await;
    assert_eq!(world.phase(number).await, "firing");
    world.homeserver.clear_faults();
    world.pass(MINUTE * 2).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.fallback), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_reachable_room_of_two_is_enough() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&["#nowhere:example.test", OPS], &[MANAGERS]])).await;
    let notice = world.only_post(&rooms.fallback);
    assert!(notice.body.contains("finance cannot reach #nowhere:example.test"), "{}", notice.body);
    assert_eq!(notice.msgtype, "m.notice", "it notifies nobody before there is an alert");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    world.pass(SECOND * (15 * 60 - 1)).await;
    assert_eq!(world.posts(&rooms.managers), [], "the reachable room has its full time");
    world.pass(SECOND * 5).await;
    world.only_post(&rooms.managers);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn if_no_room_of_a_level_is_reachable_the_next_level_is_paged_once() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let nowhere = ["#nowhere:example.test", "#neither:example.test"];
    let world = setup.start(&list("finance", &[&nowhere, &[MANAGERS]])).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_next_level_is_paged(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn if_no_room_is_reachable_the_incident_becomes_unanswered() {
    let setup = Setup::prepare().await;
    let list = list("finance", &[&["#a:example.test"], &["#b:example.test"]]);
    let world = setup.start(&list).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(world.phase(number).await, "unanswered");
    world.pass(MINUTE * 60).await;
    assert!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await >= 3);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_cut_and_sent() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::Status(413, "M_TOO_LARGE"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    let page = world.only_post(&rooms.ops);
    assert_eq!(page.html, None);
    assert!(page.body.contains("DiskFull"), "{}", page.body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_the_homeserver_always_rejects_pages_the_next_level() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_until_cleared(messages_to(&rooms.ops), Fault::Status(400, "M_BAD_JSON"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_next_level_is_paged(&world, &rooms);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unreachable_room_is_reported_once_and_so_is_its_return() {
    let (world, room, rooms) = private_first_level().await;
    let other = world.another().await;
    let (alice, user) = (world.homeserver.person(ALICE), World::virtual_user("finance"));
    alice.kicks(&room, &user);
    world.homeserver.deliver_all().await;
    tokio::join!(world.bot.work(), other.work());
    world.pass(MINUTE * 5).await;
    let notice = world.only_post(&rooms.fallback);
    assert!(notice.body.contains("cannot reach") && notice.body.contains(room.as_str()), "{}", notice.body);
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"matrixbot_rooms_unreachable{room_list="finance"} 1"#), "{metrics}");
    alice.invites(&room, &user);
    world.pass(MINUTE * 5).await;
    let posts = world.posts(&rooms.fallback);
    assert_eq!(posts.len(), 2, "{posts:#?}");
    assert!(posts[1].body.contains("can reach") && posts[1].body.contains("again"), "{}", posts[1].body);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_outage_of_the_homeserver_is_not_reported_as_an_unreachable_room() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.down().await;
    world.pass(MINUTE * 10).await;
    world.homeserver.up().await;
    world.pass(MINUTE * 5).await;
    assert_eq!(world.posts(&rooms.fallback), []);
}

#[tokio::test]
async fn messages_that_relate_to_a_rejected_notice_do_not_wait() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let world = setup.start(&list("finance", &[&["#nowhere:example.test"], &[MANAGERS]])).await;
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
    world.only_post(&rooms.managers);
    world.nothing_is_left().await;
}
