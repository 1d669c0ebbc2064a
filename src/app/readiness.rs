//! What must hold for the program to be ready. A check that does not hold says what is wrong in a few words.

use crate::appservice::health::Health;
use crate::domain::time::between;
use crate::engine::Engine;
use crate::http::Check;
use std::time::Duration;

/// A message that waits for longer than this says that something is stuck.
const OLDEST: Duration = Duration::from_mins(5);

pub(super) fn checks(engine: &Engine, health: &Health) -> Vec<Check> {
    let store = engine.store();
    let database = store.clone();
    let migrations = store.clone();
    let outbox = engine.clone();
    let homeserver = health.clone();
    let rooms = health.clone();
    vec![
        Check::new("database", move || {
            let store = database.clone();
            async move { store.ping().await.map(|()| "answers".to_owned()).map_err(|error| error.to_string()) }
        }),
        Check::new("migrations", move || {
            let store = migrations.clone();
            async move {
                match store.missing_migrations().await {
                    Ok(0) => Ok("up to date".to_owned()),
                    Ok(missing) => Err(format!("{missing} are missing")),
                    Err(error) => Err(error.to_string()),
                }
            }
        }),
        Check::new("homeserver", move || {
            let state = homeserver.homeserver_state();
            async move { state.map(|()| "answers, and reaches us".to_owned()) }
        }),
        Check::new("rooms", move || {
            let state = rooms.rooms_state();
            async move { state.map(|()| "all joined".to_owned()) }
        }),
        Check::new("outbox", move || {
            let engine = outbox.clone();
            async move {
                let now = engine.clock().now();
                match engine.store().backlog(now).await {
                    Err(error) => Err(error.to_string()),
                    Ok(backlog) => {
                        let age = backlog.oldest.map_or(Duration::ZERO, |oldest| between(oldest, now));
                        let found =
                            format!("{} pending, the oldest for {} s", backlog.pending, age.as_secs());
                        if age > OLDEST { Err(found) } else { Ok(found) }
                    }
                }
            }
        }),
    ]
}
