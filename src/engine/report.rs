//! Alertmanager reports on a group.

use super::save::{Policies, decide};
use super::{Engine, EngineError};
use crate::domain::incident::Phase;
use crate::domain::input::{Decision, Input, Outcome, ReportedAlert};
use crate::domain::timeline::Kind;
use crate::domain::webhook::Webhook;
use crate::store::inbox::InboxEvent;
use crate::store::{AlertDetails, Reported, StoredIncident, Tx, alert, commit, incident, timeline};
use jiff::Timestamp;
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What an accepted webhook came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The incident's number; `None` if the webhook was a clear without an incident.
    pub incident: Option<i64>,
    /// What happened.
    pub outcome: Outcome,
}

impl Engine {
    /// Takes a report of Alertmanager for a room list. When this returns `Ok`, its effects are committed.
    pub async fn report(&self, room_list: &str, webhook: &Webhook) -> Result<Accepted, EngineError> {
        let list = self.list(room_list)?;
        let now = self.clock.now();
        let reported = Reported {
            receiver: webhook.receiver.clone(),
            group_key: webhook.group_key.clone(),
            group_labels: webhook.group_labels.clone(),
            common_labels: webhook.common_labels.clone(),
            external_url: webhook.external_url.clone(),
            truncated: webhook.truncated,
        };
        let severity = |alert: &crate::domain::webhook::WebhookAlert| {
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
        let mut tx = self.store.begin().await?;
        let key = reported.key();
        incident::lock_key(&mut tx, room_list, &key).await?;
        let newest = incident::lock_newest(&mut tx, room_list, &key).await?;
        let policies = self.policies(room_list, newest.as_ref().map(|stored| &stored.incident)).await?;
        let decision = decide(newest.as_ref().map(|stored| &stored.incident), &input, &policies, now);
        let decision = with_first_page(decision, &policies, now);
        let mut details = newest.as_ref().map(|stored| stored.details.clone()).unwrap_or_default();
        let changed = details.learn(&webhook.alerts, severity, now);
        let number = match newest.as_ref().filter(|stored| stored.incident.phase != Phase::Closed) {
            Some(stored) => {
                if reported_changed(&stored.reported, &reported) {
                    incident::update_reported(&mut tx, stored.number, &reported).await?;
                }
                self.save(&mut tx, stored, &decision, &details, &changed, &policies, None, now).await?;
                Some(stored.number)
            }
            None => self.open(&mut tx, room_list, &reported, &decision, &details, &policies, now).await?,
        };
        commit(tx).await?;
        let logged = newest.filter(|stored| Some(stored.number) == number);
        self.announce_report(logged.as_ref(), number, room_list, &decision);
        Ok(Accepted { incident: number, outcome: decision.outcome })
    }

    #[expect(clippy::too_many_arguments, reason = "everything here is written in one transaction")]
    async fn open(
        &self,
        tx: &mut Tx,
        room_list: &str,
        reported: &Reported,
        decision: &Decision,
        details: &AlertDetails,
        policies: &Policies,
        now: Timestamp,
    ) -> Result<Option<i64>, EngineError> {
        let Some(after) = decision.incident.as_ref().filter(|incident| incident.phase != Phase::Closed)
        else {
            return Ok(None);
        };
        let policy = policies.governing(after);
        let number = incident::insert(tx, room_list, reported, after, policy.stale_after).await?;
        alert::save(tx, number, None, after, details, &BTreeSet::new()).await?;
        timeline::append(tx, number, &decision.entries).await?;
        self.carry_out(tx, number, room_list, after, decision, policy, None, now).await?;
        Ok(Some(number))
    }

    fn announce_report(
        &self,
        stored: Option<&StoredIncident>,
        number: Option<i64>,
        room_list: &str,
        decision: &Decision,
    ) {
        if decision.outcome == Outcome::OrphanClear {
            self.metrics.orphan_clear();
        }
        if let (None, Some(number)) = (stored, number) {
            tracing::info!(
                incident = number,
                room_list,
                event = "opened",
                "incident {number} of {room_list}: opened"
            );
        }
        self.announce(stored, room_list, decision);
    }

    /// Keeps the events of a homeserver transaction in the inbox, each event id once. Returns how many were new.
    /// An event without a usable `event_id` or `room_id` is kept as malformed.
    pub async fn accept_events(&self, txn_id: &str, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.keep_events(&events, "transaction", self.clock.now()).await?;
        tracing::debug!(txn_id, kept, "transaction {txn_id}: {kept} events kept");
        self.wakers.inbox.notify_one();
        Ok(kept)
    }

    /// Keeps events that reconciliation found. Returns how many were new: the homeserver had not pushed them.
    pub async fn accept_found(&self, events: &[Box<RawValue>]) -> Result<u64, EngineError> {
        let events: Vec<InboxEvent> = events.iter().map(|event| inbox_event(event)).collect();
        let kept = self.store.keep_events(&events, "reconcile", self.clock.now()).await?;
        if kept > 0 {
            self.wakers.inbox.notify_one();
        }
        Ok(kept)
    }
}

/// A run that begins now pages now: its first tick belongs to the same transaction, so that the page is as durable as
/// the report.
fn with_first_page(mut decision: Decision, policies: &Policies, now: Timestamp) -> Decision {
    let begins = decision.entries.iter().any(|entry| matches!(entry.kind, Kind::RunStarted { .. }));
    let due = decision.incident.as_ref().filter(|incident| incident.next_at.is_some_and(|at| at <= now));
    if let (true, Some(incident)) = (begins, due) {
        let tick = decide(Some(incident), &Input::Tick, &policies.within(incident), now);
        decision.entries.extend(tick.entries);
        decision.effects.extend(tick.effects);
        decision.incident = tick.incident;
    }
    decision
}

fn reported_changed(before: &Reported, after: &Reported) -> bool {
    (&before.common_labels, &before.external_url, before.truncated)
        != (&after.common_labels, &after.external_url, after.truncated)
}

/// What is kept of a raw event. One without an id is known by its content instead.
fn inbox_event(raw: &RawValue) -> InboxEvent {
    #[derive(serde::Deserialize)]
    struct Ids {
        event_id: OwnedEventId,
        room_id: OwnedRoomId,
    }
    // Postgres keeps no NUL in jsonb; no command or id has one.
    let text = raw.get().replace("\\u0000", "\\ufffd");
    let (event, readable) = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(value) => (value, true),
        Err(_) => (serde_json::Value::String(text.clone()), false),
    };
    match serde_json::from_str::<Ids>(&text) {
        Ok(ids) if readable => {
            InboxEvent { event_id: ids.event_id.into(), room: ids.room_id.into(), event, malformed: None }
        }
        _ => {
            let digest = Sha256::digest(text.as_bytes());
            let name = format!("{digest:x}");
            InboxEvent {
                event_id: format!("malformed-{name}"),
                room: String::new(),
                event,
                malformed: Some("it has no usable event_id and room_id"),
            }
        }
    }
}
