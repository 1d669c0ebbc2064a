//! I6 and the effects of people's acts.

use super::{Change, Held, by_its_hold};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Act, Effect, Input, Outcome, PersonAction};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use proptest::{prop_assert, prop_assert_eq};

pub(super) fn hold(change: &Change<'_>) -> Held {
    let (Some(before), Some(after)) = (change.same_before().or(change.before), change.after()) else {
        return Ok(());
    };
    let Input::Person(action) = change.input else { return Ok(()) };
    if !before.phase.is_open() {
        prop_assert_eq!(before, after, "I6: a person's event leaves {:?}", before.phase);
        prop_assert!(change.decision.effects.is_empty(), "I6: a late act has effects");
        prop_assert_eq!(change.decision.outcome, Outcome::TooLate);
        let noted = change.kinds().any(|kind| matches!(kind, Kind::LateAck { .. }));
        prop_assert_eq!(noted, action.act == Act::Acknowledge, "I6: a late ack is not noted");
        return Ok(());
    }
    let is_acknowledged = matches!(before.phase, Phase::Acknowledged { .. });
    let covers = match action.act {
        Act::Acknowledge => !is_acknowledged,
        Act::Snooze(_) | Act::Resolve => true,
        Act::Unacknowledge | Act::Unsnooze | Act::Escalate(_) => false,
    };
    let covered = change.world.covered(before, action.acted_at);
    if covers && covered.is_empty() {
        prop_assert_eq!(before, after, "an act covers what its person never saw");
        prop_assert_eq!(change.decision.outcome, Outcome::CoversNothing);
        return Ok(());
    }
    match action.act {
        Act::Acknowledge => acknowledged(change, action, before, after),
        Act::Unacknowledge => unacknowledged(change, before, after),
        Act::Snooze(_) => {
            prop_assert!(matches!(after.phase, Phase::Snoozed { .. }), "not snoozed");
            prop_assert_eq!(&after.known_at_ack, &change.world.known, "the known alerts differ");
            Ok(())
        }
        Act::Unsnooze => {
            let snoozed = matches!(before.phase, Phase::Snoozed { .. });
            prop_assert_eq!(snoozed, change.run_began().is_some(), "a snooze ends");
            Ok(())
        }
        Act::Escalate(of) => {
            if of.is_some() && of != before.rung() {
                prop_assert_eq!(before, after, "a stale click changes something");
                prop_assert_eq!(change.decision.outcome, Outcome::StaleRung);
            } else if before.phase == Phase::Firing {
                let wakes = |effect: &Effect| matches!(effect, Effect::Page(_) | Effect::Fallback);
                let woken = change.decision.effects.iter().filter(|effect| wakes(effect)).count();
                prop_assert_eq!(woken, 1, "an escalation wakes nobody");
            }
            Ok(())
        }
        Act::Resolve => {
            if covered.len() < before.firing.len() {
                prop_assert!(after.phase.is_open(), "a resolution covers what its person never saw");
                return Ok(());
            }
            let held = Phase::Resolved { forced: true, kept_ack: None };
            prop_assert_eq!(&after.phase, &held, "not resolved by hand");
            prop_assert_eq!(&after.known_at_ack, &change.world.known, "what is known");
            Ok(())
        }
    }
}

fn acknowledged(change: &Change<'_>, action: &PersonAction, before: &Incident, after: &Incident) -> Held {
    prop_assert!(matches!(after.phase, Phase::Acknowledged { .. }), "an ack does not count");
    prop_assert!(after.ackers.contains(&action.who), "an ack is not recorded");
    prop_assert_eq!(change.again.outcome, Outcome::AlreadyYours, "I9: a person's event acts twice");
    prop_assert_eq!(change.again.incident.as_ref(), Some(after), "I9: a person's event acts twice");
    if matches!(before.phase, Phase::Acknowledged { .. }) {
        prop_assert_eq!(before.next_at, after.next_at, "a further ack moves the timer");
        prop_assert_eq!(&before.known_at_ack, &after.known_at_ack, "a further ack hides an alert");
    } else {
        prop_assert_eq!(&after.ackers, &vec![action.who.clone()]);
        prop_assert_eq!(&after.known_at_ack, &change.world.known, "what is known");
    }
    Ok(())
}

fn unacknowledged(change: &Change<'_>, before: &Incident, after: &Incident) -> Held {
    let acknowledged = matches!(before.phase, Phase::Acknowledged { .. });
    let began = matches!(change.run_began(), Some(RunReason::GivenBack { .. }));
    prop_assert_eq!(acknowledged, began, "an unack does not start a run");
    if began {
        let delay = change.around.newest.policy.unack_delay;
        let due = later(change.around.now, delay);
        prop_assert!(
            after.next_at.is_none_or(|at| at == by_its_hold(after, due)),
            "an unack pages immediately"
        );
    }
    Ok(())
}
