//! Saving a decision: state, timeline and outbox, in the transaction that locked the incident.

use super::{Engine, EngineError, TIMERS_POLL};
use crate::domain::incident::{Fingerprint, Incident};
use crate::domain::input::{Decision, Input, PolicyInForce, Surroundings};
use crate::domain::policy::Policy;
use crate::domain::timeline::Kind;
use crate::domain::{time, transition};
use crate::store::{AlertDetails, StoredIncident, Tx, alert, incident, timeline};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Policies around one decision.
pub(super) struct Policies {
    pub(super) of_run: (i64, Arc<Policy>),
    pub(super) newest: (i64, Arc<Policy>),
}

impl Policies {
    /// The policies around an incident after a decision: its run may be a new one.
    pub(super) fn within(&self, incident: &Incident) -> Self {
        let began_now = incident.run.policy_version == self.newest.0;
        let of_run = if began_now { self.newest.clone() } else { self.of_run.clone() };
        Self { of_run, newest: self.newest.clone() }
    }

    /// The policy that governs an incident after a decision.
    pub(super) fn governing(&self, incident: &Incident) -> &Policy {
        if incident.run.policy_version == self.newest.0 { &self.newest.1 } else { &self.of_run.1 }
    }
}

impl Engine {
    /// The policies around an incident of a room list. A list that is no longer configured keeps the policies its
    /// incidents began with.
    pub(super) async fn policies(
        &self,
        room_list: &str,
        incident: Option<&Incident>,
    ) -> Result<Policies, EngineError> {
        let lists = self.lists();
        let newest = lists.get(room_list).map(|list| (list.version, list.policy.clone()));
        let of_run = match incident {
            Some(incident) => {
                let version = incident.run.policy_version;
                Some((version, self.policy(version).await?))
            }
            None => None,
        };
        let either = of_run.clone().or_else(|| newest.clone());
        match (of_run.or_else(|| newest.clone()), newest.or(either)) {
            (Some(of_run), Some(newest)) => Ok(Policies { of_run, newest }),
            _ => Err(EngineError::UnknownRoomList(room_list.to_owned())),
        }
    }

    /// Decides on an input and saves what follows, for an incident that is locked. Returns the decision.
    pub(super) async fn decide_and_save(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        input: &Input,
        told_in: Option<&str>,
    ) -> Result<Decision, EngineError> {
        let policies = self.policies(&stored.room_list, Some(&stored.incident)).await?;
        let now = self.clock.now();
        let decision = decide(Some(&stored.incident), input, &policies, now);
        self.save(tx, stored, &decision, &stored.details, &BTreeSet::new(), &policies, told_in, now).await?;
        Ok(decision)
    }

    /// Saves a decision on an incident that is locked. `told_in`: the room where a person's act is answered anyway,
    /// so that its thread is not told besides.
    #[expect(clippy::too_many_arguments, reason = "everything here is written in one transaction")]
    pub(super) async fn save(
        &self,
        tx: &mut Tx,
        stored: &StoredIncident,
        decision: &Decision,
        details: &AlertDetails,
        changed_details: &BTreeSet<Fingerprint>,
        policies: &Policies,
        told_in: Option<&str>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let Some(after) = &decision.incident else { return Ok(()) };
        let before = &stored.incident;
        let stale_after = policies.governing(after).stale_after;
        if after.version == before.version && after.phase == before.phase && after.next_at == before.next_at {
            let stale_at = incident::stale_at(after, stale_after);
            if stale_at != incident::stale_at(before, stale_after) {
                incident::seen(tx, stored.number, stale_at).await?;
            }
        } else {
            incident::update(tx, stored, after, stale_after, now).await?;
        }
        if after.firing != before.firing
            || after.cleared != before.cleared
            || after.known_at_ack != before.known_at_ack
            || !changed_details.is_empty()
        {
            alert::save(tx, stored.number, Some(before), after, details, changed_details).await?;
        }
        timeline::append(tx, stored.number, &decision.entries).await?;
        self.carry_out(
            tx,
            stored.number,
            &stored.room_list,
            after,
            decision,
            policies.governing(after),
            told_in,
            now,
        )
        .await
    }

    /// Counts what a committed decision came to, and wakes the workers it concerns.
    pub(super) fn announce(&self, stored: Option<&StoredIncident>, room_list: &str, decision: &Decision) {
        let metrics = &self.metrics;
        for entry in &decision.entries {
            match &entry.kind {
                Kind::Acknowledged { via, .. } => {
                    metrics.acknowledged(room_list, *via);
                    if let Some(stored) = stored
                        && stored.incident.ackers.is_empty()
                    {
                        metrics.time_to_ack(time::between(stored.incident.opened_at, entry.at));
                    }
                }
                Kind::JoinedAck { via, .. } => metrics.acknowledged(room_list, *via),
                Kind::LateAck { .. } => metrics.late_acknowledgement(),
                Kind::Unanswered => metrics.unanswered(room_list),
                Kind::Resolved { lasted, .. } => metrics.resolved(*lasted),
                _ => {}
            }
            if let Some(number) = stored.map(|stored| stored.number) {
                tracing::info!(
                    incident = number,
                    room_list,
                    event = entry.kind.as_str(),
                    version = entry.version,
                    phase =
                        decision.incident.as_ref().map_or("none", |incident| incident.phase.name().as_str()),
                    "incident {number} of {room_list}: {}",
                    entry.kind.as_str()
                );
            }
        }
        if !decision.effects.is_empty() {
            self.wakers.outbox.notify_one();
        }
        let soon = time::later(self.clock.now(), TIMERS_POLL);
        if decision.incident.as_ref().and_then(|incident| incident.next_at).is_some_and(|at| at <= soon) {
            self.wakers.timers.notify_one();
        }
    }
}

/// What the rules make of an input.
pub(super) fn decide(
    incident: Option<&Incident>,
    input: &Input,
    policies: &Policies,
    now: Timestamp,
) -> Decision {
    transition::decide(
        incident,
        input,
        Surroundings {
            of_run: PolicyInForce { version: policies.of_run.0, policy: &policies.of_run.1 },
            newest: PolicyInForce { version: policies.newest.0, policy: &policies.newest.1 },
            maintenance: false,
            now,
        },
    )
}
