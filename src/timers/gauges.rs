//! Samples the gauges: open incidents, the outbox's backlog and who is on call.

use crate::clock::SharedClock;
use crate::domain::incident::PhaseName;
use crate::domain::time::between;
use crate::engine::{CurrentLists, schedules_now};
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, OutboxState, ScheduleState};
use crate::worker::{Progress, Worker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The interval: well below a scrape interval.
const EVERY: Duration = Duration::from_secs(10);

/// The worker of the gauges.
#[derive(Debug)]
pub struct Gauges {
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
}

impl Gauges {
    /// A worker that updates `metrics`.
    pub fn new(store: Store, clock: SharedClock, metrics: Arc<Metrics>, lists: CurrentLists) -> Self {
        Self { store, clock, metrics, lists }
    }
}

impl Worker for Gauges {
    type Error = StoreError;

    fn name(&self) -> &'static str {
        "gauges"
    }

    async fn step(&self) -> Result<Progress, StoreError> {
        let metrics = &self.metrics;
        let counts: BTreeMap<(String, String), i64> = self
            .store
            .phase_counts()
            .await?
            .into_iter()
            .map(|(list, phase, count)| ((list, phase), count))
            .collect();
        let set_aside: BTreeMap<String, i64> = self.store.set_aside_counts().await?.into_iter().collect();
        let troubled: BTreeSet<String> =
            self.store.user_troubles().await?.into_iter().map(|trouble| trouble.room_list).collect();
        for list in self.lists.load().iter() {
            metrics.set_incidents_set_aside(&list.name, set_aside.get(&list.name).copied().unwrap_or(0));
            metrics.set_virtual_user_trouble(&list.name, troubled.contains(&list.name));
            for phase in PhaseName::ALL.iter().copied().filter(|phase| *phase != PhaseName::Closed) {
                let key = (list.name.clone(), phase.as_str().to_owned());
                metrics.set_incidents(&list.name, phase, counts.get(&key).copied().unwrap_or(0));
            }
        }
        let now = self.clock.now();
        let schedules = schedules_now(&self.store, self.lists.load().schedules(), now).await?;
        let states = schedules.iter().map(|schedule| ScheduleState {
            name: schedule.schedule.name.clone(),
            people: schedule.serving.people.len(),
            unknown_people: schedule.unknown.len(),
            calendar_age: schedule.calendar_age(now),
        });
        metrics.set_schedules(&states.collect::<Vec<_>>());
        let backlog = self.store.backlog(now).await?;
        metrics.set_outbox_messages(OutboxState::Pending, backlog.pending);
        metrics.set_outbox_messages(OutboxState::Leased, backlog.sending);
        metrics.set_outbox_messages(OutboxState::Undeliverable, backlog.undeliverable);
        metrics
            .set_outbox_oldest_pending(backlog.oldest.map_or(Duration::ZERO, |oldest| between(oldest, now)));
        metrics.set_events_set_aside(self.store.set_aside_events().await?.0);
        Ok(Progress::Idle(EVERY))
    }
}
