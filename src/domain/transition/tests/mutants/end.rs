//! Faults at the end of an incident.

use super::{Before, about, about_if_changed, is_forced};
use crate::domain::incident::Phase;
use crate::domain::input::{Decision, Input, Surroundings};
use crate::domain::transition::decide;

mutants! {
    closed_opens_again
    closed_remembers_no_episode
    a_forced_resolution_does_not_hold
    a_forced_resolution_hides_everything
    a_forced_resolution_closes_while_alerts_fire
}

fn closed_opens_again(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let closed = before.is_some_and(|it| it.phase == Phase::Closed);
    if closed && matches!(input, Input::Report(_)) {
        let resolved = Phase::Resolved { forced: false, kept_ack: None };
        return about(before, input, around, |it| it.phase = resolved);
    }
    decide(before, input, around)
}

fn closed_remembers_no_episode(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let open = before.filter(|it| it.phase != Phase::Closed);
    let decision = decide(open, input, around);
    if decision.incident.is_none() { decide(before, input, around) } else { decision }
}

fn a_forced_resolution_does_not_hold(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if is_forced(before) && matches!(input, Input::Report(_)) {
        return about_if_changed(before, input, around, |it| it.known_at_ack.clear());
    }
    decide(before, input, around)
}

fn a_forced_resolution_hides_everything(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let Input::Report(report) = input else { return decide(before, input, around) };
    if !is_forced(before) {
        return decide(before, input, around);
    }
    about_if_changed(before, input, around, |it| {
        it.known_at_ack.extend(report.alerts.iter().map(|alert| (alert.fingerprint.clone(), i32::MAX)));
    })
}

fn a_forced_resolution_closes_while_alerts_fire(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if is_forced(before) && *input == Input::Tick {
        let resolved = Phase::Resolved { forced: false, kept_ack: None };
        return about(before, input, around, |it| it.phase = resolved);
    }
    decide(before, input, around)
}
