//! Faults of versions, timeline entries and edits of posts.

use super::{Before, and_then, has};
use crate::domain::input::{Decision, Effect, Input, Surroundings};
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use crate::domain::transition::decide;

mutants! {
    a_change_has_no_version
    a_change_is_not_in_the_timeline
    a_late_ack_is_a_version
    a_change_is_not_posted
}

fn a_change_has_no_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let changed = has(&decision, |kind| matches!(kind, Kind::AlertsChanged(_)));
    and_then(decision, |it| it.version -= u64::from(changed))
}

fn a_change_is_not_in_the_timeline(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    decision.entries.retain(|entry| !matches!(entry.kind, Kind::PageSent { .. }));
    decision
}

fn a_late_ack_is_a_version(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let decision = decide(before, input, around);
    let late = has(&decision, |kind| matches!(kind, Kind::LateAck { .. }));
    and_then(decision, |it| it.version += u64::from(late))
}

fn a_change_is_not_posted(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    let mut decision = decide(before, input, around);
    let refired = has(&decision, |kind| {
        matches!(
            kind,
            Kind::RunStarted { why: RunReason::Refired, .. }
                | Kind::Resolved { why: ResolveReason::Stale, .. }
        )
    });
    decision.effects.retain(|effect| !(refired && matches!(effect, Effect::Refresh(_))));
    decision
}
