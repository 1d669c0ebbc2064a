//! I4, I5, I10, I11, I12, I14, I15, I17: which messages are sent, when, and how often.

use super::super::world::{Message, State, What};
use super::{Change, Held, by_its_hold};
use crate::domain::incident::{Incident, Phase, Rung};
use crate::domain::input::{Act, Effect, Input, PersonAction};
use crate::domain::policy::Policy;
use crate::domain::time::later;
use crate::domain::timeline::Kind;
use jiff::Timestamp;
use proptest::{prop_assert, prop_assert_eq};
use std::collections::BTreeSet;

pub(super) fn hold(change: &Change<'_>) -> Held {
    let Some(after) = change.after() else { return Ok(()) };
    only_ticks_and_escalations_page(change, after)?;
    claims(change, after)?;
    ladder(change, after)?;
    delays(change, after)?;
    timers(change, after)?;
    a_run_keeps_its_policy(change, after)
}

fn wakes(effect: &Effect) -> bool {
    matches!(effect, Effect::Page(_) | Effect::Fallback | Effect::Reminder(_))
}

fn only_ticks_and_escalations_page(change: &Change<'_>, after: &Incident) -> Held {
    if !change.decision.effects.iter().any(wakes) {
        return Ok(());
    }
    let asked = matches!(change.input, Input::Person(PersonAction { act: Act::Escalate(_), .. }));
    let ticks = matches!(change.input, Input::Tick | Input::TickWhileHeld | Input::TickWhileUnpolled);
    prop_assert!(ticks || asked, "I10: a {:?} pages on its own", change.input);
    prop_assert!(!after.firing.is_empty(), "I17: it pages while no alert is firing");
    let climbs = matches!(after.phase, Phase::Firing | Phase::Unanswered { .. });
    prop_assert!(climbs, "I17: it pages while {:?}", after.phase);
    let is_held = after.hold.as_ref().is_some_and(|hold| hold.until > change.around.now);
    prop_assert!(asked || !is_held, "it pages while Alertmanager holds it back");
    let bounded = change.before.is_some_and(|before| {
        before.phase == Phase::Firing && before.run.level.is_some() && !before.escalates()
    });
    prop_assert!(asked || !bounded, "a severity without escalation escalates");
    Ok(())
}

/// I5: every unsent message may be claimed.
fn claims(change: &Change<'_>, after: &Incident) -> Held {
    for message in &change.world.outbox {
        if message.state == State::Unsent {
            let climbs = matches!(after.phase, Phase::Firing | Phase::Unanswered { .. });
            prop_assert!(climbs && message.run_no == after.run.no, "I5: {message:?} could be claimed");
        }
    }
    Ok(())
}

fn of_run(messages: &[Message], run_no: u32) -> impl Iterator<Item = &Message> {
    messages.iter().filter(move |message| message.run_no == run_no)
}

/// I4, I11, I15: the run pages each level once per loop, in order, and then sends one fallback notice.
fn ladder(change: &Change<'_>, after: &Incident) -> Held {
    let policy = change.policy(after);
    let levels = u32::try_from(policy.levels.len()).unwrap_or(u32::MAX);
    let mut places = BTreeSet::new();
    let (mut rungs, mut fallbacks, mut reminders) = (Vec::new(), 0, 0);
    for message in of_run(&change.world.outbox, after.run.no) {
        match message.what {
            What::Page(rung, room) => {
                prop_assert!(places.insert((rung, room)), "I4: {rung:?} was paged twice");
                if room == 0 {
                    rungs.push(rung);
                }
            }
            What::Fallback => fallbacks += 1,
            What::Reminder => reminders += 1,
        }
    }
    prop_assert!(fallbacks <= 1, "I15: {fallbacks} fallback notices");
    prop_assert!(reminders <= policy.max_reminders, "too many reminders");
    prop_assert!(rungs.len() <= (levels * (policy.repeat + 1)) as usize, "I11: too many pages");
    let from = change.world.timeline.iter().rev().find_map(|entry| match entry.kind {
        Kind::RunStarted { from, .. } => Some(from),
        _ => None,
    });
    let skipped = from.flatten().map_or(0, |from| from.loop_no * levels + from.level);
    let expected = |place: usize| {
        let place = u32::try_from(place).unwrap_or(u32::MAX) + skipped;
        Rung { run_no: after.run.no, loop_no: place / levels, level: place % levels }
    };
    for (place, rung) in rungs.iter().enumerate() {
        prop_assert_eq!(*rung, expected(place), "I11: a level is left out");
    }
    prop_assert_eq!(rungs.last().copied(), after.rung(), "the last page is not the rung");
    if matches!(after.phase, Phase::Unanswered { .. }) {
        let pages = levels * (policy.repeat + 1) - skipped;
        prop_assert_eq!(rungs.len(), pages as usize, "I11: too few pages");
        prop_assert_eq!(fallbacks, 1, "I15: unanswered without a fallback notice");
    }
    Ok(())
}

/// I12: consecutive pages of a run are at least the level's delay apart, counted from the first sent page.
fn delays(change: &Change<'_>, after: &Incident) -> Held {
    let policy = change.policy(after);
    let mut last: Option<(Rung, Timestamp)> = None;
    for message in of_run(&change.world.outbox, after.run.no) {
        let What::Page(rung, _) = message.what else { continue };
        if let Some((before, at)) = last.filter(|(before, _)| *before != rung) {
            let sent = first_sent(&change.world.outbox, before).filter(|sent| *sent < message.at);
            let from = sent.unwrap_or(at);
            let in_time = message.at >= later(from, delay(policy, before.level));
            let hurried =
                change.world.asked.contains(&message.at) || undeliverable(&change.world.outbox, before);
            prop_assert!(in_time || hurried, "I12: {rung:?} too soon");
        }
        last = Some((rung, message.at));
    }
    Ok(())
}

fn first_sent(messages: &[Message], rung: Rung) -> Option<Timestamp> {
    let sent = messages.iter().filter_map(|message| match (message.what, message.state) {
        (What::Page(other, _), State::Sent(at)) if other == rung => Some(at),
        _ => None,
    });
    sent.min()
}

fn undeliverable(messages: &[Message], rung: Rung) -> bool {
    let of_rung = |message: &&Message| matches!(message.what, What::Page(other, _) if other == rung);
    messages.iter().filter(of_rung).all(|message| message.state == State::Undeliverable)
}

fn delay(policy: &Policy, level: u32) -> std::time::Duration {
    policy.level(level).map_or(std::time::Duration::ZERO, |level| level.escalate_after)
}

/// The timers of the ladder match the policy of the run to the second (I14).
fn timers(change: &Change<'_>, after: &Incident) -> Held {
    let (policy, now) = (change.policy(after), change.around.now);
    for kind in change.kinds() {
        match kind {
            Kind::Paged { level, .. } => {
                let due = later(now, delay(policy, *level) + policy.send_cap);
                prop_assert_eq!(
                    after.next_at,
                    Some(by_its_hold(after, due)),
                    "I12: it does not wait for the sending"
                );
            }
            Kind::PageSent { level, .. } => {
                let due = later(now, delay(policy, *level));
                prop_assert_eq!(
                    after.next_at,
                    Some(by_its_hold(after, due)),
                    "I12: the sending does not arm the ladder"
                );
            }
            Kind::Undeliverable { .. } => {
                prop_assert_eq!(after.next_at, Some(now), "no room was notified, and the ladder waits");
            }
            Kind::Unanswered | Kind::Reminded { .. } => {
                let due = policy.remind_every.map(|every| later(now, every));
                prop_assert!(
                    after.next_at.is_none() || after.next_at == due || after.hold.is_some(),
                    "I14: the reminder"
                );
            }
            _ => {}
        }
    }
    if let Input::PageSent(rung) = change.input {
        let waits = change.before.is_some_and(|before| {
            before.phase == Phase::Firing && before.rung() == Some(*rung) && !before.run.notified
        });
        prop_assert_eq!(waits, change.before != change.after(), "the first sending, and only it, arms");
    }
    Ok(())
}

fn a_run_keeps_its_policy(change: &Change<'_>, after: &Incident) -> Held {
    match change.same_before().filter(|before| before.run.no == after.run.no) {
        Some(before) => {
            prop_assert_eq!(before.run.policy_version, after.run.policy_version, "I14: another policy");
        }
        None if change.run_began().is_some() => {
            prop_assert_eq!(after.run.policy_version, change.around.newest.version, "I14: an old policy");
        }
        None => {}
    }
    Ok(())
}
