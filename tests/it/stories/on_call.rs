//! Pages mention whom a schedule names when they are sent, and hand-overs are announced once.

use super::{ALICE, BOB, alice, bob, minutes, notified, page, pages, seconds};
use crate::world::{Group, Rooms, Setup, World, finance_list};
use std::path::Path;

/// A schedule in which alice hands over to bob two minutes after the beginning of a story.
pub(super) const PAIR: &str = "  - name: primary
    time_zone: Europe/Berlin
    rotation: [{people: [\"@alice:example.test\", \"@bob:example.test\"], every: 1d, hand_off: 13:02, starting: 2026-11-23}]
    announce: [\"#ops:example.test\", \"#managers:example.test\"]
";

/// The default list whose first level mentions the schedule `primary`. bob is in its rooms. `more` is additional YAML of
/// the list.
pub(super) fn lists(on_call: &str, more: &str) -> String {
    let mention = "escalate_after: 15m\n        mention: [primary]";
    format!("{}on_call:\n{on_call}", finance_list(more).replacen("escalate_after: 15m", mention, 1))
}

/// A world with these schedules.
pub(super) async fn world_with(on_call: &str, more: &str) -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    for room in [&rooms.ops, &rooms.managers] {
        setup.homeserver.person(BOB).joins(room);
        setup.homeserver.set_power(room, World::virtual_user("finance").as_str(), 50);
    }
    (setup.start(&lists(on_call, more)).await, rooms)
}

fn last(world: &World, room: &ruma::RoomId) -> String {
    pages(world, room).last().unwrap().body.clone()
}

#[tokio::test]
async fn a_page_mentions_who_is_on_call_and_a_hand_over_lists_what_is_open() {
    let (world, rooms) = world_with(PAIR, "").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.report(&Group::firing("NetDown", world.now())).await;
    world.pass(minutes(3)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice", "alice", "bob"]);
    assert_eq!(notified(&world, &rooms.managers), ["bob"], "each announced room, by the list that has it");
    insta::assert_snapshot!(last(&world, &rooms.ops));
    world.report(&Group::firing("CpuHigh", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice", "alice", "bob", "bob"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_processes_announce_a_hand_over_once() {
    let (world, rooms) = world_with(PAIR, "").await;
    let other = world.another().await;
    while other.work().await {}
    for _ in 0..4 {
        world.clock.advance(seconds(45));
        let (one, two) = tokio::join!(world.bot.work(), other.work());
        if one || two {
            while other.work().await {}
        }
        world.settle().await;
    }
    assert_eq!(notified(&world, &rooms.ops), ["bob"]);
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    other.shut_down().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn when_nobody_is_on_call_the_page_has_a_line_about_it_and_calls_the_room() {
    let weekend = PAIR.replace("starting: 2026-11-23}", "starting: 2026-11-23, only: Sat-Sun}");
    let (world, rooms) = world_with(&weekend, "").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice, bob"]);
    let body = last(&world, &rooms.ops);
    assert!(body.contains("⚠️ Nobody is on call in primary. @room"), "{body}");
    assert_eq!(world.bot.series("matrixbot_on_call_people{schedule=\"primary\"}").await, Some(0.0));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_schedule_may_name_others_while_nobody_is_on_call_and_one_that_is_gone_calls_the_room() {
    let alone = PAIR.replace(
        "starting: 2026-11-23}]",
        "starting: 2027-11-23}]\n    fallback_mention: [\"@bob:example.test\"]",
    );
    let (mut world, rooms) = world_with(&alone, "").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    assert_eq!(notified(&world, &rooms.ops), ["bob"]);
    // The run keeps its policy, which mentions a schedule that the configuration no longer has.
    world.reload(&finance_list("")).await;
    alice(&world).says(&rooms.ops, "unack 1").await;
    alice(&world).says(&rooms.ops, "escalate 1").await;
    let answer = alice(&world).says(&rooms.ops, "oncall").await;
    assert!(answer.starts_with("No schedule belongs to this room"), "{answer}");
    world.nothing_is_left().await;
}

/// An event of a calendar. `from` and `to` are times in UTC such as `20261124T080000Z`.
fn event(uid: &str, from: &str, to: &str, title: &str) -> String {
    format!(
        "BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\nDTSTART:{from}\r\nDTEND:{to}\r\nSUMMARY:{title}\r\nEND:VEVENT\r\n"
    )
}

fn write(file: &Path, events: &[String]) {
    let events = events.concat();
    let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//a//b//EN\r\n{events}END:VCALENDAR\r\n");
    std::fs::write(file, text).unwrap();
}

fn with_calendar(file: &Path) -> String {
    format!(
        "  - name: primary\n    time_zone: Europe/Berlin\n    announce: [\"#ops:example.test\"]\n    \
         calendar: {{file: \"{}\", refresh: 15m, people: {{\"Alice A\": \"{ALICE}\", bob@example.com: \"{BOB}\"}}}}\n",
        file.display()
    )
}

#[tokio::test]
async fn a_calendar_says_who_is_on_call_and_the_last_good_one_survives_its_loss_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("on-call.ics");
    write(&file, &[event("1", "20261124T080000Z", "20261130T080000Z", "[L1] alice a")]);
    let (mut world, rooms) = world_with(&with_calendar(&file), "").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    std::fs::write(&file, "<html>Sign in</html>").unwrap();
    world.clock.advance(minutes(16));
    world.settle().await;
    let problem: String = sqlx::query_scalar("SELECT problem FROM on_call_calendar")
        .fetch_one(world.database.reader())
        .await
        .unwrap();
    assert_eq!(
        problem,
        "what it holds is no calendar: it has no BEGIN:VCALENDAR, and begins with `<html>Sign in</html>`"
    );
    let answer = alice(&world).says(&rooms.ops, "oncall").await;
    assert!(
        answer.contains("primary: @alice:example.test") && answer.contains("cannot be read since"),
        "{answer}"
    );
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    world.restart_bot().await;
    world.settle().await;
    let before = notified(&world, &rooms.ops).len();
    world.report(&Group::firing("NetDown", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops)[before..], ["alice"]);
    world.clock.advance(minutes(90));
    world.settle().await;
    let age = world.bot.series("matrixbot_on_call_calendar_age_seconds{schedule=\"primary\"}").await.unwrap();
    assert!(age > 3600.0, "{age}");
    let ready = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    assert_eq!(ready.status(), 200, "an old calendar degrades");
    let ready = ready.text().await.unwrap();
    assert!(ready.contains("the calendar of primary was last read at 2026-11-24T12:00:00Z"), "{ready}");
}

#[tokio::test]
async fn a_person_without_a_user_is_reported_and_not_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("on-call.ics");
    write(
        &file,
        &[
            event("1", "20261124T080000Z", "20261124T120200Z", "alice a"),
            event("2", "20261124T120200Z", "20261130T080000Z", "On Call - Zoe Z - Primary"),
        ],
    );
    let (world, rooms) = world_with(&with_calendar(&file), "").await;
    world.pass(minutes(3)).await;
    let body = last(&world, &rooms.ops);
    assert!(
        body.contains("Nobody is on call in primary: the calendar names Zoe Z, whose Matrix user is not configured. @room"),
        "{body}"
    );
    let answer = bob(&world).says(&rooms.ops, "oncall").await;
    assert!(answer.contains("nobody: the calendar names Zoe Z"), "{answer}");
    let unknown = world.bot.series("matrixbot_on_call_unknown_people{schedule=\"primary\"}").await;
    assert_eq!(unknown, Some(1.0));
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert!(last(&world, &rooms.ops).contains("Nobody is on call in primary. @room"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn those_on_call_moderate_if_the_operator_says_so() {
    let later = PAIR.replace("hand_off: 13:02", "hand_off: 09:00");
    for (on_call, allowed) in [("moderate", true), ("respond", false)] {
        let permissions = format!("    permissions: {{on_call: {on_call}}}\n");
        let (world, rooms) = world_with(&later, &permissions).await;
        world.report(&Group::firing("DiskFull", world.now())).await;
        assert_eq!(notified(&world, &rooms.ops), ["bob"]);
        let answer = bob(&world).says(&rooms.ops, "resolve 1").await;
        assert_eq!(!answer.contains("⛔"), allowed, "{answer}");
        world.nothing_is_left().await;
    }
}
