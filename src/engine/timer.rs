//! Time passes.

use super::{Engine, EngineError};
use crate::domain::input::Input;
use crate::domain::time;
use crate::store::{commit, incident, timers};

impl Engine {
    /// Ticks the most overdue incident. Returns whether one was due.
    pub async fn tick_one(&self) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some((number, due)) = timers::lock_due(&mut tx, now).await? else { return Ok(false) };
        let Some(stored) = incident::load(&mut tx, number).await? else { return Ok(false) };
        let decision = self.decide_and_save(&mut tx, &stored, &Input::Tick, None).await?;
        commit(tx).await?;
        self.metrics.ladder_lag(time::between(due, now));
        self.announce(Some(&stored), &stored.room_list, &decision);
        Ok(true)
    }

    /// Resolves the incident of which nothing was heard for the longest time over its limit. Returns whether there was
    /// one.
    pub async fn resolve_one_stale(&self) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some(number) = timers::lock_stale(&mut tx, now).await? else { return Ok(false) };
        let Some(stored) = incident::load(&mut tx, number).await? else { return Ok(false) };
        let decision = self.decide_and_save(&mut tx, &stored, &Input::Stale, None).await?;
        commit(tx).await?;
        self.announce(Some(&stored), &stored.room_list, &decision);
        Ok(true)
    }
}
