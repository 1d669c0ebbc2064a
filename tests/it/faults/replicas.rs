//! Two processes on one database behave as one.

use super::{ALICE, MINUTE, SECOND, messages_to};
use crate::homeserver::{Fault, Homeserver};
use crate::world::{Bot, Group, Rooms, TOKEN, World, post};
use matrixbot::domain::time::later;
use matrixbot::outbox::OutboxSettings;
use matrixbot::worker::Worker as _;
use ruma::RoomId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The number of incidents.
const MANY: usize = 30;

async fn two() -> (World, Bot, Rooms) {
    two_with("    digest: none\n").await
}

async fn two_with(more: &str) -> (World, Bot, Rooms) {
    let (world, rooms) = World::finance(more).await;
    let other = world.another().await;
    work_together(&world, &other).await;
    (world, other, rooms)
}

/// Alertmanager reports a group to one of the processes.
async fn reports(webhook: String, list: &'static str, body: String) -> (u16, Value) {
    post(&format!("{webhook}/webhook/{list}"), TOKEN, body).await
}

/// Lets both work at the same time until neither has anything to do.
async fn work_together(world: &World, other: &Bot) {
    for _ in 0..100 {
        let delivered = world.homeserver.deliver().await;
        let (one, two) = tokio::join!(world.bot.work(), other.work());
        if !one && !two && delivered.events == 0 {
            return;
        }
    }
    panic!("they do not settle");
}

/// How often each of the incidents `G0`, `G1`, … is paged in a room.
fn pages(homeserver: &Homeserver, room: &RoomId) -> BTreeMap<String, usize> {
    let mut pages = BTreeMap::new();
    for message in homeserver.messages(room) {
        if let Some(name) = message.body.split_whitespace().find(|word| word.starts_with('G')) {
            *pages.entry(name.to_owned()).or_default() += 1;
        }
    }
    pages
}

async fn deadlocks(world: &World) -> i64 {
    world.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

#[tokio::test]
async fn each_page_arrives_once_whichever_process_accepts_and_sends() {
    let (world, other, rooms) = two().await;
    let bodies: Vec<String> =
        (0..MANY).map(|n| Group::firing(&format!("G{n}"), world.now()).payload().to_string()).collect();
    // Two Alertmanager peers report everything, each to another process.
    let reports = bodies.iter().flat_map(|body| {
        [&world.bot.webhook, &other.webhook].map(|webhook| reports(webhook.clone(), "finance", body.clone()))
    });
    let (answers, _, _) =
        tokio::join!(futures_util::future::join_all(reports), world.bot.work(), other.work());
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    work_together(&world, &other).await;
    let paged = pages(&world.homeserver, &rooms.ops);
    assert_eq!(paged.len(), MANY);
    assert!(paged.values().all(|count| *count == 1), "{paged:?}");
    assert_eq!(world.count("SELECT count(*) FROM incident").await, i64::try_from(MANY).unwrap());
    assert_eq!(deadlocks(&world).await, 0);

    // Nobody acknowledges: both processes escalate.
    world.clock.advance(MINUTE * 15);
    work_together(&world, &other).await;
    let paged = pages(&world.homeserver, &rooms.managers);
    assert_eq!(paged.len(), MANY);
    assert!(paged.values().all(|count| *count == 1), "{paged:?}");
    assert_eq!(deadlocks(&world).await, 0);
    other.kill().await;
    world.pass(SECOND * 10).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_storm_is_told_once_while_both_work_and_people_and_alertmanager_are_busy() {
    let (world, other, rooms) = two_with("").await;
    let groups: Vec<Group> = (0..MANY).map(|n| Group::firing(&format!("G{n}"), world.now())).collect();
    let report =
        |webhook: &str, group: &Group| reports(webhook.to_owned(), "finance", group.payload().to_string());
    let firing = groups.iter().map(|group| report(&other.webhook, group));
    tokio::join!(futures_util::future::join_all(firing), world.bot.work(), other.work());
    work_together(&world, &other).await;
    world.clock.advance(SECOND * 4);
    work_together(&world, &other).await;
    let sent = "SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'sent'";
    let count = i64::try_from(MANY).unwrap();
    assert_eq!(world.count(sent).await, count);
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await, count);
    // All of it is acknowledged while most of it resolves.
    world.homeserver.person(ALICE).says(&rooms.ops, "ack all");
    world.homeserver.deliver_all().await;
    let resolved = groups.iter().skip(5).map(|group| report(&world.bot.webhook, &group.clone().resolved()));
    tokio::join!(futures_util::future::join_all(resolved), world.bot.work(), other.work());
    work_together(&world, &other).await;
    assert_eq!(deadlocks(&world).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, 5);
    other.kill().await;
    world.pass(MINUTE * 3).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn each_command_is_answered_once_while_both_work() {
    let (world, other, rooms) = two().await;
    for n in 0..MANY {
        world.post(&Group::firing(&format!("G{n}"), world.now()).payload()).await;
    }
    work_together(&world, &other).await;
    let alice = world.homeserver.person(ALICE);
    for (n, message) in world.posts(&rooms.ops).iter().enumerate() {
        match n % 3 {
            0 => alice.reacts(&message.event_id, "✅"),
            1 => alice.replies(&message.event_id, "ack"),
            _ => alice.says(&rooms.ops, &format!("ack {}", n + 1)),
        };
    }
    // The homeserver pushes to one process; the other one polls the inbox.
    world.homeserver.deliver_all().await;
    work_together(&world, &other).await;
    let count = i64::try_from(MANY).unwrap();
    assert_eq!(world.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await, count);
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'acknowledged'").await, count);
    let posts = world.posts(&rooms.ops);
    let answers = posts.iter().filter(|message| message.msgtype == "m.notice").count();
    assert_eq!(answers, MANY / 3 * 2, "each command is answered once, a reaction is not");
    assert_eq!(deadlocks(&world).await, 0);
    other.kill().await;
    world.pass(SECOND * 10).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn everything_at_once_causes_no_deadlock() {
    let (world, other, rooms) = two().await;
    let group = |n: usize| Group::firing(&format!("G{n}"), world.now());
    for n in 0..MANY {
        world.post(&group(n).payload()).await;
    }
    work_together(&world, &other).await;
    let alice = world.homeserver.person(ALICE);
    for round in 0..4_usize {
        let reports = (0..MANY).map(|n| {
            let instance = format!("db-{round}-{n}");
            let body = group(n).alert(&instance, "critical", "firing", world.now()).payload().to_string();
            let webhook = if n % 2 == 0 { &world.bot.webhook } else { &other.webhook };
            reports(webhook.clone(), "finance", body)
        });
        for n in (round..MANY).step_by(4) {
            alice.says(&rooms.ops, &format!("ack {}", n + 1));
        }
        alice.says(&rooms.ops, if round % 2 == 0 { "ack all" } else { "unack all" });
        world.homeserver.deliver_all().await;
        let (answers, _, _) =
            tokio::join!(futures_util::future::join_all(reports), world.bot.work(), other.work());
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        world.clock.advance(MINUTE * 6);
        work_together(&world, &other).await;
    }
    assert_eq!(deadlocks(&world).await, 0);
    other.kill().await;
    world.pass(MINUTE).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn new_rooms_cause_no_deadlock() {
    let setup = crate::world::Setup::prepare().await;
    // The lists name them by id, so the database does not know them before the first page.
    let rooms: Vec<_> =
        (0..20).map(|n| setup.homeserver.public_room(ALICE, &format!("#r{n}:example.test"))).collect();
    setup.homeserver.public_room(ALICE, "#fallback:example.test");
    let forward: Vec<&str> = rooms.iter().map(|room| room.as_str()).collect();
    let backward: Vec<&str> = rooms.iter().rev().map(|room| room.as_str()).collect();
    let lists = super::list("finance", &[&forward]) + &super::list("backward", &[&backward]);
    let world = setup.start(&lists).await;
    let reports = (0..20).flat_map(|n| {
        let body = Group::firing(&format!("G{n}"), world.now()).payload().to_string();
        ["finance", "backward"].map(|list| reports(world.bot.webhook.clone(), list, body.clone()))
    });
    let answers = futures_util::future::join_all(reports).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(deadlocks(&world).await, 0);
}

#[tokio::test]
async fn a_lost_lease_settles_nothing() {
    let (world, other, rooms) = two().await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("G0", world.now()).payload()).await;
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        world.clock.advance(MINUTE * 3);
        // The lease of the first process has ended: the other one resends the page, with the same transaction id.
        assert!(other.work().await);
        held.release();
    });
    work_together(&world, &other).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.attempts(&rooms.ops).0.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM timeline WHERE kind = 'told'").await, 1);
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"matrixbot_outbox_deliveries_total{outcome="lease_lost"} 1"#), "{metrics}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_lease_is_renewed_until_the_send_ends() {
    let (world, other, rooms) = two().await;
    let settings = OutboxSettings { renewal: Duration::from_millis(1), ..OutboxSettings::default() };
    let parts = &world.bot.parts;
    let slow = parts.outbox(parts.rooms.clone(), settings);
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    world.post(&Group::firing("G0", world.now()).payload()).await;
    let (sent, ()) = tokio::join!(slow.step(), async {
        held.reached().await;
        for _ in 0..10 {
            world.clock.advance(SECOND * 14);
            let renewed = format!(
                "SELECT count(*) FROM room_gate WHERE lease_until = '{}'",
                later(world.now(), settings.lease)
            );
            while world.count_of(&renewed).await == 0 {}
            assert!(!other.work().await, "the other process took over");
        }
        held.release();
    });
    sent.unwrap();
    world.only_post(&rooms.ops);
    let metrics = reqwest::get(format!("{}/metrics", world.bot.admin)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"matrixbot_outbox_deliveries_total{outcome="lease_lost"} 0"#), "{metrics}");
    work_together(&world, &other).await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_command_before_the_page_is_settled_counts() {
    let (world, other, rooms) = two().await;
    let held = world.homeserver.hold_after(messages_to(&rooms.ops));
    let body = Group::firing("G0", world.now()).payload();
    let number = world.post(&body).await.1["incident"].as_i64().unwrap();
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {number}"));
        world.homeserver.deliver_all().await;
        other.work().await;
        assert_eq!(world.phase(number).await, "acknowledged");
        held.release();
    });
    work_together(&world, &other).await;
    world.pass(MINUTE * 60).await;
    assert_eq!(world.posts(&rooms.managers), []);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_late_rejection_gives_nothing_up() {
    let (world, other, rooms) = two().await;
    let held = world.homeserver.hold_then(messages_to(&rooms.ops), Fault::Status(400, "M_BAD_JSON"));
    world.post(&Group::firing("G0", world.now()).payload()).await;
    tokio::join!(world.bot.work(), async {
        held.reached().await;
        world.clock.advance(MINUTE * 3);
        assert!(other.work().await);
        held.release();
    });
    work_together(&world, &other).await;
    world.only_post(&rooms.ops);
    assert_eq!(world.posts(&rooms.managers), []);
    assert_eq!(world.count("SELECT count(*) FROM outbox WHERE state = 'undeliverable'").await, 0);
    world.nothing_is_left().await;
}

#[tokio::test]
async fn another_process_continues_the_work_of_a_killed_one() {
    let (world, other, rooms) = two().await;
    let held = world.homeserver.hold_before(messages_to(&rooms.ops));
    world.post(&Group::firing("G0", world.now()).payload()).await;
    world.dies_at(&held).await;
    other.work().await;
    assert_eq!(world.posts(&rooms.ops), [], "the request may still be in flight");
    world.clock.advance(MINUTE * 3);
    other.work().await;
    world.only_post(&rooms.ops);
    world.nothing_is_left().await;
}
