//! Acknowledged and snoozed: somebody has it, until it ends or something breaks it.

use super::draft::Draft;
use super::start_run::reason;
use crate::domain::incident::{Fingerprint, Incident, KeptAck, Phase};
use crate::domain::input::{Effect, Urgency};
use crate::domain::policy::OnNewAlert;
use crate::domain::time::{earlier, later};
use crate::domain::timeline::Kind;
use jiff::Timestamp;
use ruma::OwnedUserId;
use std::time::Duration;

impl Draft<'_> {
    /// A person takes the incident as it is now, or puts it off.
    pub(super) fn take(&mut self, who: &OwnedUserId, phase: Phase) {
        self.incident.phase = phase;
        self.incident.ackers = vec![who.clone()];
        self.know_what_fires();
        self.arm_taken();
        self.effect(Effect::CancelUnsent);
    }

    /// What fires now breaks nothing later.
    pub(super) fn know_what_fires(&mut self) {
        let firing = self.incident.firing.iter();
        self.incident.known_at_ack =
            firing.map(|(fingerprint, alert)| (fingerprint.clone(), alert.severity.rank)).collect();
    }

    /// An acknowledgement that ends at `until`.
    pub(super) fn acknowledged_until(&self, until: Option<Timestamp>) -> Phase {
        let reminder_is_past = |until| earlier(until, self.policy().ack_reminder) <= self.around.now;
        Phase::Acknowledged { until, reminded: until.is_some_and(reminder_is_past) }
    }

    /// The acknowledgement that was in force when everything cleared goes on.
    pub(super) fn take_up_again(&mut self, ack: KeptAck) {
        self.incident.phase = self.acknowledged_until(ack.until);
        self.arm_taken();
        self.record(Kind::RefiredAcknowledged);
        self.effect(Effect::Refresh(Urgency::Soon));
    }

    /// When what nobody knew of breaks the acknowledgement or the snooze: at most once per `reopen_min_interval`,
    /// and what comes sooner is not forgotten but waits, so that an acknowledged group cannot hide an outage
    /// (prometheus/alertmanager#3959). `None`: nothing does.
    pub(super) fn breaks_at(&self) -> Option<Timestamp> {
        let (joined, rose) = unknown(&self.incident);
        let sticky = self.policy().on_new_alert == OnNewAlert::Sticky;
        if sticky || (joined.is_empty() && rose.is_empty()) {
            return None;
        }
        let reopened_at = self.incident.reopened_at;
        Some(reopened_at.map_or(self.around.now, |at| later(at, self.policy().reopen_min_interval)))
    }

    /// It is broken: the ladder begins anew.
    pub(super) fn break_taken(&mut self, delay: Duration) {
        let (joined, rose) = unknown(&self.incident);
        self.incident.reopened_at = Some(self.around.now);
        self.start_run(delay, reason(joined, rose));
    }

    /// Arms the timer for whatever comes first: its reminder, its end, or what breaks it.
    pub(super) fn arm_taken(&mut self) {
        let own = match self.incident.phase {
            Phase::Acknowledged { until, reminded: false } => {
                until.map(|until| earlier(until, self.policy().ack_reminder))
            }
            Phase::Acknowledged { until, reminded: true } => until,
            Phase::Snoozed { until } => Some(until),
            Phase::Firing
            | Phase::Unanswered { .. }
            | Phase::Suppressed
            | Phase::Resolved { .. }
            | Phase::Closed => return,
        };
        self.incident.next_at = own.into_iter().chain(self.breaks_at()).min();
    }
}

/// The alerts that fire and that nobody knew of when the incident was taken, and those that became worse since.
pub(super) fn unknown(incident: &Incident) -> (Vec<Fingerprint>, Vec<Fingerprint>) {
    let (mut joined, mut rose) = (Vec::new(), Vec::new());
    for (fingerprint, alert) in &incident.firing {
        match incident.known_at_ack.get(fingerprint) {
            None => joined.push(fingerprint.clone()),
            Some(rank) if alert.severity.rank > *rank => rose.push(fingerprint.clone()),
            Some(_) => {}
        }
    }
    (joined, rose)
}
