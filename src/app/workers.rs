//! The registry of the workers: production spawns them, tests step them.

use super::Parts;
use crate::appservice::inbox::Inbox;
use crate::config::Config;
use crate::outbox::{Outbox, OutboxSettings};
use crate::timers::{Attendance, Gauges, Ladder, Liveness, Reconcile, Retention, Staleness, Totals};
use crate::worker::Registered;
use tokio_util::sync::CancellationToken;

/// Every worker, and what wakes it besides its own deadlines. The outbox claims no more messages once `shutdown` is
/// cancelled.
pub fn workers(parts: &Parts, config: &Config, shutdown: &CancellationToken) -> Vec<Registered> {
    let Parts { engine, rooms, client, health, .. } = parts;
    let (store, clock, wakers) = (engine.store(), engine.clock(), engine.wakers());
    let (prefix, server_name) = (&config.user_prefix, &config.homeserver.server_name);
    let (keep, appservice_id) = (&config.retention, &config.registration.id);
    let settings = OutboxSettings::default();
    vec![
        Registered::woken_by(
            &wakers.attendance,
            Attendance::new(engine.clone(), rooms.clone(), health.clone()),
        ),
        Registered::woken_by(
            &wakers.inbox,
            Inbox::new(engine.clone(), rooms.clone(), prefix.clone(), server_name.clone()),
        ),
        Registered::woken_by(&wakers.timers, Ladder::new(engine.clone())),
        Registered::periodic(Staleness::new(engine.clone())),
        Registered::periodic(Retention::new(store.clone(), clock.clone(), keep.incidents, keep.events)),
        Registered::periodic(Gauges::new(engine.clone())),
        Registered::woken_by(
            &wakers.liveness,
            Liveness::new(client.clone(), appservice_id.clone(), health.clone(), engine.clone()),
        ),
        Registered::woken_by(&wakers.reconcile, Reconcile::new(engine.clone(), rooms.clone())),
        Registered::woken_by(
            &wakers.outbox,
            Outbox::new(engine.clone(), rooms.clone(), settings, shutdown.clone()),
        ),
        Registered::periodic(Totals::new(store.clone(), clock.clone(), engine.metrics().clone())),
    ]
}
