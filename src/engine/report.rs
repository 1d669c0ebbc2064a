//! Reports of Alertmanager.

use super::change::{Change, Policies};
use super::{Engine, EngineError, Unreadable};
use crate::domain::incident::Phase;
use crate::domain::input::{Decision, Input, Outcome, ReportedAlert};
use crate::domain::timeline::Kind;
use crate::domain::webhook::{Webhook, WebhookAlert};
use crate::store::{Reported, StoredIncident, alert, incident};
use jiff::Timestamp;

/// The result of an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The incident's number; `None` if a resolved report matched no incident.
    pub incident: Option<i64>,
    /// The outcome.
    pub outcome: Outcome,
}

impl Engine {
    /// Applies a report of Alertmanager for a room list, which arrived at `now`. `Ok` means that all its results are
    /// committed.
    pub async fn report(
        &self,
        room_list: &str,
        webhook: &Webhook,
        now: Timestamp,
    ) -> Result<Accepted, EngineError> {
        self.list(room_list)?;
        let mut change = self.begin_at(now).await?;
        let key = incident::key(&webhook.group);
        incident::lock_key(change.tx(), room_list, &key).await?;
        match incident::lock_newest(change.tx(), room_list, &key).await {
            Err(error) if error.is_data_error() => {
                drop(change);
                self.report_beside(room_list, webhook, now, &error).await
            }
            newest => self.apply(change, room_list, webhook, newest?).await,
        }
    }

    /// Applies a report to the newest incident of its group, which is locked, as is the group.
    pub(super) async fn apply(
        &self,
        mut change: Change,
        room_list: &str,
        webhook: &Webhook,
        newest: Option<StoredIncident>,
    ) -> Result<Accepted, EngineError> {
        let now = change.now();
        let list = self.list(room_list)?;
        let severity = |alert: &WebhookAlert| {
            list.policy.severity(alert.labels.get(&list.policy.severity_label).map(String::as_str))
        };
        let input = Input::Report(
            webhook
                .alerts
                .iter()
                .map(|alert| ReportedAlert {
                    fingerprint: alert.fingerprint.clone(),
                    firing: alert.firing,
                    severity: severity(alert),
                    starts_at: alert.starts_at,
                })
                .collect(),
        );
        let before = newest.as_ref().map(|stored| &stored.incident);
        let policies = self.policies_around(room_list, before, Unreadable::IsReplaced).await?;
        let decision = with_first_page(policies.decide(before, &input, now), &policies, now);
        let mut alerts = Reported::new(&webhook.alerts, severity);
        let incident = match newest.filter(|stored| stored.incident.phase != Phase::Closed) {
            Some(stored) => {
                if stored.group != webhook.group {
                    incident::update_group(change.tx(), stored.number, &webhook.group).await?;
                }
                alert::compare(change.tx(), stored.number, &mut alerts).await?;
                change.save(&stored, &decision, &policies, Some(&alerts), None).await?;
                Some(stored.number)
            }
            None => change.open(room_list, &webhook.group, &decision, &policies, &alerts).await?,
        };
        change.commit().await?;
        if decision.outcome == Outcome::OrphanClear {
            self.metrics.orphan_clear();
        }
        Ok(Accepted { incident, outcome: decision.outcome })
    }
}

/// Adds the first tick of a run that starts immediately. The same transaction commits the report and the page, so the
/// page is as durable as the report.
fn with_first_page(mut decision: Decision, policies: &Policies, now: Timestamp) -> Decision {
    let begins = decision.entries.iter().any(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
    let due = decision.incident.as_ref().filter(|incident| incident.next_at.is_some_and(|at| at <= now));
    if let (true, Some(incident)) = (begins, due) {
        let tick = policies.after(incident).decide(Some(incident), &Input::Tick, now);
        decision.entries.extend(tick.entries);
        decision.effects.extend(tick.effects);
        decision.incident = tick.incident;
    }
    decision
}
