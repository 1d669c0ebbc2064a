//! A process whose clock is wrong decides and sends nothing, and loses nothing.

use super::{HOUR, MINUTE, SECOND};
use crate::world::{Bot, Group, TOKEN, World, post};
use jiff::SignedDuration;
use serde_json::Value;

const NINE_HOURS: SignedDuration = SignedDuration::from_hours(9);

async fn readiness(bot: &Bot) -> (u16, Value) {
    let answer = reqwest::get(format!("{}/readyz", bot.admin)).await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_process_nine_hours_ahead_resolves_nothing_and_what_it_accepts_is_paged_now() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    let ahead = world.another_ahead(NINE_HOURS).await;
    for _ in 0..3 {
        ahead.work().await;
        world.pass(10 * SECOND).await;
    }
    assert_eq!(world.phase(number).await, "firing", "not stale");
    let (status, found) = readiness(&ahead).await;
    assert_eq!(status, 503, "{found}");
    assert_eq!(found["checks"]["clock"]["ok"], false, "{found}");
    let detail = found["checks"]["clock"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("32400 s ahead of the database's"), "{detail}");
    assert_eq!(ahead.series("matrixbot_clock_skew_seconds").await, Some(32400.0));
    assert_eq!(readiness(&world.bot).await.0, 200);

    // Alertmanager may report to either process.
    let group = Group::firing("HostDown", world.now()).payload();
    let (status, answer) =
        post(&format!("{}/webhook/finance", ahead.webhook), TOKEN, group.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    ahead.work().await;
    assert_eq!(world.posts(&rooms.ops).len(), 1, "it sends nothing itself");
    world.pass(2 * SECOND).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the other process does, at once");
    world.pass(15 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 2, "both escalate in time");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn once_its_clock_is_right_a_process_goes_on() {
    let (world, rooms) = World::finance("").await;
    world.bot.set_clock(-NINE_HOURS);
    world.pass(10 * SECOND).await;
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    world.homeserver.person(super::ALICE).says(&rooms.ops, "pending");
    world.pass(MINUTE).await;
    assert!(world.posts(&rooms.ops).is_empty(), "it sends nothing");
    assert_eq!(
        world.count("SELECT count(*) FROM inbox WHERE state = 'waiting'").await,
        1,
        "the event is stored"
    );
    assert_eq!(readiness(&world.bot).await.0, 503);

    world.bot.set_clock(SignedDuration::from_secs(29));
    world.pass(10 * SECOND).await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the page and the answer");
    assert_eq!(readiness(&world.bot).await.0, 200);
    world.bot.set_clock(SignedDuration::ZERO);
    world.pass(HOUR).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_clock_that_jumps_while_the_process_runs_escalates_nothing_before_the_next_comparison() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(5 * SECOND).await;
    world.bot.set_clock(NINE_HOURS);
    world.bot.step("ladder").await.unwrap();
    world.bot.step("staleness").await.unwrap();
    let (status, found) = readiness(&world.bot).await;
    assert_eq!(status, 503, "{found}");
    let detail = found["checks"]["clock"]["detail"].as_str().unwrap();
    assert!(detail.starts_with("it jumped by 32400 s"), "{detail}");
    world.settle().await;
    assert!(world.posts(&rooms.managers).is_empty(), "nobody had 15 minutes");
    assert_eq!(world.bot.series("matrixbot_clock_skew_seconds").await, Some(32400.0), "compared at once");

    // Set right again: a jump back, found as soon.
    world.bot.set_clock(SignedDuration::ZERO);
    world.pass(SECOND).await;
    assert_eq!(readiness(&world.bot).await.0, 200);
    world.pass(15 * MINUTE).await;
    assert_eq!(world.posts(&rooms.managers).len(), 1);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_machine_that_was_suspended_goes_on_at_once() {
    let (world, rooms) = World::finance("").await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.pass(5 * SECOND).await;
    world.clock.advance(20 * MINUTE);
    world.bot.slept(20 * MINUTE);
    world.settle().await;
    assert_eq!(world.posts(&rooms.managers).len(), 1, "the clock is right: the database's says so");
    assert_eq!(readiness(&world.bot).await.0, 200);
    world.nothing_is_left().await;
}
