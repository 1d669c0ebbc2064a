//! What became of a page. Called within the transaction that settles the message, under the incident's lock.

use super::{Engine, EngineError};
use crate::domain::incident::Rung;
use crate::domain::input::{Decision, Input};
use crate::store::{StoredIncident, Tx, settle};

impl Engine {
    /// The page of a rung is in a room.
    pub async fn page_sent(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        rung: Rung,
    ) -> Result<Decision, EngineError> {
        self.decide_and_save(tx, stored, &Input::PageSent(rung), None).await
    }

    /// The page of a rung cannot be brought to a room. Only when no room of the rung is left, the ladder goes on.
    pub async fn page_undeliverable(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        rung: Rung,
    ) -> Result<Option<Decision>, EngineError> {
        if !settle::rung_failed(tx, stored.number, rung).await? {
            return Ok(None);
        }
        Ok(Some(self.decide_and_save(tx, stored, &Input::PageUndeliverable(rung), None).await?))
    }

    /// Counts and logs a delivery's decision, once it is committed.
    pub fn delivered(&self, stored: &StoredIncident, decision: &Decision) {
        self.announce(Some(stored), &stored.room_list, decision);
    }
}
