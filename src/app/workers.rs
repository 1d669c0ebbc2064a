//! The registry of the workers. Production spawns them, tests step them.

use super::Parts;
use crate::appservice::inbox::{Inbox, InboxWorker, OurUsers};
use crate::config::Config;
use crate::outbox::OutboxSettings;
use crate::timers::{
    Asking, Attendance, Audit, Calendars, Gauges, HandOvers, Ladder, Liveness, OwnHeartbeat, Polling,
    Reconcile, Retention, Silencer, Silencing, Staleness, Storms, Totals,
};
use crate::worker::Registered;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// All workers with their notifications. The outbox claims no more messages once `shutdown` is cancelled.
pub fn workers(parts: &Parts, config: &Config, shutdown: &CancellationToken) -> Vec<Registered> {
    let Parts { engine, store, clock, metrics, lists, wakers, rooms, client, health, .. } = parts;
    let engine = || engine.clone();
    let (store, clock, metrics, lists) =
        (|| store.clone(), || clock.clone(), || metrics.clone(), || lists.clone());
    let ours =
        OurUsers { prefix: config.user_prefix.clone(), server_name: config.homeserver.server_name.clone() };
    let keep = &config.retention;
    let appservice_id = config.registration.id.clone();
    let outbox = parts.outbox(rooms.clone(), OutboxSettings::default()).stopped_by(shutdown.clone());
    // These decide or send by the clock.
    let by_clock = vec![
        Registered::woken_by(
            &wakers.attendance,
            Attendance::new(clock(), metrics(), lists(), wakers.clone(), rooms.clone(), health.clone()),
        ),
        Registered::woken_by(
            &wakers.inbox,
            InboxWorker::new(
                Inbox::new(engine(), store(), clock(), metrics(), lists(), rooms.clone(), ours),
                Arc::clone(&wakers.inbox),
            ),
        ),
        Registered::woken_by(
            &wakers.timers,
            Ladder::new(engine(), store(), clock(), health.clone(), Arc::clone(&wakers.reconcile)),
        ),
        Registered::periodic(Staleness::new(engine())),
        Registered::periodic(Retention::new(store(), clock(), keep.incidents, keep.events)),
        Registered::woken_by(
            &wakers.reconcile,
            Reconcile::new(engine(), store(), clock(), lists(), rooms.clone(), health.clone()),
        ),
        Registered::periodic(Polling::new(
            engine(),
            store(),
            (clock(), metrics()),
            lists(),
            parts.alertmanagers.clone(),
            health.clone(),
        )),
        Registered::woken_by(
            &wakers.poll,
            Asking::new(engine(), store(), clock(), parts.alertmanagers.clone()),
        ),
        Registered::woken_by(
            &wakers.silences,
            Silencing::new(
                engine(),
                store(),
                clock(),
                metrics(),
                Silencer::new(engine(), store(), clock(), parts.alertmanagers.clone()),
            ),
        ),
        Registered::woken_by(&wakers.outbox, outbox),
        Registered::periodic(Storms::new(engine(), lists())),
        Registered::periodic(Calendars::new(engine(), store(), clock())),
        Registered::periodic(HandOvers::new(engine())),
        Registered::periodic(Totals::new(store(), clock(), metrics())),
        Registered::periodic(Audit::new(engine(), store(), (clock(), metrics()), lists(), health.clone())),
    ];
    let own = config.own_heartbeat.iter().map(|own| {
        let own = (own.url.clone(), own.every);
        Registered::periodic(OwnHeartbeat::new(own, clock(), metrics(), health.clone()))
    });
    let by_clock: Vec<Registered> = by_clock.into_iter().chain(own).collect();
    let gate = parts.clock_gate();
    let observing = [
        Registered::woken_by(parts.compared_clock.jumps(), parts.clock_check()),
        Registered::periodic(Gauges::new(store(), clock(), metrics(), lists())),
        Registered::woken_by(
            &wakers.liveness,
            Liveness::new(client.clone(), appservice_id, health.clone(), store(), clock(), wakers.clone()),
        ),
    ];
    let by_clock = by_clock.into_iter().map(|worker| worker.only_while(&gate));
    observing.into_iter().chain(by_clock).map(|worker| worker.watched_by(&parts.beats)).collect()
}
