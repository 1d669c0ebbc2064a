//! Postgres goes down and comes up again: callers are asked to retry, and nothing is lost or posted twice.

use super::{ALICE, MINUTE, messages_to};
use crate::world::{Group, Setup, World, finance_list};
use std::time::Duration;

#[tokio::test]
async fn a_webhook_is_answered_503_and_its_retry_is_paged() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.database.down().await;
    let (status, answer) = world.post(&group.payload()).await;
    assert_eq!(status, 503, "{answer}");
    world.database.up().await;
    // Alertmanager retries.
    world.report(&group).await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_retried_webhook_pages_once() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.database.down().await;
    assert_eq!(world.post(&group.payload()).await.0, 503);
    world.database.up().await;
    world.report(&group).await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn workers_fail_without_the_database_and_continue_afterwards() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    world.database.down().await;
    let names = ["outbox", "inbox", "ladder", "staleness", "retention", "gauges", "attendance", "reconcile"];
    for name in names {
        assert!(world.bot.step(name).await.is_err(), "{name}");
    }
    world.database.up().await;
    world.settle().await;
    assert_eq!(world.posts(&rooms.ops).len(), 2, "the page and the answer");
    world.pass(MINUTE * 16).await;
    world.only_post(&rooms.managers);
    assert_eq!(world.phase(number).await, "firing");
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn an_outage_while_a_page_is_sent_posts_the_page_once() {
    let (world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        world.database.down().await;
        held.release();
        // Settling fails at least once.
        tokio::time::timeout(Duration::from_secs(5), fails(&world)).await.unwrap();
        world.database.up().await;
    });
    world.settle().await;
    world.only_post(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).1, 1, "the page is settled without another send");
    assert_eq!(world.homeserver.count(crate::homeserver::Endpoint::Messages), 0);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

/// Waits until the database is unreachable.
async fn fails(world: &World) {
    while world.bot.parts.store.ping().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_outage_and_a_crash_while_a_page_is_sent_post_the_page_once() {
    let setup = Setup::prepare().await;
    setup.homeserver.without_devices();
    let rooms = setup.rooms();
    let mut world = setup.start(&finance_list("")).await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    world.dies_at(&held).await;
    world.database.down().await;
    world.database.up().await;
    world.homeserver.restart().await;
    world.restart_bot().await;
    world.settle().await;
    world.pass(MINUTE * 5).await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn repeated_failovers_under_load_post_everything_once() {
    let (world, rooms) = World::finance("").await;
    let bodies: Vec<_> = (0..12).map(|n| Group::firing(&format!("G{n}"), world.now()).payload()).collect();
    let mut waiting = bodies.clone();
    for _ in 0..4 {
        let refusals = async {
            let mut refused = Vec::new();
            for body in waiting.drain(..) {
                if world.post(&body).await.0 != 200 {
                    refused.push(body);
                }
            }
            refused
        };
        let (refused, _, ()) = tokio::join!(refusals, world.bot.work(), async {
            world.database.down().await;
            world.database.up().await;
        });
        waiting = refused;
        world.clock.advance(MINUTE * 3);
    }
    for body in &waiting {
        assert_eq!(world.post(body).await.0, 200);
    }
    world.settle().await;
    world.pass(MINUTE * 5).await;
    let posts = world.posts(&rooms.ops);
    for n in 0..12 {
        let named = posts.iter().filter(|message| message.body.contains(&format!("G{n} on"))).count();
        assert_eq!(named, 1, "G{n}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_release_works_with_the_tables_of_the_next_one() {
    let setup = Setup::prepare().await;
    let rooms = setup.rooms();
    // A migration may add columns and tables, and the previous release must still work.
    let added = "DO $$ DECLARE name text; BEGIN
                     FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                         EXECUTE format('ALTER TABLE %I ADD COLUMN of_the_next_release text', name);
                         EXECUTE format('ALTER TABLE %I ADD COLUMN IF NOT EXISTS counted bigint NOT NULL DEFAULT 7', name);
                     END LOOP;
                     CREATE TABLE of_the_next_release (id bigint PRIMARY KEY);
                 END $$";
    sqlx::query(added).execute(&mut setup.database.connect().await).await.unwrap();
    let world = setup.start(&finance_list("")).await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(MINUTE * 15).await;
    let page = world.only_post(&rooms.managers);
    world.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.homeserver.person(ALICE).says(&rooms.managers, "pending");
    world.report(&group.resolved()).await;
    assert_eq!(world.phase(number).await, "resolved");
    assert!(world.bot.step("retention").await.is_ok() && world.bot.step("gauges").await.is_ok());
    assert!(world.bot.step("reconcile").await.is_ok());
    world.pass(MINUTE * 30).await;
    assert_eq!(world.phase(number).await, "closed");
    world.nothing_is_left().await;
}
