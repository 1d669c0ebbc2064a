//! Announces hand-overs: when another person is on call, the schedule's rooms get what is open.

use crate::engine::{Engine, EngineError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// The polling interval.
const EVERY: Duration = Duration::from_secs(5);

/// The worker that announces hand-overs.
#[derive(Debug)]
pub struct HandOvers {
    engine: Engine,
}

impl HandOvers {
    /// A worker that announces hand-overs of the configured schedules.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl Worker for HandOvers {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "hand_overs"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        for schedule in self.engine.schedules().values() {
            self.engine.hand_over(schedule).await?;
        }
        Ok(Progress::Idle(EVERY))
    }
}
