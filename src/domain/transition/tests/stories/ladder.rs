//! The ladder and the results of its pages.

use super::{CRITICAL, INFO, Story, WARNING, kinds, thread_entries, two_levels};
use crate::domain::incident::{PhaseName, Rung};
use crate::domain::input::{Effect, Input, Outcome};
use crate::domain::policy::Policy;

const FIRST: Rung = Rung { run_no: 1, loop_no: 0, level: 0 };
const SECOND: Rung = Rung { run_no: 1, loop_no: 0, level: 1 };

#[test]
fn a_tick_pages_the_next_level_and_waits_until_the_page_is_sent() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    assert_eq!(story.tick().effects, [Effect::Page(FIRST)]);
    assert_eq!(story.due_in(), Some((15 + 10) * 60), "the level's delay and the cap");
    assert!(story.tick().effects.contains(&Effect::Page(SECOND)));
    assert_eq!(story.due_in(), Some((30 + 10) * 60));
}

#[test]
fn a_tick_that_is_not_due_is_nothing() {
    let mut story = Story::paged(two_levels());
    assert_eq!(story.input(&Input::Tick).outcome, Outcome::Nothing);
}

#[test]
fn a_page_that_its_user_cannot_send_keeps_the_ladder_at_its_level() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    for _ in 0..5 {
        story.passes((15 + 10) * 60);
        let decision = story.input(&Input::TickWhileHeld);
        assert_eq!(decision.effects, []);
        assert_eq!(story.due_in(), Some((15 + 10) * 60), "the level's delay and the cap begin again");
    }
    story.sent();
    assert_eq!(story.due_in(), Some(15 * 60));
    story.passes(15 * 60);
    assert_eq!(
        story.input(&Input::TickWhileHeld).effects[0],
        Effect::Page(SECOND),
        "a page that was sent climbs"
    );
}

#[test]
fn a_sent_page_arms_the_ladder() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    story.passes(120);
    assert_eq!(kinds(&story.sent()), ["told"]);
    assert_eq!(story.due_in(), Some(15 * 60), "from when it was sent");
}

#[test]
fn a_second_room_of_the_level_changes_nothing() {
    let mut story = Story::paged(two_levels());
    let due = story.due();
    story.passes(120);
    assert_eq!(story.sent().outcome, Outcome::Nothing);
    assert_eq!(story.due(), due);
}

#[test]
fn a_page_of_an_earlier_rung_changes_nothing() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    story.tick();
    let before = story.incident().clone();
    story.input(&Input::PageSent(FIRST));
    story.input(&Input::PageUndeliverable(FIRST));
    assert_eq!(*story.incident(), before);
}

#[test]
fn an_unreachable_level_is_skipped_immediately_and_the_fallback_rooms_are_notified() {
    let mut story = Story::begins(two_levels());
    story.fires("a", WARNING);
    story.tick();
    let decision = story.undeliverable();
    assert_eq!(thread_entries(&decision), ["undeliverable"]);
    assert!(decision.effects.contains(&Effect::NotifyFallback(decision.entries[0].clone())));
    assert_eq!(story.due_in(), Some(0));
    assert!(story.tick().effects.contains(&Effect::Page(SECOND)));
}

#[test]
fn the_ladder_repeats_as_often_as_the_policy_allows() {
    let mut story = Story::begins(Policy { repeat: 1, ..two_levels() });
    story.fires("a", WARNING);
    let places = (0..4).map(|_| {
        story.tick();
        story.incident().rung().unwrap()
    });
    let rung = |loop_no, level| Rung { run_no: 1, loop_no, level };
    assert_eq!(places.collect::<Vec<_>>(), [rung(0, 0), rung(0, 1), rung(1, 0), rung(1, 1)]);
    story.tick();
    assert_eq!(story.phase(), PhaseName::Unanswered);
}

#[test]
fn an_unanswered_incident_has_one_fallback_notice_and_then_reminders() {
    let mut story = Story::paged(two_levels());
    story.tick();
    let decision = story.tick();
    assert_eq!(decision.effects.iter().filter(|effect| **effect == Effect::Fallback).count(), 1);
    assert_eq!(thread_entries(&decision), ["unanswered"]);
    for number in 1..=3 {
        assert_eq!(story.due_in(), Some(60 * 60));
        assert_eq!(story.tick().effects, [Effect::Reminder(number)]);
    }
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Unanswered, None));
}

#[test]
fn without_reminders_an_unanswered_incident_has_no_timer() {
    for policy in [Policy { remind_every: None, ..two_levels() }, Policy { max_reminders: 0, ..two_levels() }]
    {
        let mut story = Story::paged(policy);
        story.tick();
        story.tick();
        assert_eq!((story.phase(), story.due_in()), (PhaseName::Unanswered, None));
    }
}

#[test]
fn after_an_outage_there_is_one_page_and_not_a_burst() {
    let mut story = Story::paged(two_levels());
    story.passes(40_000);
    assert!(story.input(&Input::Tick).effects.contains(&Effect::Page(SECOND)));
    assert_eq!(story.input(&Input::Tick).outcome, Outcome::Nothing);
}

#[test]
fn a_severity_without_escalation_pages_once_and_escalates_when_a_worse_alert_joins() {
    let mut story = Story::begins(two_levels());
    story.fires("a", INFO);
    assert_eq!(story.tick().effects, [Effect::Page(FIRST)]);
    story.sent();
    let version = story.incident().version;
    for _ in 0..5 {
        assert_eq!(story.tick().effects, []);
        assert_eq!(story.due_in(), Some(15 * 60));
    }
    assert_eq!((story.phase(), story.incident().version), (PhaseName::Firing, version));
    story.fires("b", CRITICAL);
    assert!(story.tick().effects.contains(&Effect::Page(Rung { run_no: 2, ..FIRST })), "it pages at once");
    story.sent();
    assert!(story.tick().effects.contains(&Effect::Page(Rung { run_no: 2, ..SECOND })));
}
