//! Faults in telling what is firing: one or more for each way in which reports are old, wrong or incomplete.

use super::{Before, about, and_then};
use crate::domain::incident::{Incident, Phase};
use crate::domain::input::{Decision, Input, PersonAction, Report, ReportedAlert, Surroundings};
use crate::domain::time::{earlier, later};
use crate::domain::transition::decide;
use std::time::Duration;

mutants! {
    a_resolve_with_an_earlier_start_is_ignored
    a_resolve_of_an_episode_before_counts
    a_report_that_changes_nothing_refreshes_nothing
    a_new_start_hides_under_an_ack
    a_new_start_hides_under_a_resolution_by_hand
    an_ack_covers_the_next_outage
    something_worse_joins_and_wakes_nobody
    every_alert_that_joins_pages
    something_worse_starts_from_the_first_level
    a_late_act_covers_what_its_person_never_saw
    a_late_act_counts_for_nothing
    a_report_in_doubt_counts_at_once
    a_report_in_doubt_never_counts
    a_report_in_doubt_is_not_taken_back
    an_alert_that_is_left_out_is_resolved
    an_alert_that_is_left_out_is_not_marked
    an_alert_that_comes_back_stays_marked
}

/// Calls `decide` with a changed report.
fn reported(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
    spoil: impl FnOnce(&mut Report, &Incident),
) -> Decision {
    let (Input::Report(report), Some(incident)) = (input, before) else {
        return decide(before, input, around);
    };
    let mut report = report.clone();
    spoil(&mut report, incident);
    decide(before, &Input::Report(report), around)
}

fn starts_before(alert: &ReportedAlert, incident: &Incident) -> bool {
    incident.firing.get(&alert.fingerprint).is_some_and(|known| alert.starts_at < known.starts_at)
}

fn a_resolve_with_an_earlier_start_is_ignored(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    reported(before, input, around, |report, incident| {
        report.alerts.retain(|alert| alert.firing || !starts_before(alert, incident));
    })
}

fn a_resolve_of_an_episode_before_counts(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    reported(before, input, around, |report, _| {
        report.alerts.iter_mut().for_each(|alert| alert.ends_at = None);
    })
}

fn a_report_that_changes_nothing_refreshes_nothing(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    reported(before, input, around, |report, incident| {
        report.alerts.retain(|alert| !alert.firing || !starts_before(alert, incident));
    })
}

fn with_the_known_start(report: &mut Report, incident: &Incident) {
    for alert in &mut report.alerts {
        let known = incident.firing.get(&alert.fingerprint).map(|known| known.starts_at);
        alert.starts_at = known.unwrap_or(alert.starts_at);
    }
}

fn a_new_start_hides_under_an_ack(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    reported(before, input, around, |report, incident| {
        if matches!(incident.phase, Phase::Acknowledged { .. } | Phase::Snoozed { .. }) {
            with_the_known_start(report, incident);
        }
    })
}

fn a_new_start_hides_under_a_resolution_by_hand(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    reported(before, input, around, |report, incident| {
        if !incident.phase.is_open() {
            with_the_known_start(report, incident);
        }
    })
}

fn an_ack_covers_the_next_outage(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if !matches!(input, Input::Report(_)) {
        return decide(before, input, around);
    }
    about(before, input, around, |it| {
        it.cleared
            .values_mut()
            .for_each(|cleared| cleared.at = cleared.at.max(earlier(around.now, Duration::from_secs(1))));
    })
}

fn something_worse_joins_and_wakes_nobody(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    if !matches!(input, Input::Report(_)) {
        return decide(before, input, around);
    }
    let all = ["info", "warning", "critical"].map(str::to_owned);
    about(before, input, around, |it| it.run.severities = Some(all.into()))
}

fn every_alert_that_joins_pages(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if !matches!(input, Input::Report(_)) {
        return decide(before, input, around);
    }
    about(before, input, around, |it| it.run.severities = Some(["info".to_owned()].into()))
}

fn something_worse_starts_from_the_first_level(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    and_then(decide(before, input, around), |it| it.run.start_level = 0)
}

fn a_late_act_covers_what_its_person_never_saw(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let Input::Person(action) = input else { return decide(before, input, around) };
    decide(before, &Input::Person(PersonAction { acted_at: around.now, ..action.clone() }), around)
}

fn a_late_act_counts_for_nothing(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if let (Input::Person(action), Some(incident)) = (input, before) {
        let opened = incident.opened_at;
        if action.acted_at < around.now && action.acted_at > opened {
            let act = PersonAction { acted_at: opened, ..action.clone() };
            return decide(before, &Input::Person(act), around);
        }
    }
    decide(before, input, around)
}

fn a_report_in_doubt_counts_at_once(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if !matches!(input, Input::Report(_)) {
        return decide(before, input, around);
    }
    about(before, input, around, |it| it.cleared.retain(|_, cleared| cleared.doubt.is_some()))
}

fn a_report_in_doubt_never_counts(before: Before<'_>, input: &Input, around: Surroundings<'_>) -> Decision {
    if *input != Input::Tick {
        return decide(before, input, around);
    }
    about(before, input, around, |it| {
        it.cleared.values_mut().for_each(|cleared| cleared.doubt = None);
    })
}

fn a_report_in_doubt_is_not_taken_back(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let doubts = before.map(|before| before.cleared.clone()).unwrap_or_default();
    and_then(decide(before, input, around), |it| {
        if matches!(it.phase, Phase::Resolved { .. }) && matches!(input, Input::Report(_)) {
            for (name, cleared) in &mut it.cleared {
                cleared.doubt = cleared.doubt.take().or(doubts.get(name).and_then(|old| old.doubt.clone()));
            }
            let doubt = it.cleared.values().find_map(|cleared| cleared.doubt.as_ref());
            let due = doubt.map(|doubt| later(doubt.since, around.of_run.policy.replay_grace));
            it.next_at = due.or(it.next_at);
        }
    })
}

fn an_alert_that_is_left_out_is_resolved(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let Input::Report(report) = input else { return decide(before, input, around) };
    about(before, input, around, |it| {
        let open = it.phase.is_open();
        it.firing.retain(|name, _| !open || !report.left_out.contains(name));
    })
}

fn an_alert_that_is_left_out_is_not_marked(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    reported(before, input, around, |report, _| report.left_out.clear())
}

fn an_alert_that_comes_back_stays_marked(
    before: Before<'_>,
    input: &Input,
    around: Surroundings<'_>,
) -> Decision {
    let Some(incident) = before else { return decide(before, input, around) };
    and_then(decide(before, input, around), |it| {
        for (name, alert) in &mut it.firing {
            let before = incident.firing.get(name).and_then(|known| known.left_out_since);
            alert.left_out_since = alert.left_out_since.or(before);
        }
    })
}
