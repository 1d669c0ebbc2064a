//! The faults that were also tested against the executable model of the design.

use super::{Before, about, act, and_then, paged, under};
use crate::domain::incident::Phase;
use crate::domain::input::{Act, Decision, Effect, Input, Surroundings};
use crate::domain::time::later;
use crate::domain::transition::decide;
use std::time::Duration;

mutants! {
    an_ack_reopens_a_resolved_incident
    the_ladder_catches_up_after_an_outage
    an_ack_cancels_nothing
    the_timer_counts_from_enqueuing
}

fn an_ack_reopens_a_resolved_incident(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let resolved = before.is_some_and(|it| matches!(it.phase, Phase::Resolved { .. }));
    if resolved && act(input) == Some(Act::Acknowledge) {
        return about(before, input, around, |it| it.phase = Phase::Firing);
    }
    decide(before, input, around)
}

fn the_ladder_catches_up_after_an_outage(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.level = None);
    }
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| paged(&decision) && *input == Input::Tick);
    and_then(decision, |it| {
        let level = it.run.level.and_then(|level| around.of_run.policy.level(level));
        if let (Some(due), Some(level)) = (due, level) {
            it.next_at = Some(later(due, level.escalate_after));
        }
    })
}

fn an_ack_cancels_nothing(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if act(input) == Some(Act::Acknowledge) {
        decision.effects.retain(|effect| *effect != Effect::CancelUnsent);
    }
    decision
}

fn the_timer_counts_from_enqueuing(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.level = None);
    }
    under(before, input, around, |policy| policy.send_cap = Duration::ZERO)
}
