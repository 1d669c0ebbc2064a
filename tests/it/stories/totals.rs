//! Counters over all processes: every commit counts once, in any process; one process at a time exports the totals, and
//! they never decrease.

use super::{ALICE, just_before, minutes, seconds};
use crate::world::{Bot, Group, Setup, World, finance_list};
use std::time::Duration;

const BY_COMMAND: &str = r#"matrixbot_acknowledgements_total{room_list="finance",via="command"}"#;
const FIRST_LEVEL: &str = r#"matrixbot_pages_total{level="1",room_list="finance"}"#;
const UNANSWERED: &str = r#"matrixbot_unanswered_total{room_list="finance"}"#;
/// How long the other processes wait for the exporting one.
const LEASE: Duration = Duration::from_secs(20);

/// The totals that a process exports: a counter of each kind, and both histograms.
async fn totals(bot: &Bot) -> Vec<Option<f64>> {
    let mut totals = Vec::new();
    for series in [
        BY_COMMAND,
        FIRST_LEVEL,
        UNANSWERED,
        "matrixbot_late_acknowledgements_total",
        "matrixbot_incident_time_to_ack_seconds_count",
        r#"matrixbot_incident_time_to_ack_seconds_bucket{le="120"}"#,
        "matrixbot_incident_time_to_ack_seconds_sum",
        "matrixbot_incident_time_to_resolve_seconds_count",
    ] {
        totals.push(bot.series(series).await);
    }
    totals
}

/// Adds up the counts, as matrixbot does every few seconds.
async fn add_up(bot: &Bot) {
    bot.step("totals").await.unwrap();
}

fn exported(totals: [f64; 8]) -> Vec<Option<f64>> {
    totals.map(Some).to_vec()
}

#[tokio::test]
async fn one_process_exports_the_totals_of_all_and_another_continues_after_it() {
    let (mut world, rooms) = World::finance("").await;
    let other = world.another().await;
    other.work().await;
    assert_eq!(totals(&world.bot).await, exported([0.0; 8]), "every series exists from the start");
    assert_eq!(totals(&other).await, vec![None; 8]);

    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(1)).await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    // The process that does not export handles the event.
    world.homeserver.deliver().await;
    other.work().await;
    add_up(&other).await;
    assert_eq!(totals(&other).await, vec![None; 8]);
    world.settle().await;
    world.report(&group.resolved()).await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.settle().await;
    add_up(&world.bot).await;
    let all = exported([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 60.0, 1.0]);
    assert_eq!(totals(&world.bot).await, all);

    world.bot.kill().await;
    add_up(&other).await;
    assert_eq!(totals(&other).await, vec![None; 8], "the lease may still be in use");
    world.clock.advance(LEASE);
    add_up(&other).await;
    assert_eq!(totals(&other).await, all, "it continues with the same numbers");
    world.bot = other;
    world.homeserver.set_appservice_url(&world.bot.appservice);
    world.report(&Group::firing("HostDown", world.now())).await;
    add_up(&world.bot).await;
    assert_eq!(world.bot.series(FIRST_LEVEL).await, Some(2.0));
}

#[tokio::test]
async fn an_orderly_shutdown_lets_another_process_export_immediately() {
    let (world, _) = World::finance("").await;
    let other = world.another().await;
    world.bot.shut_down().await;
    add_up(&other).await;
    assert_eq!(totals(&world.bot).await, vec![None; 8]);
    assert_eq!(totals(&other).await, exported([0.0; 8]));
}

#[tokio::test]
async fn a_process_without_its_database_exports_until_its_lease_ends() {
    let (world, _) = World::finance("").await;
    world.database.down().await;
    world.clock.advance(just_before(LEASE));
    assert!(world.bot.series(BY_COMMAND).await.is_some());
    world.clock.advance(seconds(1));
    assert_eq!(world.bot.series(BY_COMMAND).await, None, "another process may have the lease");
    world.database.up().await;
    add_up(&world.bot).await;
    assert!(world.bot.series(BY_COMMAND).await.is_some());
}

#[tokio::test]
async fn totals_outlive_their_incidents_and_the_process() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let list = finance_list("retention: {incidents: 1h, events: 1h}\n");
    let mut world = setup.start(&list).await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(minutes(90)).await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
    world.pass(seconds(10)).await;
    world.report(&group.resolved()).await;
    add_up(&world.bot).await;
    let before = exported([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 5_400.0, 1.0]);
    assert_eq!(totals(&world.bot).await, before);
    world.pass(minutes(180)).await;
    world.bot.step("retention").await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM incident").await, 0, "the incident is deleted");
    assert_eq!(world.count("SELECT count(*) FROM total_delta").await, 0, "the counts are added up");
    add_up(&world.bot).await;
    assert_eq!(totals(&world.bot).await, before);
    world.restart_bot().await;
    world.clock.advance(LEASE);
    add_up(&world.bot).await;
    assert_eq!(totals(&world.bot).await, before);
}
