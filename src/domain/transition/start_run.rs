//! The beginning of a run.

use super::draft::Draft;
use crate::domain::incident::{Fingerprint, Phase, Run};
use crate::domain::input::{Effect, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use std::time::Duration;

impl Draft<'_> {
    /// The ladder begins anew, `delay` from now, under the newest policy (I14); or waits for the end of maintenance.
    pub(super) fn start_run(&mut self, delay: Duration, why: RunReason) {
        let first = self.incident.run.no == 0;
        self.incident.run = Run {
            no: self.incident.run.no.saturating_add(1),
            level: None,
            loop_no: 0,
            told: false,
            policy_version: self.around.newest.version,
        };
        self.incident.ackers.clear();
        self.incident.known_at_ack.clear();
        let suppressed = self.around.maintenance;
        (self.incident.phase, self.incident.next_at) = if suppressed {
            (Phase::Suppressed, None)
        } else {
            (Phase::Firing, Some(later(self.around.now, delay)))
        };
        let (urgency, told) = (urgency(&why), is_told(&why));
        let entry =
            self.record(Kind::RunStarted { why, policy_version: self.around.newest.version, suppressed });
        if first {
            // No room knows the incident: nothing to cancel, to refresh or to tell in a thread.
            return;
        }
        self.effect(Effect::CancelUnsent);
        self.effect(Effect::Refresh(urgency));
        if told {
            self.effect(Effect::Tell(entry));
        }
    }
}

/// Why a run begins that alerts began: some that nobody knew of, or else some that became worse.
pub(super) fn reason(joined: Vec<Fingerprint>, rose: Vec<Fingerprint>) -> RunReason {
    if joined.is_empty() {
        RunReason::SeverityRose { fingerprints: rose }
    } else {
        RunReason::NewAlert { joined }
    }
}

/// A person who caused it waits to see it.
fn urgency(why: &RunReason) -> Urgency {
    match why {
        RunReason::GivenBack { .. }
        | RunReason::EscalationAsked { .. }
        | RunReason::SnoozeOver { who: Some(_) } => Urgency::AtOnce,
        RunReason::Fired
        | RunReason::Refired
        | RunReason::NewAlert { .. }
        | RunReason::SeverityRose { .. }
        | RunReason::AckExpired { .. }
        | RunReason::SnoozeOver { who: None }
        | RunReason::MaintenanceOver => Urgency::Soon,
    }
}

/// Whether the thread is told. The end of a maintenance is told where it was announced, not in every thread.
fn is_told(why: &RunReason) -> bool {
    match why {
        RunReason::Refired
        | RunReason::NewAlert { .. }
        | RunReason::SeverityRose { .. }
        | RunReason::GivenBack { .. }
        | RunReason::AckExpired { .. }
        | RunReason::SnoozeOver { .. }
        | RunReason::EscalationAsked { .. } => true,
        RunReason::Fired | RunReason::MaintenanceOver => false,
    }
}
