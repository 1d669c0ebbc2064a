//! I10 and the effects of a report: which alerts are firing after it, and what it may change.

use super::{Change, Held};
use crate::domain::incident::{Cleared, Firing, Incident, Phase};
use crate::domain::input::{Evidence, Input, Report};
use crate::domain::policy::{OnNewAlert, Severity};
use crate::domain::time::later;
use crate::domain::timeline::{Kind, RunReason};
use proptest::{prop_assert, prop_assert_eq};
use std::cmp::Ordering;
use std::collections::BTreeSet;

pub(super) fn hold(change: &Change<'_>) -> Held {
    if let (Some(before), Some(after)) = (change.same_before(), change.after()) {
        breaks(change, before, after)?;
    }
    if *change.input == Input::Tick {
        a_wait_ends(change)?;
    }
    let Input::Report(report) = change.input else { return Ok(()) };
    let none = BTreeSet::new();
    let expected = expected_firing(change, report);
    prop_assert_eq!(change.after().map_or(none, firing), expected, "another set of alerts fires");
    let Some(after) = change.after() else { return Ok(()) };
    prop_assert!(after.firing.keys().all(|name| !after.cleared.contains_key(name)), "fires and has cleared");
    for alert in &report.alerts {
        let seen = after.firing.get(&alert.fingerprint).is_none_or(|it| it.last_seen == change.around.now);
        prop_assert!(seen, "a report on an alert does not refresh it");
    }
    for (name, alert) in &after.firing {
        let left_out = report.left_out.contains(name);
        let reported = report.alerts.iter().any(|alert| alert.firing && alert.fingerprint == *name);
        prop_assert!(!left_out || alert.left_out_since.is_some(), "an alert that is left out is not marked");
        prop_assert!(!reported || alert.left_out_since.is_none(), "a reported alert is marked as left out");
    }
    a_replay_waits(change, report, after)?;
    let Some(before) = change.same_before() else { return Ok(()) };
    if before.phase == Phase::Firing && after.phase.is_open() && before.hold.is_none() {
        the_ladder_goes_on(change, before, after)?;
    }
    if before.phase == Phase::Suppressed && after.phase == Phase::Suppressed {
        prop_assert_eq!(&before.run, &after.run, "a report touches the ladder");
        prop_assert_eq!(before.next_at, after.next_at, "a report touches the ladder");
    }
    refires(change, before, after)
}

fn firing(incident: &Incident) -> BTreeSet<String> {
    incident.firing.keys().cloned().collect()
}

/// The alerts whose start is later than known, and that did not resolve before.
fn renewed(before: &Incident, after: &Incident) -> bool {
    let is_renewed = |(name, alert): (&String, &Firing)| {
        before.firing.get(name).is_some_and(|old| alert.starts_at > old.starts_at)
    };
    after.firing.iter().any(is_renewed)
}

/// The ladder of a firing incident goes on, unless its pages have not named its worst severity, or another outage starts
/// after its last page. It never goes back to a lower level.
fn the_ladder_goes_on(change: &Change<'_>, before: &Incident, after: &Incident) -> Held {
    let Some(level) = before.run.level else {
        prop_assert_eq!(&before.run, &after.run, "a report touches the ladder");
        prop_assert!(after.next_at <= before.next_at, "a report delays the first page");
        return Ok(());
    };
    let newest = change.around.newest.policy;
    let shown: Vec<_> = change.paged.iter().map(|name| newest.severity_by_name(name)).collect();
    let (shown, now) = (loudness(shown.iter()), loudness(after.firing.values().map(|it| &it.severity)));
    let louder = now.0 > shown.0 || now.1 && !shown.1 || now.2 && !shown.2;
    if louder || (renewed(before, after) && !before.escalates()) {
        prop_assert!(change.run_began().is_some(), "something worse joins, and wakes nobody");
        let last = u32::try_from(newest.levels.len()).unwrap_or(u32::MAX) - 1;
        prop_assert_eq!(after.run.start_level, level.min(last), "the ladder goes back");
        prop_assert_eq!(after.run.loop_no, before.run.loop_no.min(newest.repeat), "the ladder goes back");
    } else {
        prop_assert_eq!(&before.run, &after.run, "a report touches the ladder");
        prop_assert_eq!(before.next_at, after.next_at, "a report touches the ladder");
    }
    Ok(())
}

/// The highest rank, whether any severity escalates, and whether a severity of that rank mentions anybody.
fn loudness<'a>(severities: impl Iterator<Item = &'a Severity>) -> (Option<i32>, bool, bool) {
    let severities: Vec<_> = severities.collect();
    let highest = severities.iter().map(|severity| severity.rank).max();
    (highest, severities.iter().any(|severity| severity.escalate), highest.is_some_and(|rank| rank > 0))
}

/// The alerts that must be firing after a report, computed without the rules: an alert that resolved just before, with
/// the same or a later start, is not firing because of an old report; a report does not resolve an episode that started
/// after the end it speaks of; and an alert that it leaves out does not change.
fn expected_firing(change: &Change<'_>, report: &Report) -> BTreeSet<String> {
    let (now, policy) = (change.around.now, change.around.of_run.policy);
    let open = change.same_before();
    let can_wait = open.is_some_and(|open| matches!(open.phase, Phase::Resolved { forced: false, .. }));
    let mut fires = open.map(firing).unwrap_or_default();
    let cleared = |name: &String| change.before.and_then(|before| before.cleared.get(name));
    let mut waits: BTreeSet<String> = open
        .iter()
        .flat_map(|open| &open.cleared)
        .filter(|(_, cleared)| cleared.doubt.is_some())
        .map(|(name, _)| name.clone())
        .collect();
    for alert in &report.alerts {
        let name = &alert.fingerprint;
        if alert.firing && !fires.contains(name) {
            let is_recent = |it: &&Cleared| {
                alert.evidence != Evidence::Listed
                    && (it.doubt.is_some() || now < later(it.at, policy.replay_grace))
            };
            match cleared(name).filter(is_recent).map(|cleared| alert.starts_at.cmp(&cleared.starts_at)) {
                Some(Ordering::Less) => {}
                Some(Ordering::Equal) if can_wait => {
                    waits.insert(name.clone());
                }
                Some(_) | None => {
                    waits.remove(name);
                    fires.insert(name.clone());
                }
            }
        } else if !alert.firing {
            waits.remove(name);
            let start = open.and_then(|open| open.firing.get(name)).map(|firing| firing.starts_at);
            let earlier_one = |start| alert.starts_at < start && alert.ends_at.is_some_and(|end| end < start);
            if !start.is_some_and(earlier_one) {
                fires.remove(name);
            }
        }
    }
    if !fires.is_empty() {
        fires.append(&mut waits);
    }
    fires
}

/// A report in doubt that nothing took back counts: all alerts that wait are firing.
fn a_wait_ends(change: &Change<'_>) -> Held {
    let Some(before) = change.same_before().filter(|before| before.next_at <= Some(change.around.now)) else {
        return Ok(());
    };
    let doubted = |(_, cleared): &(&String, &Cleared)| cleared.doubt.is_some();
    let names: BTreeSet<_> = before.cleared.iter().filter(doubted).map(|(name, _)| name.clone()).collect();
    let fires = change.after().map(firing).unwrap_or_default();
    let waits = before.cleared.values().filter_map(|cleared| cleared.doubt.as_ref());
    let grace = change.policy(before).replay_grace;
    let first = waits.map(|doubt| later(doubt.since, grace)).min();
    if first.is_some_and(|at| at <= change.around.now) {
        prop_assert!(names.is_subset(&fires), "a report in doubt never counts");
    }
    Ok(())
}

/// I10: a possible replay pages only after the grace period.
fn a_replay_waits(change: &Change<'_>, report: &Report, after: &Incident) -> Held {
    let grace = change.around.newest.policy.replay_grace;
    let before = change.before;
    let all_replayed = report.alerts.iter().all(|alert| {
        let cleared = before.and_then(|before| before.cleared.get(&alert.fingerprint));
        alert.evidence != Evidence::Listed
            && cleared.is_some_and(|cleared| {
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
    let alerts_began_it = matches!(
        change.run_began(),
        Some(RunReason::NewAlert { .. } | RunReason::Renewed { .. } | RunReason::SeverityRose { .. })
    );
    let by_person = change.is_persons();
    // A new run clears `known_at_ack`, so this uses the alerts from before.
    let unknown = |incident: &Incident| {
        let known = &change.known;
        let worse = |(name, rank): (&String, i32)| known.get(name).is_none_or(|known| rank > *known);
        incident.firing.iter().map(|(name, alert)| (name, alert.severity.rank)).any(worse)
    };
    let paused = matches!(before.phase, Phase::Acknowledged { .. } | Phase::Snoozed { .. });
    if paused && alerts_began_it && !by_person {
        let policy = change.policy(before);
        prop_assert!(unknown(after), "a known alert breaks an acknowledgement");
        prop_assert_eq!(policy.on_new_alert, OnNewAlert::Reopen, "it does not stick");
        let limit = before.reopened_at.map(|at| later(at, policy.reopen_min_interval));
        prop_assert!(limit.is_none_or(|limit| limit <= change.around.now), "reopened too often");
        prop_assert_eq!(after.reopened_at, Some(change.around.now), "the limit is not kept");
    }
    let is_released = matches!(change.run_began(), Some(RunReason::Released { .. }));
    if paused && change.is_report() && !alerts_began_it && !is_released {
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
        .all(|(name, alert)| change.known.get(name).is_some_and(|rank| alert.severity.rank <= *rank));
    let holds = kept_ack.is_some_and(|ack| ack.until.is_none_or(|until| until > change.around.now));
    let kept = change.kinds().any(|kind| *kind == Kind::RefiredAcknowledged);
    prop_assert_eq!(kept, known && holds, "the acknowledgement that was in force");
    prop_assert!(kept || change.run_began() == Some(&RunReason::Refired), "it comes back otherwise");
    Ok(())
}
