//! Reports on a group whose incident cannot be read, usually because a later release wrote it.
//!
//! An alert that never arrives is worse than one that arrives in another incident: a firing alert that the unreadable
//! incident does not hold opens a new incident for the group. What that incident holds is known from its alerts, so a report
//! without news pages nobody, and the end of an alert is recorded. The unreadable incident is set aside like one whose timer
//! fails, and tried again like it (`timers.rs`): once it can be read, it ends if another incident has its alerts or all
//! have resolved, and continues otherwise.

use super::report::Reporting;
use super::{Change, EngineError, Unreadable};
use crate::domain::input::{Input, Outcome};
use crate::domain::webhook::WebhookAlert;
use crate::store::{StoredIncident, incident, unreadable};

impl Reporting<'_> {
    /// Records a report on alerts of an incident whose row cannot be read. Returns whether it takes them: not if it is
    /// closed, or if an alert is firing that it does not hold. Then another incident has all of them.
    pub(super) async fn beside(
        &mut self,
        change: &mut Change,
        number: i64,
        alerts: &[&WebhookAlert],
        reason: &str,
    ) -> Result<bool, EngineError> {
        let found = unreadable::lock(change.tx(), number, self.now).await?;
        let Some(due) = found.filter(|found| !found.closed).map(|found| found.due) else { return Ok(false) };
        // The first report notifies; later ones leave the pause as it is.
        let engine = change.engine().clone();
        let is_new = due.failures == 0 && engine.set_aside_in(change, &due, true, reason).await?;
        unreadable::set(change.tx(), number, true).await?;
        let held = unreadable::firing(change.tx(), number).await?;
        let fingerprints = |firing: bool| -> Vec<String> {
            let alerts = alerts.iter().filter(|alert| alert.firing == firing);
            alerts.map(|alert| alert.fingerprint.clone()).collect()
        };
        let (firing, resolved) = (fingerprints(true), fingerprints(false));
        unreadable::report(change.tx(), number, &firing, &resolved, self.now).await?;
        if is_new {
            self.set_aside.push((due, reason.to_owned()));
        }
        let takes_them = firing.iter().all(|fingerprint| held.contains(fingerprint));
        if takes_them {
            self.incidents.insert(number);
            self.outcomes.push(Outcome::Repeated);
        }
        Ok(takes_them)
    }
}

impl Change {
    /// The incident, which a report could not read, can be read again. Returns whether it ends by that.
    pub(super) async fn readable_again(&mut self, stored: &StoredIncident) -> Result<bool, EngineError> {
        let replaced_by = unreadable::replaced_by(self.tx(), stored.number).await?;
        let input = Input::ReadableAgain { replaced_by };
        let decision = self.decide(stored, &input, None).await?;
        if !unreadable::has_newer(self.tx(), stored.number).await? {
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
