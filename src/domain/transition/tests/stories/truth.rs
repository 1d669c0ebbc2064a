//! Reports that are old, wrong or incomplete: the incident is right in whatever order and by whatever clock they
//! come.

use super::{
    CRITICAL, INFO, MINUTE, Story, WARNING, alice, kinds, severity, thread_entries, two_levels, why,
};
use crate::domain::incident::{PhaseName, Rung};
use crate::domain::input::{
    Act, Decision, Effect, Evidence, Input, Outcome, PersonAction, Report, ReportedAlert, Via,
};
use crate::domain::policy::{OnNewAlert, Policy, SeverityRule};
use crate::domain::timeline::{Kind, Place, RunReason};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

const GRACE: u64 = 5 * MINUTE;
/// How long a report in doubt waits: the grace and a twentieth of it.
const WAIT: u64 = GRACE + 15;

impl Story {
    /// Reports one alert with these times. `ends_at`: it is resolved.
    fn reported(&mut self, name: &str, starts_at: Timestamp, ends_at: Option<Timestamp>) -> Decision {
        let alert = ReportedAlert {
            fingerprint: name.to_owned(),
            firing: ends_at.is_none(),
            severity: severity(WARNING),
            starts_at,
            start_known: true,
            ends_at,
            evidence: Evidence::None,
        };
        self.input(&Input::Report(vec![alert].into()))
    }

    /// The event of an act arrives now.
    fn alice_acted_at(&mut self, acted_at: Timestamp, act: Act) -> Decision {
        self.input(&Input::Person(PersonAction {
            who: alice(),
            via: Via::Reaction,
            act,
            comment: None,
            acted_at,
        }))
    }

    fn ago(&self, seconds: u64) -> Timestamp {
        self.world.now - SignedDuration::from_secs(i64::try_from(seconds).unwrap())
    }
}

fn renewed(name: &str) -> RunReason {
    RunReason::Renewed { fingerprints: vec![name.to_owned()] }
}

fn joined(name: &str) -> RunReason {
    RunReason::NewAlert { joined: vec![name.to_owned()] }
}

#[test]
fn a_resolve_with_an_earlier_start_counts() {
    let mut story = Story::paged(two_levels());
    let started = story.world.now;
    story.passes(10 * MINUTE);
    let (earlier, now) = (started - SignedDuration::from_mins(7), story.world.now);
    assert_eq!(story.reported("a", earlier, Some(now)).outcome, Outcome::Done);
    assert_eq!(story.phase(), PhaseName::Resolved);
    assert_eq!(story.incident().cleared["a"].starts_at, started, "the later start is kept");
}

#[test]
fn a_resolve_of_an_episode_before_the_current_one_does_not_count_and_refreshes() {
    let mut story = Story::paged(two_levels());
    let first = story.world.now;
    story.passes(10 * MINUTE);
    let ended = story.world.now;
    story.passes(MINUTE);
    story.reported("a", story.world.now, None);
    story.passes(MINUTE);
    assert_eq!(story.reported("a", first, Some(ended)).outcome, Outcome::Repeated);
    assert_eq!(story.phase(), PhaseName::Firing);
    assert_eq!(story.incident().firing["a"].last_seen, story.world.now, "every report refreshes");
}

#[test]
fn a_firing_report_with_an_earlier_start_refreshes_and_changes_nothing_else() {
    let mut story = Story::paged(two_levels());
    let started = story.world.now;
    story.passes(MINUTE);
    assert_eq!(story.reported("a", story.ago(3600), None).outcome, Outcome::Repeated);
    let alert = &story.incident().firing["a"];
    assert_eq!((alert.starts_at, alert.last_seen), (started, story.world.now));
}

#[test]
fn a_new_start_ends_an_ack_or_a_snooze_like_a_new_alert() {
    for act in [Act::Acknowledge, Act::Snooze(Duration::from_hours(2))] {
        let mut story = Story::paged(two_levels());
        story.alice(act);
        story.passes(60 * MINUTE);
        let decision = story.reported("a", story.world.now, None);
        assert_eq!(why(&decision), Some(&renewed("a")));
        assert_eq!(thread_entries(&decision), ["run_started"], "said in the thread");
        assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
        assert_eq!(story.reported("a", story.world.now, None).outcome, Outcome::Repeated, "once");
    }
}

#[test]
fn a_new_start_under_a_sticky_ack_is_said_in_the_thread_only() {
    let mut story = Story::paged(Policy { on_new_alert: OnNewAlert::Sticky, ..two_levels() });
    story.alice(Act::Acknowledge);
    story.passes(60 * MINUTE);
    let decision = story.reported("a", story.world.now, None);
    assert_eq!(
        (kinds(&decision), thread_entries(&decision)),
        (vec!["alerts_changed"], vec!["alerts_changed"])
    );
    assert_eq!(story.phase(), PhaseName::Acknowledged);
}

#[test]
fn a_new_start_after_a_resolution_by_hand_fires_again() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Resolve);
    story.passes(60 * MINUTE);
    assert_eq!(why(&story.reported("a", story.world.now, None)), Some(&renewed("a")));
    assert_eq!((story.phase(), story.incident().flap_count), (PhaseName::Firing, 1));
}

#[test]
fn a_new_start_does_not_disturb_a_running_ladder_and_pages_again_after_its_end() {
    let mut running = Story::paged(two_levels());
    let due = running.due();
    running.passes(MINUTE);
    let decision = running.reported("a", running.world.now, None);
    assert_eq!(
        (kinds(&decision), thread_entries(&decision)),
        (vec!["alerts_changed"], vec!["alerts_changed"])
    );
    assert_eq!(running.due(), due);

    let mut over = Story::begins(two_levels());
    over.fires("a", INFO);
    over.tick();
    over.sent();
    over.passes(60 * MINUTE);
    over.episodes.clear();
    assert_eq!(why(&over.fires("a", INFO)), Some(&renewed("a")), "an info has no further level");
}

#[test]
fn a_start_that_alertmanager_did_not_give_is_no_new_start() {
    let mut story = Story::paged(two_levels());
    story.alice(Act::Acknowledge);
    story.passes(60 * MINUTE);
    let unknown = ReportedAlert {
        fingerprint: "a".to_owned(),
        firing: true,
        severity: severity(WARNING),
        starts_at: story.world.now,
        start_known: false,
        ends_at: None,
        evidence: Evidence::None,
    };
    assert_eq!(story.input(&Input::Report(vec![unknown].into())).outcome, Outcome::Repeated);
    assert_eq!(story.phase(), PhaseName::Acknowledged);
}

#[test]
fn an_ack_covers_an_alert_that_flaps_and_not_its_next_outage() {
    let mut story = Story::paged(two_levels());
    story.fires("b", WARNING);
    story.alice(Act::Acknowledge);
    story.clears("b");
    story.passes(9 * MINUTE);
    story.fires("b", WARNING);
    assert_eq!(story.phase(), PhaseName::Acknowledged);
    story.clears("b");
    story.passes(10 * MINUTE);
    assert_eq!(why(&story.fires("b", WARNING)), Some(&joined("b")), "after the reopen window");
}

#[test]
fn something_worse_pages_again_and_the_ladder_does_not_go_back() {
    let mut story = Story::paged(two_levels());
    story.tick();
    story.sent();
    story.passes(MINUTE);
    let decision = story.fires("b", CRITICAL);
    assert_eq!(why(&decision), Some(&joined("b")));
    let from = Some(Place { loop_no: 0, level: 1 });
    assert!(matches!(&decision.entries[0].kind, Kind::RunStarted { from: at, .. } if *at == from));
    let page = Effect::Page(Rung { run_no: 2, loop_no: 0, level: 1 });
    assert!(story.tick().effects.contains(&page), "not below level 2");
    story.sent();
    story.clears("b");
    story.passes(MINUTE);
    assert_eq!(kinds(&story.fires("b", CRITICAL)), ["alerts_changed"], "its pages have shown it");
    story.tick();
    assert_eq!(story.phase(), PhaseName::Unanswered);
}

#[test]
fn the_same_alert_that_gets_worse_pages_again() {
    let mut story = Story::begins(two_levels());
    story.fires("a", INFO);
    story.tick();
    story.sent();
    story.passes(60 * MINUTE);
    let decision = story.fires("a", CRITICAL);
    assert_eq!(why(&decision), Some(&RunReason::SeverityRose { fingerprints: vec!["a".to_owned()] }));
    assert_eq!(story.due_in(), Some(0));
}

#[test]
fn an_alert_that_escalates_or_mentions_somebody_pages_again_at_the_same_rank() {
    for rule in [
        SeverityRule { mention: Some(Vec::new()), ..SeverityRule::default() },
        SeverityRule { escalate: false, ..SeverityRule::default() },
    ] {
        let mut policy = two_levels();
        policy.severities.insert("critical".to_owned(), rule.clone());
        let mut story = Story::begins(policy);
        story.fires("a", INFO);
        story.tick();
        story.sent();
        let mut alert = severity(CRITICAL);
        (alert.rank, alert.escalate) = (rule.rank, rule.escalate);
        let louder = ReportedAlert {
            fingerprint: "b".to_owned(),
            firing: true,
            severity: alert,
            starts_at: story.world.now,
            start_known: true,
            ends_at: None,
            evidence: Evidence::None,
        };
        let decision = story.world.decide(&Input::Report(vec![louder].into()));
        assert_eq!(why(&decision), Some(&joined("b")), "{rule:?}");
    }
}

#[test]
fn before_the_first_page_something_worse_changes_nothing_but_a_wait() {
    let mut story = Story::begins(Policy { initial_delay: Duration::from_secs(90), ..two_levels() });
    story.fires("a", INFO);
    story.passes(30);
    assert_eq!(kinds(&story.fires("b", CRITICAL)), ["alerts_changed"]);
    assert_eq!(story.due_in(), Some(60));
}

#[test]
fn a_late_ack_covers_what_was_firing_then() {
    let mut story = Story::paged(two_levels());
    let acted_at = story.world.now;
    story.passes(MINUTE);
    story.fires("b", WARNING);
    story.passes(MINUTE);
    let decision = story.alice_acted_at(acted_at, Act::Acknowledge);
    assert_eq!(kinds(&decision), ["acknowledged"]);
    assert_eq!(story.incident().known_at_ack.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(why(&story.tick()), Some(&joined("b")), "nobody has seen b");
}

#[test]
fn a_late_act_that_covers_nothing_changes_nothing() {
    let length = Duration::from_hours(1);
    for (act, noted) in [(Act::Acknowledge, 1), (Act::Snooze(length), 0), (Act::Resolve, 0)] {
        let mut story = Story::paged(two_levels());
        let acted_at = story.world.now;
        story.passes(MINUTE);
        story.clears("a");
        story.passes(MINUTE);
        story.fires("b", WARNING);
        let before = story.incident().clone();
        let decision = story.alice_acted_at(acted_at, act);
        assert_eq!((decision.outcome, decision.entries.len()), (Outcome::CoversNothing, noted));
        assert_eq!(*story.incident(), before);
    }
}

#[test]
fn a_late_resolution_by_hand_does_not_hide_a_later_alert() {
    let mut story = Story::paged(two_levels());
    let acted_at = story.world.now;
    story.passes(MINUTE);
    story.fires("b", WARNING);
    let decision = story.alice_acted_at(acted_at, Act::Resolve);
    assert_eq!(kinds(&decision), ["resolved", "run_started"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
}

#[test]
fn an_act_from_before_the_incident_is_a_wrong_clock_and_counts() {
    let mut story = Story::paged(two_levels());
    let acted_at = story.ago(3600);
    assert_eq!(kinds(&story.alice_acted_at(acted_at, Act::Acknowledge)), ["acknowledged"]);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Acknowledged, None));
}

#[test]
fn the_firing_report_of_the_other_peer_waits_and_then_counts() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.clears("a");
    story.passes(20);
    assert_eq!(story.reported("a", began, None).outcome, Outcome::Doubted);
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Resolved, Some(i64::try_from(WAIT).unwrap())));
    assert_eq!(story.reported("a", began, None).outcome, Outcome::Doubted, "its repeat waits no longer");
    assert_eq!(why(&story.tick()), Some(&RunReason::Refired));
    assert_eq!((story.phase(), story.due_in()), (PhaseName::Firing, Some(0)));
}

#[test]
fn the_other_peer_takes_its_report_back() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.clears("a");
    let closes = story.due();
    story.passes(20);
    story.reported("a", began, None);
    story.passes(GRACE);
    story.reported("a", began, Some(story.world.now));
    assert_eq!((story.phase(), story.due()), (PhaseName::Resolved, closes));
    assert_eq!(kinds(&story.tick()), ["closed"]);
}

#[test]
fn a_report_in_doubt_counts_at_once_when_another_alert_fires() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.clears("a");
    story.passes(20);
    story.reported("a", began, None);
    story.fires("b", WARNING);
    assert_eq!(story.incident().firing.len(), 2);
    assert_eq!(story.due_in(), Some(0));
}

#[test]
fn a_later_start_does_not_wait_and_an_old_one_after_the_grace_counts() {
    let mut story = Story::paged(two_levels());
    let began = story.world.now;
    story.clears("a");
    story.passes(20);
    assert!(why(&story.reported("a", story.world.now, None)).is_some());
    assert_eq!(story.due_in(), Some(0));
    story.reported("a", story.world.now, Some(story.world.now));
    assert_eq!(story.reported("a", began, None).outcome, Outcome::Repeated, "of an episode before");
    assert_eq!(story.phase(), PhaseName::Resolved);
    story.passes(GRACE);
    assert!(why(&story.reported("a", began, None)).is_some(), "by now it is true");
}

#[test]
fn an_alert_that_alertmanager_leaves_out_stays_firing_and_is_marked() {
    let mut story = Story::paged(two_levels());
    story.fires("b", WARNING);
    story.passes(5 * MINUTE);
    let left_out = Report { left_out: ["b".to_owned()].into(), ..Report::default() };
    let decision = story.input(&Input::Report(left_out.clone()));
    assert_eq!((kinds(&decision), decision.effects.len()), (vec!["alerts_changed"], 1), "an edit");
    assert_eq!(story.incident().firing["b"].left_out_since, Some(story.world.now));
    assert_eq!(story.input(&Input::Report(left_out)).outcome, Outcome::Repeated);
    assert_eq!(kinds(&story.fires("b", WARNING)), ["alerts_changed"]);
    assert_eq!(story.incident().firing["b"].left_out_since, None);
}
