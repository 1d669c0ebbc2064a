//! Faults of the ladder and of maintenance.

use super::{Before, about, act, and_then, under};
use crate::domain::incident::Phase;
use crate::domain::input::{
    Act, Decision, Effect, Input, Outcome, PersonAction, PolicyInForce, Surroundings,
};
use crate::domain::transition::decide;

mutants! {
    the_fallback_is_notified_twice
    a_reminder_is_a_fallback
    reminders_never_end
    the_ladder_skips_a_level
    the_ladder_is_repeated_once_too_often
    a_run_follows_the_newest_policy
    a_run_keeps_the_policy_of_the_previous_run
    every_notified_room_arms_the_ladder_again
    a_severity_without_escalation_escalates
    the_ladder_waits_for_an_undeliverable_page
    a_stale_click_escalates
    an_escalation_by_hand_only_waits
    maintenance_suppresses_nothing
    maintenance_leaves_the_timer
}

fn the_fallback_is_notified_twice(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    if decision.effects.contains(&Effect::Fallback) {
        decision.effects.push(Effect::Fallback);
    }
    decision
}

fn a_reminder_is_a_fallback(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    for effect in &mut decision.effects {
        if matches!(effect, Effect::Reminder(_)) {
            *effect = Effect::Fallback;
        }
    }
    decision
}

fn reminders_never_end(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.max_reminders = u32::MAX)
}

fn the_ladder_skips_a_level(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut spoilt = around.of_run.policy.clone();
    spoilt.levels.truncate(2);
    let of_run = PolicyInForce { policy: &spoilt, ..around.of_run };
    decide(before, input, Surroundings { of_run, ..around })
}

fn the_ladder_is_repeated_once_too_often(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    under(before, input, around, |policy| policy.repeat += 1)
}

fn a_run_follows_the_newest_policy(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    decide(before, input, Surroundings { of_run: around.newest, ..around })
}

fn a_run_keeps_the_policy_of_the_previous_run(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    decide(before, input, Surroundings { newest: around.of_run, ..around })
}

fn every_notified_room_arms_the_ladder_again(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if matches!(input, Input::PageSent(_)) {
        return about(before, input, around, |it| it.run.notified = false);
    }
    decide(before, input, around)
}

fn a_severity_without_escalation_escalates(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let firing = before.is_some_and(|it| it.phase == Phase::Firing);
    let decision = decide(before, input, around);
    if firing && *input == Input::Tick && decision.outcome == Outcome::Nothing {
        return about(before, input, around, |it| {
            it.firing.values_mut().for_each(|alert| alert.severity.escalate = true);
        });
    }
    decision
}

fn the_ladder_waits_for_an_undeliverable_page(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| matches!(input, Input::PageUndeliverable(_)));
    and_then(decision, |it| it.next_at = due.or(it.next_at))
}

fn a_stale_click_escalates(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let Input::Person(action @ PersonAction { act: Act::Escalate(_), .. }) = input else {
        return decide(before, input, around);
    };
    let whatever = PersonAction { act: Act::Escalate(None), ..action.clone() };
    decide(before, &Input::Person(whatever), around)
}

fn an_escalation_by_hand_only_waits(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let firing = before.is_some_and(|it| it.phase == Phase::Firing);
    let decision = decide(before, input, around);
    if firing && matches!(act(input), Some(Act::Escalate(None))) {
        return Decision { incident: before.cloned(), entries: Vec::new(), effects: Vec::new(), ..decision };
    }
    decision
}

fn maintenance_suppresses_nothing(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    decide(before, input, Surroundings { maintenance: false, ..around })
}

fn maintenance_leaves_the_timer(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let due = before.and_then(|it| it.next_at).filter(|_| *input == Input::MaintenanceStarted);
    and_then(decision, |it| it.next_at = due.or(it.next_at))
}
