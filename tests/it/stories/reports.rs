//! What Alertmanager really sends: everything at least once, from every peer, sometimes out of order, sometimes broken.

use super::{ALICE, alice, calling, headlines, history, minutes, page, pages, phase, rung, seconds, taken};
use crate::world::{Group, World};
use matrixbot::domain::time::{earlier, later};
use serde_json::json;

#[tokio::test]
async fn two_peers_that_report_at_once_are_one_incident_and_one_page() {
    let (world, rooms) = calling("").await;
    let body = Group::firing("DiskFull", world.now()).payload();
    let (first, second, third) = tokio::join!(world.post(&body), world.post(&body), world.post(&body));
    assert_eq!((first.0, second.0, third.0), (200, 200, 200));
    assert_eq!(first.1["incident"], second.1["incident"]);
    assert_eq!(first.1["incident"], third.1["incident"]);
    world.pass(seconds(5)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    assert_eq!(pages(&world, &rooms.ops).len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn two_peers_that_report_a_new_alert_at_once_break_the_acknowledgement_once() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    world.pass(minutes(1)).await;
    let body = group.alert("db-2", "critical", "firing", world.now()).payload();
    let (first, second) = tokio::join!(world.post(&body), world.post(&body));
    assert_eq!((first.0, second.0), (200, 200));
    world.pass(minutes(1)).await;
    assert_eq!(history(&world, number).await, "run_started paged told acknowledged run_started paged told");
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_person_and_alertmanager_at_once_end_in_resolved() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let body = group.resolved().payload();
    world.homeserver.person(ALICE).reacts(&page(&world, &rooms.ops), "✅");
    world.homeserver.deliver_all().await;
    let ((status, _), _) = tokio::join!(world.post(&body), world.bot.work());
    assert_eq!(status, 200);
    world.pass(minutes(1)).await;
    assert_eq!(phase(&world, number).await, "resolved", "whichever came first");
    assert!(headlines(&world, &rooms.ops)[0].starts_with("🟢 RESOLVED"));
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_peer_s_late_copies_of_clear_and_alert_change_nothing() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(10)).await;
    world.report(&group.clone().resolved()).await;
    world.report(&group.clone().resolved()).await;
    assert_eq!(history(&world, number).await, "run_started paged told resolved");
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_old_report_after_the_clear_waits_for_a_minute_and_pages_if_nothing_clears_it() {
    let (world, rooms) = calling("").await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(10)).await;
    world.report(&group.clone().resolved()).await;
    world.pass(seconds(20)).await;
    // The other peer's copy, held up on its way; its clear comes a moment later.
    world.report(&group).await;
    world.pass(seconds(20)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"], "a replay never pages by itself");
    world.report(&group.clone().resolved()).await;
    world.pass(minutes(5)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);

    // And once more, without a clear: then it may be true, and it is not lost.
    world.report(&group).await;
    world.pass(seconds(59)).await;
    world.pass(seconds(1)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"; 2]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_report_of_an_episode_before_the_last_one_is_ignored() {
    let (world, rooms) = calling("").await;
    let old = Group::firing("DiskFull", world.now());
    let number = world.report(&old).await;
    world.pass(minutes(10)).await;
    let new = Group::firing("DiskFull", world.now());
    world.report(&new).await;
    world.report(&new.clone().resolved()).await;
    world.report(&old).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.pass(minutes(5)).await;
    assert_eq!(rung(&world, &rooms.ops), ["alice"]);
    world.nothing_is_left().await;
}

/// What was posted to Alertmanager with an end and no start, as people do by hand, it dates by its end: first into the
/// future, and at the clear to an instant before that.
#[tokio::test]
async fn an_alert_dated_by_its_end_can_clear() {
    let (world, _) = calling("").await;
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
async fn what_alertmanager_left_out_is_said() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    body["truncatedAlerts"] = json!(7);
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    let shown = pages(&world, &rooms.ops).remove(0).body;
    assert!(shown.contains("… and 7 more alerts that Alertmanager did not send."), "{shown}");
    assert!(shown.lines().next().unwrap().contains("8 alerts"), "{shown}");
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
    assert_eq!(alice(&world).says(&rooms.ops, "ack 1").await, taken(1, "DiskFull"));
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_unreadable_body_is_refused_with_the_place_and_leaves_nothing() {
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
async fn what_comes_from_outside_pings_nobody_and_is_no_markup() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    let alert = &mut body["alerts"][0];
    alert["labels"]["instance"] = json!("@room <b>db</b> @alice:example.test");
    alert["annotations"]["summary"] = json!("ping @alice:example.test <script>alert(1)</script> & more");
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    assert_eq!(rung(&world, &rooms.ops), Vec::<String>::new());
    let shown = pages(&world, &rooms.ops).remove(0);
    assert!(!shown.html.unwrap().contains("<script>"));
    assert!(shown.body.contains("<script>alert(1)</script> & more"), "the text tells it as it is");
    assert_eq!(headlines(&world, &rooms.ops).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_annotation_of_many_pages_is_cut_in_the_page_and_told_at_greater_length_to_who_asks() {
    let (world, rooms) = World::finance("").await;
    let mut body = Group::firing("DiskFull", world.now()).payload();
    body["alerts"][0]["annotations"]["description"] = json!("every word of it ".repeat(1_200));
    body["alerts"][0]["annotations"]["runbook_url"] = json!("https://runbooks.example.test/disk");
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    let shown = pages(&world, &rooms.ops).remove(0).body;
    assert!(shown.chars().count() < 3_000, "{}", shown.chars().count());
    assert!(shown.starts_with("🔴 FIRING #1 DiskFull"), "{shown}");
    assert!(shown.contains("… (18900 more characters)"), "{shown}");
    assert!(shown.contains("Runbook: https://runbooks.example.test/disk"), "{shown}");
    assert!(shown.ends_with("or type \"ack 1\"."), "{shown}");
    let asked = alice(&world).says(&rooms.ops, "show 1").await;
    assert!(asked.contains("… (14400 more characters)"), "{asked}");
    world.nothing_is_left().await;
}
