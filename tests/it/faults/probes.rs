//! Probes and metrics of the admin listener during failures.

use super::{MINUTE, SECOND, list};
use crate::homeserver::Match;
use crate::waiting::until;
use crate::world::{Group, Setup, World};
use matrixbot::worker::{Progress, Registered, Worker};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Whether the check of rooms passes, and what `/readyz` says of it.
pub(super) async fn rooms_check(world: &World) -> (u16, Value) {
    let (status, text) = get(world, "/readyz").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    (status, answer["checks"]["rooms"].clone())
}

async fn get(world: &World, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", world.bot.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The status code, and the result of each check.
async fn probe(world: &World, path: &str) -> (u16, BTreeMap<String, bool>) {
    let (status, text) = get(world, path).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    let checks = answer["checks"].as_object().unwrap();
    (status, checks.iter().map(|(name, check)| (name.clone(), check["ok"].as_bool().unwrap())).collect())
}

fn failing(checks: &BTreeMap<String, bool>) -> Vec<&str> {
    checks.iter().filter(|(_, ok)| !**ok).map(|(name, _)| name.as_str()).collect()
}

async fn pings(world: &World) {
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
}

#[tokio::test]
async fn matrixbot_is_ready_when_all_checks_pass() {
    let (mut world, _) = World::finance("").await;
    world.restart_bot().await;
    let (status, checks) = probe(&world, "/readyz").await;
    let unknown = vec!["homeserver", "rooms"];
    assert_eq!((status, failing(&checks)), (503, unknown), "no worker has checked them yet");
    world.settle().await;
    let (status, checks) = probe(&world, "/readyz").await;
    let names: Vec<&str> = checks.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "alertmanagers",
            "audit",
            "clock",
            "database",
            "events",
            "homeserver",
            "incidents",
            "mentions",
            "migrations",
            "on_call",
            "outbox",
            "rooms",
            "users",
            "workers"
        ]
    );
    assert_eq!((status, failing(&checks)), (200, vec![]));
    assert_eq!(probe(&world, "/livez").await.0, 200);
}

#[tokio::test]
async fn matrixbot_is_alive_but_not_ready_while_the_database_is_down() {
    let (world, _) = World::finance("").await;
    pings(&world).await;
    world.database.down().await;
    let begun = std::time::Instant::now();
    let (status, text) = get(&world, "/readyz").await;
    assert!(begun.elapsed() < SECOND * 2, "an orchestrator does not wait for long: {:?}", begun.elapsed());
    assert!(text.contains("not currently accepting connections"), "it says why: {text}");
    let (_, checks) = probe(&world, "/readyz").await;
    assert_eq!(
        (status, failing(&checks)),
        (503, vec!["database", "events", "incidents", "mentions", "migrations", "outbox", "users"])
    );
    assert_eq!(probe(&world, "/livez").await.0, 200, "a restart would not help");
    assert_eq!(get(&world, "/metrics").await.0, 200);
    world.database.up().await;
    assert_eq!(probe(&world, "/readyz").await.0, 200);
}

#[tokio::test]
async fn matrixbot_is_not_ready_while_the_homeserver_is_down() {
    let (world, _) = World::finance("").await;
    pings(&world).await;
    world.homeserver.down().await;
    pings(&world).await;
    let (status, checks) = probe(&world, "/readyz").await;
    assert_eq!(status, 503);
    assert!(failing(&checks).contains(&"homeserver"), "{checks:?}");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 6).await;
    let (_, checks) = probe(&world, "/readyz").await;
    assert!(failing(&checks).contains(&"outbox"), "a page waits for 6 min: {checks:?}");
    world.homeserver.up().await;
    pings(&world).await;
    world.pass(MINUTE * 3).await;
    let (status, checks) = probe(&world, "/readyz").await;
    assert_eq!((status, failing(&checks)), (200, vec![]));
}

#[tokio::test]
async fn a_room_that_cannot_be_reached_is_named_and_blocks_no_rollout() {
    let setup = Setup::prepare().await;
    setup.rooms();
    let world = setup.start(&list("finance", &[&["#ops:example.test", "#nowhere:example.test"]])).await;
    pings(&world).await;
    let (status, text) = get(&world, "/readyz").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["status"]), (200, &Value::from("degraded")));
    assert_eq!(answer["checks"]["rooms"]["degraded"], true);
    assert!(text.contains("#nowhere:example.test"), "{text}");
    assert!(!text.contains(&world.homeserver.appservice().as_token));
}

#[tokio::test]
async fn a_list_that_can_page_nobody_is_not_ready() {
    let setup = Setup::prepare().await;
    setup.rooms();
    let lists = list("finance", &[&["#ops:example.test"]])
        + &list("net", &[&["#nowhere:example.test"], &["#gone:example.test"]]);
    let world = setup.start(&lists).await;
    pings(&world).await;
    let (status, text) = get(&world, "/readyz").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("no page of net can arrive"), "{text}");
    assert!(text.contains("#nowhere:example.test") && text.contains("#gone:example.test"), "{text}");
}

#[tokio::test]
async fn a_room_that_answers_slowly_at_the_start_does_not_keep_the_process_from_becoming_ready() {
    let setup = Setup::prepare().await;
    setup.rooms();
    let slow = setup.homeserver.public_room("@alice:example.test", "#slow:example.test");
    let mut world = setup.start(&list("finance", &[&["#ops:example.test"]])).await;
    world.configure_anew(&list("finance", &[&["#slow:example.test", "#ops:example.test"]]));
    world.restart_bot().await;
    let held = world.homeserver.hold_before(Match::any().in_room(&slow));
    tokio::join!(world.bot.step("attendance"), async {
        held.reached().await;
        until("the other room is reached", async || rooms_check(&world).await.1["degraded"] == true).await;
        held.release();
    })
    .0
    .unwrap();
    assert_eq!(rooms_check(&world).await.1["detail"], "all joined");
}

/// Every series of the metrics: the sample's name with its labels.
fn series(text: &str) -> BTreeSet<String> {
    let mut series = BTreeSet::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value == "+Inf" || value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name.to_owned()), "twice: {line}");
    }
    series
}

#[tokio::test]
async fn every_series_exists_from_the_start() {
    let (mut world, rooms) = World::finance("").await;
    // No worker has run yet except the one that exports the totals, after the lease of the killed process has ended.
    world.restart_bot().await;
    world.clock.advance(SECOND * 20);
    world.bot.step("totals").await.unwrap();
    let start = series(&get(&world, "/metrics").await.1);
    for name in [
        r#"matrixbot_webhook_requests_total{code="503",room_list="finance"}"#,
        r#"matrixbot_webhook_alerts_total{status="firing"}"#,
        r#"matrixbot_incidents{phase="unanswered",room_list="finance"}"#,
        r#"matrixbot_acknowledgements_total{room_list="finance",via="reaction"}"#,
        "matrixbot_late_acknowledgements_total",
        r#"matrixbot_pages_total{level="2",room_list="finance"}"#,
        r#"matrixbot_unanswered_total{room_list="finance"}"#,
        "matrixbot_incident_time_to_ack_seconds_count",
        "matrixbot_incident_time_to_resolve_seconds_count",
        "matrixbot_ladder_lag_seconds_count",
        r#"matrixbot_outbox_messages{state="pending"}"#,
        "matrixbot_outbox_oldest_pending_seconds",
        r#"matrixbot_outbox_deliveries_total{outcome="undeliverable"}"#,
        "matrixbot_page_latency_seconds_count",
        r#"matrixbot_homeserver_requests_total{code="429",endpoint="send"}"#,
        "matrixbot_homeserver_rate_limited_total",
        r#"matrixbot_appservice_transactions_total{result="unavailable"}"#,
        r#"matrixbot_appservice_events_total{result="duplicate"}"#,
    ] {
        assert!(start.contains(name), "{name} does not exist from the start: {start:#?}");
    }
    // The life of an incident adds no series that graphs or rules would have missed before.
    world.homeserver.person(super::ALICE).bans(&rooms.ops, &World::virtual_user("finance"));
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(MINUTE * 60).await;
    world.homeserver.person(super::ALICE).says(&rooms.managers, &format!("ack {number}"));
    world.settle().await;
    world.database.down().await;
    world.post(&Group::firing("HostDown", world.now()).payload()).await;
    world.database.up().await;
    pings(&world).await;
    world.bot.step("reconcile").await.unwrap();
    world.bot.step("gauges").await.unwrap();
    let end = series(&get(&world, "/metrics").await.1);
    let added: Vec<_> = end.difference(&start).collect();
    assert!(added.is_empty(), "{added:#?}");
}

/// A worker whose first steps do not end: they wait for ever, or even hold their thread until `released`.
struct Endless {
    name: &'static str,
    holds_its_thread: bool,
    begun: Arc<AtomicU32>,
    released: Arc<AtomicBool>,
}

impl Worker for Endless {
    type Error = std::io::Error;

    fn name(&self) -> &'static str {
        self.name
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn step(&self) -> Result<Progress, std::io::Error> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while !self.released.load(Ordering::SeqCst) {
            if self.holds_its_thread {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                std::future::pending::<()>().await;
            }
        }
        Ok(Progress::Idle(Duration::from_hours(1)))
    }
}

/// Runs an endless worker beside those of the world's process. Returns how many steps it has begun, and how to end it.
fn run_beside(
    world: &World,
    name: &'static str,
    holds_its_thread: bool,
) -> (Arc<AtomicU32>, Arc<AtomicBool>) {
    let (begun, released) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
    let worker =
        Endless { name, holds_its_thread, begun: Arc::clone(&begun), released: Arc::clone(&released) };
    let worker = Registered::periodic(worker).watched_by(&world.bot.parts.beats);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(worker.run(&CancellationToken::new()));
    });
    (begun, released)
}

#[tokio::test]
async fn a_step_that_never_ends_is_cut_at_its_limit_and_stops_nobody() {
    let (world, rooms) = World::finance("").await;
    let (begun, _released) = run_beside(&world, "endless", false);
    until("its first step was cut and the next one begins", async || begun.load(Ordering::SeqCst) >= 2).await;
    assert_eq!(probe(&world, "/livez").await.0, 200, "a step that is cut counts as ended");
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);

    let (_begun, released) = run_beside(&world, "stuck", true);
    until("no sign of life for twice the limit", async || probe(&world, "/livez").await.0 == 503).await;
    let (_, text) = get(&world, "/livez").await;
    assert!(text.contains("stuck is stuck for") && !text.contains("endless"), "{text}");
    world.homeserver.person(super::ALICE).says(&rooms.ops, "pending");
    world.settle().await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the other workers go on");
    released.store(true, Ordering::SeqCst);
    until("its step ends", async || probe(&world, "/livez").await.0 == 200).await;
    world.nothing_is_left().await;
}
