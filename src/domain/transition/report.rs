//! Reports of Alertmanager. The whole report is merged first, then there is at most one transition.

use super::acknowledged::unknown;
use super::draft::{Draft, unchanged};
use super::fold::{Folded, fold};
use super::start_run::reason;
use crate::domain::incident::{Incident, KeptAck, Phase};
use crate::domain::input::{Decision, Effect, Outcome, ReportedAlert, Surroundings, Urgency};
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use std::time::Duration;

pub(super) fn report(
    incident: Option<&Incident>,
    report: &[ReportedAlert],
    around: Surroundings<'_>,
) -> Decision {
    match incident {
        None | Some(Incident { phase: Phase::Closed, .. }) => first_report(incident, report, around),
        Some(incident) => further_report(incident, report, around),
    }
}

/// I1: the group has no incident that is not closed. A firing alert opens one.
fn first_report(closed: Option<&Incident>, report: &[ReportedAlert], around: Surroundings<'_>) -> Decision {
    let mut draft = Draft::of_nothing(around);
    if let Some(closed) = closed {
        draft.incident.cleared = closed.cleared.clone();
    }
    let folded = fold(&mut draft.incident, report, around);
    if draft.incident.firing.is_empty() {
        let clears = !report.is_empty() && report.iter().all(|alert| !alert.firing);
        return unchanged(closed, if clears { Outcome::OrphanClear } else { Outcome::Nothing });
    }
    let delay = delay(&draft, &folded);
    draft.start_run(delay, RunReason::Fired);
    draft.decided(Outcome::Done)
}

fn further_report(incident: &Incident, report: &[ReportedAlert], around: Surroundings<'_>) -> Decision {
    let mut draft = Draft::of(incident, around);
    let folded = fold(&mut draft.incident, report, around);
    if !folded.is_news() {
        return draft.decided(Outcome::Repeated);
    }
    if draft.incident.firing.is_empty() {
        all_resolved(&mut draft);
    } else {
        still_firing(&mut draft, folded);
    }
    draft.decided(Outcome::Done)
}

fn all_resolved(draft: &mut Draft<'_>) {
    match draft.incident.phase {
        Phase::Resolved { forced: true, .. } => draft.end_hold(),
        Phase::Resolved { forced: false, .. } | Phase::Closed => {}
        Phase::Firing
        | Phase::Acknowledged { .. }
        | Phase::Snoozed { .. }
        | Phase::Unanswered { .. }
        | Phase::Suppressed => draft.resolve(ResolveReason::Cleared),
    }
}

fn still_firing(draft: &mut Draft<'_>, folded: Folded) {
    match draft.incident.phase {
        Phase::Acknowledged { .. } | Phase::Snoozed { .. } => acknowledged_or_snoozed(draft, folded),
        Phase::Unanswered { .. } if folded.is_worse() => {
            let why = reason(folded.joined.clone(), folded.rose.clone());
            let delay = delay(draft, &folded);
            draft.start_run(delay, why);
        }
        Phase::Firing | Phase::Unanswered { .. } | Phase::Suppressed => alerts_changed(draft, folded),
        Phase::Resolved { forced: true, .. } => resolved_by_hand(draft, folded),
        Phase::Resolved { forced: false, kept_ack } => refires(draft, &folded, kept_ack),
        Phase::Closed => {}
    }
}

/// Edits the incident's posts. The ladder does not change.
fn alerts_changed(draft: &mut Draft<'_>, folded: Folded) {
    let Folded { joined, cleared, changed, .. } = folded;
    draft.record(Kind::AlertsChanged { joined, cleared, changed });
    draft.effect(Effect::Refresh(Urgency::Soon));
}

/// A new or worse alert ends the acknowledgement or snooze, now or as soon as `reopen_min_interval` allows.
fn acknowledged_or_snoozed(draft: &mut Draft<'_>, folded: Folded) {
    let due = draft.reopens_at().is_some_and(|at| at <= draft.around.now);
    if due && folded.is_worse() {
        let delay = delay(draft, &folded);
        draft.reopen(delay);
    } else {
        alerts_changed(draft, folded);
        draft.arm_timer();
    }
}

/// An incident that a person resolved while alerts were firing stays resolved until a new or worse alert fires.
fn resolved_by_hand(draft: &mut Draft<'_>, folded: Folded) {
    let (joined, rose) = unknown(&draft.incident);
    if joined.is_empty() && rose.is_empty() {
        alerts_changed(draft, folded);
    } else {
        draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
        let delay = delay(draft, &folded);
        draft.start_run(delay, reason(joined, rose));
    }
}

/// A resolved incident fires again within the reopen window.
fn refires(draft: &mut Draft<'_>, folded: &Folded, kept_ack: Option<KeptAck>) {
    draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
    let (joined, rose) = unknown(&draft.incident);
    let kept_ack = kept_ack.filter(|ack| ack.until.is_none_or(|until| until > draft.around.now));
    match kept_ack {
        Some(ack) if joined.is_empty() && rose.is_empty() => draft.restore_ack(ack),
        Some(_) | None => {
            let delay = delay(draft, folded);
            draft.start_run(delay, RunReason::Refired);
        }
    }
}

/// The delay of a new run's first page. I10: if all its alerts may come from an old report, the run waits for a
/// resolved report that may follow.
fn delay(draft: &Draft<'_>, folded: &Folded) -> Duration {
    let policy = draft.around.newest.policy;
    let replayed = |fingerprint| folded.replayed.contains(fingerprint);
    if folded.rose.is_empty() && folded.joined.iter().all(replayed) {
        policy.initial_delay.max(policy.replay_grace)
    } else {
        policy.initial_delay
    }
}
