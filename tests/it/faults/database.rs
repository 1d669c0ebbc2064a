//! Postgres goes away and comes back: whoever gives us something is told to try again, and nothing is lost or said twice.

use super::{ALICE, MINUTE, messages_to};
use crate::world::{Group, Scenery, World, finance_list};
use std::time::Duration;

#[tokio::test]
async fn a_webhook_is_refused_with_503_and_nothing_is_lost_when_it_comes_again() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.database.goes_away().await;
    let (status, answer) = world.post(&group.payload()).await;
    assert_eq!(status, 503, "{answer}");
    world.database.comes_back().await;
    // Alertmanager tries the same again.
    world.report(&group).await;
    world.only(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_webhook_whose_answer_was_lost_comes_again_and_pages_once() {
    let (world, rooms) = World::finance("").await;
    let group = Group::firing("DiskFull", world.now());
    world.report(&group).await;
    world.database.goes_away().await;
    assert_eq!(world.post(&group.payload()).await.0, 503);
    world.database.comes_back().await;
    world.report(&group).await;
    world.only(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn workers_fail_without_it_and_go_on_when_it_is_back() {
    let (world, rooms) = World::finance("").await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    world.homeserver.person(ALICE).says(&rooms.ops, "pending");
    world.database.goes_away().await;
    let names = ["outbox", "inbox", "ladder", "staleness", "retention", "gauges", "attendance", "reconcile"];
    for name in names {
        assert!(world.bot.step(name).await.is_err(), "{name}");
    }
    world.database.comes_back().await;
    world.settle().await;
    assert_eq!(world.said(&rooms.ops).len(), 2, "the page and the answer");
    world.pass(MINUTE * 16).await;
    world.only(&rooms.managers);
    assert_eq!(world.phase(number).await, "firing");
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_goes_away_while_a_page_is_sent_and_the_page_is_there_once() {
    let (world, rooms) = World::finance("").await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        world.database.goes_away().await;
        held.release();
        // So that settling fails at least once.
        tokio::time::timeout(Duration::from_secs(5), fails(&world)).await.unwrap();
        world.database.comes_back().await;
    });
    world.settle().await;
    world.only(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).1, 1, "it is settled, not sent again");
    assert_eq!(world.homeserver.count(crate::homeserver::Endpoint::Messages), 0);
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

/// Waits until the outbox cannot be read.
async fn fails(world: &World) {
    while world.bot.parts.store.ping().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_goes_away_while_a_page_is_sent_and_the_process_dies_and_the_page_is_there_once() {
    let scenery = Scenery::prepare().await;
    scenery.homeserver.without_devices();
    let rooms = scenery.rooms();
    let mut world = scenery.begin(&finance_list("")).await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    world.dies_at(&held).await;
    world.database.goes_away().await;
    world.database.comes_back().await;
    world.homeserver.restart().await;
    world.restart_bot().await;
    world.settle().await;
    world.pass(MINUTE * 5).await;
    world.only(&rooms.ops);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn it_fails_over_again_and_again_under_load_and_everything_is_said_once() {
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
            world.database.goes_away().await;
            world.database.comes_back().await;
        });
        waiting = refused;
        world.clock.advance(MINUTE * 3);
    }
    for body in &waiting {
        assert_eq!(world.post(body).await.0, 200);
    }
    world.settle().await;
    world.pass(MINUTE * 5).await;
    let said = world.said(&rooms.ops);
    for n in 0..12 {
        let named = said.iter().filter(|message| message.body.contains(&format!("G{n} on"))).count();
        assert_eq!(named, 1, "G{n}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_release_works_on_the_tables_of_the_next_one() {
    let scenery = Scenery::prepare().await;
    let rooms = scenery.rooms();
    // What a migration may do that the release before must bear: columns and tables are added.
    let added = "DO $$ DECLARE name text; BEGIN
                     FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                         EXECUTE format('ALTER TABLE %I ADD COLUMN of_the_next_release text', name);
                         EXECUTE format('ALTER TABLE %I ADD COLUMN counted bigint NOT NULL DEFAULT 7', name);
                     END LOOP;
                     CREATE TABLE of_the_next_release (id bigint PRIMARY KEY);
                 END $$";
    sqlx::query(added).execute(&mut scenery.database.connect().await).await.unwrap();
    let world = scenery.begin(&finance_list("")).await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    world.pass(MINUTE * 15).await;
    let page = world.only(&rooms.managers);
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
