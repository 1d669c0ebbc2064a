//! Resolves incidents that nothing was heard of for too long: Alertmanager may never say that they are over.

use crate::engine::{Engine, EngineError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// How often it is looked for: staleness is a matter of hours.
const EVERY: Duration = Duration::from_secs(20);

/// The worker of stale incidents.
#[derive(Debug)]
pub struct Staleness {
    engine: Engine,
}

impl Staleness {
    /// A worker on an engine.
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
