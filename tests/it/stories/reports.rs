//! Real reports of Alertmanager: repeated, from every peer, sometimes out of order, sometimes malformed.

use super::{
    ALICE, acknowledged, alice, headlines, history, minutes, notified, page, pages, phase, seconds,
    with_mentions,
};
use crate::world::{Group, World};
use matrixbot::domain::time::{earlier, later};
use serde_json::json;

#[tokio::test]
async fn two_peers_that_report_at_once_are_one_incident_and_one_page() {
    let (world, rooms) = with_mentions("").await;
    let body = Group::firing("DiskFull", world.now()).payload();
    let (first, second, third) = tokio::join!(world.post(&body), world.post(&body), world.post(&body));
    assert_eq!((first.0, second.0, third.0), (200, 200, 200));
    assert_eq!(first.1["incident"], second.1["incident"]);
    assert_eq!(first.1["incident"], third.1["incident"]);
    world.pass(seconds(5)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_peers_that_report_a_new_alert_at_once_break_the_acknowledgement_once() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(1)).await;
    let body = group.alert("db-2", "critical", "firing", world.now()).payload();
    let (first, second) = tokio::join!(world.post(&body), world.post(&body));
    assert_eq!((first.0, second.0), (200, 200));
    world.pass(minutes(1)).await;
    assert_eq!(history(&world, number).await, "run_started paged told acknowledged run_started paged told");
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_person_and_alertmanager_at_once_end_in_resolved() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let body = group.resolved().payload();
    world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.homeserver.deliver_all().await;
    let ((status, _), _) = tokio::join!(world.post(&body), world.bot.work());
    assert_eq!(status, 200);
    world.pass(minutes(1)).await;
    assert_eq!(phase(&world, number).await, "resolved", "in any order");
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED"));
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn late_copies_of_a_peer_change_nothing() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(10)).await;
    world.report(&group.clone().resolved()).await;
    world.report(&group.clone().resolved()).await;
    assert_eq!(history(&world, number).await, "run_started paged told resolved");
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_old_report_after_the_resolution_waits_and_then_pages() {
    let (world, rooms) = with_mentions("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(10)).await;
    world.report(&group.clone().resolved()).await;
    world.pass(seconds(20)).await;
    // A delayed copy of the other peer; its resolution arrives a moment later.
    world.report(&group).await;
    world.pass(seconds(20)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"], "a replay does not page immediately");
    world.report(&group.clone().resolved()).await;
    world.pass(minutes(5)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);

    // The same without a resolution: the report may be true, so it must page.
    world.report(&group).await;
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"; 2], "long after the resolution it pages at once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_report_of_an_episode_before_the_last_one_is_ignored() {
    let (world, rooms) = with_mentions("").await;
    let old = Group::firing("DiskFull", world.now());
    let number = world.report(&old).await;
    world.pass(minutes(10)).await;
    let new = Group::firing("DiskFull", world.now());
    world.report(&new).await;
    world.report(&new.clone().resolved()).await;
    world.report(&old).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(5)).await;
    assert_eq!(notified(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

/// If people post an alert with an end and no start, Alertmanager sets its start to its end: first in the future, and
/// in the resolution to an earlier instant.
#[tokio::test]
async fn an_alert_whose_start_is_its_end_can_be_resolved() {
    let (world, _) = with_mentions("").await;
    let posted = Group::firing("DiskFull", later(world.now(), minutes(5)));
    let number = world.report(&posted).await;
    world.pass(minutes(1)).await;
    let ended = Group::firing("DiskFull", earlier(world.now(), seconds(2))).resolved();
    world.report(&ended).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(seconds(10)).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn alerts_that_alertmanager_omitted_are_counted_in_the_page() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    body["truncatedAlerts"] = json!(7);
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    let posted = pages(&world, &rooms.ops).remove(0).body;
    assert!(posted.contains("… and 7 more alerts that Alertmanager did not send."), "{posted}");
    assert!(posted.lines().next().unwrap().contains("8 alerts"), "{posted}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn one_malformed_alert_is_marked_and_fails_nothing_of_its_batch() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    let alerts = body["alerts"].as_array_mut().unwrap();
    alerts.push(
        json!({"status": "firing", "labels": {"instance": "db-7", "weight": 7}, "startsAt": "yesterday"}),
    );
    alerts.push(json!("not an alert"));
    alerts.push(json!({"status": "firing"}));
    let (status, answer) = world.post(&body).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    let number = answer["incident"].as_i64().unwrap();
    assert_eq!(phase(&world, number).await, "firing");
    insta::assert_snapshot!(world.homeserver.rendered(&rooms.ops));
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, acknowledged(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unreadable_body_is_rejected_and_stores_nothing() {
    let (world, rooms) = World::finance("").await;
    let url = format!("{}/webhook/finance", world.bot.webhook);
    let (status, answer) = crate::world::post(&url, crate::world::TOKEN, "{\"alerts\": [".to_owned()).await;
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = world.post(&json!({"version": "4"})).await;
    assert_eq!(status, 400, "{answer}");
    world.settle().await;
    assert!(world.homeserver.messages(&rooms.ops).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 0);
}

#[tokio::test]
async fn foreign_text_notifies_nobody_and_is_no_markup() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    let alert = &mut body["alerts"][0];
    alert["labels"]["instance"] = json!("@room <b>db</b> @alice:example.test");
    alert["annotations"]["summary"] = json!("ping @alice:example.test <script>alert(1)</script> & more");
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    assert_eq!(notified(&world, &rooms.ops), Vec::<String>::new());
    let posted = pages(&world, &rooms.ops).remove(0);
    assert!(!posted.html.unwrap().contains("<script>"));
    assert!(posted.body.contains("<script>alert(1)</script> & more"), "the plain text is unchanged");
    assert_eq!(headlines(&world, &rooms.ops).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_long_annotation_is_cut_in_the_page_and_longer_in_the_answer_to_show() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    body["alerts"][0]["annotations"]["description"] = json!("every word of it ".repeat(1_200));
    body["alerts"][0]["annotations"]["runbook_url"] = json!("https://runbooks.example.test/disk");
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    let posted = pages(&world, &rooms.ops).remove(0).body;
    assert!(posted.chars().count() < 3_000, "{}", posted.chars().count());
    assert!(posted.starts_with("🔴 FIRING #1 DiskFull"), "{posted}");
    assert!(posted.contains("… (18900 more characters)"), "{posted}");
    assert!(posted.contains("Runbook: https://runbooks.example.test/disk"), "{posted}");
    assert!(posted.ends_with("or type \"ack 1\"."), "{posted}");
    let answer = alice(&world).says(&rooms.ops, "show 1").await;
    assert!(answer.contains("… (14400 more characters)"), "{answer}");
    world.nothing_is_left().await;
}
