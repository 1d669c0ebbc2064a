//! The start of a run.

use super::draft::Draft;
use crate::domain::incident::{Fingerprint, Phase, Run};
use crate::domain::input::{Effect, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use std::time::Duration;

impl Draft<'_> {
    /// Starts the ladder from its first level, `delay` from now, with the newest policy (I14). During maintenance, the
    /// incident is suppressed instead.
    pub(super) fn start_run(&mut self, delay: Duration, why: RunReason) {
        let first = self.incident.run.no == 0;
        self.incident.run = Run {
            no: self.incident.run.no.saturating_add(1),
            level: None,
            loop_no: 0,
            notified: false,
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
        let (urgency, posted) = (urgency(&why), is_posted(&why));
        let entry =
            self.record(Kind::RunStarted { why, policy_version: self.around.newest.version, suppressed });
        if first {
            // No room has a post of the incident yet: there is nothing to cancel or to edit, and no thread.
            return;
        }
        self.effect(Effect::CancelUnsent);
        self.effect(Effect::Refresh(urgency));
        if posted {
            self.effect(Effect::PostInThread(entry));
        }
    }
}

/// The reason of a run that alerts started: new alerts, or else alerts whose severity rose.
pub(super) fn reason(joined: Vec<Fingerprint>, rose: Vec<Fingerprint>) -> RunReason {
    if joined.is_empty() {
        RunReason::SeverityRose { fingerprints: rose }
    } else {
        RunReason::NewAlert { joined }
    }
}

/// How soon the posts show the run: immediately if a person caused it.
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

/// Whether the entry is posted in the threads of the incident's posts.
fn is_posted(why: &RunReason) -> bool {
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
