//! The start of a run.

use super::draft::Draft;
use crate::domain::incident::{Fingerprint, Phase, Run, Rung};
use crate::domain::input::{Effect, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, Place, RunReason};
use std::collections::BTreeSet;
use std::time::Duration;

impl Draft<'_> {
    /// Starts the ladder from the first level of its severities, `delay` from now, with the newest policy (I14). During
    /// maintenance, the incident is suppressed instead.
    pub(super) fn start_run(&mut self, delay: Duration, why: RunReason) {
        let level = self.around.newest.policy.start_level(self.incident.severities());
        self.start_run_at(Place { loop_no: 0, level }, delay, why);
    }

    /// Starts the ladder from the level that it has reached, as far as the newest policy has that, or from the first level
    /// of its severities if that is higher.
    pub(super) fn start_run_where_it_is(&mut self, delay: Duration, why: RunReason) {
        let (run, policy) = (&self.incident.run, self.around.newest.policy);
        let last = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let level = run.level.unwrap_or(0).min(last).max(policy.start_level(self.incident.severities()));
        self.start_run_at(Place { loop_no: run.loop_no.min(policy.repeat), level }, delay, why);
    }

    fn start_run_at(&mut self, place: Place, delay: Duration, why: RunReason) {
        let first = self.incident.run.no == 0;
        self.incident.run = Run {
            no: self.incident.run.no.saturating_add(1),
            level: None,
            loop_no: place.loop_no,
            notified: false,
            policy_version: self.around.newest.version,
            start_level: place.level,
            severities: Some(BTreeSet::new()),
        };
        self.incident.ackers.clear();
        self.incident.known_at_ack.clear();
        let suppressed = self.around.maintenance;
        let due = later(self.around.now, delay);
        // A person who escalates wants the page now.
        let first_page_at =
            if matches!(why, RunReason::EscalationAsked { .. }) { due } else { self.first_page_at(delay) };
        let held_until = Some(first_page_at).filter(|at| *at > due && !suppressed);
        (self.incident.phase, self.incident.next_at) =
            if suppressed { (Phase::Suppressed, None) } else { (Phase::Firing, Some(first_page_at)) };
        let (urgency, posted) = (urgency(&why), is_posted(&why));
        let policy_version = self.around.newest.version;
        let from = Some(place).filter(|place| *place != Place { loop_no: 0, level: 0 });
        let entry = self.record(Kind::RunStarted { why, policy_version, suppressed, from, held_until });
        if !first {
            self.effect(Effect::CancelUnsent);
        }
        if held_until.is_some() {
            self.effect(Effect::Announce(Rung {
                run_no: self.incident.run.no,
                loop_no: place.loop_no,
                level: place.level,
            }));
        }
        if first {
            // No room has a post of the incident yet: there is nothing to edit, and no thread.
            return;
        }
        self.effect(Effect::Refresh(urgency));
        if posted {
            self.effect(Effect::PostInThread(entry));
        }
    }
}

/// The reason of a run that alerts started: new alerts, other outages of known ones (`renewed`, which `joined` contains
/// too), or else alerts whose severity rose.
pub(super) fn reason(joined: Vec<Fingerprint>, rose: Vec<Fingerprint>, renewed: &[Fingerprint]) -> RunReason {
    if joined.is_empty() {
        RunReason::SeverityRose { fingerprints: rose }
    } else if joined.iter().all(|fingerprint| renewed.contains(fingerprint)) {
        RunReason::Renewed { fingerprints: joined }
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
        | RunReason::Renewed { .. }
        | RunReason::NewAlert { .. }
        | RunReason::SeverityRose { .. }
        | RunReason::AckExpired { .. }
        | RunReason::SnoozeOver { who: None }
        | RunReason::Released { .. }
        | RunReason::MaintenanceOver => Urgency::Soon,
    }
}

/// Whether the entry is posted in the threads of the incident's posts.
fn is_posted(why: &RunReason) -> bool {
    match why {
        RunReason::Refired
        | RunReason::Renewed { .. }
        | RunReason::NewAlert { .. }
        | RunReason::SeverityRose { .. }
        | RunReason::GivenBack { .. }
        | RunReason::AckExpired { .. }
        | RunReason::SnoozeOver { .. }
        | RunReason::Released { .. }
        | RunReason::EscalationAsked { .. } => true,
        RunReason::Fired | RunReason::MaintenanceOver => false,
    }
}
