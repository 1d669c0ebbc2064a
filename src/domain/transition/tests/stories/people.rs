//! The acts of people.

use super::{MINUTE, Story, WARNING, alice, cancels, kinds, thread_entries, two_levels, why};
use crate::domain::incident::{Phase, PhaseName, Rung};
use crate::domain::input::{Act, Effect, Input, Outcome, PersonAction, Urgency, Via};
use crate::domain::policy::Policy;
use crate::domain::timeline::RunReason;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn an_ack_stops_escalation_and_cancels_unsent_messages() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    let decision = story.alice(Act::Acknowledge);
    assert_eq!(decision.outcome, Outcome::Done);
    assert!(cancels(&decision) && decision.effects.contains(&Effect::Refresh(Urgency::AtOnce)));
    assert_eq!(thread_entries(&decision), ["acknowledged"]);
    assert_eq!(story.incident().ackers, [alice()]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, None));
}

#[test]
fn an_ack_works_on_an_unanswered_snoozed_or_suppressed_incident() {
    let mut unanswered = Story::paged(two_levels());
    unanswered.tick();
    unanswered.tick();
    let mut snoozed = Story::paged(two_levels());
    snoozed.bob(Act::Snooze(HOUR));
    let mut suppressed = Story::paged(two_levels());
    suppressed.maintenance(true);
    for mut story in [unanswered, snoozed, suppressed] {
        story.alice(Act::Acknowledge);
        assert_eq!(story.phase(), PhaseName::Acknowledged);
        assert_eq!(story.incident().ackers, [alice()]);
    }
}

#[test]
fn another_ack_is_recorded_and_the_timer_is_unchanged() {
    let mut story = Story::paged(Policy { ack_timeout: Some(HOUR), ..two_levels() });
    story.alice(Act::Acknowledge);
    let due = story.due();
    story.passes(MINUTE);
    let decision = story.bob(Act::Acknowledge);
    assert_eq!((decision.outcome, thread_entries(&decision)), (Outcome::JoinedAck, vec!["joined_ack"]));
    assert_eq!((story.incident().ackers.len(), story.due()), (2, due));
    assert_eq!(story.alice(Act::Acknowledge).outcome, Outcome::AlreadyYours);
}

#[test]
fn a_late_ack_changes_nothing_and_is_recorded() {
    let mut story = Story::paged(two_levels());
    story.clears("a");
    for phase in [PhaseName::Resolved, PhaseName::Closed] {
        assert_eq!(story.phase(), phase);
        let before = story.incident().clone();
        let decision = story.alice(Act::Acknowledge);
        assert_eq!((decision.outcome, kinds(&decision)), (Outcome::TooLate, vec!["late_ack"]));
        assert_eq!(decision.entries[0].version, before.version);
        assert_eq!((decision.effects.len(), story.incident()), (0, &before));
        story.tick_if_armed();
    }
}

#[test]
fn without_an_incident_a_person_is_too_late() {
    let mut story = Story::begins(two_levels());
    let decision = story.alice(Act::Acknowledge);
    assert_eq!((decision.outcome, decision.incident), (Outcome::TooLate, None));
}

#[test]
fn an_unacknowledged_incident_pages_ten_seconds_later() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    let decision = story.alice(Act::Unacknowledge);
    assert_eq!(why(&decision), Some(&RunReason::GivenBack { who: alice() }));
    assert_eq!(thread_entries(&decision), ["run_started"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(10)));
    assert_eq!(story.alice(Act::Unacknowledge).outcome, Outcome::NotAcknowledged);
}

#[test]
fn a_snooze_ends_on_its_own_and_the_incident_is_unacknowledged() {
    let mut story = Story::paged(two_levels());
    let decision = story.alice(Act::Snooze(HOUR));
    assert!(cancels(&decision));
    assert_eq!(thread_entries(&decision), ["snoozed"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Snoozed, Some(3600)));
    let decision = story.tick();
    assert_eq!(why(&decision), Some(&RunReason::SnoozeOver { who: None }));
    assert!(story.incident().ackers.is_empty());
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
}

#[test]
fn a_snooze_is_bounded_and_can_be_ended_by_hand() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Snooze(Duration::MAX));
    assert_eq!(story.due_in(), Some(24 * 3600));
    assert_eq!(why(&story.bob(Act::Unsnooze)).map(|_| story.phase()), Some(PhaseName::Firing));
    assert_eq!(story.bob(Act::Unsnooze).outcome, Outcome::NotSnoozed);
}

#[test]
fn an_escalation_pages_the_next_level_now() {
    let mut story = Story::paged(two_levels());
    let here = story.incident().rung();
    let decision = story.alice(Act::Escalate(here));
    assert_eq!(kinds(&decision), ["escalation_asked", "paged"]);
    assert_eq!(thread_entries(&decision), ["escalation_asked"]);
    assert!(decision.effects.contains(&Effect::Page(Rung { run_no: 1, loop_no: 0, level: 1 })));
    assert_eq!(story.alice(Act::Escalate(here)).outcome, Outcome::StaleRung, "the second click");
    assert_eq!(kinds(&story.alice(Act::Escalate(None))), ["escalation_asked", "unanswered"]);
}

#[test]
fn an_escalation_restarts_a_ladder_that_is_not_running() {
    let mut acknowledged = Story::paged(two_levels());
    acknowledged.bob(Act::Acknowledge);
    let mut snoozed = Story::paged(two_levels());
    snoozed.bob(Act::Snooze(HOUR));
    let mut unanswered = Story::paged(two_levels());
    unanswered.tick();
    unanswered.tick();
    for mut story in [acknowledged, snoozed, unanswered] {
        let decision = story.alice(Act::Escalate(None));
        assert_eq!(why(&decision), Some(&RunReason::EscalationAsked { who: alice() }));
        assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
    }
}

#[test]
fn no_escalation_under_maintenance() {
    let mut story = Story::paged(two_levels());
    story.maintenance(true);
    assert_eq!(story.alice(Act::Escalate(None)).outcome, Outcome::UnderMaintenance);
}

#[test]
fn a_firing_incident_that_a_person_resolves_stays_resolved() {
    let mut story = Story::paged(two_levels());
    let decision = story.input(&Input::Person(PersonAction {
        who: alice(),
        via: Via::Reply,
        act: Act::Resolve,
        comment: Some("known".to_owned()),
        acted_at: story.world.now,
    }));
    assert_eq!(thread_entries(&decision), ["resolved"]);
    assert!(cancels(&decision) && story.is_held());
    assert_eq!(story.bob(Act::Resolve).outcome, Outcome::TooLate);
}

#[test]
fn an_ack_and_a_resolved_report_end_in_resolved_in_either_order() {
    let mut first = Story::paged(two_levels());
    first.alice(Act::Acknowledge);
    first.clears("a");
    let mut second = Story::paged(two_levels());
    second.clears("a");
    second.alice(Act::Acknowledge);
    for story in [first, second] {
        assert!(matches!(story.incident().phase, Phase::Resolved { forced: false, .. }));
    }
}
