//! Messages about one incident, in each of its states.

use super::*;
use crate::domain::incident::{Cleared, Phase, Rung};
use crate::domain::policy::Severity;
use crate::domain::timeline::ResolveReason;
use crate::render::page::{PageReason, edit, page};
use crate::render::thread;
use insta::assert_snapshot;
use ruma::event_id;
use std::time::Duration;

const FIRST: Rung = Rung { run_no: 1, loop_no: 0, level: 0 };
const SECOND: Rung = Rung { run_no: 1, loop_no: 0, level: 1 };

pub(super) fn paged(minutes_ago: i64, level: u32) -> Entry {
    entry(minutes_ago, Kind::Paged { loop_no: 0, level })
}

pub(super) fn page_sent(minutes_ago: i64, level: u32) -> Entry {
    entry(minutes_ago, Kind::PageSent { loop_no: 0, level })
}

fn edited(view: &IncidentView, story: &[Entry]) -> String {
    let policy = sample::policy();
    snapshot_of(&edit(event_id!("$root:example.org"), view, story, &context(&policy)))
}

fn resolved(view: &mut IncidentView, forced: bool) {
    view.incident.phase = Phase::Resolved { forced, kept_ack: None };
    view.resolved_at = Some(now());
    if !forced {
        for alert in &mut view.alerts {
            alert.firing = false;
            alert.cleared_at = Some(now());
        }
        view.incident.firing.clear();
    }
}

#[test]
fn a_first_page_of_several_alerts() {
    let policy = sample::policy();
    assert_snapshot!(snapshot_of(&page(&view(), &[fired(0), paged(0, 0)], FIRST, &context(&policy))));
}

#[test]
fn a_first_page_of_one_alert() {
    let policy = sample::policy();
    assert_snapshot!(snapshot_of(&page(&single(), &[fired(0), paged(0, 0)], FIRST, &context(&policy))));
}

#[test]
fn a_page_of_alerts_with_several_names_lists_each_name() {
    let policy = sample::policy();
    let mut view = view();
    let mut third = view.alerts[1].clone();
    third.fingerprint = "0000000000000003".to_owned();
    view.alerts.push(third);
    view.group_labels.remove("alertname");
    view.common_labels.remove("alertname");
    for (alert, name) in view.alerts.iter_mut().zip(["DiskFull", "HighLoad", "OutOfMemory"]) {
        alert.labels.insert("alertname".to_owned(), name.to_owned());
    }
    assert_snapshot!(snapshot_of(&page(&view, &[fired(0), paged(0, 0)], FIRST, &context(&policy))));
}

#[test]
fn a_long_description_is_cut_at_a_line() {
    let policy = sample::policy();
    let mut view = single();
    let lines: Vec<String> = (1..=40).map(|n| format!("line {n}")).collect();
    view.alerts[0].annotations.insert("description".to_owned(), lines.join("\n"));
    let page = page(&view, &[fired(0), paged(0, 0)], FIRST, &context(&policy));
    assert!(page.text.plain().contains("line 12\n… (28 more lines)\n"), "{}", page.text.plain());
}

#[test]
fn a_page_of_alerts_that_say_almost_nothing() {
    let policy = sample::policy();
    let mut view = view();
    view.group_labels.clear();
    view.common_labels.clear();
    view.external_url = None;
    view.truncated = 3;
    for alert in &mut view.alerts {
        alert.labels.clear();
        alert.annotations.clear();
        alert.generator_url = None;
        alert.severity = Severity { name: None, rank: 0, escalate: true };
    }
    view.alerts[0].defect = Some("its name was missing".to_owned());
    assert_snapshot!(snapshot_of(&page(&view, &[fired(0), paged(0, 0)], FIRST, &context(&policy))));
}

#[test]
fn an_escalation_says_that_nobody_acknowledged() {
    let policy = sample::policy();
    let story = [fired(16), paged(16, 0), page_sent(15, 0), paged(0, 1)];
    assert_snapshot!(snapshot_of(&page(&single(), &story, SECOND, &context(&policy))));
}

#[test]
fn a_page_that_comes_late_says_so_and_what_has_become_of_it() {
    let policy = sample::policy();
    let late = |view: &IncidentView, story: &[Entry]| {
        let message = page(view, story, FIRST, &context(&policy));
        message.text.plain().split("\n\n").take(2).collect::<Vec<_>>().join("\n\n")
    };
    let mut view = single();
    let mut story = vec![fired(20), paged(20, 0)];
    let still_firing = late(&view, &story);
    view.incident.run.level = Some(1);
    story.extend([entry(20, Kind::Undeliverable { loop_no: 0, level: 0 }), paged(20, 1), page_sent(20, 1)]);
    let escalated = late(&view, &story);
    view.incident.phase = Phase::Unanswered { reminders: 0 };
    story.push(entry(5, Kind::Unanswered));
    let unanswered = late(&view, &story);
    assert_snapshot!([still_firing, escalated, unanswered].join("\n---\n"));
}

#[test]
fn a_page_notifies_the_mentions_of_its_severity() {
    let mut policy = sample::policy();
    let story = [fired(5), paged(5, 0)];
    let mut view = single();
    view.alerts[0].severity.name = Some("info".to_owned());
    let message = page(&view, &story, FIRST, &context(&policy));
    assert!(message.mentions.user_ids.is_empty() && !message.mentions.room, "info notifies nobody");
    policy.severities.clear();
    let message = page(&view, &story, FIRST, &context(&policy));
    assert_eq!(message.mentions.user_ids.into_iter().collect::<Vec<_>>(), [alice()]);
}

#[test]
fn the_reason_of_a_page_is_derived_from_the_timeline() {
    let first_loop = |level| Rung { run_no: 1, loop_no: 0, level };
    let story = [fired(30), paged(30, 0), page_sent(29, 0), paged(14, 1)];
    assert_eq!(PageReason::of(&story, first_loop(0)), PageReason::RunBegan(RunReason::Fired));
    let waited = Some(Duration::from_mins(15));
    assert_eq!(PageReason::of(&story, first_loop(1)), PageReason::NotAcknowledged { waited });

    let story =
        [fired(30), paged(30, 0), entry(20, Kind::Undeliverable { loop_no: 0, level: 0 }), paged(20, 1)];
    assert_eq!(PageReason::of(&story, first_loop(1)), PageReason::Unreachable { level: 0 });

    let asked = entry(20, Kind::EscalationAsked { who: bob(), via: Via::Command });
    let story = [fired(30), paged(30, 0), page_sent(29, 0), asked, paged(20, 1)];
    assert_eq!(PageReason::of(&story, first_loop(1)), PageReason::Asked { who: bob() });

    let story = [
        fired(60),
        paged(60, 0),
        page_sent(59, 0),
        started(3, RunReason::GivenBack { who: bob() }),
        paged(2, 0),
    ];
    assert_eq!(
        PageReason::of(&story, first_loop(0)),
        PageReason::RunBegan(RunReason::GivenBack { who: bob() })
    );

    let story = [fired(60), paged(60, 0), paged(50, 1)];
    assert_eq!(PageReason::of(&story, first_loop(1)), PageReason::NotAcknowledged { waited: None });
    assert_eq!(PageReason::of(&[], first_loop(0)), PageReason::RunBegan(RunReason::Fired));
}

#[test]
fn every_reason_of_a_run_is_said_on_its_page() {
    let policy = sample::policy();
    let second = || vec!["0000000000000002".to_owned()];
    let reasons = [
        RunReason::Refired,
        RunReason::NewAlert { joined: second() },
        RunReason::NewAlert { joined: ["0000000000000001".to_owned()].into_iter().chain(second()).collect() },
        RunReason::SeverityRose { fingerprints: second() },
        RunReason::GivenBack { who: alice() },
        RunReason::AckExpired { ackers: vec![alice(), bob()] },
        RunReason::SnoozeOver { who: Some(alice()) },
        RunReason::SnoozeOver { who: None },
        RunReason::EscalationAsked { who: bob() },
        RunReason::MaintenanceOver,
    ];
    let lines: Vec<_> = reasons
        .into_iter()
        .map(|why| {
            let message = page(&view(), &[started(1, why), paged(1, 0)], FIRST, &context(&policy));
            message.text.plain().split("\n\n").nth(1).unwrap().to_owned()
        })
        .collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_page_of_the_second_round_names_the_round() {
    let policy = sample::policy();
    let rung = Rung { run_no: 1, loop_no: 1, level: 0 };
    let again = entry(0, Kind::Paged { loop_no: 1, level: 0 });
    let story = [fired(50), paged(50, 0), page_sent(50, 0), paged(30, 1), page_sent(30, 1), again];
    let message = page(&view(), &story, rung, &context(&policy));
    let reason = message.text.plain().split("\n\n").nth(1).unwrap().to_owned();
    assert_eq!(reason, "Nobody acknowledged within 30 min. Now paging level 1 of 2, round 2.");
}

#[test]
fn an_edit_shows_that_somebody_took_it() {
    let mut view = view();
    view.incident.phase = Phase::Acknowledged { until: None, reminded: false };
    view.incident.ackers = vec![alice(), bob()];
    assert_snapshot!(edited(&view, &[fired(5), acknowledged(2, Some("looking"))]));
}

#[test]
fn an_edit_shows_an_acknowledgement_that_ends() {
    let mut view = single();
    view.incident.phase = Phase::Acknowledged { until: Some(minutes_ahead(60)), reminded: false };
    view.incident.ackers = vec![alice()];
    let edited = edited(&view, &[fired(5), acknowledged(2, None)]);
    assert!(
        edited.contains("Acknowledged by @alice:example.org at 03:05 UTC. It pages again at 04:07 UTC"),
        "{edited}"
    );
}

#[test]
fn an_edit_shows_a_snooze() {
    let mut view = single();
    view.incident.phase = Phase::Snoozed { until: minutes_ahead(120) };
    let snoozed =
        entry(1, Kind::Snoozed { who: alice(), via: Via::Command, until: minutes_ahead(120), comment: None });
    assert_snapshot!(edited(&view, &[fired(5), snoozed]));
}

#[test]
fn an_edit_shows_that_nobody_answered() {
    let mut view = single();
    view.incident.phase = Phase::Unanswered { reminders: 0 };
    view.incident.run.level = Some(1);
    assert_snapshot!(edited(&view, &[fired(45), entry(0, Kind::Unanswered)]));
}

#[test]
fn an_edit_shows_maintenance() {
    let mut view = single();
    view.incident.phase = Phase::Suppressed;
    assert_snapshot!(edited(&view, &[fired(5), entry(0, Kind::Suppressed)]));
}

#[test]
fn an_edit_shows_that_it_resolved_and_after_how_long() {
    let mut view = view();
    resolved(&mut view, false);
    let resolved_entry =
        Kind::Resolved { why: ResolveReason::Cleared, lasted: Duration::from_mins(12), since: None };
    assert_snapshot!(edited(&view, &[fired(12), acknowledged(2, None), entry(0, resolved_entry)]));
}

#[test]
fn what_has_resolved_counts_from_the_start_of_its_alerts_even_if_it_was_reported_later() {
    let mut view = single();
    resolved(&mut view, false);
    view.incident.opened_at = minutes_ago(12);
    let fingerprint = view.alerts[0].fingerprint.clone();
    let cleared = Cleared { starts_at: minutes_ago(67), at: now(), doubt: None };
    view.incident.cleared.insert(fingerprint, cleared);
    let resolved_entry =
        Kind::Resolved { why: ResolveReason::Cleared, lasted: Duration::from_mins(12), since: None };
    let entry = entry(0, resolved_entry);
    let text = edited(&view, &[fired(12), entry.clone()]);
    assert!(text.contains("Resolved after 1 h 7 min, at 03:07 UTC."), "{text}");
    assert!(text.contains("started at 02:00 UTC"), "{text}");
    let policy = sample::policy();
    let notice = thread::notice(event_id!("$root:example.org"), &view, &entry, &context(&policy)).unwrap();
    assert!(notice.text.plain().contains("Resolved after 1 h 7 min."), "{}", notice.text.plain());
}

#[test]
fn an_edit_shows_who_resolved_it_by_hand_while_it_still_fires() {
    let mut view = single();
    resolved(&mut view, true);
    let why =
        ResolveReason::ByHand { who: bob(), via: Via::Command, comment: Some("known, ticket 7".to_owned()) };
    let resolved_entry = Kind::Resolved { why, lasted: Duration::from_mins(12), since: None };
    assert_snapshot!(edited(&view, &[fired(12), entry(0, resolved_entry)]));
}

#[test]
fn an_edit_shows_that_alertmanager_fell_silent() {
    let mut view = single();
    resolved(&mut view, false);
    let resolved_entry =
        Kind::Resolved { why: ResolveReason::Stale, lasted: Duration::from_hours(8), since: None };
    assert_snapshot!(edited(&view, &[fired(480), entry(0, resolved_entry)]));
}

#[test]
fn an_edit_shows_that_it_fires_again_and_was_escalated() {
    let mut view = single();
    view.incident.flap_count = 1;
    view.incident.run.level = Some(1);
    let resolved_entry =
        Kind::Resolved { why: ResolveReason::Cleared, lasted: Duration::from_mins(12), since: None };
    let story =
        [fired(40), entry(28, resolved_entry), started(20, RunReason::Refired), paged(20, 0), paged(1, 1)];
    assert_snapshot!(edited(&view, &story));
}

#[test]
fn an_edit_shows_which_alerts_have_cleared() {
    let mut view = view();
    view.alerts[1].firing = false;
    view.alerts[1].cleared_at = Some(minutes_ago(1));
    assert_snapshot!(edited(&view, &[fired(5)]));
}
