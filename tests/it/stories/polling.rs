//! What no webhook reports: alerts that end or fire under a silence, silences, outages of Alertmanager and of matrixbot.

use super::{alice, headlines, history, minutes, notified, pages, phase, seconds, thread};
use crate::alertmanager::{Alert, Alertmanager, Fault, Silence};
use crate::world::{Group, Rooms, Setup, World, finance_list, http_client};
use jiff::Timestamp;
use matrixbot::clock::SharedClock;
use matrixbot::domain::time::{earlier, later};
use serde_json::{Value, json};
use std::sync::Arc;

/// The list `finance`, and the Alertmanager that is polled.
async fn polled(more: &str) -> (World, Rooms, Alertmanager) {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.homeserver.set_power(&rooms.fallback, World::virtual_user("finance").as_str(), 50);
    let alertmanager = Alertmanager::start_on(Arc::clone(&setup.clock) as SharedClock);
    let list = finance_list(more)
        .replace("escalate_after: 15m", "escalate_after: 15m\n        mention: [\"@alice:example.test\"]");
    let configuration = format!("{list}\nalertmanagers:\n  - name: main\n    url: {}\n", alertmanager.url());
    (setup.start(&configuration).await, rooms, alertmanager)
}

/// Time passes, with a poll every 30 seconds. The sources report again each minute.
async fn polls(world: &World, alertmanager: &Alertmanager, minutes: u64) {
    for half in 0..minutes * 2 {
        if half % 2 == 0 {
            alertmanager.report_again();
        }
        world.pass(seconds(30)).await;
    }
}

fn disk() -> Alert {
    Alert::new("DiskFull", "finance").with_label("instance", "db-1")
}

/// An alert fires, and its webhook arrives.
async fn fires(world: &World, alertmanager: &Alertmanager) -> i64 {
    alertmanager.fire(disk());
    world.report(&Group::of(&disk(), world.now())).await
}

/// Somebody silences everything until a time.
fn silenced(world: &World, alertmanager: &Alertmanager, until: Timestamp) {
    let now = world.now();
    alertmanager.change(|state| {
        state.silences.push(Silence {
            id: "8c6c2a4e-0000-4000-8000-000000000001".to_owned(),
            matchers: vec![
                json!({"name": "alertname", "value": "DiskFull", "isRegex": false, "isEqual": true}),
            ],
            starts_at: now,
            ends_at: until,
            updated_at: now,
            created_by: "bob".to_owned(),
            comment: "disk swap".to_owned(),
            annotations: json!({}),
        });
    });
}

/// What `/readyz` says of the Alertmanagers.
async fn readiness(world: &World) -> String {
    let url = format!("{}/readyz", world.bot.admin);
    let answer = http_client().get(url).send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["checks"]["alertmanagers"].to_string()
}

#[tokio::test]
async fn an_alert_that_ends_under_a_silence_resolves_and_pages_when_it_fires_anew() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    silenced(&world, &alertmanager, later(world.now(), minutes(30)));
    polls(&world, &alertmanager, 1).await;
    alertmanager.resolve("DiskFull");
    world.pass(seconds(30)).await;
    assert_eq!(phase(&world, number).await, "firing", "one poll may be wrong");
    world.pass(seconds(30)).await;
    assert_eq!(phase(&world, number).await, "resolved");
    assert!(thread(&world, &rooms.ops).iter().any(|line| line.contains("no longer lists its alerts")));
    world.pass(minutes(40)).await;
    // Alertmanager sends no webhook: it has notified this alert, and never that it ended.
    alertmanager.fire(disk());
    polls(&world, &alertmanager, 7).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2], "the new outage pages");
    world.report(&Group::of(&disk(), world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2], "its webhook pages nobody again");
    world.nothing_is_left().await;
}

const ALICE_NAME: &str = "alice";

#[tokio::test]
async fn a_listed_watchdog_is_not_looked_up_at_each_poll() {
    let (world, rooms, alertmanager) = polled("").await;
    alertmanager.fire(Alert::new("Watchdog", "finance"));
    polls(&world, &alertmanager, 30).await;
    assert!(pages(&world, &rooms.ops).is_empty());
    let groups = alertmanager.requests().into_iter().filter(|request| request.target.contains("/groups"));
    assert!((1..=3).contains(&groups.count()), "once in ten minutes");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_is_visible_and_stops_the_ladder_and_its_end_pages_again() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    silenced(&world, &alertmanager, later(world.now(), minutes(30)));
    polls(&world, &alertmanager, 2).await;
    let body = pages(&world, &rooms.ops)[0].body.clone();
    assert!(
        body.contains("🔇 Silenced by bob until 12:31 UTC: “disk swap”. Until then it does not escalate."),
        "{body}"
    );
    for _ in 0..8 {
        alertmanager.report_again();
        world.pass(minutes(3)).await;
    }
    assert!(pages(&world, &rooms.managers).is_empty(), "it does not escalate");
    polls(&world, &alertmanager, 5).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2]);
    assert!(pages(&world, &rooms.ops)[1].body.contains("The silence ended and it is still firing."));
    alice(&world).says(&rooms.ops, &format!("ack {number}")).await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_ends_shortly_before_its_silence_pages_nobody() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    let until = later(world.now(), minutes(2));
    silenced(&world, &alertmanager, until);
    polls(&world, &alertmanager, 1).await;
    world.pass(seconds(50)).await;
    // Since the last poll the alert has ended, and somebody ended the silence.
    alertmanager.resolve("DiskFull");
    alertmanager.change(|state| state.silences[0].ends_at = state.silences[0].starts_at);
    world.pass(seconds(10)).await;
    assert!(world.now() >= until);
    for _ in 0..6 {
        world.pass(seconds(15)).await;
        assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME], "nobody is paged for what has ended");
    }
    assert_eq!(phase(&world, number).await, "resolved");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_webhook_about_what_alertmanager_still_holds_back_pages_nobody() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    silenced(&world, &alertmanager, later(world.now(), minutes(30)));
    polls(&world, &alertmanager, 1).await;
    // An Alertmanager whose routes have just been read again sends what it holds back.
    world.report(&Group::of(&disk(), world.now()).of_route("{}/{team=\"x\"}")).await;
    polls(&world, &alertmanager, 2).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME]);
    let body = pages(&world, &rooms.ops)[0].body.clone();
    assert!(body.contains("🔇 Silenced by bob until 12:31 UTC: “disk swap”."), "{body}");
    // This time the silence has been removed.
    alertmanager.change(|state| state.silences.clear());
    world.report(&Group::of(&disk(), world.now())).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2], "at once");
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_ends_at_its_last_known_end_although_alertmanager_does_not_answer() {
    let (world, rooms, alertmanager) = polled("").await;
    fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    silenced(&world, &alertmanager, later(world.now(), minutes(30)));
    polls(&world, &alertmanager, 1).await;
    alertmanager.fail(Some(Fault::Status(503, "busy".to_owned())));
    world.pass(minutes(28)).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME]);
    polls(&world, &alertmanager, 4).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2]);
    world.nothing_is_left().await;
}

/// matrixbot is killed under a silence that ends `lasting` later, and starts 30 seconds after its last poll. The lease of the
/// killed process lasts.
async fn matrixbot_is_away_under_a_silence(
    lasting: u64,
    meanwhile: impl FnOnce(&Alertmanager),
) -> (World, Rooms, Alertmanager) {
    let (mut world, rooms, alertmanager) = polled("").await;
    fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 1).await;
    silenced(&world, &alertmanager, later(world.now(), seconds(lasting)));
    polls(&world, &alertmanager, 1).await;
    world.clock.advance(seconds(30));
    meanwhile(&alertmanager);
    world.restart_bot().await;
    (world, rooms, alertmanager)
}

/// A silence ends while matrixbot is not running. It starts 20 seconds later.
async fn a_silence_ends_without_matrixbot(
    meanwhile: impl FnOnce(&Alertmanager),
) -> (World, Rooms, Alertmanager) {
    let (world, rooms, alertmanager) = matrixbot_is_away_under_a_silence(70, meanwhile).await;
    polls(&world, &alertmanager, 1).await;
    world.pass(seconds(29)).await;
    (world, rooms, alertmanager)
}

#[tokio::test]
async fn a_silence_that_ends_with_its_alert_before_the_first_poll_of_a_start_pages_nobody() {
    let gone = |alertmanager: &Alertmanager| alertmanager.resolve("DiskFull");
    let (world, rooms, alertmanager) = matrixbot_is_away_under_a_silence(92, gone).await;
    polls(&world, &alertmanager, 4).await;
    assert_eq!(phase(&world, 1).await, "resolved");
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_and_its_alert_that_both_end_while_matrixbot_is_away_page_nobody() {
    let gone = |alertmanager: &Alertmanager| alertmanager.resolve("DiskFull");
    let (world, rooms, alertmanager) = a_silence_ends_without_matrixbot(gone).await;
    polls(&world, &alertmanager, 1).await;
    assert_eq!(phase(&world, 1).await, "resolved");
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME]);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_silence_that_ends_while_matrixbot_is_away_pages_although_alertmanager_does_not_answer() {
    let fails = |alertmanager: &Alertmanager| {
        alertmanager.fail(Some(Fault::Status(503, "busy".to_owned())));
    };
    let (world, rooms, _alertmanager) = a_silence_ends_without_matrixbot(fails).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME]);
    world.pass(seconds(1)).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2], "90 s after the start");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_that_nobody_reports_is_paged_once_its_webhook_is_overdue() {
    let (world, rooms, alertmanager) = polled("").await;
    alertmanager.fire(disk());
    alertmanager.fire(disk().with_label("instance", "db-2"));
    alertmanager.fire(Alert::new("SlackOnly", "slack"));
    polls(&world, &alertmanager, 4).await;
    assert!(pages(&world, &rooms.ops).is_empty(), "its webhook may still come");
    polls(&world, &alertmanager, 2).await;
    assert_eq!(headlines(&world, &rooms.ops).len(), 1, "one incident for the group");
    let page = pages(&world, &rooms.ops)[0].body.clone();
    assert!(page.contains("db-1") && page.contains("db-2") && page.contains("DiskFull is down"), "{page}");
    world.report(&Group::of(&disk(), world.now())).await;
    polls(&world, &alertmanager, 2).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME], "the webhook joins");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_restart_of_alertmanager_ends_nothing_before_the_sources_could_report() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 2).await;
    alertmanager.restart();
    for _ in 0..6 {
        world.pass(seconds(30)).await;
        assert_eq!(phase(&world, number).await, "firing");
    }
    alertmanager.fire(disk());
    polls(&world, &alertmanager, 2).await;
    assert_eq!(phase(&world, number).await, "firing");
    alertmanager.restart();
    world.pass(minutes(20)).await;
    assert_ne!(phase(&world, number).await, "firing", "its source would have reported by now");
    assert!(!pages(&world, &rooms.ops).is_empty());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_ends_by_polls_although_matrixbot_was_killed_just_after_its_webhook() {
    let (mut world, _, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    world.pass(seconds(1)).await;
    world.restart_bot().await;
    // It is silenced, so there is no resolved report.
    alertmanager.resolve("DiskFull");
    polls(&world, &alertmanager, 3).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_killed_process_leaves_how_long_sources_may_be_quiet() {
    let (mut world, _, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    world.pass(seconds(30)).await;
    world.restart_bot().await;
    alertmanager.restart();
    polls(&world, &alertmanager, 4).await;
    assert_eq!(phase(&world, number).await, "firing", "its source may still report");
    polls(&world, &alertmanager, 2).await;
    assert_eq!(phase(&world, number).await, "resolved");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alert_of_another_sender_never_ends_by_a_poll() {
    let (world, _, alertmanager) = polled("").await;
    let number = world.report(&Group::firing("GrafanaOnly", world.now())).await;
    polls(&world, &alertmanager, 5).await;
    assert_eq!(phase(&world, number).await, "firing");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_late_report_asks_alertmanager_before_it_pages() {
    let (world, rooms, alertmanager) = polled("").await;
    world.pass(minutes(30)).await;
    let began = earlier(world.now(), minutes(20));
    // It has ended, and the webhook is a retry of an old one.
    world.report(&Group::of(&disk(), began)).await;
    world.pass(minutes(4)).await;
    assert!(pages(&world, &rooms.ops).is_empty());
    world.report(&Group::of(&disk(), began).resolved()).await;
    world.pass(minutes(10)).await;
    assert!(pages(&world, &rooms.ops).is_empty(), "nobody is paged for what has ended");
    // This one is firing.
    let other = disk().with_label("instance", "db-9");
    alertmanager.fire(other.clone());
    world.report(&Group::of(&other, began)).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME], "at once");
    // This one is silenced: Alertmanager would not notify it now.
    let silent = disk().with_label("instance", "db-10");
    alertmanager.fire(silent.clone());
    silenced(&world, &alertmanager, later(world.now(), minutes(30)));
    world.report(&Group::of(&silent, began).of_route("{}/{team=\"x\"}")).await;
    world.pass(minutes(5)).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME], "nobody is paged for what is silenced");
    // Alertmanager does not answer.
    alertmanager.fail(Some(Fault::Status(503, "busy".to_owned())));
    let third = Alert::new("HostDown", "finance");
    world.report(&Group::of(&third, began)).await;
    world.pass(seconds(2)).await;
    assert_eq!(notified(&world, &rooms.ops), [ALICE_NAME; 2], "two seconds later");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_start_that_moves_while_the_alert_is_listed_keeps_the_acknowledgement() {
    let (world, rooms, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    polls(&world, &alertmanager, 5).await;
    world.report(&Group::of(&disk(), world.now())).await;
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_alertmanager_that_does_not_answer_is_reported_once_and_changes_nothing() {
    let (world, rooms, alertmanager) = polled("    remind_every: none").await;
    let number = fires(&world, &alertmanager).await;
    alice(&world).says(&rooms.ops, "ack 1").await;
    polls(&world, &alertmanager, 1).await;
    alertmanager.fail(Some(Fault::Status(503, "busy".to_owned())));
    world.pass(minutes(9)).await;
    let notices = |world: &World| {
        let all = world.homeserver.messages(&rooms.fallback);
        all.into_iter().filter(|message| message.body.contains("does not answer")).count()
    };
    assert_eq!(notices(&world), 0);
    let ready = readiness(&world).await;
    assert!(ready.contains("main: it answered 503"), "{ready}");
    world.pass(minutes(15)).await;
    assert_eq!(notices(&world), 1);
    assert_eq!(phase(&world, number).await, "acknowledged");
    alertmanager.fail(None);
    polls(&world, &alertmanager, 2).await;
    assert!(readiness(&world).await.contains("answer polls"));
    assert_eq!(phase(&world, number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn another_process_goes_on_where_one_that_polled_is_gone() {
    let (mut world, _, alertmanager) = polled("").await;
    let number = fires(&world, &alertmanager).await;
    polls(&world, &alertmanager, 2).await;
    alertmanager.requests();
    world.restart_bot().await;
    alertmanager.resolve("DiskFull");
    world.pass(minutes(1)).await;
    assert_eq!(phase(&world, number).await, "firing", "its lease lasts");
    for _ in 0..4 {
        world.pass(seconds(30)).await;
    }
    assert_eq!(phase(&world, number).await, "resolved");
    assert!(history(&world, number).await.contains("resolved"));
    world.nothing_is_left().await;
}
