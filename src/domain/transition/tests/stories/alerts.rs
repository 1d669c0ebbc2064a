//! Reports of Alertmanager.

use super::{CRITICAL, INFO, MINUTE, Story, WARNING, cancels, kinds, thread_entries, two_levels, why};
use crate::domain::incident::PhaseName;
use crate::domain::input::{Act, Effect, Outcome, Urgency};
use crate::domain::policy::{OnNewAlert, Policy};
use crate::domain::timeline::RunReason;

#[test]
fn a_firing_alert_opens_an_incident_and_pages_immediately() {
    let mut story = Story::begins(two_levels());
    let decision = story.fires("a", WARNING);
    assert_eq!(decision.outcome, Outcome::Done);
    assert_eq!(why(&decision), Some(&RunReason::Fired));
    assert_eq!(decision.effects, [], "no room has a post of it yet");
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
    assert_eq!((story.incident().version, story.incident().run.no), (1, 1));
}

#[test]
fn an_initial_delay_delays_the_first_page() {
    let mut story =
        Story::begins(Policy { initial_delay: std::time::Duration::from_secs(90), ..two_levels() });
    story.fires("a", WARNING);
    assert_eq!(story.due_in(), Some(90));
}

#[test]
fn a_resolved_report_without_an_incident_is_an_orphan() {
    let mut story = Story::begins(two_levels());
    let decision = story.clears("a");
    assert_eq!((decision.outcome, decision.incident), (Outcome::OrphanClear, None));
}

#[test]
fn an_alert_that_joins_or_resolves_edits_the_post_and_does_not_change_the_ladder() {
    let mut story = Story::paged(two_levels());
    let due = story.due();
    story.passes(MINUTE);
    let joined = story.fires("b", WARNING);
    assert_eq!(kinds(&joined), ["alerts_changed"]);
    assert_eq!(joined.effects, [Effect::Refresh(Urgency::Soon)]);
    assert_eq!(kinds(&story.clears("a")), ["alerts_changed"]);
    assert_eq!(kinds(&story.fires("b", INFO)), ["alerts_changed"], "a lower severity");
    assert_eq!((story.phase(), story.due()), (PhaseName::Firing, due));
}

#[test]
fn a_repeated_report_only_updates_last_seen() {
    let mut story = Story::paged(two_levels());
    let version = story.incident().version;
    story.passes(MINUTE);
    let decision = story.fires("a", WARNING);
    assert_eq!(decision.outcome, Outcome::Repeated);
    assert_eq!((decision.entries.len(), decision.effects.len()), (0, 0));
    assert_eq!(story.incident().version, version);
    assert_eq!(story.incident().firing["a"].last_seen, story.world.now);
}

#[test]
fn a_new_alert_ends_an_ack_and_a_known_one_does_not() {
    let mut story = Story::paged(two_levels());
    story.fires("b", WARNING);
    story.alice(Act::Acknowledge);
    story.clears("b");
    story.passes(MINUTE);
    story.fires("b", WARNING);
    assert_eq!(story.phase(), PhaseName::Acknowledged, "b was firing when Alice acknowledged");
    let decision = story.fires("c", INFO);
    assert_eq!(why(&decision), Some(&RunReason::NewAlert { joined: vec!["c".to_owned()] }));
    assert_eq!(thread_entries(&decision), ["run_started"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
    assert!(story.incident().ackers.is_empty());
}

#[test]
fn a_higher_severity_ends_an_ack_or_snooze_and_a_lower_one_does_not() {
    for act in [Act::Acknowledge, Act::Snooze(std::time::Duration::from_hours(1))] {
        let mut story = Story::paged(two_levels());
        story.alice(act);
        let phase = story.phase();
        story.fires("a", INFO);
        story.fires("a", WARNING);
        assert_eq!(story.phase(), phase);
        let decision = story.fires("a", CRITICAL);
        assert_eq!(why(&decision), Some(&RunReason::SeverityRose { fingerprints: vec!["a".to_owned()] }));
    }
}

#[test]
fn a_sticky_ack_outlasts_new_alerts() {
    let mut story = Story::paged(Policy { on_new_alert: OnNewAlert::Sticky, ..two_levels() });
    story.alice(Act::Acknowledge);
    assert_eq!(kinds(&story.fires("b", CRITICAL)), ["alerts_changed"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, None));
}

#[test]
fn new_alerts_end_an_ack_once_in_five_minutes_and_earlier_ones_wait() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    story.fires("b", WARNING);
    story.tick();
    story.passes(MINUTE);
    story.alice(Act::Acknowledge);
    assert_eq!(kinds(&story.fires("c", WARNING)), ["alerts_changed"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, Some(240)));
    let decision = story.tick();
    assert_eq!(why(&decision), Some(&RunReason::NewAlert { joined: vec!["c".to_owned()] }));
}

#[test]
fn a_waiting_alert_that_resolves_does_not_end_the_ack() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    story.fires("b", WARNING);
    story.alice(Act::Acknowledge);
    story.fires("c", WARNING);
    story.clears("c");
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, None));
}

#[test]
fn every_new_alert_restarts_the_ladder_of_an_unanswered_incident() {
    let mut story = Story::paged(two_levels());
    for name in ["b", "c"] {
        while story.phase() != PhaseName::Unanswered {
            story.tick();
        }
        assert_eq!(
            why(&story.fires(name, WARNING)),
            Some(&RunReason::NewAlert { joined: vec![name.to_owned()] })
        );
    }
}

#[test]
fn when_all_alerts_resolve_the_incident_resolves_and_unsent_pages_are_cancelled() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    story.passes(MINUTE);
    let decision = story.clears("a");
    assert_eq!(kinds(&decision), ["resolved"]);
    assert_eq!(thread_entries(&decision), ["resolved"]);
    assert!(cancels(&decision) && decision.effects.contains(&Effect::Refresh(Urgency::AtOnce)));
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Resolved, Some(600)));
}

#[test]
fn an_acknowledged_incident_that_refires_is_still_acknowledged() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    story.clears("a");
    story.passes(MINUTE);
    let decision = story.fires("a", WARNING);
    assert_eq!(kinds(&decision), ["refired_acknowledged"]);
    assert_eq!((story.phase(), story.incident().flap_count), (PhaseName::Acknowledged, 1));
    assert_eq!(story.incident().ackers, [super::alice()]);
}

#[test]
fn an_ack_that_expired_in_the_meantime_is_not_restored() {
    let mut story =
        Story::paged(Policy { ack_timeout: Some(std::time::Duration::from_mins(5)), ..two_levels() });
    story.alice(Act::Acknowledge);
    story.clears("a");
    story.passes(6 * MINUTE);
    assert_eq!(why(&story.fires("a", WARNING)), Some(&RunReason::Refired));
}

#[test]
fn a_group_that_refires_within_the_window_is_the_same_incident_and_later_a_new_one() {
    let mut story = Story::paged(two_levels());
    story.clears("a");
    story.passes(5 * MINUTE);
    let decision = story.fires("a", WARNING);
    assert_eq!(why(&decision), Some(&RunReason::Refired));
    assert_eq!(thread_entries(&decision), ["run_started"]);
    assert_eq!((story.incident().run.no, story.incident().flap_count), (2, 1));
    story.clears("a");
    story.tick();
    assert_eq!(story.phase(), PhaseName::Closed);
    story.fires("a", WARNING);
    assert_eq!((story.incident().version, story.incident().run.no, story.incident().flap_count), (1, 1, 0));
}

#[test]
fn a_resolved_report_that_overtakes_its_alert_counts() {
    let mut story = Story::paged(two_levels());
    let now = story.world.now;
    story.alice(Act::Acknowledge);
    story.report(&[("b", false, WARNING, now)]);
    story.report(&[("b", true, WARNING, now)]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(315)));
}

#[test]
fn a_new_alert_does_not_wait_for_a_possible_replay() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.clears("a");
    story.passes(20);
    story.report(&[("a", true, WARNING, began), ("b", true, WARNING, story.world.now)]);
    assert_eq!(story.due_in(), Some(0));
}

#[test]
fn an_alert_that_a_report_leaves_out_is_still_firing() {
    let mut story = Story::paged(two_levels());
    story.fires("b", WARNING);
    story.clears("b");
    assert_eq!(story.phase(), PhaseName::Firing);
    assert!(story.incident().firing.contains_key("a"));
}

#[test]
fn a_forced_resolution_holds_until_all_alerts_resolve() {
    let mut story = Story::paged(two_levels());
    story.fires("b", WARNING);
    story.alice(Act::Resolve);
    assert_eq!(kinds(&story.clears("b")), ["alerts_changed"]);
    story.passes(MINUTE);
    assert_eq!(kinds(&story.fires("b", WARNING)), ["alerts_changed"], "known: no page");
    assert_eq!(story.tick().entries, []);
    assert!(story.is_held(), "it does not close while alerts fire");
    story.clears("b");
    assert_eq!(kinds(&story.clears("a")), ["hold_ended"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Resolved, Some(600)));
    story.tick();
    assert_eq!(story.phase(), PhaseName::Closed);
}

#[test]
fn a_forced_resolution_does_not_hold_new_or_worse_alerts() {
    for (name, rank) in [("b", INFO), ("a", CRITICAL)] {
        let mut story = Story::paged(two_levels());
        story.alice(Act::Resolve);
        assert!(why(&story.fires(name, rank)).is_some());
        assert_eq!(story.phase(), PhaseName::Firing);
    }
}
