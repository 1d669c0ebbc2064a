//! I10 and the effects of a report: which alerts are firing after it, and what it may change.

use super::{Change, Held};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Input, ReportedAlert};
use crate::domain::policy::OnNewAlert;
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use proptest::{prop_assert, prop_assert_eq};
use std::collections::BTreeSet;

pub(super) fn hold(change: &Change<'_>) -> Held {
    if let (Some(before), Some(after)) = (change.same_before(), change.after()) {
        breaks(change, before, after)?;
    }
    let Input::Report(report) = change.input else { return Ok(()) };
    let none = BTreeSet::new();
    let expected = expected_firing(change.before, report);
    prop_assert_eq!(change.after().map_or(none, firing), expected, "another set of alerts fires");
    let Some(after) = change.after() else { return Ok(()) };
    prop_assert!(after.firing.keys().all(|name| !after.cleared.contains_key(name)), "fires and has cleared");
    a_replay_waits(change, report, after)?;
    let Some(before) = change.same_before() else { return Ok(()) };
    let climbs = before.phase == Phase::Firing && after.phase == Phase::Firing;
    if climbs || before.phase == Phase::Suppressed && after.phase == Phase::Suppressed {
        prop_assert_eq!(&before.run, &after.run, "a report touches the ladder");
        prop_assert_eq!(before.next_at, after.next_at, "a report touches the ladder");
    }
    refires(change, before, after)
}

fn firing(incident: &Incident) -> BTreeSet<String> {
    incident.firing.keys().cloned().collect()
}

/// The alerts that must be firing after a report, computed without the rules: a report of an episode that is older than
/// the last one is ignored, and an alert that the report leaves out does not change. Three alerts are never too many to be
/// remembered.
fn expected_firing(before: Option<&Incident>, report: &[ReportedAlert]) -> BTreeSet<String> {
    let open = before.filter(|before| before.phase != Phase::Closed);
    let mut fires = open.map(firing).unwrap_or_default();
    for alert in report {
        let name = &alert.fingerprint;
        let current = open.and_then(|open| open.firing.get(name)).map(|firing| firing.starts_at);
        let cleared = before.and_then(|before| before.cleared.get(name)).map(|cleared| cleared.starts_at);
        let is_old = current.or(cleared).is_some_and(|starts_at| alert.starts_at < starts_at);
        if is_old {
            continue;
        }
        if alert.firing {
            fires.insert(name.clone());
        } else {
            fires.remove(name);
        }
    }
    fires
}

/// I10: a possible replay pages only after the grace period.
fn a_replay_waits(change: &Change<'_>, report: &[ReportedAlert], after: &Incident) -> Held {
    let grace = change.around.newest.policy.replay_grace;
    let before = change.before;
    let all_replayed = report.iter().all(|alert| {
        let cleared = before.and_then(|before| before.cleared.get(&alert.fingerprint));
        cleared.is_some_and(|cleared| {
            alert.starts_at == cleared.starts_at && change.around.now < later(cleared.at, grace)
        })
    });
    if all_replayed && change.run_began().is_some() {
        let waits = after.next_at.is_none_or(|at| at >= later(change.around.now, grace));
        prop_assert!(waits, "I10: a replay pages");
    }
    Ok(())
}

/// Only a new alert or a higher severity ends an acknowledgement, a snooze or a resolution by hand.
fn breaks(change: &Change<'_>, before: &Incident, after: &Incident) -> Held {
    let alerts_began_it =
        matches!(change.run_began(), Some(RunReason::NewAlert { .. } | RunReason::SeverityRose { .. }));
    // A new run clears `known_at_ack`, so this uses the one from before.
    let unknown = |incident: &Incident| {
        let known = &before.known_at_ack;
        let worse = |(name, rank): (&String, i32)| known.get(name).is_none_or(|known| rank > *known);
        incident.firing.iter().map(|(name, alert)| (name, alert.severity.rank)).any(worse)
    };
    let paused = matches!(before.phase, Phase::Acknowledged { .. } | Phase::Snoozed { .. });
    if paused && alerts_began_it {
        let policy = change.policy(before);
        prop_assert!(unknown(after), "a known alert breaks an acknowledgement");
        prop_assert_eq!(policy.on_new_alert, OnNewAlert::Reopen, "it does not stick");
        let limit = before.reopened_at.map(|at| later(at, policy.reopen_min_interval));
        prop_assert!(limit.is_none_or(|limit| limit <= change.around.now), "reopened too often");
        prop_assert_eq!(after.reopened_at, Some(change.around.now), "the limit is not kept");
    }
    if paused && change.is_report() && !alerts_began_it {
        prop_assert!(
            before.phase.name() == after.phase.name() || matches!(after.phase, Phase::Resolved { .. }),
            "a report ends what a person decided"
        );
    }
    if matches!(before.phase, Phase::Resolved { forced: true, .. }) && after.phase.is_open() {
        prop_assert!(unknown(after), "a forced resolution does not hold");
    }
    if matches!(before.phase, Phase::Resolved { forced: true, .. }) && change.is_report() {
        prop_assert!(!unknown(after) || after.phase.is_open(), "a forced resolution hides an alert");
    }
    Ok(())
}

/// A resolved incident fires again.
fn refires(change: &Change<'_>, before: &Incident, after: &Incident) -> Held {
    let Phase::Resolved { forced: false, kept_ack } = before.phase else { return Ok(()) };
    if after.firing.is_empty() {
        return Ok(());
    }
    prop_assert_eq!(after.flap_count, before.flap_count + 1, "a flap is not counted");
    let known = after
        .firing
        .iter()
        .all(|(name, alert)| before.known_at_ack.get(name).is_some_and(|rank| alert.severity.rank <= *rank));
    let holds = kept_ack.is_some_and(|ack| ack.until.is_none_or(|until| until > change.around.now));
    let kept = change.kinds().any(|kind| *kind == Kind::RefiredAcknowledged);
    prop_assert_eq!(kept, known && holds, "the acknowledgement that was in force");
    prop_assert!(kept || change.run_began() == Some(&RunReason::Refired), "it comes back otherwise");
    Ok(())
}
