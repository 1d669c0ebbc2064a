//! Alertmanager reports on the group. The whole report is folded first, then there is at most one transition.

use super::draft::{Draft, unchanged};
use super::fold::{Folded, fold};
use super::start_run::reason;
use super::taken::unknown;
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

/// I1: there is no incident that is not closed. One begins if something fires.
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
    if !folded.says_something() {
        return draft.decided(Outcome::Repeated);
    }
    if draft.incident.firing.is_empty() {
        nothing_fires(&mut draft);
    } else {
        something_fires(&mut draft, folded);
    }
    draft.decided(Outcome::Done)
}

fn nothing_fires(draft: &mut Draft<'_>) {
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

fn something_fires(draft: &mut Draft<'_>, folded: Folded) {
    match draft.incident.phase {
        Phase::Acknowledged { .. } | Phase::Snoozed { .. } => taken(draft, folded),
        Phase::Unanswered { .. } if folded.is_worse() => {
            let why = reason(folded.joined.clone(), folded.rose.clone());
            let delay = delay(draft, &folded);
            draft.start_run(delay, why);
        }
        Phase::Firing | Phase::Unanswered { .. } | Phase::Suppressed => alerts_changed(draft, folded),
        Phase::Resolved { forced: true, .. } => held(draft, folded),
        Phase::Resolved { forced: false, kept_ack } => refires(draft, &folded, kept_ack),
        Phase::Closed => {}
    }
}

/// The message is brought up to date; the ladder is untouched.
fn alerts_changed(draft: &mut Draft<'_>, folded: Folded) {
    let Folded { joined, cleared, changed, .. } = folded;
    draft.record(Kind::AlertsChanged { joined, cleared, changed });
    draft.effect(Effect::Refresh(Urgency::Soon));
}

/// Acknowledged or snoozed: what nobody knew of breaks it, now or as soon as the restart limit allows.
fn taken(draft: &mut Draft<'_>, folded: Folded) {
    let due = draft.breaks_at().is_some_and(|at| at <= draft.around.now);
    if due && folded.is_worse() {
        let delay = delay(draft, &folded);
        draft.break_taken(delay);
    } else {
        alerts_changed(draft, folded);
        draft.arm_taken();
    }
}

/// Resolved by hand while alerts fire: held until something fires that the person did not know of.
fn held(draft: &mut Draft<'_>, folded: Folded) {
    let (joined, rose) = unknown(&draft.incident);
    if joined.is_empty() && rose.is_empty() {
        alerts_changed(draft, folded);
    } else {
        draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
        let delay = delay(draft, &folded);
        draft.start_run(delay, reason(joined, rose));
    }
}

/// Resolved, and it fires again within the reopen window.
fn refires(draft: &mut Draft<'_>, folded: &Folded, kept_ack: Option<KeptAck>) {
    draft.incident.flap_count = draft.incident.flap_count.saturating_add(1);
    let (joined, rose) = unknown(&draft.incident);
    let kept_ack = kept_ack.filter(|ack| ack.until.is_none_or(|until| until > draft.around.now));
    match kept_ack {
        Some(ack) if joined.is_empty() && rose.is_empty() => draft.take_up_again(ack),
        Some(_) | None => {
            let delay = delay(draft, folded);
            draft.start_run(delay, RunReason::Refired);
        }
    }
}

/// I10: a run that begins with nothing but what may be an old report waits for the clear that may follow.
fn delay(draft: &Draft<'_>, folded: &Folded) -> Duration {
    let policy = draft.around.newest.policy;
    let replayed = |fingerprint| folded.replayed.contains(fingerprint);
    if folded.rose.is_empty() && folded.joined.iter().all(replayed) {
        policy.initial_delay.max(policy.replay_grace)
    } else {
        policy.initial_delay
    }
}
