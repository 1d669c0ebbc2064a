//! The audit: once a minute, the invariants over the live database.

use crate::clock::SharedClock;
use crate::domain::audit::{AuditCheck, AuditTimes, EVERY, Violation};
use crate::domain::lists::ListSettings;
use crate::engine::{CurrentLists, Engine, EngineError};
use crate::health::Health;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::worker::{Progress, Worker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The worker that audits the database.
#[derive(Debug)]
pub struct Audit {
    engine: Engine,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    lists: CurrentLists,
    health: Health,
}

impl Audit {
    /// A worker that records what it finds in `health`.
    pub fn new(
        engine: Engine,
        store: Store,
        (clock, metrics): (SharedClock, Arc<Metrics>),
        lists: CurrentLists,
        health: Health,
    ) -> Self {
        Self { engine, store, clock, metrics, lists, health }
    }

    /// The configured room lists of which no room can be reached on any level.
    async fn lists_without_room(&self) -> Result<Vec<Violation>, EngineError> {
        let mut troubled: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (list, room) in self.store.all_troubled_rooms().await? {
            troubled.entry(list).or_default().insert(room);
        }
        let has_no_room = |list: &&ListSettings| {
            let troubled = troubled.get(&list.name);
            let mut rooms = list.policy.levels.iter().flat_map(|level| &level.rooms);
            troubled.is_some_and(|troubled| rooms.all(|room| troubled.contains(room)))
        };
        let violation = |list: &ListSettings| Violation {
            check: AuditCheck::ListWithoutRoom,
            subject: list.name.clone(),
            room_list: Some(list.name.clone()),
        };
        Ok(self.lists.load().iter().map(|list| &**list).filter(has_no_room).map(violation).collect())
    }
}

impl Worker for Audit {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "audit"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        let now = self.clock.now();
        let mut found = self.store.violations(&AuditTimes::at(now)).await?;
        found.extend(self.lists_without_room().await?);
        let audited = self.engine.audited(&found).await?;
        for check in audited.news {
            self.metrics.audit_failed(check);
        }
        for check in AuditCheck::ALL {
            let standing = audited.standing.iter().filter(|finding| finding.violation.check == *check);
            self.metrics.set_audit_violations(*check, standing.count());
        }
        let words = |finding: &crate::store::audit::Finding| {
            let Violation { check, subject, .. } = &finding.violation;
            format!("{subject} {}", check.words())
        };
        self.health.set_audit(now, audited.standing.iter().map(words).collect());
        Ok(Progress::Idle(EVERY))
    }
}
