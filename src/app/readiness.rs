//! What must hold for the program to be ready. A failed check says in a few words what is wrong.

use crate::clock::SharedClock;
use crate::domain::time::between;
use crate::health::Health;
use crate::http::{Check, MainRuntime};
use crate::store::Store;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::time::Duration;

/// A message that waits for longer than this means that something is stuck.
const OLDEST: Duration = Duration::from_mins(5);

/// What a check found: `Ok` if it holds, `Err` if not.
type Found = Result<String, String>;

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

async fn database(store: Store) -> Found {
    store.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string())
}

async fn migrations(store: Store) -> Found {
    match store.missing_migrations().await {
        Ok(0) => Ok("up to date".to_owned()),
        Ok(missing) => Err(format!("{missing} are missing")),
        Err(error) => Err(error.to_string()),
    }
}

async fn outbox(store: Store, now: Timestamp) -> Found {
    let backlog = store.backlog(now).await.map_err(|error| error.to_string())?;
    let age = backlog.oldest.map_or(Duration::ZERO, |oldest| between(oldest, now));
    let found = format!("{} pending, the oldest for {} s", backlog.pending, age.as_secs());
    if age > OLDEST { Err(found) } else { Ok(found) }
}

/// A check that queries the database, on the runtime that keeps its connections.
fn on<F: Future<Output = Found> + Send + 'static>(
    runtime: &MainRuntime,
    query: impl Fn() -> F + Send + Sync + 'static,
) -> impl Fn() -> BoxFuture<'static, Found> + Send + Sync + 'static {
    let runtime = runtime.clone();
    move || {
        let (runtime, found) = (runtime.clone(), query());
        Box::pin(async move { runtime.run(found).await })
    }
}
