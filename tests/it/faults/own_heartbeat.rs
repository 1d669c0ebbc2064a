//! Our own heartbeat: a URL is called only as long as the audit finds nothing and the homeserver answers.

use super::SECOND;
use crate::world::{Group, Rooms, Setup, World, finance_list};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An outside service that counts its calls and answers with a status.
struct Service {
    url: String,
    calls: Arc<AtomicUsize>,
    status: Arc<AtomicUsize>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping/s3cret", listener.local_addr().unwrap());
        let (calls, status) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(200)));
        let (counted, answered) = (calls.clone(), status.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 2048];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                assert!(request.starts_with("GET /ping/s3cret HTTP/1.1\r\n"), "{request}");
                counted.fetch_add(1, Ordering::SeqCst);
                let status = answered.load(Ordering::SeqCst);
                let answer =
                    format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        Self { url, calls, status }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn world() -> (World, Rooms, Service) {
    let (setup, service) = (Setup::prepare().await, Service::start());
    let rooms = setup.rooms();
    let list = format!("{}\nown_heartbeat: {{url: {}, every: 30s}}\n", finance_list(""), service.url);
    (setup.start(&list).await, rooms, service)
}

/// How often the service is called within so many half minutes.
async fn called(world: &World, service: &Service, halves: usize) -> usize {
    let before = service.calls();
    for _ in 0..halves {
        world.pass(30 * SECOND).await;
    }
    service.calls() - before
}

async fn results(world: &World) -> [f64; 3] {
    let mut results = [0.0; 3];
    for (at, result) in ["sent", "failed", "withheld"].into_iter().enumerate() {
        let series = format!("matrixbot_own_heartbeats_total{{result=\"{result}\"}}");
        results[at] = world.bot.series(&series).await.unwrap();
    }
    results
}

async fn execute(world: &World, sql: &'static str) {
    let mut connection = world.database.connect().await;
    sqlx::Executor::execute(&mut connection, sqlx::raw_sql(sql)).await.unwrap();
}

#[tokio::test]
async fn the_url_is_called_only_while_the_audit_finds_nothing_and_the_homeserver_answers() {
    let (world, _, service) = world().await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    assert_eq!(called(&world, &service, 6).await, 6);
    let violate =
        "UPDATE timeline SET version = version + 100 WHERE version = (SELECT version FROM incident)";
    execute(&world, violate).await;
    world.clock.advance(120 * SECOND);
    for _ in 0..2 {
        world.bot.step("audit").await.unwrap();
        world.clock.advance(60 * SECOND);
    }
    let before = service.calls();
    world.bot.step("own_heartbeat").await.unwrap();
    assert_eq!(service.calls(), before, "the audit finds something");
    execute(&world, "UPDATE timeline SET version = version - 100 WHERE version > 100").await;
    assert!(called(&world, &service, 6).await >= 3, "it goes on after the next audit");
    let [sent, failed, withheld] = results(&world).await;
    assert!(sent >= 9.0 && failed < 1.0 && withheld >= 1.0, "{sent} {failed} {withheld}");

    service.status.store(500, Ordering::SeqCst);
    assert!(called(&world, &service, 2).await > 0);
    assert!(results(&world).await[1] > 0.0, "an answer that is no success is a failed call");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn the_url_is_not_called_while_the_homeserver_does_not_answer() {
    let (world, _, service) = world().await;
    assert!(called(&world, &service, 2).await > 0);
    world.homeserver.down().await;
    world.pass(60 * SECOND).await;
    assert_eq!(called(&world, &service, 4).await, 0);
    world.homeserver.up().await;
    world.pass(60 * SECOND).await;
    assert!(called(&world, &service, 4).await > 0);
    world.nothing_is_left().await;
}
