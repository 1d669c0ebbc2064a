//! Alerts join, resolve and get worse while the incident is open.

use super::{
    alice, headlines, history, minutes, notified, page, pages, phase, seconds, thread, with_mentions,
};
use crate::world::{Group, World};

#[tokio::test]
async fn a_repeated_report_changes_nothing() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    let events = world.homeserver.timeline(&rooms.ops).len();
    for _ in 0..5 {
        world.pass(minutes(60)).await;
        assert_eq!(world.report(&group).await, number);
    }
    assert_eq!(phase(&world, number).await, "acknowledged");
    assert_eq!(history(&world, number).await, "run_started paged told acknowledged");
    assert_eq!(world.homeserver.timeline(&rooms.ops).len(), events);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_new_alert_breaks_the_acknowledgement_and_is_named() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).reacts(&page(&world, &rooms.ops), "✅").await;
    world.pass(minutes(20)).await;
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "it pages again");
    world.pass(minutes(15)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"], "and escalates again");
    assert!(
        thread(&world, &rooms.ops).iter().any(|notice| notice.contains("New alert in this incident: db-2"))
    );
    assert_eq!(
        history(&world, number).await,
        "run_started paged told acknowledged run_started paged told paged told"
    );
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_higher_severity_breaks_the_acknowledgement_and_a_lower_one_does_not() {
    let (world, rooms) = with_mentions("").await;
    let fired = world.now();
    let warning = Group::new("Disk").alert("db-1", "warning", "firing", fired);
    let critical = Group::new("Disk").alert("db-1", "critical", "firing", fired);
    let number = world.report(&warning).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.report(&critical).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.report(&warning).await;
    world.pass(minutes(10)).await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    assert!(
        headlines(&world, &rooms.ops).last().unwrap().contains("· warning ·"),
        "{:?}",
        headlines(&world, &rooms.ops)
    );
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_storm_of_new_alerts_breaks_the_acknowledgement_once_and_no_outage_is_hidden() {
    let (world, rooms) = with_mentions("").await;
    let mut group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    group = group.alert("db-2", "critical", "firing", world.now());
    world.report(&group).await;
    assert_eq!(phase(&world, number).await, "firing");
    alice(&world).says(&rooms.ops, "ack 1").await;
    for instance in ["db-3", "db-4", "db-5"] {
        world.pass(seconds(20)).await;
        group = group.alert(instance, "critical", "firing", world.now());
        world.report(&group).await;
        assert_eq!(phase(&world, number).await, "acknowledged", "not twice within five minutes");
    }
    world.pass(minutes(5)).await;
    assert_eq!(phase(&world, number).await, "firing", "but the new alerts page afterwards");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 3]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_sticky_acknowledgement_only_shows_the_alert_that_joins() {
    let (world, rooms) = with_mentions("    on_new_alert: sticky").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    world.pass(minutes(60)).await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert!(headlines(&world, &rooms.ops)[0].contains("2 alerts"), "{:?}", headlines(&world, &rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn alerts_that_come_and_go_while_it_fires_are_edited_in_and_touch_no_ladder() {
    let (world, rooms) = with_mentions("").await;
    let fired = world.now();
    let one = Group::firing("DiskFull", fired);
    world.report(&one).await;
    world.pass(minutes(10)).await;
    let two = one.clone().alert("db-2", "warning", "firing", world.now());
    world.report(&two).await;
    world.pass(seconds(2)).await;
    let page = pages(&world, &rooms.ops).remove(0);
    assert!(page.edited && page.body.contains("db-2"), "{}", page.body);
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "an edit notifies nobody");

    let first_clears = Group::new("DiskFull")
        .alert("db-1", "critical", "resolved", fired)
        .alert("db-2", "warning", "firing", fired);
    world.report(&first_clears).await;
    world.pass(seconds(2)).await;
    assert!(
        headlines(&world, &rooms.ops)[0].contains("1 alert (1 resolved)"),
        "{:?}",
        headlines(&world, &rooms.ops)
    );
    world.pass(minutes(4) + seconds(56)).await;
    assert_eq!(notified(&world, &rooms.managers), ["bob"], "15 minutes after the first page");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_new_alert_pages_again_after_the_end_of_the_ladder() {
    let (world, rooms) = with_mentions("    remind_every: none").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(60)).await;
    assert_eq!(phase(&world, number).await, "unanswered");
    world.report(&group.clone().alert("db-2", "critical", "firing", world.now())).await;
    assert_eq!(phase(&world, number).await, "firing");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.pass(minutes(60)).await;
    assert_eq!(notified(&world, &rooms.fallback).len(), 2, "one notice for each run");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn several_changes_at_once_are_one_edit() {
    let (world, rooms) = World::finance("").await;
    let mut group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    let events = |world: &World| {
        world
            .homeserver
            .timeline(&rooms.ops)
            .iter()
            .filter(|event| event.content["m.new_content"].is_object())
            .count()
    };
    for instance in ["db-2", "db-3", "db-4"] {
        group = group.alert(instance, "critical", "firing", world.now());
        world.report(&group).await;
    }
    world.pass(seconds(5)).await;
    assert_eq!(events(&world), 1);
    assert!(headlines(&world, &rooms.ops)[0].contains("4 alerts"));
    world.nothing_is_left().await;
}
