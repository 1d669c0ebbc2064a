//! It is over; and it may come back.

use super::{alice, calling, headlines, history, minutes, page, pages, phase, rung, seconds, thread};
use crate::homeserver::{Fault, Match};
use crate::world::{Group, World};

#[tokio::test]
async fn what_resolves_before_anybody_was_told_is_never_told() {
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
async fn what_resolves_within_the_initial_delay_pages_nobody() {
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
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(20)).await;
    world.report(&group.resolved()).await;
    for room in [&rooms.ops, &rooms.managers] {
        let shown = pages(&world, room).remove(0);
        assert!(shown.body.starts_with("🟢 RESOLVED #1 DiskFull"), "{}", shown.body);
        assert!(shown.body.contains("Resolved after 20 min, at 12:20 UTC."), "{}", shown.body);
        assert_eq!(thread(&world, room).last().unwrap(), "#1 🟢 Resolved after 20 min.");
    }
    assert_eq!(rung(&world, &rooms.ops), ["alice"], "the end wakes nobody");
    world.pass(minutes(60)).await;
    assert_eq!(history(&world, number).await, "run_started paged told paged told resolved closed");
    assert!(world.homeserver.messages(&rooms.fallback).is_empty());
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_comes_back_soon_is_the_same_incident_in_the_same_message() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(3)).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(5)).await;
    assert_eq!(world.report(&Group::firing("DiskFull", world.now())).await, number);
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2], "it pages again");
    world.pass(seconds(5)).await;
    let shown = headlines(&world, &rooms.ops);
    assert!(shown[0].contains("FIRING AGAIN #1 DiskFull"), "{shown:?}");
    assert!(thread(&world, &rooms.ops).contains(&"#1 🔁 It was resolved and is firing again.".to_owned()));
    assert_eq!(history(&world, number).await, "run_started paged told resolved run_started paged told");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn when_it_ends_the_newest_message_says_so_besides_the_first() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(2)).await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(seconds(5)).await;
    let shown = headlines(&world, &rooms.ops);
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown.iter().all(|headline| headline.starts_with("🟢 RESOLVED #1")), "{shown:?}");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2], "an edit wakes nobody");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn what_comes_back_after_the_window_is_another_incident() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let first = world.report(&group).await;
    world.report(&group.resolved()).await;
    world.pass(minutes(10)).await;
    let second = world.report(&Group::firing("DiskFull", world.now())).await;
    assert_ne!(first, second);
    assert_eq!(phase(&world, first).await, "closed");
    let shown = headlines(&world, &rooms.ops);
    assert!(shown[0].starts_with("🟢 RESOLVED #1"), "{shown:?}");
    assert!(shown[1].contains("FIRING #2 DiskFull"), "{shown:?}");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_outlives_a_flap_and_wakes_nobody() {
    let (world, rooms) = calling("").await;
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
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    assert!(pages(&world, &rooms.managers).is_empty());
    let shown = &pages(&world, &rooms.ops)[0].body;
    assert!(shown.contains("ACKNOWLEDGED") && shown.contains("fired again 3 times"), "{shown}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_acknowledgement_does_not_cover_what_is_new_after_a_flap() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.report(&group.clone().resolved()).await;
    world.pass(minutes(2)).await;
    world.report(&Group::new("DiskFull").alert("db-9", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_is_not_mentioned_has_not_cleared() {
    let (world, rooms) = calling("").await;
    let both = Group::firing("DiskFull", world.now()).alert("db-2", "critical", "firing", world.now());
    let number = world.report(&both).await;
    world.pass(minutes(1)).await;
    world.report(&Group::new("DiskFull").alert("db-2", "critical", "resolved", world.now())).await;
    world.pass(seconds(5)).await;
    assert_eq!(phase(&world, number).await, "firing", "db-1 may fire still");
    assert!(headlines(&world, &rooms.ops)[0].contains("1 alert (1 resolved)"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_group_that_calls_itself_resolved_is_not_while_an_alert_of_it_fires() {
    let (world, _) = calling("").await;
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
async fn a_clear_of_what_nobody_knows_is_taken_and_says_nothing() {
    let (world, rooms) = World::finance("").await;
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).resolved().payload()).await;
    assert_eq!((status, &answer["incident"]), (200, &serde_json::Value::Null), "{answer}");
    world.pass(minutes(20)).await;
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 0);
    world.nothing_is_left().await;
}
