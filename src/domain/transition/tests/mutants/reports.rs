//! Faults in the handling of reports.

use super::{Before, about, and_then, has, under};
use crate::domain::incident::Phase;
use crate::domain::input::{Decision, Input, Outcome, Surroundings};
use crate::domain::timeline::{AlertsChanged, Entry, Kind};
use crate::domain::transition::decide;
use std::time::Duration;

mutants! {
    a_replay_pages_immediately
    an_old_report_counts
    a_report_resolves_the_alerts_it_leaves_out
    a_report_touches_the_ladder
    a_report_pages_on_its_own
    a_repeat_is_a_version
}

fn a_replay_pages_immediately(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.replay_grace = Duration::ZERO)
}

fn an_old_report_counts(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let Input::Report(report) = input else { return decide(before, input, around) };
    let mut report = report.clone();
    for alert in &mut report.alerts {
        alert.starts_at = around.now;
    }
    decide(before, &Input::Report(report), around)
}

fn a_report_resolves_the_alerts_it_leaves_out(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if let Input::Report(report) = input {
        return about(before, input, around, |it| {
            let open = it.phase.is_open() && report.alerts.iter().any(|alert| alert.firing);
            it.firing.retain(|name, _| !open || report.alerts.iter().any(|alert| alert.fingerprint == *name));
        });
    }
    decide(before, input, around)
}

fn a_report_touches_the_ladder(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let changed = has(&decision, |kind| matches!(kind, Kind::AlertsChanged(_)));
    and_then(decision, |it| {
        if changed && it.phase == Phase::Firing {
            it.next_at = Some(around.now);
        }
    })
}

fn a_report_pages_on_its_own(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let due = decision.incident.as_ref().and_then(|it| it.next_at).is_some_and(|at| at <= around.now);
    if !(matches!(input, Input::Report(_)) && due) {
        return decision;
    }
    let next = decide(decision.incident.as_ref(), &Input::Tick, around);
    let entries = [decision.entries, next.entries].concat();
    let effects = [decision.effects, next.effects].concat();
    Decision { entries, effects, ..next }
}

fn a_repeat_is_a_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if let (Outcome::Repeated, Some(incident)) = (decision.outcome, decision.incident.as_mut()) {
        incident.version += 1;
        let kind = Kind::AlertsChanged(AlertsChanged::default());
        decision.entries.push(Entry::of(incident, around.now, kind));
    }
    decision
}
