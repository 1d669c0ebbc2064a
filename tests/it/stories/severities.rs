//! The severity decides when an incident pages, where its ladder starts and how fast it goes.

use super::{ALICE, alice, headlines, just_before, minutes, notified, page, pages, seconds};
use crate::homeserver::view::SeenEvent;
use crate::world::{Group, Rooms, Setup, World, finance_list, series_of};
use ruma::RoomId;
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// The default list, with alice mentioned on both levels, and these severities.
async fn with_severities(severities: &[&str]) -> (World, Rooms) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let mention = format!("\n        mention: [\"{ALICE}\"]");
    let list = finance_list("")
        .replace("escalate_after: 15m", &format!("escalate_after: 15m{mention}"))
        .replace("escalate_after: 30m", &format!("escalate_after: 30m{mention}"));
    let (before, _) = list.split_once("      critical:").unwrap();
    let rules = severities.join("\n      ");
    let list = format!("{before}      {rules}\n    stale_after: none\n");
    (setup.start(&list).await, rooms)
}

const WAITS: [&str; 3] =
    ["critical: {rank: 2}", "warning: {rank: 1, hold_until: 07:30}", "info: {rank: 0, hold_until: 09:00}"];

/// How many new messages of matrixbot a phone rings for.
fn ringing(world: &World, room: &RoomId) -> usize {
    let ours = world.homeserver.virtual_users();
    let rings = |event: &SeenEvent| {
        ours.contains(&event.sender)
            && event.content["msgtype"] == "m.text"
            && event.content["m.relates_to"]["rel_type"].is_null()
    };
    world.homeserver.timeline(room).iter().filter(|event| rings(event)).count()
}

#[tokio::test]
async fn a_low_severity_is_posted_at_once_without_mentions_and_pages_in_the_morning() {
    let (world, rooms) = with_severities(&WAITS).await;
    world.pass(11 * HOUR).await;
    let number = world.report(&Group::new("DiskSlow").alert("db-1", "info", "firing", world.now())).await;
    let posted = world.homeserver.messages(&rooms.ops);
    let posted = posted.last().unwrap();
    assert_eq!(posted.msgtype, "m.notice", "phones do not ring");
    assert!(posted.body.contains("🌙 It pages at 25 Nov 09:00 UTC."), "{}", posted.body);
    assert_eq!(notified(&world, &rooms.ops), Vec::<String>::new());
    world.pass(just_before(10 * HOUR)).await;
    assert_eq!(ringing(&world, &rooms.ops), 0, "nothing else happens in the night");
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "the page");
    assert_eq!(ringing(&world, &rooms.ops), 1);
    let lines = headlines(&world, &rooms.ops);
    assert_eq!(lines.last().unwrap(), &format!("🔵 FIRING #{number} DiskSlow · info · instance=db-1"));
    world.pass(minutes(15)).await;
    assert_eq!(notified(&world, &rooms.managers), ["alice"], "the ladder goes on");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_is_acknowledged_at_night_and_a_graver_alert_does_not_wait() {
    let (world, rooms) = with_severities(&WAITS).await;
    world.report(&Group::new("DiskSlow").alert("db-1", "info", "firing", world.now())).await;
    let notice = world.homeserver.messages(&rooms.ops).last().unwrap().event_id.clone();
    alice(&world).reacts(&notice, "✅").await;
    world.pass(24 * HOUR).await;
    assert!(notified(&world, &rooms.ops).is_empty(), "it was acknowledged");
    let slow = Group::new("NetSlow").alert("db-1", "info", "firing", world.now());
    world.report(&slow).await;
    let slow = slow.alert("db-2", "warning", "firing", world.now());
    world.report(&slow).await;
    world.pass(minutes(5)).await;
    assert_eq!(ringing(&world, &rooms.ops), 0, "both wait: the warning until 07:30");
    let number = world.report(&slow.alert("db-3", "critical", "firing", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert_eq!(ringing(&world, &rooms.ops), 1);
    alice(&world).says(&rooms.ops, &format!("ack {number}")).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_ends_in_the_night_never_pages() {
    let (world, rooms) = with_severities(&WAITS).await;
    let slow = Group::new("DiskSlow").alert("db-1", "warning", "firing", world.now());
    world.report(&slow).await;
    world.pass(HOUR).await;
    world.report(&slow.clone().resolved()).await;
    world.pass(24 * HOUR).await;
    assert_eq!(ringing(&world, &rooms.ops), 0);
    let notice = world.homeserver.messages(&rooms.ops).last().unwrap().body.clone();
    assert!(notice.starts_with("🟢 RESOLVED"), "{notice}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_starts_higher_goes_faster_and_has_its_own_mark() {
    let rules = [
        "critical: {rank: 2, start_level: 2, delay_multiplier: 0.5, emoji: 🔥}",
        "warning: {rank: 1, delay_multiplier: 2}",
        "default: {rank: -1, escalate: false, mention: []}",
    ];
    let (world, rooms) = with_severities(&rules).await;
    world.report(&Group::firing("Down", world.now())).await;
    assert_eq!(headlines(&world, &rooms.ops), Vec::<String>::new(), "the first level is left out");
    assert_eq!(headlines(&world, &rooms.managers), ["🔥 FIRING #1 Down · critical · instance=db-1"]);
    world.pass(minutes(15)).await;
    assert!(headlines(&world, &rooms.fallback)[0].contains("#1 Down"), "after half of 30 minutes");
    alice(&world).replies(&page(&world, &rooms.managers), "ack").await;

    world.report(&Group::new("Slow").alert("db-1", "warning", "firing", world.now())).await;
    world.pass(just_before(minutes(30))).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 1);
    world.pass(seconds(1)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 2, "after twice 15 minutes");
    alice(&world).replies(&page(&world, &rooms.ops), "ack").await;

    world.report(&Group::new("Odd").alert("db-1", "odd", "firing", world.now())).await;
    assert_eq!(pages(&world, &rooms.ops).len(), 2);
    world.pass(minutes(60)).await;
    assert_eq!(pages(&world, &rooms.managers).len(), 2, "the rules of default: it does not escalate");
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "the page of the warning");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn none_and_the_watchdog_open_no_incident_and_the_answer_says_so() {
    let (world, rooms) = with_severities(&["critical: {rank: 2}"]).await;
    let quiet = Group::new("InfoInhibitor").alert("db-1", "none", "firing", world.now());
    let (status, answer) = world.post(&quiet.payload()).await;
    assert_eq!((status, &answer["incident"], &answer["not_paged"]), (200, &json!(null), &json!(1)));
    world.report(&Group::new("Watchdog").alert("all", "critical", "firing", world.now())).await;
    world.settle().await;
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    let series = "matrixbot_not_paged_alerts_total{room_list=\"finance\"}";
    assert_eq!(series_of(&world.bot.admin, series).await, Some(2.0));
    // In the same group, only what pages is in the incident.
    let mixed = quiet.alert("db-2", "critical", "firing", world.now());
    world.report(&mixed).await;
    assert_eq!(headlines(&world, &rooms.ops), ["🔴 FIRING #1 InfoInhibitor · critical · instance=db-2"]);
    world.report(&mixed.resolved()).await;
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED"));
    world.nothing_is_left().await;
}
