//! An alias that its people move to another room: the pages of its lists follow, once a list's virtual user can post
//! there.

use super::{ALICE, MINUTE, SECOND, messages_to};
use crate::homeserver::{Endpoint, Fault, Match};
use crate::world::{Group, Rooms, World, finance_list};
use ruma::{OwnedRoomId, RoomId};

pub(super) const OPS: &str = "#ops:example.test";
const FINANCE: &str = "finance";

pub(super) fn bodies(world: &World, room: &RoomId) -> Vec<String> {
    world.homeserver.messages(room).into_iter().map(|message| message.body).collect()
}

/// The bodies in a room that contain a text.
pub(super) fn with(world: &World, room: &RoomId, text: &str) -> Vec<String> {
    bodies(world, room).into_iter().filter(|body| body.contains(text)).collect()
}

/// The usual world after the alias of its first level moved to another public room; nobody has looked at it since.
async fn moved_alias(more: &str) -> (World, Rooms, OwnedRoomId) {
    let (world, rooms) = World::finance(more).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    (world, rooms, new)
}

/// The usual world after the alias of its first level moved to a room that nobody has invited the virtual user to.
async fn moved_to_a_private_room(more: &str) -> (World, Rooms, OwnedRoomId) {
    let (world, rooms) = World::finance(more).await;
    let new = world.homeserver.private_room(ALICE);
    world.homeserver.set_alias(OPS, Some(&new));
    (world, rooms, new)
}

#[tokio::test]
async fn pages_follow_a_moved_alias_at_the_next_attendance_with_a_notice_in_the_old_room() {
    let (world, rooms, new) = moved_alias("").await;
    world.pass(MINUTE * 5).await;
    let notice = world.only_post(&rooms.ops).body;
    assert!(notice.contains("are now posted in") && notice.contains(new.as_str()), "{notice}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    assert_eq!(world.posts(&rooms.ops).len(), 1, "only the notice");
    world.pass(MINUTE * 10).await;
    assert_eq!(world.posts(&rooms.ops).len(), 1, "posted once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_moved_alias_is_followed_at_the_next_start_and_at_a_reload() {
    let (mut world, rooms, new) = moved_alias("").await;
    world.restart_bot().await;
    world.settle().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    let third = world.homeserver.public_room(ALICE, "#third:example.test");
    world.homeserver.set_alias(OPS, Some(&third));
    world.reload(&finance_list("")).await;
    world.settle().await;
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(with(&world, &third, "HostDown").len(), 1);
    assert_eq!(with(&world, &rooms.ops, "HostDown").len() + with(&world, &new, "HostDown").len(), 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_waits_for_the_old_room_and_what_is_open_move_along() {
    let (world, rooms) = World::finance("").await;
    let alice = world.homeserver.person(ALICE);
    let open = world.report(&Group::firing("HostDown", world.now())).await;
    // The next page waits in the old room.
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::RateLimit { retry_after: MINUTE * 20 });
    let pending = world.report(&Group::firing("DiskFull", world.now())).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.pass(MINUTE * 5).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1, "{:#?}", bodies(&world, &new));
    assert_eq!(world.posts(&rooms.managers), [], "nothing has escalated");
    // What was posted in the old room can be acknowledged in the new one, and in the old one.
    alice.says(&new, &format!("ack {open}"));
    world.settle().await;
    assert_eq!(world.phase(open).await, "acknowledged");
    alice.reacts(&world.posts(&new)[0].event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(pending).await, "acknowledged");
    alice.says(&rooms.ops, &format!("unack {open}"));
    world.settle().await;
    assert_eq!(world.phase(open).await, "firing", "who stays behind can act on what was posted there");
    alice.says(&rooms.ops, &format!("ack {pending}"));
    alice.says(&rooms.ops, &format!("show {pending}"));
    world.pass(MINUTE * 30).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull"), [] as [String; 0], "and on nothing else");
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_later_page_of_an_open_incident_is_a_post_of_its_own_in_the_new_room() {
    let (world, rooms) = World::finance("    repeat: 1\n").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 44).await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::RateLimit { retry_after: MINUTE * 5 });
    world.pass(MINUTE * 2).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.bot.step("attendance").await.unwrap();
    world.settle().await;
    let page = world.only_post(&new);
    assert!(page.body.contains("DiskFull"), "{}", page.body);
    assert_eq!(world.homeserver.event(&page.event_id)["content"].get("m.relates_to"), None, "no reply");
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.pass(MINUTE * 5).await;
    for room in [&rooms.ops, &new] {
        let shown = world.homeserver.rendered(room);
        assert!(shown.contains("cknowledged"), "both show it: {shown}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_may_be_in_the_old_room_stays_there() {
    let (world, rooms) = World::finance("").await;
    world.homeserver.fail_next(messages_to(&rooms.ops), Fault::DropReplyAfterAccepting);
    world.homeserver.fail_times(20, Match::to(Endpoint::Messages), Fault::Status(500, "M_UNKNOWN"));
    world.report(&Group::firing("DiskFull", world.now())).await;
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.bot.step("attendance").await.unwrap();
    world.homeserver.clear_faults();
    world.pass(MINUTE * 10).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1, "it was accepted");
    assert_eq!(with(&world, &new, "DiskFull"), [] as [String; 0], "so it is not sent again");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_that_the_old_room_refuses_during_the_move_goes_to_the_new_one() {
    let (world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), Fault::Status(403, "M_FORBIDDEN"));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    let (_, new) = tokio::join!(world.bot.step("outbox"), async {
        held.reached().await;
        let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
        world.homeserver.set_alias(OPS, Some(&new));
        world.bot.step("attendance").await.unwrap();
        world.homeserver.person(ALICE).bans(&rooms.ops, &World::virtual_user(FINANCE));
        held.release();
        new
    });
    world.pass(SECOND * 10).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1, "{:#?}", bodies(&world, &new));
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_lost_room_is_replaced_by_moving_its_alias_and_what_was_given_up_arrives() {
    let (world, rooms) = World::finance("").await;
    let user = World::virtual_user(FINANCE);
    world.homeserver.person(ALICE).bans(&rooms.ops, &user);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.managers, "DiskFull").len(), 1, "the next level is paged at once");
    let new = world.homeserver.public_room(ALICE, "#new-ops:example.test");
    world.homeserver.set_alias(OPS, Some(&new));
    world.pass(SECOND * 20).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    world.homeserver.person(ALICE).reacts(&world.posts(&new)[0].event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    assert_eq!(world.count("SELECT count(*) FROM room_trouble").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alias_whose_new_room_cannot_be_joined_keeps_the_pages_and_follows_an_invitation() {
    let (world, rooms, new) = moved_to_a_private_room("").await;
    world.pass(MINUTE * 5).await;
    for room in [&rooms.ops, &rooms.fallback] {
        let notice = world.only_post(room).body;
        assert!(notice.contains("They follow once @_alerts_finance:example.test is invited"), "{notice}");
    }
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias WHERE state = 'waiting'").await, 1);
    world.bot.step("liveness").await.unwrap();
    let (status, rooms_check) = super::probes::rooms_check(&world).await;
    assert_eq!((status, &rooms_check["degraded"]), (200, &true.into()), "{rooms_check:#}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1, "pages stay");
    world.pass(MINUTE * 14).await;
    assert_eq!(with(&world, &rooms.ops, "They follow").len(), 1, "posted once");
    assert_eq!(world.posts(&rooms.managers), []);
    // The directory fails at the moment, but that the alias waits for this room is known.
    world.homeserver.fail_next(Match::to(Endpoint::Alias).about(OPS), Fault::Status(500, "M_UNKNOWN"));
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.homeserver.deliver_all().await;
    world.bot.step("inbox").await.unwrap();
    assert!(world.homeserver.is_joined(&new, World::virtual_user(FINANCE).as_str()));
    world.homeserver.clear_faults();
    world.settle().await;
    assert!(with(&world, &rooms.ops, "are now posted in").len() == 1, "{:#?}", bodies(&world, &rooms.ops));
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(with(&world, &new, "HostDown").len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alias_whose_new_room_is_muted_keeps_the_pages() {
    let (world, rooms, new) = moved_alias("").await;
    world.homeserver.change_power_levels(&new, |levels| levels["events_default"] = 50.into());
    world.pass(MINUTE * 5).await;
    assert_eq!(with(&world, &rooms.ops, "messages need 50").len(), 1);
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1);
    world.homeserver.change_power_levels(&new, |levels| levels["events_default"] = 0.into());
    world.pass(MINUTE * 5).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(with(&world, &new, "HostDown").len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_invitation_that_comes_before_matrixbot_has_looked_is_accepted() {
    let (world, _, new) = moved_to_a_private_room("").await;
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.settle().await;
    assert!(world.homeserver.is_joined(&new, World::virtual_user(FINANCE).as_str()));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn always_leaves_the_old_room_even_if_the_new_one_cannot_be_joined() {
    let (world, rooms, new) = moved_to_a_private_room("    follow_aliases: always\n").await;
    world.pass(MINUTE * 5).await;
    assert_eq!(with(&world, &rooms.ops, "are now posted in").len(), 1);
    assert_eq!(with(&world, &rooms.fallback, "finance cannot reach #ops:example.test").len(), 1);
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull"), [] as [String; 0]);
    assert_eq!(with(&world, &rooms.managers, "DiskFull").len(), 1, "the next level is paged at once");
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.pass(SECOND * 20).await;
    assert_eq!(with(&world, &new, "DiskFull").len(), 1, "what it missed");
    world.homeserver.person(ALICE).says(&new, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn never_keeps_the_pages_in_the_room_that_the_alias_led_to_first() {
    let (mut world, rooms, new) = moved_alias("    follow_aliases: never\n").await;
    world.pass(MINUTE * 10).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&new), []);
    assert!(!world.homeserver.is_joined(&new, World::virtual_user(FINANCE).as_str()));
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias WHERE state = 'kept'").await, 1);
    world.reload(&finance_list("")).await;
    world.settle().await;
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(with(&world, &new, "HostDown").len(), 1, "until that is configured differently");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_failed_lookup_and_a_deleted_alias_change_nothing() {
    let (world, rooms) = World::finance("").await;
    let lookups = || Match::to(Endpoint::Alias).about(OPS);
    for fault in [
        Fault::Status(500, "M_UNKNOWN"),
        Fault::Status(403, "M_FORBIDDEN"),
        Fault::NonJson(404),
        Fault::NonJson(200),
        Fault::DropBeforeAccepting,
    ] {
        world.homeserver.fail_until_cleared(lookups(), fault);
        world.pass(MINUTE * 5).await;
        world.homeserver.clear_faults();
    }
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias").await, 0);
    world.homeserver.set_alias(OPS, None);
    world.pass(MINUTE * 10).await;
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias WHERE state = 'missing'").await, 1);
    assert!(world.posts(&rooms.ops).is_empty() && world.posts(&rooms.fallback).is_empty());
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    world.homeserver.set_alias(OPS, Some(&rooms.ops));
    world.pass(MINUTE * 5).await;
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alias_that_moves_back_brings_its_pages_back() {
    let (world, rooms, new) = moved_alias("").await;
    world.pass(MINUTE * 5).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.set_alias(OPS, Some(&rooms.ops));
    world.pass(MINUTE * 5).await;
    world.report(&Group::firing("HostDown", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "HostDown").len(), 1);
    assert_eq!(with(&world, &new, "HostDown"), [] as [String; 0]);
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_room_that_moved_without_its_pages_is_counted() {
    const COUNTED: &str = "matrixbot_room_moves_incomplete{room_list=\"finance\"}";
    let (world, _, new) = moved_to_a_private_room("").await;
    assert_eq!(world.bot.series(COUNTED).await, Some(0.0));
    world.pass(MINUTE * 5).await;
    assert_eq!(world.bot.series(COUNTED).await, Some(1.0));
    world.homeserver.person(ALICE).invites(&new, &World::virtual_user(FINANCE));
    world.pass(MINUTE * 5).await;
    assert_eq!(world.bot.series(COUNTED).await, Some(0.0));
    world.homeserver.set_alias(OPS, None);
    world.pass(MINUTE * 5).await;
    assert_eq!(world.bot.series(COUNTED).await, Some(1.0), "the alias was deleted");
}

#[tokio::test]
async fn a_move_that_was_taken_back_is_not_followed_by_the_alias() {
    let (world, rooms) = World::finance("").await;
    // The upgrade moves the alias, as Synapse does.
    let successor = world.homeserver.person(ALICE).upgrades(&rooms.ops);
    world.settle().await;
    let store = world.database.store(1);
    let mut tx = store.begin().await.unwrap();
    matrixbot::store::room_move::undo(&mut tx, rooms.ops.as_str(), true, world.now()).await.unwrap();
    matrixbot::store::commit(tx).await.unwrap();
    world.homeserver.change_power_levels(&rooms.ops, |levels| levels["events_default"] = 0.into());
    world.pass(MINUTE * 10).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(with(&world, &rooms.ops, "DiskFull").len(), 1);
    assert_eq!(with(&world, &successor, "DiskFull"), [] as [String; 0]);
    // Where the alias leads is recorded, for `rooms list`, until it leads back.
    let kept =
        format!("SELECT count(*) FROM strayed_alias WHERE state = 'kept' AND leads_to = '{successor}'");
    assert_eq!(world.count_of(&kept).await, 1);
    world.homeserver.set_alias(OPS, Some(&rooms.ops));
    world.pass(MINUTE * 5).await;
    assert_eq!(world.count("SELECT count(*) FROM strayed_alias").await, 0);
    world.nothing_is_left().await;
}
