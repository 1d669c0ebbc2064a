//! Reports on a group whose incident cannot be read, usually because a later release wrote it.
//!
//! An alert that never arrives is worse than one that arrives in another incident: a firing alert that the unreadable
//! incident does not hold opens a new incident for the group. What that incident holds is known from its alerts, so a report
//! without news pages nobody, and the end of an alert is recorded. The unreadable incident is set aside like one whose timer
//! fails, and tried again like it (`timers.rs`): once it can be read, it ends if another incident has its alerts or all
//! have resolved, and continues otherwise.

use super::timers::log_set_aside;
use super::{Accepted, Change, Engine, EngineError, Unreadable};
use crate::domain::input::{Input, Outcome};
use crate::domain::webhook::Webhook;
use crate::store::{StoreError, StoredIncident, incident, unreadable};
use jiff::Timestamp;

impl Engine {
    /// Applies a report on a group whose newest incident cannot be read.
    pub(super) async fn report_beside(
        &self,
        room_list: &str,
        webhook: &Webhook,
        now: Timestamp,
        error: &StoreError,
    ) -> Result<Accepted, EngineError> {
        let mut change = self.begin_at(now).await?;
        let key = incident::key(&webhook.group);
        incident::lock_key(change.tx(), room_list, &key).await?;
        let newest = unreadable::lock_newest(change.tx(), room_list, &key, now).await?;
        let Some(newest) = newest.filter(|newest| !newest.closed) else {
            return self.apply(change, room_list, webhook, None).await;
        };
        let (due, reason) = (newest.due, error.to_string());
        // The first report notifies; later ones leave the pause as it is.
        let is_new = due.failures == 0 && self.set_aside_in(&mut change, &due, true, &reason).await?;
        unreadable::set(change.tx(), due.number, true).await?;
        let held = unreadable::firing(change.tx(), due.number).await?;
        let fingerprints = |firing: bool| -> Vec<String> {
            let alerts = webhook.alerts.iter().filter(|alert| alert.firing == firing);
            alerts.map(|alert| alert.fingerprint.clone()).collect()
        };
        let (firing, resolved) = (fingerprints(true), fingerprints(false));
        unreadable::report(change.tx(), due.number, &firing, &resolved, now).await?;
        let accepted = if firing.iter().all(|fingerprint| held.contains(fingerprint)) {
            change.commit().await?;
            Accepted { incident: Some(due.number), outcome: Outcome::Repeated }
        } else {
            self.apply(change, room_list, webhook, None).await?
        };
        if is_new {
            log_set_aside(&due, true, &reason);
        }
        Ok(accepted)
    }
}

impl Change {
    /// The incident, which a report could not read, can be read again. Returns whether it ends by that.
    pub(super) async fn readable_again(&mut self, stored: &StoredIncident) -> Result<bool, EngineError> {
        let replaced_by = unreadable::replaced_by(self.tx(), stored.number).await?;
        let input = Input::ReadableAgain { replaced_by };
        let decision = self.decide(stored, &input, None).await?;
        if replaced_by.is_none() {
            unreadable::set(self.tx(), stored.number, false).await?;
        }
        let ends = decision.outcome == Outcome::Done;
        if !ends {
            // Reports that it could not follow count now.
            let (list, incident) = (&stored.room_list, &stored.incident);
            let policies =
                self.engine().policies_around(list, Some(incident), Unreadable::IsReplaced).await?;
            let stale_at = incident::stale_at(incident, policies.governing(incident).stale_after);
            incident::set_stale_at(self.tx(), stored.number, stale_at).await?;
        }
        Ok(ends)
    }
}
