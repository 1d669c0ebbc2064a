//! Acknowledgements and snoozes: how they start, when they end, and which alerts end them early.

use super::draft::Draft;
use super::start_run::reason;
use crate::domain::incident::{Fingerprint, Firing, Incident, KeptAck, Phase};
use crate::domain::input::{Effect, Urgency};
use crate::domain::policy::OnNewAlert;
use crate::domain::time::{earlier, later};
use crate::domain::timeline::Kind;
use jiff::Timestamp;
use ruma::OwnedUserId;
use std::time::Duration;

impl Draft<'_> {
    /// A person acknowledges or snoozes the incident: escalation stops.
    pub(super) fn stop_escalation(&mut self, who: &OwnedUserId, phase: Phase, acted_at: Timestamp) {
        self.incident.phase = phase;
        self.incident.ackers = vec![who.clone()];
        self.remember_firing_alerts(acted_at);
        self.arm_timer();
        self.effect(Effect::CancelUnsent);
    }

    /// Remembers the alerts that were firing when the person acted. They do not end the acknowledgement or snooze later,
    /// unless their severity rises or they start anew.
    pub(super) fn remember_firing_alerts(&mut self, acted_at: Timestamp) {
        let covered = self.incident.firing.iter().filter(|(_, alert)| self.covers(acted_at, alert));
        self.incident.known_at_ack =
            covered.map(|(fingerprint, alert)| (fingerprint.clone(), alert.severity.rank)).collect();
    }

    /// Whether a person who acted at that time can have known of an alert. Nobody acts on an incident before it opens:
    /// then the clock of the person's homeserver is wrong, and the act counts as of now.
    pub(super) fn covers(&self, acted_at: Timestamp, alert: &Firing) -> bool {
        acted_at < self.incident.opened_at || alert.since <= acted_at
    }

    /// When a person acted, for the timeline: as their homeserver says, unless that is before the incident or later than now.
    pub(super) fn time_of(&self, acted_at: Timestamp) -> Timestamp {
        if acted_at < self.incident.opened_at { self.around.now } else { acted_at.min(self.around.now) }
    }

    /// The phase of an acknowledgement that ends at `until`.
    pub(super) fn acknowledged_until(&self, until: Option<Timestamp>) -> Phase {
        let reminder_is_past = |until| earlier(until, self.policy().ack_reminder) <= self.around.now;
        Phase::Acknowledged { until, reminded: until.is_some_and(reminder_is_past) }
    }

    /// Restores the acknowledgement from before the resolution.
    pub(super) fn restore_ack(&mut self, ack: KeptAck) {
        self.incident.phase = self.acknowledged_until(ack.until);
        self.arm_timer();
        let entry = self.record(Kind::RefiredAcknowledged);
        self.refresh_and_post(Urgency::Soon, entry);
    }

    /// When a new or worse alert ends the acknowledgement or snooze: at most once per `reopen_min_interval`. An alert
    /// that fires earlier waits until then, so an acknowledged group cannot hide an outage
    /// (prometheus/alertmanager#3959). `None`: there is no such alert.
    pub(super) fn reopens_at(&self) -> Option<Timestamp> {
        let (joined, rose) = unknown(&self.incident);
        let sticky = self.policy().on_new_alert == OnNewAlert::Sticky;
        if sticky || (joined.is_empty() && rose.is_empty()) {
            return None;
        }
        let reopened_at = self.incident.reopened_at;
        Some(reopened_at.map_or(self.around.now, |at| later(at, self.policy().reopen_min_interval)))
    }

    /// Ends the acknowledgement or snooze because of a new or worse alert, and starts a run. `renewed`: the known alerts
    /// of which another outage has just started.
    pub(super) fn reopen(&mut self, delay: Duration, renewed: &[Fingerprint]) {
        let (joined, rose) = unknown(&self.incident);
        self.incident.reopened_at = Some(self.around.now);
        self.start_run(delay, reason(joined, rose, renewed));
    }

    /// Arms the timer of an acknowledgement or snooze for what comes first: its reminder, its end, an alert that
    /// ends it, or the end of a hold.
    pub(super) fn arm_timer(&mut self) {
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
        let released = self.incident.hold.as_ref().map(|hold| hold.until);
        let released = released.filter(|_| matches!(self.incident.phase, Phase::Acknowledged { .. }));
        self.incident.next_at = own.into_iter().chain(self.reopens_at()).chain(released).min();
    }
}

/// The firing alerts that are new since a person acknowledged, snoozed or resolved the incident, and those whose
/// severity rose since then.
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
