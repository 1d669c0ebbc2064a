//! Stories of polls, mostly 30 s apart.

#![expect(clippy::arithmetic_side_effects, reason = "seconds of a short story")]
#![expect(clippy::unnecessary_wraps, reason = "what a peer answers, or what is known about an alert")]

mod world;

use super::{ListedAlert, PeerAnswer, Remembered, Sight, Watch};
use crate::domain::time;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const A: &str = "00000000000000aa";
const B: &str = "00000000000000bb";
/// The start of the processes at first.
const START: i64 = -3600;

/// Seconds after the first poll.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// As Alertmanager lists an alert that its source has just reported.
fn listed(now: i64) -> ListedAlert {
    ListedAlert {
        starts_at: at(-60),
        ends_at: at(now + 240),
        updated_at: at(now),
        suppressed: false,
        silenced_by: Vec::new(),
        inhibited_by: Vec::new(),
        receivers: vec![Arc::from("team")],
    }
}

fn held_back(now: i64, silence: &str) -> ListedAlert {
    ListedAlert { suppressed: true, silenced_by: vec![Arc::from(silence)], ..listed(now) }
}

/// What a process that started at `started` answers.
fn answer(now: i64, started: i64, alerts: &[(&str, ListedAlert)]) -> Option<PeerAnswer> {
    let alerts = alerts.iter().map(|(fingerprint, alert)| ((*fingerprint).to_owned(), alert.clone()));
    Some(PeerAnswer { started_at: at(started), clock: at(now), cluster: None, alerts: alerts.collect() })
}

/// The answer that lists these alerts as reported just now.
fn lists(now: i64, started: i64, fingerprints: &[&str]) -> Option<PeerAnswer> {
    let alerts: Vec<_> = fingerprints.iter().map(|fingerprint| (*fingerprint, listed(now))).collect();
    answer(now, started, &alerts)
}

fn watch(peers: usize) -> Watch {
    Watch::new((0..peers).map(|peer| format!("http://am-{peer}:9093")).collect(), &Remembered::default())
}

fn active(since: i64, polls: u32) -> Option<Sight> {
    Some(Sight::Active { since: at(since), polls })
}

#[test]
fn an_alert_is_active_for_as_many_polls_as_list_it_in_a_row() {
    let mut watch = watch(1);
    assert_eq!(watch.sight(A), None);
    assert!(watch.polled(at(0), vec![lists(0, START, &[A])]));
    assert_eq!((watch.sight(A), watch.sight(B)), (active(0, 1), None));
    assert!(watch.polled(at(30), vec![lists(30, START, &[A, B])]));
    assert_eq!((watch.sight(A), watch.sight(B)), (active(0, 2), active(30, 1)));
    // Without any answer nothing changes.
    assert!(!watch.polled(at(60), vec![None]));
    assert_eq!(watch.sight(A), active(0, 2));
    assert!(watch.polled(at(90), vec![answer(90, START, &[(A, held_back(90, "s1"))])]));
    assert_eq!(watch.sight(A), Some(Sight::Suppressed));
    assert!(watch.polled(at(120), vec![lists(120, START, &[A])]));
    assert_eq!(watch.sight(A), active(120, 1));
}

#[test]
fn an_alert_has_ended_when_two_polls_in_a_row_miss_it() {
    let mut watch = watch(1);
    watch.polled(at(0), vec![lists(0, START, &[A, B])]);
    watch.polled(at(30), vec![lists(30, START, &[B])]);
    assert_eq!((watch.sight(A), watch.sight(B)), (Some(Sight::Unclear), active(0, 2)));
    // A poll without answers does not count.
    watch.polled(at(60), vec![None]);
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
    watch.polled(at(90), vec![lists(90, START, &[B])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
    let all: Vec<_> =
        watch.listed().map(|(fingerprint, _, sight)| (fingerprint.as_str(), Some(sight))).collect();
    assert_eq!(all, [(B, active(0, 3))]);
    // It fires anew.
    watch.polled(at(120), vec![lists(120, START, &[A])]);
    assert_eq!(watch.sight(A), active(120, 1));
}

#[test]
fn an_alert_that_is_listed_between_two_absences_has_not_ended() {
    let mut watch = watch(1);
    for (now, fingerprints) in [(0, [A].as_slice()), (30, &[]), (60, &[A]), (90, &[])] {
        watch.polled(at(now), vec![lists(now, START, fingerprints)]);
    }
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
}

#[test]
fn a_restart_explains_absence_for_as_long_as_the_source_may_stay_quiet() {
    let mut watch = watch(1);
    watch.polled(at(0), vec![lists(0, START, &[A, B])]);
    // The process starts 20 s later. B comes back with its source's next report, A does not.
    let mut now = 30;
    while now < 30 + 240 {
        let fingerprints: &[&str] = if now < 100 { &[] } else { &[B] };
        watch.polled(at(now), vec![lists(now, 20, fingerprints)]);
        assert_eq!(watch.sight(A), Some(Sight::Unclear), "{now}");
        now += 30;
    }
    watch.polled(at(now), vec![lists(now, 20, &[B])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
    assert!(matches!(watch.sight(B), Some(Sight::Active { .. })));
}

#[test]
fn a_long_outage_does_not_use_up_the_time_that_the_sources_have_after_it() {
    // Alertmanager is down for longer than the alert's end is ahead. Its first listings after that are empty.
    let mut watch = watch(1);
    watch.polled(at(0), vec![lists(0, START, &[A])]);
    (1..40).for_each(|poll| assert!(!watch.polled(at(30 * poll), vec![None])));
    for now in [1200, 1230, 1260] {
        watch.polled(at(now), vec![lists(now, 1195, &[])]);
        assert_eq!(watch.sight(A), Some(Sight::Unclear), "{now}");
    }
    watch.polled(at(1290), vec![lists(1290, 1195, &[A])]);
    assert_eq!(watch.sight(A), active(1290, 1));
}

#[test]
fn an_alert_is_listed_as_long_as_any_peer_lists_it() {
    let mut watch = watch(2);
    watch.polled(at(0), vec![lists(0, START, &[A]), lists(0, START, &[B])]);
    watch.polled(at(30), vec![lists(30, START, &[]), lists(30, START, &[A, B])]);
    assert_eq!((watch.sight(A), watch.sight(B)), (active(0, 2), active(0, 2)));
    let mut other = held_back(60, "s1");
    other.starts_at = at(-90);
    other.receivers = vec![Arc::from("team"), Arc::from("ops")];
    watch.polled(at(60), vec![answer(60, START, &[(A, other)]), lists(60, START, &[A])]);
    // One of them notifies; and Alertmanager keeps the earliest start.
    assert_eq!((watch.sight(A), watch.sight(B)), (active(0, 3), Some(Sight::Unclear)));
    let (_, alert, _) = watch.listed().next().unwrap();
    assert_eq!((alert.starts_at, alert.receivers.len()), (at(-90), 2));
    watch.polled(
        at(90),
        vec![answer(90, START, &[(A, held_back(90, "s1"))]), answer(90, START, &[(A, held_back(90, "s2"))])],
    );
    assert_eq!(watch.sight(A), Some(Sight::Suppressed));
    assert_eq!(watch.listed().next().unwrap().1.silenced_by, [Arc::from("s1"), Arc::from("s2")]);
}

#[test]
fn a_peer_that_does_not_answer_keeps_the_alerts_that_only_it_listed() {
    let mut watch = watch(2);
    watch.polled(at(0), vec![lists(0, START, &[A]), lists(0, START, &[B])]);
    for now in (30..3600).step_by(30) {
        watch.polled(at(now), vec![None, lists(now, START, &[])]);
    }
    assert_eq!(
        (watch.sight(A), watch.sight(B)),
        (Some(Sight::Unclear), None),
        "{B} is forgotten after its end"
    );
    watch.polled(at(3600), vec![lists(3600, START, &[]), None]);
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
    watch.polled(at(3630), vec![lists(3630, START, &[]), None]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn a_peer_that_also_listed_an_alert_speaks_for_one_that_does_not_answer() {
    let mut watch = watch(2);
    watch.polled(at(0), vec![lists(0, START, &[A]), lists(0, START, &[A])]);
    watch.polled(at(30), vec![None, lists(30, START, &[])]);
    watch.polled(at(60), vec![None, lists(60, START, &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn another_process_behind_a_load_balancer_proves_nothing_until_the_promise_has_passed() {
    let named = |now: i64, name: &str, fingerprints: &[&str]| {
        lists(now, START, fingerprints).map(|answer| PeerAnswer { cluster: Some(name.to_owned()), ..answer })
    };
    let mut watch = watch(1);
    watch.polled(at(0), vec![named(0, "one", &[A])]);
    watch.polled(at(30), vec![named(30, "two", &[])]);
    watch.polled(at(60), vec![named(60, "two", &[])]);
    watch.polled(at(90), vec![named(90, "one", &[A])]);
    watch.polled(at(120), vec![named(120, "two", &[])]);
    watch.polled(at(150), vec![named(150, "two", &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Unclear), "both are known by now, and the other one listed it");
    watch.polled(at(330), vec![named(330, "two", &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn what_another_process_of_ours_knew_is_expected_until_two_polls_miss_it() {
    let mut before = watch(1);
    before.polled(at(0), vec![lists(0, START, &[A, B])]);
    let remembered = before.remembered();
    assert_eq!(remembered.polled_at, Some(at(0)));
    assert_eq!(remembered.longest_promise, Duration::from_mins(4));
    assert_eq!(remembered.started, BTreeMap::from([("http://am-0:9093".to_owned(), at(START))]));
    let go_on = |started: i64| {
        let mut watch = Watch::new(vec!["http://am-0:9093".to_owned()], &remembered);
        watch.expect(A, at(-600));
        watch.expect(B, at(0));
        assert_eq!(watch.sight(A), Some(Sight::Unclear));
        watch.polled(at(60), vec![lists(60, started, &[B])]);
        watch.polled(at(90), vec![lists(90, started, &[B])]);
        assert_eq!(watch.sight(B), active(60, 2));
        watch
    };
    assert_eq!(go_on(START).sight(A), Some(Sight::Ended));
    // A restart in between, also one that an Alertmanager with a wrong clock reports as long ago.
    for started in [30, -5000] {
        let mut watch = go_on(started);
        assert_eq!(watch.sight(A), Some(Sight::Unclear), "{started}");
        watch.polled(at(320), vec![lists(320, started, &[])]);
        assert_eq!(watch.sight(A), Some(Sight::Ended), "{started}");
    }
}

#[test]
fn with_a_peer_silent_nothing_that_is_only_expected_ends() {
    let mut watch = watch(2);
    watch.expect(A, at(-60));
    (0..60).for_each(|poll| {
        watch.polled(at(poll * 30), vec![None, lists(poll * 30, START, &[])]);
    });
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
    watch.polled(at(1800), vec![lists(1800, START, &[]), lists(1800, START, &[])]);
    watch.polled(at(1830), vec![lists(1830, START, &[]), lists(1830, START, &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn a_webhook_after_the_end_starts_the_count_again() {
    let mut watch = watch(1);
    for now in [0, 30, 60] {
        watch.polled(at(now), vec![lists(now, START, if now == 0 { &[A] } else { &[] })]);
    }
    assert_eq!(watch.sight(A), Some(Sight::Ended));
    watch.expect(A, at(0));
    assert_eq!(watch.sight(A), Some(Sight::Ended), "nothing new");
    watch.expect(A, at(70));
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
    watch.polled(at(90), vec![lists(90, START, &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Unclear));
    watch.polled(at(120), vec![lists(120, START, &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn times_of_a_wrong_clock_are_translated_and_starts_compare_in_milliseconds() {
    let mut watch = watch(1);
    let hour = 3600;
    let mut answer = lists(hour, START + hour, &[A]).unwrap();
    answer.clock = at(hour);
    watch.polled(at(0), vec![Some(answer)]);
    let (_, alert, _) = watch.listed().next().unwrap();
    assert_eq!((alert.updated_at, alert.ends_at, alert.starts_at), (at(0), at(240), at(-60)));
    assert!(alert.has_start(time::later(at(-60), Duration::from_nanos(999_999))));
    assert!(!alert.has_start(time::later(at(-60), Duration::from_millis(1))));
    // A restart at its 01:00:20, which is our 00:00:20.
    for now in [30, 60, 240] {
        watch.polled(at(now), vec![lists(now + hour, 20 + hour, &[])]);
        assert_eq!(watch.sight(A), Some(Sight::Unclear), "{now}");
    }
    watch.polled(at(270), vec![lists(270 + hour, 20 + hour, &[])]);
    assert_eq!(watch.sight(A), Some(Sight::Ended));
}

#[test]
fn more_processes_than_the_watch_remembers_do_no_harm() {
    let mut watch = watch(1);
    for process in 0..200 {
        let now = process * 30;
        watch.polled(at(now), vec![lists(now, START + process, &[A])]);
    }
    assert!(matches!(watch.sight(A), Some(Sight::Active { polls: 200, .. })));
    assert_eq!(watch.remembered().started.len(), 1);
}
