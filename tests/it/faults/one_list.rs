//! One list, or one token, that takes too much leaves enough for the others.

use super::{ALICE, MINUTE, list};
use crate::homeserver::SERVER_NAME;
use crate::waiting::until;
use crate::world::{Group, Setup, TOKEN, World, finance_list, post};
use futures_util::future::join_all;
use matrixbot::alertmanager::payload::LARGEST_BODY;
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many connections wait for a lock.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
const OTHER_TOKEN: &str = "t0ken-of-another-team";

/// The lists `finance` and `stock`, which have rooms and tokens of their own.
async fn two_lists() -> World {
    let setup = Setup::prepare().await;
    setup.rooms();
    setup.homeserver.public_room(ALICE, &format!("#stock:{SERVER_NAME}"));
    let stock = list("stock", &[&["#stock:example.test"]]).replace(TOKEN, OTHER_TOKEN);
    setup.start(&format!("{}{stock}", finance_list(""))).await
}

async fn post_to_stock(world: &World, body: String) -> u16 {
    post(&format!("{}/webhook/stock", world.bot.webhook), OTHER_TOKEN, body).await.0
}

#[tokio::test]
async fn reports_that_wait_in_the_database_leave_connections_for_other_lists_and_for_people() {
    let world = two_lists().await;
    let group = Group::firing("DiskFull", world.now());
    let number = world.report(&group).await;
    let mut holder = world.database.connect().await;
    let mut held = holder.begin().await.unwrap();
    held.execute(sqlx::query("SELECT 1 FROM incident WHERE id = $1 FOR UPDATE").bind(number)).await.unwrap();
    let body = group.payload();
    let waiting = join_all((0..20).map(|_| world.post(&body)));
    let (answers, ()) = tokio::join!(waiting, async {
        until("reports wait for the incident", async || world.count(WAITING).await >= 3).await;
        let body = Group::firing("QueueFull", world.now()).payload().to_string();
        assert_eq!(post_to_stock(&world, body).await, 200);
        let stock = world.homeserver.room_of(&format!("#stock:{SERVER_NAME}"));
        let asked = world.homeserver.person(ALICE).says(&stock, "pending");
        world.settle().await;
        assert_eq!(world.homeserver.replies_to(&asked).len(), 1);
        held.rollback().await.unwrap();
    });
    for (status, answer) in answers {
        assert_eq!(status, 200, "{answer}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn large_bodies_that_arrive_slowly_leave_memory_for_other_tokens() {
    let world = two_lists().await;
    let address = world.bot.webhook.strip_prefix("http://").unwrap().to_owned();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /webhook/finance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {LARGEST_BODY}\r\n\r\n{{\"alerts\": ["
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut large = Group::new("QueueFull");
    for queue in 0..400 {
        large = large.alert(&format!("queue-{queue}"), "critical", "firing", world.now());
    }
    let large = large.payload().to_string();
    assert!(large.len() > 100_000);
    assert_eq!(post_to_stock(&world, large).await, 200);
    // Small reports of the same list arrive as well.
    let (status, answer) = world.post(&Group::firing("DiskFull", world.now()).payload()).await;
    assert_eq!(status, 200, "{answer}");
    // The ones that are still arriving have no answer yet.
    for stream in &mut slow {
        let mut byte = [0];
        let read = tokio::time::timeout(std::time::Duration::ZERO, stream.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?}");
    }
}

#[tokio::test]
async fn only_the_state_of_most_resolved_alerts_is_kept_and_old_ones_are_forgotten() {
    let (world, rooms) = World::finance("").await;
    let began = world.now();
    let group = |status: &str| {
        let names = (0..300).map(|place| format!("db-{place:03}"));
        names.fold(Group::firing("DiskFull", began), |group, name| {
            group.alert(&name, "critical", status, began)
        })
    };
    let number = world.report(&group("firing")).await;
    world.pass(MINUTE).await;
    assert_eq!(world.report(&group("resolved")).await, number);
    let of = |what: &str| format!("SELECT count(*) FROM incident_alert WHERE incident = {number} AND {what}");
    assert_eq!(world.count_of(&of("firing")).await, 1);
    assert_eq!(world.count_of(&of("NOT firing")).await, 300, "replayed reports are recognised");
    assert_eq!(world.count_of(&of("NOT firing AND labels <> '{}'")).await, 50);
    world.pass(MINUTE).await;
    let page = world.only_post(&rooms.ops).body;
    assert!(page.contains("1 alert (300 resolved)"), "{page}");
    // An old report that arrives late fires nothing anew within the grace; later the episodes are forgotten.
    world.pass(MINUTE * 10).await;
    world.report(&Group::firing("DiskFull", began)).await;
    assert_eq!(world.count_of(&of("NOT firing")).await, 50);
    world.report(&Group::firing("DiskFull", began).resolved()).await;
    assert_eq!(world.phase(number).await, "resolved");
    let page = world.only_post(&rooms.ops).body;
    assert!(page.contains("RESOLVED") && page.contains("… and"), "{page}");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_page_of_many_alerts_says_what_all_have_in_common_and_nothing_else() {
    let (world, rooms) = World::finance("").await;
    let names = (0..150).map(|place| format!("db-{place:03}"));
    let group = names
        .fold(Group::new("DiskFull"), |group, name| group.alert(&name, "critical", "firing", world.now()));
    let mut body = group.payload();
    for (place, alert) in body["alerts"].as_array_mut().unwrap().iter_mut().enumerate() {
        alert["annotations"]["runbook_url"] = "https://runbooks.example.test/disk".into();
        alert["labels"]["cluster"] = "eu".into();
        // The last one, of which the page has no details, differs.
        alert["labels"]["rack"] = if place == 149 { "r2" } else { "r1" }.into();
    }
    assert_eq!(world.post(&body).await.0, 200);
    world.settle().await;
    let page = world.only_post(&rooms.ops).body;
    assert!(page.contains("150 alerts") && page.contains("… and 135 more alerts."), "{page}");
    assert!(page.contains("Runbook: https://runbooks.example.test/disk"), "{page}");
    assert!(page.contains("All: cluster=eu\n"), "{page}");
}
