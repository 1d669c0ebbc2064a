//! What a poll of Alertmanager says about the alerts of an incident.
//!
//! A webhook can be old, wrong or missing: Alertmanager sends no resolved report under a silence, and no firing one after
//! it. What Alertmanager lists is what it knows now.

use super::draft::{Draft, unchanged};
use super::fold::{Folded, believe, replay_wait};
use super::report::{all_resolved, still_firing};
use crate::domain::hold::{HeldBy, Hold};
use crate::domain::incident::{Cleared, Incident, Phase};
use crate::domain::input::{Decision, Effect, HoldNews, Listing, MadeAgain, Outcome, Surroundings, Urgency};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) fn listing(incident: Option<&Incident>, listing: &Listing, around: Surroundings<'_>) -> Decision {
    let Some(incident) = incident.filter(|incident| incident.phase != Phase::Closed) else {
        return unchanged(incident, Outcome::Nothing);
    };
    let mut draft = Draft::of(incident, around);
    let folded = merge(&mut draft, listing);
    if folded.is_news() {
        if draft.incident.firing.is_empty() {
            all_resolved(&mut draft, ResolveReason::NotListed);
        } else {
            still_firing(&mut draft, incident, folded);
        }
    } else if matches!(incident.phase, Phase::Resolved { forced: false, .. })
        && draft.incident.cleared != incident.cleared
    {
        draft.arm_wait();
    }
    match &listing.hold {
        HoldNews::Unchanged => {}
        HoldNews::Held(hold) => draft.hold_back(hold, listing),
        HoldNews::Over => draft.release(around.newest.policy.initial_delay),
    }
    if let Some(by) = &listing.partly {
        draft.partly_silenced(by);
    }
    if let Some(MadeAgain { alertmanager, until }) = &listing.again
        && draft.incident.phase.is_open()
    {
        let entry = draft.record(Kind::SilencedAgain { alertmanager: alertmanager.clone(), until: *until });
        draft.refresh_and_post(Urgency::Soon, entry);
    }
    draft.answer_first_page(listing);
    let outcome = if draft.incident.version == incident.version { Outcome::Nothing } else { Outcome::Done };
    draft.decided(outcome)
}

fn merge(draft: &mut Draft<'_>, listing: &Listing) -> Folded {
    let (incident, now) = (&mut draft.incident, draft.around.now);
    let mut folded = Folded::default();
    for fingerprint in &listing.ended {
        if let Some(firing) = incident.firing.remove(fingerprint) {
            let cleared = Cleared { starts_at: firing.starts_at, at: now, doubt: None };
            incident.cleared.insert(fingerprint.clone(), cleared);
            folded.alerts.cleared.push(fingerprint.clone());
        } else if let Some(cleared) = incident.cleared.get_mut(fingerprint) {
            cleared.doubt = None;
        }
    }
    for fingerprint in &listing.listed {
        if let Some(firing) = incident.firing.get_mut(fingerprint) {
            firing.last_seen = firing.last_seen.max(now);
        }
    }
    for fingerprint in &listing.active {
        if incident.cleared.get(fingerprint).is_some_and(|cleared| cleared.doubt.is_some()) {
            believe(incident, fingerprint, now);
            folded.alerts.joined.push(fingerprint.clone());
        }
    }
    folded
}

impl Draft<'_> {
    /// Alertmanager holds back every firing alert: the ladder waits for the end of the hold.
    fn hold_back(&mut self, hold: &Hold, listing: &Listing) {
        // An alert may have joined since the poll.
        let all = self.incident.firing.keys().all(|fingerprint| listing.suppressed.contains(fingerprint));
        if !all || !self.incident.phase.is_open() || hold.until <= self.around.now {
            return;
        }
        let before = self.incident.hold.replace(hold.clone());
        self.arm_timer();
        if before.is_none_or(|before| hold.looks_different(&before)) {
            let entry = self.record(Kind::HeldBack { hold: hold.clone() });
            self.refresh_and_post(Urgency::Soon, entry);
        }
    }

    /// Silences hold some of its alerts. Those that hold all of them are shown by the hold.
    fn partly_silenced(&mut self, by: &BTreeSet<HeldBy>) {
        if !self.incident.phase.is_open() || self.incident.partly_silenced == *by {
            return;
        }
        self.incident.partly_silenced.clone_from(by);
        if self.incident.hold.is_none() {
            let entry = self.record(Kind::PartlySilenced { by: by.clone() });
            self.refresh_and_post(Urgency::Soon, entry);
        }
    }

    /// The hold is over and the incident is still firing: it pages again, also if it was acknowledged. Alertmanager says
    /// nothing about an alert whose silence ended before the next `repeat_interval`.
    pub(super) fn release(&mut self, delay: Duration) {
        let Some(hold) = self.incident.hold.take() else { return };
        match self.incident.phase {
            Phase::Firing | Phase::Unanswered { .. } | Phase::Acknowledged { .. } => {
                self.start_run(delay, RunReason::Released { by: hold.by });
            }
            Phase::Snoozed { .. } | Phase::Suppressed => {
                self.record(Kind::Released { by: hold.by });
                self.effect(Effect::Refresh(Urgency::Soon));
            }
            Phase::Resolved { .. } | Phase::Closed => {}
        }
    }

    /// A webhook contradicts the hold: it lasts until Alertmanager answers. Returns whether it does; a hold whose end pages
    /// nobody need not wait.
    pub(super) fn doubt_hold(&mut self) -> bool {
        let Some(hold) = self.incident.hold.as_ref().filter(|_| self.incident.phase.pages_after_hold())
        else {
            return false;
        };
        self.incident.hold = Some(hold.doubted(self.around.now));
        self.arm_timer();
        true
    }

    /// A first page that waits for this answer waits no longer if its alert is listed. If none is, it waits for a resolved
    /// report, as after a report that may be an old one.
    fn answer_first_page(&mut self, listing: &Listing) {
        let waits = self.incident.phase == Phase::Firing
            && self.incident.run.level.is_none()
            && self.incident.hold.is_none()
            && self.incident.next_at.is_some_and(|at| at > self.around.now);
        if !waits || !listing.answers_page {
            return;
        }
        let firing = &self.incident.firing;
        let policy = self.around.newest.policy;
        let due = if firing.keys().all(|fingerprint| listing.missing.contains(fingerprint)) {
            later(self.around.now, replay_wait(policy))
        } else {
            let opened = firing.values().map(|alert| alert.since).min().unwrap_or(self.around.now);
            later(opened, policy.initial_delay).max(self.around.now)
        };
        let due = due.max(self.first_page_at(Duration::ZERO));
        self.incident.next_at = Some(due);
    }
}
