//! The checks of `/readyz`. Each returns a short description of its result.

use crate::clock::SharedClock;
use crate::domain::time::between;
use crate::health::Health;
use crate::http::{Check, MainRuntime};
use crate::store::Store;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::time::Duration;

/// If a due message waits longer than this, the outbox is stuck.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// The result of a check: `Ok` if it passes, `Err` if it fails.
type CheckResult = Result<String, String>;

pub(super) fn checks(
    store: &Store,
    clock: &SharedClock,
    health: &Health,
    runtime: &MainRuntime,
) -> Vec<Check> {
    let [one, two, three] = [(); 3].map(|()| store.clone());
    let clock = clock.clone();
    let (homeserver, rooms) = (health.clone(), health.clone());
    vec![
        Check::new("database", on(runtime, move || database(one.clone()))),
        Check::new("migrations", on(runtime, move || migrations(two.clone()))),
        Check::new("homeserver", move || {
            let state = homeserver.homeserver();
            async move { state.map(|()| "answers, and reaches matrixbot".to_owned()) }
        }),
        Check::new("rooms", move || {
            let state = rooms.rooms();
            async move { state.map(|()| "all joined".to_owned()) }
        }),
        Check::new("outbox", on(runtime, move || outbox(three.clone(), clock.now()))),
    ]
}

async fn database(store: Store) -> CheckResult {
    store.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string())
}

async fn migrations(store: Store) -> CheckResult {
    match store.missing_migrations().await {
        Ok(0) => Ok("up to date".to_owned()),
        Ok(missing) => Err(format!("{missing} are missing")),
        Err(error) => Err(error.to_string()),
    }
}

async fn outbox(store: Store, now: Timestamp) -> CheckResult {
    let backlog = store.backlog(now).await.map_err(|error| error.to_string())?;
    let age = backlog.oldest.map_or(Duration::ZERO, |oldest| between(oldest, now));
    let detail = format!("{} pending, the oldest for {} s", backlog.pending, age.as_secs());
    if age > MAX_WAIT { Err(detail) } else { Ok(detail) }
}

/// A check that queries the database, on the runtime that owns the connections.
fn on<F: Future<Output = CheckResult> + Send + 'static>(
    runtime: &MainRuntime,
    query: impl Fn() -> F + Send + Sync + 'static,
) -> impl Fn() -> BoxFuture<'static, CheckResult> + Send + Sync + 'static {
    let runtime = runtime.clone();
    move || {
        let (runtime, check) = (runtime.clone(), query());
        Box::pin(async move { runtime.run(check).await })
    }
}
