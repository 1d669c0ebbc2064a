//! Incidents are resolved, and may fire again.

use super::{
    alice, headlines, history, minutes, notified, page, pages, phase, seconds, thread, with_mentions,
};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, World};

#[tokio::test]
async fn an_incident_resolved_before_its_page_is_sent_is_never_posted() {
    let (world, rooms) = World::finance("").await;
    let limited = Fault::RateLimit { retry_after: minutes(2) };
    world.homeserver.fail_next(Match::send().in_room(&rooms.ops), limited);
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(1)).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(60)).await;
    assert_eq!(history(&world, number).await, "run_started paged resolved closed");
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_incident_resolved_within_the_initial_delay_pages_nobody() {
    let (world, rooms) = World::finance("    initial_delay: 2m").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(1)).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(60)).await;
    assert_eq!(history(&world, number).await, "run_started resolved closed");
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn after_a_page_every_message_shows_that_it_is_over_and_how_long_it_lasted() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(20)).await;
    world.report(&group.resolved()).await;
    for room in [&rooms.ops, &rooms.managers] {
        let messages = pages(&world, room).remove(0);
        assert!(messages.body.starts_with("🟢 RESOLVED #1 DiskFull"), "{}", messages.body);
        assert!(messages.body.contains("Resolved after 20 min, at 12:20 UTC."), "{}", messages.body);
        assert_eq!(thread(&world, room).last().unwrap(), "#1 🟢 Resolved after 20 min.");
    }
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "the resolution notifies nobody");
    world.pass(minutes(60)).await;
    assert_eq!(history(&world, number).await, "run_started paged told paged told resolved closed");
    assert!(world.homeserver.messages(&rooms.fallback).is_empty());
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_comes_back_soon_is_the_same_incident_in_a_newer_message() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(3)).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "it pages again");
    world.pass(seconds(5)).await;
    let messages = headlines(&world, &rooms.ops);
    assert!(messages[0].contains("CONTINUED #1 DiskFull"), "{messages:?}");
    assert!(messages[1].contains("FIRING AGAIN #1 DiskFull"), "{messages:?}");
    assert!(thread(&world, &rooms.ops).contains(&"#1 🔁 It was resolved and is firing again.".to_owned()));
    assert_eq!(history(&world, number).await, "run_started paged told resolved run_started paged told");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolution_edits_the_newest_message() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(2)).await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(seconds(5)).await;
    let messages = headlines(&world, &rooms.ops);
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].starts_with("↪️ CONTINUED #1"), "{messages:?}");
    assert!(messages[1].starts_with("🟢 RESOLVED #1"), "{messages:?}");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "an edit notifies nobody");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn firing_again_after_the_window_is_another_incident() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let first = world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(10)).await;
    let second = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_ne!(first, second);
    assert_eq!(phase(&world, first).await, "closed");
    let messages = headlines(&world, &rooms.ops);
    assert!(messages[0].starts_with("🟢 RESOLVED #1"), "{messages:?}");
    assert!(messages[1].contains("FIRING #2 DiskFull"), "{messages:?}");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_outlives_a_flap_and_notifies_nobody() {
    let (world, rooms) = with_mentions("").await;
    let mut group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    for _ in 0..3 {
        world.pass(minutes(2)).await;
        world.report(&group.clone().resolved()).await;
        assert_eq!(phase(&world, number).await, "resolved");
        world.pass(minutes(2)).await;
        group = Group::firing("DiskFull", world.now());
        world.report(&group).await;
        assert_eq!(phase(&world, number).await, "acknowledged");
    }
    world.pass(minutes(60)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert!(pages(&world, &rooms.managers).is_empty());
    let messages = &pages(&world, &rooms.ops)[0].body;
    assert!(messages.contains("ACKNOWLEDGED") && messages.contains("fired again 3 times"), "{messages}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_does_not_cover_a_new_alert_after_a_flap() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.report(&group.clone().resolved()).await;
    world.pass(minutes(2)).await;
    world.report(&Group::new("DiskFull").alert("db-9", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_is_missing_in_a_report_is_not_resolved() {
    let (world, rooms) = with_mentions("").await;
    let both = Group::firing("DiskFull", world.now()).alert("db-2", "critical", "firing", world.now());
    let number = world.report(&both).await;
    world.pass(minutes(1)).await;
    world.report(&Group::new("DiskFull").alert("db-2", "critical", "resolved", world.now())).await;
    world.pass(seconds(5)).await;
    assert_eq!(phase(&world, number).await, "firing", "db-1 may still be firing");
    assert!(headlines(&world, &rooms.ops)[0].contains("1 alert (1 resolved)"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_group_with_status_resolved_is_firing_while_one_of_its_alerts_is() {
    let (world, _) = with_mentions("").await;
    let fired = world.now();
    let group = Group::firing("DiskFull", fired).alert("db-2", "critical", "firing", fired);
    let number = world.report(&group).await;
    let mut body = Group::new("DiskFull")
        .alert("db-1", "critical", "resolved", fired)
        .alert("db-2", "critical", "firing", fired)
        .payload();
    body["status"] = "resolved".into();
    assert_eq!(world.post(&body).await.0, 200);
    world.pass(minutes(15)).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(history(&world, number).await, "run_started paged told alerts_changed paged told");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_resolution_of_an_unknown_alert_is_accepted_and_posts_nothing() {
    let (world, rooms) = World::finance("").await;
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).resolved().payload()).await;
    assert_eq!((status, &answer["incident"]), (200, &serde_json::Value::Null), "{answer}");
    world.pass(minutes(20)).await;
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_resolved_page_keeps_the_earliest_start_that_was_known() {
    let (world, rooms) = World::finance("").await;
    let began = world.now() - std::time::Duration::from_secs(90);
    world.report(&Group::firing("DiskFull", began)).await;
    world.pass(seconds(18)).await;
    // The other peer of Alertmanager heard of the alert later.
    world.report(&Group::firing("DiskFull", world.now()).resolved()).await;
    world.pass(seconds(5)).await;
    let body = &pages(&world, &rooms.ops)[0].body;
    assert!(body.contains("Resolved after 1 min") && body.contains("started at 11:58 UTC"), "{body}");
    let notices = thread(&world, &rooms.ops);
    assert!(notices.iter().any(|notice| notice.contains("Resolved after 1 min")), "{notices:?}");
    world.nothing_is_left().await;
}
