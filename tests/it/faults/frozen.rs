//! The connection to Postgres freezes while a statement is on its way: neither an answer nor an error comes. The
//! caller gets an error in time, nothing else waits for it, and nothing is lost.

use super::ALICE;
use crate::world::{Group, Setup, World, finance_list};
use matrixbot::store::Limits;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the story's matrixbot waits.
const LIMITS: Limits = Limits {
    connection: Duration::from_secs(2),
    statement: Duration::from_secs(1),
    transaction: Duration::from_secs(2),
    idle: Duration::from_millis(300),
    migration: Duration::from_secs(1),
};
/// When it must have given up, on a slow machine as well.
const GIVEN_UP: Duration = Duration::from_secs(6);

/// Holds whatever reads or writes incidents, so that statements are on their way for as long as it takes.
async fn hold(world: &World) -> PgConnection {
    let mut holder = world.database.connect().await;
    holder.execute("BEGIN; LOCK TABLE incident IN ACCESS EXCLUSIVE MODE").await.unwrap();
    holder
}

/// Waits until this many statements of matrixbot wait for the holder.
async fn waiting(world: &World, many: i64) {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while world.count(query).await < many {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn frozen_world() -> (World, crate::proxy::Proxy, crate::world::Rooms) {
    let mut setup = Setup::prepare().await;
    let rooms = setup.rooms();
    let proxy = setup.behind_a_proxy(LIMITS).await;
    (setup.start(&finance_list("")).await, proxy, rooms)
}

#[tokio::test]
async fn a_webhook_on_a_frozen_connection_is_answered_503_and_the_pool_gets_its_places_back() {
    let (world, proxy, rooms) = frozen_world().await;
    let groups: Vec<Group> = (0..8).map(|n| Group::firing(&format!("G{n}"), world.now())).collect();
    let holder = hold(&world).await;
    let begun = Instant::now();
    let posts = async {
        let posts = groups.iter().map(|group| async { world.post(&group.payload()).await.0 });
        futures_util::future::join_all(posts).await
    };
    let (answers, ()) = tokio::join!(posts, async {
        waiting(&world, 8).await;
        proxy.freeze();
        holder.close().await.unwrap();
    });
    assert_eq!(answers, [503; 8]);
    assert!(begun.elapsed() < GIVEN_UP, "{:?}", begun.elapsed());
    // The server still has those transactions, but no place of the pool is lost with them.
    let other = Group::firing("HostDown", world.now());
    let begun = Instant::now();
    assert_eq!(world.post(&other.payload()).await.0, 200);
    assert!(begun.elapsed() < GIVEN_UP, "{:?}", begun.elapsed());
    world.settle().await;
    world.only_post(&rooms.ops);
    proxy.thaw();
    // Alertmanager tries the same again.
    for group in &groups {
        world.report(group).await;
    }
    assert_eq!(world.posts(&rooms.ops).len(), 9, "each is paged once");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_worker_on_a_frozen_connection_fails_in_time_and_goes_on() {
    let (world, proxy, rooms) = frozen_world().await;
    let number = world.report(&Group::firing("DiskFull", world.now())).await;
    for name in ["ladder", "staleness", "gauges", "retention"] {
        let holder = hold(&world).await;
        let begun = Instant::now();
        let (failed, ()) = tokio::join!(world.bot.step(name), async {
            waiting(&world, 1).await;
            proxy.freeze();
            holder.close().await.unwrap();
        });
        assert!(failed.is_err(), "{name} succeeds");
        assert!(begun.elapsed() < GIVEN_UP, "{name} takes {:?}", begun.elapsed());
        proxy.thaw();
    }
    world.pass(Duration::from_mins(16)).await;
    world.only_post(&rooms.managers);
    world.homeserver.person(ALICE).says(&rooms.managers, &format!("ack {number}"));
    world.settle().await;
    assert_eq!(world.phase(number).await, "acknowledged");
    world.nothing_is_left().await;
}

#[tokio::test]
async fn connections_that_freeze_while_nobody_uses_them_are_replaced() {
    let (world, proxy, rooms) = frozen_world().await;
    proxy.freeze();
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.only_post(&rooms.ops);
    let begun = Instant::now();
    let ready = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    assert_eq!(ready.status(), 200, "{}", ready.text().await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    world.nothing_is_left().await;
}

#[tokio::test]
async fn readiness_answers_within_two_seconds_while_postgres_answers_nothing() {
    let mut setup = Setup::prepare().await;
    setup.rooms();
    let proxy = setup.behind_a_proxy(Limits::default()).await;
    let world = setup.start(&finance_list("")).await;
    proxy.hang();
    for _ in 0..2 {
        let begun = Instant::now();
        let ready = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(ready.status(), 503);
        assert!(ready.text().await.unwrap().contains("database"));
    }
    assert_eq!(reqwest::get(format!("{}/livez", world.bot.admin)).await.unwrap().status(), 200);
    proxy.thaw();
    world.bot.step("liveness").await.unwrap();
    world.settle().await;
    assert_eq!(reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap().status(), 200);
}

/// Server processes of Postgres that are stopped, as by a frozen machine, and continue with the story's end.
struct Stopped(Vec<i32>);

impl Stopped {
    /// Stops the processes that serve matrixbot and wait for the holder.
    async fn start(world: &World) -> Self {
        let query =
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND application_name = 'matrixbot'";
        let stopped = Self(sqlx::query_scalar(query).fetch_all(world.database.reader()).await.unwrap());
        for pid in &stopped.0 {
            let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(title.contains(&world.database.name), "{pid} is no process of this story: {title}");
        }
        stopped.signal("-STOP");
        stopped
    }

    fn signal(&self, signal: &str) {
        for pid in &self.0 {
            assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[tokio::test]
async fn a_server_process_that_is_stopped_holds_up_nothing_and_nothing_is_lost() {
    let mut setup = Setup::prepare().await;
    let rooms = setup.rooms();
    setup.waits(LIMITS);
    let world = setup.start(&finance_list("")).await;
    world.report(&Group::firing("DiskFull", world.now())).await;
    world.clock.advance(Duration::from_mins(16));
    let holder = hold(&world).await;
    let host_down = Group::firing("HostDown", world.now());
    let payload = host_down.payload();
    let begun = Instant::now();
    let (answer, ticked, stopped) = tokio::join!(world.post(&payload), world.bot.step("ladder"), async {
        waiting(&world, 2).await;
        let stopped = Stopped::start(&world).await;
        holder.close().await.unwrap();
        stopped
    });
    assert_eq!((answer.0, ticked.is_err(), stopped.0.len()), (503, true, 2));
    assert!(begun.elapsed() < GIVEN_UP * 2, "{:?}", begun.elapsed());
    let ready = reqwest::get(format!("{}/readyz", world.bot.admin)).await.unwrap();
    assert_eq!(ready.status(), 200, "{}", ready.text().await.unwrap());
    let other = world.report(&Group::firing("TooWarm", world.now())).await;
    drop(stopped);
    world.report(&host_down).await;
    world.homeserver.person(ALICE).says(&rooms.ops, &format!("ack {other}"));
    world.pass(Duration::from_mins(1)).await;
    assert_eq!(world.phase(other).await, "acknowledged");
    world.only_post(&rooms.managers);
    let pages = world.posts(&rooms.ops).into_iter().filter(|post| !post.body.starts_with("👀 #"));
    assert_eq!(pages.count(), 3, "each is paged once");
    world.nothing_is_left().await;
}
