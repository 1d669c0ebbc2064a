//! Reports of Alertmanager. The whole report is merged first, then there is at most one transition.

use super::acknowledged::unknown;
use super::draft::{Draft, unchanged};
use super::fold::{Folded, fold, replay_wait};
use super::start_run::reason;
use crate::domain::incident::{Fingerprint, Incident, KeptAck, Phase};
use crate::domain::input::{Decision, Effect, Outcome, Report, ReportedAlert, Surroundings, Urgency};
use crate::domain::timeline::{AlertsChanged, Kind, ResolveReason, RunReason};
use std::time::Duration;

pub(super) fn report(incident: Option<&Incident>, report: &Report, around: Surroundings<'_>) -> Decision {
    match incident {
        None | Some(Incident { phase: Phase::Closed, .. }) => first_report(incident, report, around),
        Some(incident) => further_report(incident, report, around),
    }
}

/// There is no incident that is not closed. A firing alert opens one.
fn first_report(closed: Option<&Incident>, report: &Report, around: Surroundings<'_>) -> Decision {
    let mut draft = Draft::of_nothing(around);
    if let Some(closed) = closed {
        draft.incident.cleared = closed.cleared.clone();
    }
    let mut folded = fold(&mut draft.incident, report, around);
    folded.ask = report.ask;
    if draft.incident.firing.is_empty() {
        let clears = !report.alerts.is_empty() && report.alerts.iter().all(|alert| !alert.firing);
        return unchanged(closed, if clears { Outcome::OrphanClear } else { Outcome::Nothing });
    }
    let delay = delay(&draft, &folded);
    draft.start_run(delay, RunReason::Fired);
    draft.decided(Outcome::Done)
}

fn further_report(incident: &Incident, report: &Report, around: Surroundings<'_>) -> Decision {
    let mut draft = Draft::of(incident, around);
    let mut folded = fold(&mut draft.incident, report, around);
    folded.ask = report.ask;
    // Alertmanager does not report what it holds back.
    let is_reported =
        |alert: &ReportedAlert| alert.firing && draft.incident.firing.contains_key(&alert.fingerprint);
    let is_released = incident.hold.is_some() && report.alerts.iter().any(is_reported);
    let delay = delay(&draft, &folded);
    if !folded.is_news() {
        if is_released && report.may_ask && draft.doubt_hold() {
            return draft.decided(Outcome::Doubted);
        }
        if is_released {
            draft.release(delay);
            return draft.decided(Outcome::Done);
        }
        if matches!(incident.phase, Phase::Resolved { forced: false, .. })
            && incident.cleared != draft.incident.cleared
        {
            draft.arm_wait();
        }
        return draft.decided(if folded.doubted { Outcome::Doubted } else { Outcome::Repeated });
    }
    if draft.incident.firing.is_empty() {
        all_resolved(&mut draft, ResolveReason::Cleared);
    } else {
        still_firing(&mut draft, incident, folded);
    }
    if is_released && draft.incident.run.no == incident.run.no {
        draft.release(delay);
    } else if is_released {
        draft.incident.hold = None;
    }
    draft.decided(Outcome::Done)
}

pub(super) fn all_resolved(draft: &mut Draft<'_>, why: ResolveReason) {
    match draft.incident.phase {
        Phase::Resolved { forced: true, .. } => draft.end_hold(),
        Phase::Resolved { forced: false, .. } | Phase::Closed => {}
        Phase::Firing
        | Phase::Acknowledged { .. }
        | Phase::Snoozed { .. }
        | Phase::Unanswered { .. }
        | Phase::Suppressed => draft.resolve(why),
    }
}

pub(super) fn still_firing(draft: &mut Draft<'_>, before: &Incident, folded: Folded) {
    match draft.incident.phase {
        Phase::Acknowledged { .. } | Phase::Snoozed { .. } => acknowledged_or_snoozed(draft, folded),
        Phase::Unanswered { .. } if folded.is_worse() => {
            let why = reason(joined_or_renewed(&folded), folded.rose.clone(), &folded.alerts.renewed);
            let delay = delay(draft, &folded);
            draft.start_run(delay, why);
        }
        Phase::Firing => firing(draft, before, folded),
        Phase::Unanswered { .. } | Phase::Suppressed => alerts_changed(draft, folded),
        Phase::Resolved { forced: true, .. } => resolved_by_hand(draft, folded),
        Phase::Resolved { forced: false, kept_ack } => {
            let delay = delay(draft, &folded);
            draft.refire(delay, kept_ack);
        }
        Phase::Closed => {}
    }
}

fn joined_or_renewed(folded: &Folded) -> Vec<Fingerprint> {
    folded.alerts.joined.iter().chain(&folded.alerts.renewed).cloned().collect()
}

/// Nobody has acknowledged. The ladder goes on, except if its pages have not named its worst severity, or if another outage
/// starts after its last page.
fn firing(draft: &mut Draft<'_>, before: &Incident, folded: Folded) {
    let delay = delay(draft, &folded);
    if draft.incident.run.level.is_none() {
        // A first page that waits for a resolved report waits no longer for an alert that is not in doubt.
        let soonest = draft.first_page_at(delay);
        let brought_forward = draft.incident.next_at.filter(|_| folded.is_worse()).map(|at| at.min(soonest));
        draft.incident.next_at = brought_forward.or(draft.incident.next_at);
        return alerts_changed(draft, folded);
    }
    let worse = draft.louder_than_paged(before);
    if !worse.is_empty() {
        let joined = worse.iter().filter(|name| !before.firing.contains_key(*name)).cloned().collect();
        return draft.start_run_where_it_is(delay, reason(joined, worse, &[]));
    }
    let ladder_is_over = !before.escalates();
    if ladder_is_over && !folded.alerts.renewed.is_empty() {
        let fingerprints = folded.alerts.renewed;
        return draft.start_run_where_it_is(delay, RunReason::Renewed { fingerprints });
    }
    alerts_changed(draft, folded);
}

/// Edits the incident's posts. The ladder does not change. The threads show another outage.
fn alerts_changed(draft: &mut Draft<'_>, folded: Folded) {
    let is_posted = !folded.alerts.renewed.is_empty();
    let entry = draft.record(Kind::AlertsChanged(folded.alerts));
    draft.effect(Effect::Refresh(Urgency::Soon));
    if is_posted {
        draft.effect(Effect::PostInThread(entry));
    }
}

/// A new or worse alert ends the acknowledgement or snooze, now or as soon as `reopen_min_interval` allows.
fn acknowledged_or_snoozed(draft: &mut Draft<'_>, folded: Folded) {
    let due = draft.reopens_at().is_some_and(|at| at <= draft.around.now);
    if due && folded.is_worse() {
        let delay = delay(draft, &folded);
        draft.reopen(delay, &folded.alerts.renewed);
    } else {
        alerts_changed(draft, folded);
        draft.arm_timer();
    }
}

/// An incident that a person resolved while alerts were firing stays resolved until a new or worse alert fires, or
/// another outage of a known one starts.
fn resolved_by_hand(draft: &mut Draft<'_>, folded: Folded) {
    let (joined, rose) = unknown(&draft.incident);
    if joined.is_empty() && rose.is_empty() {
        alerts_changed(draft, folded);
    } else {
        draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
        let delay = delay(draft, &folded);
        draft.start_run(delay, reason(joined, rose, &folded.alerts.renewed));
    }
}

impl Draft<'_> {
    /// A resolved incident fires again within the reopen window.
    pub(super) fn refire(&mut self, delay: Duration, kept_ack: Option<KeptAck>) {
        self.incident.flap_count = self.incident.flap_count.saturating_add(1);
        let (joined, rose) = unknown(&self.incident);
        let kept_ack = kept_ack.filter(|ack| ack.until.is_none_or(|until| until > self.around.now));
        match kept_ack {
            Some(ack) if joined.is_empty() && rose.is_empty() => self.restore_ack(ack),
            Some(_) | None => self.start_run(delay, RunReason::Refired),
        }
    }
}

/// The delay of a new run's first page. I10: if all its alerts may come from an old report, the run waits for a
/// resolved report that may follow. A report that may be an old one for another reason waits for Alertmanager's answer.
fn delay(draft: &Draft<'_>, folded: &Folded) -> Duration {
    let policy = draft.around.newest.policy;
    let AlertsChanged { joined, changed, renewed, .. } = &folded.alerts;
    let is_replayed = |fingerprint| folded.replayed.contains(fingerprint);
    let only_replayed = !joined.is_empty() && joined.iter().all(is_replayed);
    if only_replayed && changed.is_empty() && renewed.is_empty() {
        policy.initial_delay.max(replay_wait(policy))
    } else {
        policy.initial_delay.max(folded.ask)
    }
}
