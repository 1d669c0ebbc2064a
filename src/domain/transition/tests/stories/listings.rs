//! Polls of Alertmanager: what ends, is silenced, or fires without a webhook.

use super::{MINUTE, Story, WARNING, two_levels};
use crate::domain::hold::{HeldBy, Hold};
use crate::domain::incident::{Phase, PhaseName};
use crate::domain::input::{Act, Evidence, HoldNews, Input, Listing, Outcome, Report, ReportedAlert};
use crate::domain::polling;
use crate::domain::time::later;
use crate::domain::timeline::{Kind, ResolveReason, RunReason};
use crate::domain::transition::tests::world::severity;
use jiff::Timestamp;
use std::time::Duration;

impl Story {
    fn polled(&mut self, listing: Listing) -> crate::domain::input::Decision {
        self.input(&Input::Listing(listing))
    }

    /// A poll finds all firing alerts silenced for so many seconds.
    fn silenced(&mut self, seconds: u64) -> Hold {
        let until = later(self.world.now, Duration::from_secs(seconds));
        let (created_by, comment) = ("alice".to_owned(), "disk swap".to_owned());
        let by = HeldBy::Silence { id: "s1".to_owned(), created_by, comment, until };
        let hold = Hold { by: [by].into(), until, outlasted: false };
        let suppressed = self.incident().firing.keys().cloned().collect();
        self.polled(Listing { suppressed, hold: HoldNews::Held(hold.clone()), ..Listing::default() });
        hold
    }

    /// Alertmanager is asked about a report with this start.
    fn asked(&mut self, starts_at: Timestamp, evidence: Evidence) -> crate::domain::input::Decision {
        let alert = ReportedAlert {
            fingerprint: "a".to_owned(),
            firing: true,
            severity: severity(WARNING),
            starts_at,
            start_known: true,
            ends_at: None,
            evidence,
        };
        let ask = Duration::from_secs(2);
        self.input(&Input::Report(Report { alerts: vec![alert], ask, may_ask: true, ..Report::default() }))
    }
}

#[test]
fn an_alert_that_has_ended_without_a_webhook_resolves_and_keeps_its_ack() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.alice(Act::Acknowledge);
    story.polled(Listing { ended: ["a".to_owned()].into(), ..Listing::default() });
    let is_not_listed = |kind: &Kind| matches!(kind, Kind::Resolved { why: ResolveReason::NotListed, .. });
    assert!(story.world.timeline.iter().any(|entry| is_not_listed(&entry.kind)));
    story.passes(MINUTE);
    story.asked(began, Evidence::Listed);
    assert_eq!(story.phase(), PhaseName::Acknowledged);
}

#[test]
fn a_silence_stops_the_ladder_and_its_end_pages_again_although_alertmanager_does_not_answer() {
    let mut story = Story::paged(two_levels());
    story.silenced(60 * MINUTE);
    story.tick();
    assert_eq!(story.incident().run.level, Some(0), "the level's time is over, and it is silenced");
    story.tick();
    let asks_until = later(story.world.now, Duration::from_secs(5));
    assert_eq!(story.incident().next_at, Some(asks_until), "Alertmanager is asked first");
    story.tick();
    assert!(story.incident().hold.is_none());
    assert_eq!((story.incident().run.no, story.incident().run.level), (2, None));
    story.tick();
    assert_eq!(story.incident().run.level, Some(0));
}

#[test]
fn an_end_that_was_missed_waits_for_the_polls_once() {
    for act in [None, Some(Act::Acknowledge)] {
        let mut story = Story::paged(two_levels());
        if let Some(act) = act {
            story.alice(act);
        }
        story.silenced(60 * MINUTE);
        story.passes(60 * MINUTE + 11);
        for seconds in [89, 80] {
            story.input(&Input::Tick);
            assert_eq!(story.incident().run.no, 1, "polls may find that the alert has ended");
            story.passes(seconds);
        }
        story.input(&Input::Tick);
        assert_eq!(story.incident().run.no, 2, "it is late again, and pages");
    }
}

#[test]
fn an_end_while_nobody_polls_waits_for_the_polls_once() {
    let mut story = Story::paged(two_levels());
    story.silenced(60 * MINUTE);
    story.passes(60 * MINUTE);
    story.input(&Input::TickWhileUnpolled);
    assert_eq!(story.incident().run.no, 1, "polls may find that the alert has ended");
    story.passes(90);
    story.input(&Input::TickWhileUnpolled);
    assert_eq!(story.incident().run.no, 2, "there are no polls, and it pages");
}

#[test]
fn the_end_of_a_silence_pages_an_acknowledged_incident_and_no_snoozed_one() {
    for (act, phase) in
        [(Act::Acknowledge, PhaseName::Firing), (Act::Snooze(Duration::from_hours(9)), PhaseName::Snoozed)]
    {
        let mut story = Story::paged(two_levels());
        story.alice(act);
        story.silenced(60 * MINUTE);
        story.passes(30 * MINUTE);
        story.polled(Listing { hold: HoldNews::Over, ..Listing::default() });
        assert_eq!(story.phase(), phase);
        assert!(story.incident().hold.is_none());
    }
}

#[test]
fn a_silence_that_somebody_prolongs_is_posted_and_holds_longer() {
    let mut story = Story::paged(two_levels());
    story.silenced(10 * MINUTE);
    story.passes(5 * MINUTE);
    let hold = story.silenced(60 * MINUTE);
    let last = story.world.timeline.last().unwrap();
    assert_eq!(last.kind, Kind::HeldBack { hold });
    story.passes(5 * MINUTE);
    story.input(&Input::Tick);
    assert!(story.incident().hold.is_some());
}

#[test]
fn a_report_on_a_silenced_alert_shows_that_the_silence_is_over() {
    let mut story = Story::paged(two_levels());
    story.silenced(60 * MINUTE);
    story.fires("a", WARNING);
    assert!(story.incident().hold.is_none());
    let last = &story.world.timeline.last().unwrap().kind;
    assert!(matches!(last, Kind::RunStarted { why: RunReason::Released { .. }, .. }), "{last:?}");
}

#[test]
fn a_report_on_a_silenced_alert_pages_unless_alertmanager_still_holds_it_back() {
    for (answer, pages) in [(None, true), (Some(false), true), (Some(true), false)] {
        let mut story = Story::paged(two_levels());
        let began = story.world.now;
        let held = story.silenced(60 * MINUTE);
        let decision = story.asked(began, Evidence::None);
        assert_eq!((decision.outcome, story.incident().run.no), (Outcome::Doubted, 1), "it is asked first");
        let hold = story.incident().hold.clone().unwrap();
        if let Some(is_held) = answer {
            let hold = polling::at_its_end(&hold, &[Some(is_held)], true, story.world.now);
            story.polled(Listing { suppressed: ["a".to_owned()].into(), hold, ..Listing::default() });
        }
        story.passes(5);
        story.input(&Input::Tick);
        assert_eq!(story.incident().run.no == 2, pages, "{answer:?}");
        let entries =
            || story.world.timeline.iter().filter(|entry| matches!(entry.kind, Kind::HeldBack { .. }));
        assert_eq!(entries().count(), 1, "nobody sees that it was asked");
        assert!(pages || story.incident().hold.as_ref().is_some_and(|hold| hold.by == held.by));
    }
}

#[test]
fn an_alert_that_is_not_listed_at_the_end_of_its_silence_pages_nobody_before_polls_have_settled_that() {
    let mut story = Story::paged(two_levels());
    story.silenced(10 * MINUTE);
    story.passes(10 * MINUTE);
    story.input(&Input::Tick);
    let hold = story.incident().hold.clone().unwrap();
    let hold = polling::at_its_end(&hold, &[None], true, story.world.now);
    story.polled(Listing { suppressed: ["a".to_owned()].into(), hold, ..Listing::default() });
    story.passes(60);
    story.input(&Input::Tick);
    assert_eq!(story.incident().run.no, 1);
    story.polled(Listing { ended: ["a".to_owned()].into(), ..Listing::default() });
    assert_eq!((story.phase(), story.incident().run.no), (PhaseName::Resolved, 1));
}

#[test]
fn a_person_who_escalates_is_not_held_back() {
    let mut story = Story::paged(two_levels());
    story.silenced(60 * MINUTE);
    story.alice(Act::Escalate(None));
    assert_eq!(story.incident().run.level, Some(1));
}

#[test]
fn the_first_page_of_a_late_report_waits_for_alertmanagers_answer() {
    let listed = Listing { answers_page: true, listed: ["a".to_owned()].into(), ..Listing::default() };
    let missing = Listing { answers_page: true, missing: ["a".to_owned()].into(), ..Listing::default() };
    for (answer, waits) in [(None, 2), (Some(listed), 0), (Some(missing), 300)] {
        let mut story = Story::begins(two_levels());
        story.passes(60 * MINUTE);
        let began = story.world.now;
        story.passes(30 * MINUTE);
        story.asked(began, Evidence::None);
        if let Some(answer) = answer {
            story.polled(answer);
        }
        let due = later(story.world.now, Duration::from_secs(waits));
        assert!(story.incident().next_at.unwrap() >= due, "it pages {waits} s later");
        story.tick();
        assert_eq!(story.incident().run.level, Some(0));
    }
}

#[test]
fn what_alertmanager_lists_is_not_doubted() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.passes(MINUTE);
    story.clears("a");
    assert_eq!(story.asked(began, Evidence::None).outcome, Outcome::Doubted);
    story.polled(Listing { active: ["a".to_owned()].into(), answers_page: true, ..Listing::default() });
    assert_eq!(story.phase(), PhaseName::Firing);
    story.clears("a");
    assert_eq!(story.asked(began, Evidence::Listed).outcome, Outcome::Done);
    assert_eq!(story.phase(), PhaseName::Firing);
}

#[test]
fn a_start_that_moved_while_polls_listed_the_alert_is_no_other_outage() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    story.passes(60 * MINUTE);
    story.asked(story.world.now, Evidence::Watched);
    assert!(matches!(story.incident().phase, Phase::Acknowledged { .. }));
    story.passes(60 * MINUTE);
    story.asked(story.world.now, Evidence::None);
    assert_eq!(story.phase(), PhaseName::Firing);
}
