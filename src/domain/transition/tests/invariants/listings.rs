//! What a poll of Alertmanager may change, and how long it holds an incident back.

use super::{Change, Held};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{HoldNews, Input, Listing};
use crate::domain::time::later;
use crate::domain::timeline::RunReason;
use proptest::{prop_assert, prop_assert_eq};
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) fn hold(change: &Change<'_>) -> Held {
    let (Some(before), Some(after)) = (change.same_before(), change.after()) else { return Ok(()) };
    match change.input {
        Input::Listing(listing) => listed(change, listing, before, after),
        Input::Tick | Input::TickWhileUnpolled => ends(change, before, after),
        _ => Ok(()),
    }
}

fn is_released(change: &Change<'_>) -> bool {
    matches!(change.run_began(), Some(RunReason::Released { .. }))
}

/// A poll resolves the alerts that have ended and no others, and a hold begins and ends with it.
fn listed(change: &Change<'_>, listing: &Listing, before: &Incident, after: &Incident) -> Held {
    let in_doubt = |name: &&String| before.cleared.get(*name).is_some_and(|cleared| cleared.doubt.is_some());
    let goes_on = before.firing.keys().filter(|name| !listing.ended.contains(*name));
    let goes_on: BTreeSet<_> = goes_on.chain(listing.active.iter().filter(in_doubt)).cloned().collect();
    let fires: BTreeSet<_> = after.firing.keys().cloned().collect();
    prop_assert_eq!(&fires, &goes_on, "a poll changes other alerts than those that have ended");
    for (name, alert) in &after.firing {
        let seen = !listing.listed.contains(name) || alert.last_seen == change.around.now;
        prop_assert!(seen, "a listed alert is not refreshed");
    }
    match &listing.hold {
        HoldNews::Held(hold) if after.phase.is_open() && fires.is_subset(&listing.suppressed) => {
            prop_assert_eq!(after.hold.as_ref(), Some(hold), "it is not held back");
            if matches!(after.phase, Phase::Firing | Phase::Unanswered { .. } | Phase::Acknowledged { .. }) {
                prop_assert!(
                    after.next_at.is_some_and(|at| at <= hold.until),
                    "the end of a hold is not armed"
                );
            }
        }
        HoldNews::Over if before.hold.is_some() && after.phase.is_open() => {
            let is_snoozed = matches!(before.phase, Phase::Snoozed { .. } | Phase::Suppressed);
            prop_assert!(is_snoozed || is_released(change), "a silence ended, and it pages nobody");
        }
        HoldNews::Unchanged | HoldNews::Held(_) | HoldNews::Over => {}
    }
    Ok(())
}

/// A hold ends at its last known end, also if Alertmanager does not answer: 5 s later, or 90 s if its end was missed.
fn ends(change: &Change<'_>, before: &Incident, after: &Incident) -> Held {
    let now = change.around.now;
    let is_over = before.hold.as_ref().is_some_and(|hold| hold.until <= now);
    let waits = matches!(before.phase, Phase::Firing | Phase::Unanswered { .. } | Phase::Acknowledged { .. });
    if is_over && waits && before.next_at.is_some_and(|at| at <= now) {
        let unpolled = *change.input == Input::TickWhileUnpolled;
        let until = before.hold.as_ref().filter(|hold| !hold.outlasted).map(|hold| {
            let missed = unpolled || later(hold.until, Duration::from_secs(10)) < now;
            later(now, Duration::from_secs(if missed { 90 } else { 5 }))
        });
        if let Some(until) = until {
            let waits = after.hold.as_ref().is_some_and(|hold| hold.outlasted && hold.until == until);
            prop_assert!(waits, "it does not wait for the answer of Alertmanager");
            prop_assert!(after.next_at.is_some_and(|at| at <= until), "the end of a hold is not armed");
        } else {
            prop_assert!(is_released(change), "a hold does not end");
        }
    }
    Ok(())
}
