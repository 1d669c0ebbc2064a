//! Reports that are old, wrong or incomplete, as real Alertmanagers send them: the room reads what is firing.

use super::{
    ALICE, alice, headlines, history, minutes, notified, page, pages, phase, seconds, thread, with_mentions,
};
use crate::world::Group;
use matrixbot::domain::time::{earlier, later};
use serde_json::json;

#[tokio::test]
async fn a_resolve_with_an_earlier_start_resolves_and_one_of_an_episode_before_does_not() {
    let (world, rooms) = with_mentions("").await;
    let first = world.now();
    world.report(&Group::firing("DiskFull", first)).await;
    world.pass(minutes(5)).await;
    let ended = world.now();
    world.report(&Group::firing("DiskFull", first).ended(ended)).await;
    world.pass(minutes(3)).await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(minutes(1)).await;
    // Alertmanager retries the resolve of the first episode.
    world.report(&Group::firing("DiskFull", first).ended(ended)).await;
    assert_eq!(phase(&world, number).await, "firing");
    // The second episode's resolve has the start of an earlier, overlapping report.
    let overlapping = earlier(world.now(), minutes(2));
    world.report(&Group::firing("DiskFull", overlapping).ended(world.now())).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(20)).await;
    assert!(pages(&world, &rooms.managers).is_empty(), "nothing escalates");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn every_report_keeps_an_incident_from_becoming_stale() {
    let (world, _) = with_mentions("    stale_after: 2h\n    remind_every: none").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let other_peer = Group::firing("DiskFull", earlier(world.now(), minutes(60)));
    for _ in 0..3 {
        world.pass(minutes(90)).await;
        world.report(&other_peer).await;
    }
    assert_eq!(phase(&world, number).await, "unanswered", "it is reported all the time");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_new_outage_under_an_old_acknowledgement_pages_once() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(60)).await;
    let again = Group::firing("DiskFull", world.now());
    world.report(&again).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    let notices = thread(&world, &rooms.ops);
    assert!(
        notices.iter().any(|notice| notice.contains("New start time, so this may be another outage")),
        "{notices:?}"
    );
    world.report(&again).await;
    world.pass(minutes(16)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"], "the ladder runs");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "once for each start");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_new_outage_after_a_resolution_by_hand_is_firing_again() {
    let (world, rooms) = with_mentions("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    alice(&world).says(&rooms.ops, "resolve 1").await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(30)).await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    assert!(headlines(&world, &rooms.ops).last().unwrap().contains("FIRING AGAIN"));
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn something_worse_joins_a_quiet_incident_and_pages() {
    let (world, rooms) = with_mentions("").await;
    let quiet = Group::new("DiskFull").alert("db-1", "info", "firing", world.now());
    let number = world.report(&quiet).await;
    world.pass(minutes(40)).await;
    assert!(pages(&world, &rooms.managers).is_empty());
    world.report(&quiet.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "it pages again");
    world.pass(minutes(16)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    // Nothing is worse than what both levels have seen.
    world.report(&quiet.clone().alert("db-3", "critical", "firing", world.now())).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    assert_eq!(
        history(&world, number).await,
        "run_started paged told run_started paged told paged told alerts_changed"
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn something_worse_pages_the_level_that_is_reached() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::new("DiskFull").alert("db-1", "warning", "firing", world.now());
    world.report(&group).await;
    world.pass(minutes(16)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"]);
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"; 2]);
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "the first level is not paged again");
    let again = pages(&world, &rooms.managers).last().unwrap().body.clone();
    assert!(again.contains("New alert in this incident: db-2 (critical)"), "{again}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_late_reaction_covers_what_was_firing_when_it_was_made() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(1)).await;
    world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    // The homeserver does not push for a minute.
    world.clock.advance(seconds(60));
    let (status, _) =
        world.post(&group.clone().alert("db-2", "critical", "firing", world.now()).payload()).await;
    assert_eq!(status, 200);
    world.settle().await;

    assert_eq!(phase(&world, number).await, "firing", "nobody has seen db-2");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    assert!(history(&world, number).await.contains("acknowledged run_started"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_firing_report_of_the_second_peer_waits_for_its_resolve() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(10)).await;
    world.report(&group.clone().ended(world.now())).await;
    world.pass(seconds(15)).await;
    let (_, answer) = world.post(&group.payload()).await;
    assert_eq!((&answer["incident"], &answer["outcome"]), (&json!(number), &json!("doubted")), "{answer}");
    world.pass(minutes(5)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED"), "nothing says that it is firing");
    // It takes the report back one group_interval later.
    world.report(&group.clone().ended(world.now())).await;
    world.pass(minutes(20)).await;
    assert_eq!(phase(&world, number).await, "closed");
    assert_eq!(history(&world, number).await, "run_started paged told resolved closed");
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_firing_report_of_the_second_peer_counts_if_nothing_takes_it_back() {
    let (world, rooms) = with_mentions("    replay_grace: 2m").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.report(&group.clone().ended(world.now())).await;
    world.pass(seconds(15)).await;
    world.report(&group).await;
    world.pass(minutes(2) + seconds(5)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    assert_eq!(phase(&world, number).await, "firing");
    // A real one, with a later start, does not wait.
    world.report(&group.clone().ended(world.now())).await;
    world.report(&Group::firing("DiskFull", later(world.now(), seconds(1)))).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 3]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn alerts_that_alertmanager_leaves_out_stay_firing_and_the_message_says_so() {
    let (world, rooms) = with_mentions("    remind_every: none").await;
    let fired = world.now();
    let both = Group::firing("DiskFull", fired).alert("db-2", "critical", "firing", fired);
    let number = world.report(&both).await;
    world.pass(minutes(5)).await;
    // db-2 is silenced: the group is "resolved", and db-2 is missing.
    let mut body = Group::firing("DiskFull", fired).ended(world.now()).payload();
    body["status"] = json!("resolved");
    assert_eq!(world.post(&body).await.0, 200);
    world.pass(seconds(5)).await;
    assert_eq!(phase(&world, number).await, "firing");
    let page = pages(&world, &rooms.ops)[0].body.clone();
    assert!(page.contains("Since 12:05 UTC, Alertmanager no longer reports this alert"), "{page}");
    world.report(&both).await;
    world.pass(seconds(5)).await;
    let page = pages(&world, &rooms.ops)[0].body.clone();
    assert!(!page.contains("no longer reports"), "{page}");
    // max_alerts cuts db-2 off.
    let mut body = Group::firing("DiskFull", fired).payload();
    body["truncatedAlerts"] = json!(1);
    assert_eq!(world.post(&body).await.0, 200);
    world.pass(seconds(5)).await;
    let page = pages(&world, &rooms.ops)[0].body.clone();
    assert!(page.lines().next().unwrap().contains("2 alerts"), "{page}");
    assert!(page.contains("Alertmanager no longer reports db-2"), "{page}");
    world.pass(minutes(8 * 60 + 10)).await;
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED"), "in the end it is stale");
    world.nothing_is_left().await;
}
