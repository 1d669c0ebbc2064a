//! Faults of acknowledgements and snoozes.

use super::{Before, about_if_changed, act, and_then, is_acked_or_snoozed, under};
use crate::domain::incident::Phase;
use crate::domain::input::{Act, Decision, Input, Outcome, Surroundings};
use crate::domain::policy::OnNewAlert;
use crate::domain::time::later;
use crate::domain::transition::decide;
use std::time::Duration;

mutants! {
    an_ack_forgets_the_known_alerts
    another_ack_adds_known_alerts
    an_ack_keeps_the_ladders_timer
    an_ack_never_ends
    a_refire_restores_an_expired_ack
    a_refire_forgets_the_ack
    a_new_alert_never_ends_an_ack
    every_alert_ends_an_ack
    a_new_alert_ends_a_sticky_ack
    every_new_alert_ends_an_ack_without_limit
    a_snooze_has_no_maximum
    an_unack_pages_immediately
}

fn an_ack_forgets_the_known_alerts(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    and_then(decide(before, input, around), |it| it.known_at_ack.clear())
}

fn another_ack_adds_known_alerts(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let joined = decision.outcome == Outcome::JoinedAck;
    and_then(decision, |it| {
        if joined {
            let firing = it.firing.iter();
            it.known_at_ack = firing.map(|(name, alert)| (name.clone(), alert.severity.rank)).collect();
        }
    })
}

fn an_ack_keeps_the_ladders_timer(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let acked = act(input) == Some(Act::Acknowledge) && decision.outcome == Outcome::Done;
    and_then(decision, |it| {
        if acked {
            it.next_at = before.and_then(|before| before.next_at);
        }
    })
}

fn an_ack_never_ends(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.ack_timeout = None)
}

fn a_refire_restores_an_expired_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    about_if_changed(before, input, around, |it| {
        if let Phase::Resolved { kept_ack: Some(ack), .. } = &mut it.phase {
            ack.until = ack.until.map(|until| until.max(later(around.now, Duration::from_secs(1))));
        }
    })
}

fn a_refire_forgets_the_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    about_if_changed(before, input, around, |it| {
        if let Phase::Resolved { kept_ack, .. } = &mut it.phase {
            *kept_ack = None;
        }
    })
}

fn a_new_alert_never_ends_an_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.on_new_alert = OnNewAlert::Sticky)
}

fn every_alert_ends_an_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let reopens = around.of_run.policy.on_new_alert == OnNewAlert::Reopen;
    if reopens && is_acked_or_snoozed(before) && matches!(input, Input::Report(_)) {
        return about_if_changed(before, input, around, |it| {
            it.known_at_ack.clear();
            it.reopened_at = None;
        });
    }
    decide(before, input, around)
}

fn a_new_alert_ends_a_sticky_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.on_new_alert = OnNewAlert::Reopen)
}

fn every_new_alert_ends_an_ack_without_limit(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    under(before, input, around, |policy| policy.reopen_min_interval = Duration::ZERO)
}

fn a_snooze_has_no_maximum(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.max_snooze = Duration::MAX)
}

fn an_unack_pages_immediately(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    under(before, input, around, |policy| policy.unack_delay = Duration::ZERO)
}
