//! Ends storms: once no page has come for a while, each incident of a digest that is still open gets a page of its own.

use crate::engine::{CurrentLists, Engine, EngineError};
use crate::worker::{Progress, Worker};
use std::time::Duration;

/// The polling interval.
const EVERY: Duration = Duration::from_secs(2);

/// The worker that ends storms.
#[derive(Debug)]
pub struct Storms {
    engine: Engine,
    lists: CurrentLists,
}

impl Storms {
    /// A worker that ends storms by the rules of these lists.
    pub fn new(engine: Engine, lists: CurrentLists) -> Self {
        Self { engine, lists }
    }
}

impl Worker for Storms {
    type Error = EngineError;

    fn name(&self) -> &'static str {
        "storms"
    }

    async fn step(&self) -> Result<Progress, EngineError> {
        let lists = self.lists.load();
        let within = |room_list: &str| {
            let rule = lists.get(room_list).and_then(|list| list.digest);
            rule.unwrap_or_default().within
        };
        Ok(if self.engine.end_one_storm(within).await? { Progress::More } else { Progress::Idle(EVERY) })
    }
}
