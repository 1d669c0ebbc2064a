//! Timers, staleness, maintenance and reloads.

use super::{MINUTE, Story, WARNING, alice, cancels, kinds, thread_entries, two_levels, why};
use crate::domain::incident::{Phase, PhaseName};
use crate::domain::input::{Act, Effect, Input, Outcome};
use crate::domain::policy::Policy;
use crate::domain::timeline::RunReason;
use std::time::Duration;

fn acks_last(minutes: u64) -> Policy {
    Policy { ack_timeout: Some(Duration::from_mins(minutes)), ..two_levels() }
}

#[test]
fn an_ack_with_a_timeout_has_a_reminder_and_then_ends() {
    let mut story = Story::paged(acks_last(60));
    story.alice(Act::Acknowledge);
    assert_eq!(story.due_in(), Some(50 * 60));
    let decision = story.tick();
    assert_eq!(
        (kinds(&decision), &decision.effects[..]),
        (vec!["ack_ends_soon"], &[Effect::AckReminder][..])
    );
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, Some(10 * 60)));
    let decision = story.tick();
    assert_eq!(why(&decision), Some(&RunReason::AckExpired { ackers: vec![alice()] }));
    assert_eq!(thread_entries(&decision), ["run_started"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
}

#[test]
fn an_ack_that_is_shorter_than_its_reminder_just_ends() {
    let mut story = Story::paged(acks_last(5));
    story.alice(Act::Acknowledge);
    assert_eq!(story.due_in(), Some(5 * 60));
    assert!(why(&story.tick()).is_some());
}

#[test]
fn after_the_end_of_an_ack_there_is_no_reminder() {
    let mut story = Story::paged(acks_last(60));
    story.alice(Act::Acknowledge);
    story.passes(2 * 3600);
    assert_eq!(kinds(&story.input(&Input::Tick)), ["run_started"]);
}

#[test]
fn a_restored_ack_keeps_its_end() {
    let mut story = Story::paged(acks_last(60));
    story.alice(Act::Acknowledge);
    story.passes(10 * MINUTE);
    story.clears("a");
    story.passes(2 * MINUTE);
    story.fires("a", WARNING);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, Some(38 * 60)));
}

#[test]
fn a_resolved_incident_closes_after_the_reopen_window() {
    let mut story = Story::paged(two_levels());
    story.clears("a");
    assert_eq!(kinds(&story.tick()), ["closed"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Closed, None));
    assert_eq!(story.input(&Input::Tick).outcome, Outcome::Nothing);
}

#[test]
fn an_incident_without_updates_is_resolved_as_stale() {
    let mut story = Story::paged(two_levels());
    story.passes(3600);
    story.fires("a", WARNING);
    let stale_after = two_levels().stale_after.unwrap();
    assert_eq!(
        story.incident().stale_at(stale_after).map(|at| at.duration_since(story.world.now).as_hours()),
        Some(8)
    );
    let decision = story.input(&Input::Stale);
    assert_eq!(thread_entries(&decision), ["resolved"]);
    assert!(cancels(&decision));
    assert!(matches!(story.incident().phase, Phase::Resolved { forced: false, kept_ack: None }));
}

#[test]
fn a_stale_incident_that_a_person_resolved_can_close() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Resolve);
    assert_eq!(kinds(&story.input(&Input::Stale)), ["hold_ended"]);
    assert_eq!(kinds(&story.tick()), ["closed"]);
}

#[test]
fn an_incident_that_can_be_read_again_ends_only_if_another_one_has_its_alerts() {
    let mut story = Story::paged(two_levels());
    let before = story.incident().clone();
    assert_eq!(kinds(&story.input(&Input::ReadableAgain { replaced_by: None })), [""; 0]);
    assert_eq!(*story.incident(), before);
    let decision = story.input(&Input::ReadableAgain { replaced_by: Some(2) });
    assert_eq!(thread_entries(&decision), ["resolved"]);
    assert!(cancels(&decision));
    assert!(matches!(story.incident().phase, Phase::Resolved { forced: false, kept_ack: None }));
}

#[test]
fn maintenance_suppresses_an_unacknowledged_incident() {
    let mut unanswered = Story::paged(two_levels());
    unanswered.tick();
    unanswered.tick();
    for mut story in [Story::paged(two_levels()), unanswered] {
        let decision = story.maintenance(true);
        assert!(cancels(&decision));
        assert_eq!(thread_entries(&decision), ["suppressed"]);
        assert_eq!((story.phase(), story.due_in()), (PhaseName::Suppressed, None));
        assert_eq!(why(&story.maintenance(false)), Some(&RunReason::MaintenanceOver));
        assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
    }
}

#[test]
fn maintenance_does_not_change_an_acknowledged_or_snoozed_incident() {
    for act in [Act::Acknowledge, Act::Snooze(Duration::from_hours(1))] {
        let mut story = Story::paged(two_levels());
        story.alice(act);
        let before = story.incident().clone();
        story.maintenance(true);
        story.maintenance(false);
        assert_eq!(*story.incident(), before);
    }
}

#[test]
fn an_incident_that_opens_under_maintenance_is_suppressed() {
    let mut story = Story::begins(two_levels());
    story.maintenance(true);
    story.fires("a", WARNING);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Suppressed, None));
    assert_eq!(kinds(&story.fires("b", WARNING)), ["alerts_changed"]);
    story.clears("a");
    story.clears("b");
    assert_eq!(story.phase(), PhaseName::Resolved);
}

#[test]
fn a_run_keeps_the_policy_it_started_with() {
    let mut slow = two_levels();
    slow.levels[0].escalate_after = Duration::from_hours(5);
    let mut story = Story::begins_with(vec![two_levels(), slow]);
    story.fires("a", WARNING);
    story.world.reload(1);
    story.tick();
    story.sent();
    assert_eq!((story.due_in(), story.incident().run.policy_version), (Some(15 * 60), 0));
    story.alice(Act::Acknowledge);
    story.alice(Act::Unacknowledge);
    story.tick();
    story.sent();
    assert_eq!((story.due_in(), story.incident().run.policy_version), (Some(5 * 3600), 1));
}
