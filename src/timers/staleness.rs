//! Resolves stale incidents: Alertmanager may never report that their alerts are resolved.

use crate::engine::{Engine, EngineError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// The polling interval: `stale_after` is a matter of hours.
const EVERY: Duration = Duration::from_secs(20);

/// The worker that resolves stale incidents.
#[derive(Debug)]
pub struct Staleness {
    engine: Engine,
}

impl Staleness {
    /// A worker that resolves incidents through `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Worker for Staleness {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "staleness"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        Ok(if self.engine.resolve_one_stale().await? { Progress::More } else { Progress::Idle(EVERY) })
    }
}
