//! Rotations over both changes of the clock, overrides, and what holds for every rotation.

#![allow(clippy::arithmetic_side_effects, reason = "tests may fail loudly")]

use super::planning::{Change, NoPlan};
use super::*;
use jiff::civil::Date;
use proptest::prelude::*;
use ruma::user_id;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn berlin() -> Zone {
    "Europe/Berlin".parse().unwrap()
}

/// `Mon 2026-03-23 09:00` without the day of the week, on the clocks of Berlin.
fn at(text: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = text.replace(' ', "T").parse().unwrap();
    civil.to_zoned(berlin().time_zone().clone()).unwrap().timestamp()
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn user(name: &str) -> OwnedUserId {
    format!("@{name}:example.org").try_into().unwrap()
}

fn users(names: &[&str]) -> Vec<OwnedUserId> {
    names.iter().map(|name| user(name)).collect()
}

fn weekly(names: &[&str], hand_off: &str, starting: &str) -> Layer {
    Layer::new(users(names), Turns::every(7, hand_off.parse().unwrap(), date(starting)), None)
}

fn schedule(layers: Vec<Layer>) -> Schedule {
    let name = "finance-primary".to_owned();
    let fallback = vec![Mention::Room];
    Schedule { name, zone: berlin(), layers, calendar: None, announce: Vec::new(), fallback }
}

fn names(serving: &Serving) -> String {
    serving.people.iter().map(|user| user.localpart()).collect::<Vec<_>>().join("+")
}

/// Each span with its end, on the clocks of Berlin.
fn listed(schedule: &Schedule, known: &Known, from: &str, to: &str) -> Vec<String> {
    let local = |at: Timestamp| at.to_zoned(berlin().time_zone().clone()).strftime("%a %d %H:%M").to_string();
    let spans = schedule.spans(known, at(from), at(to));
    spans
        .iter()
        .map(|span| format!("{} - {} {}", local(span.starts_at), local(span.ends_at), names(&span.serving)))
        .collect()
}

#[test]
fn a_weekly_hand_off_stays_on_the_wall_clock_over_both_changes() {
    let schedule = schedule(vec![weekly(&["alice", "bob"], "Mon 09:00", "2026-03-18")]);
    let known = Known::default();
    assert_eq!(
        listed(&schedule, &known, "2026-03-20 00:00", "2026-04-13 00:00"),
        [
            "Fri 20 00:00 - Mon 23 09:00 ",
            "Mon 23 09:00 - Mon 30 09:00 alice",
            "Mon 30 09:00 - Mon 06 09:00 bob",
            "Mon 06 09:00 - Mon 13 00:00 alice",
        ]
    );
    let lengths = |from: &str, to: &str| {
        let spans = schedule.spans(&known, at(from), at(to));
        spans.iter().map(|span| span.ends_at.duration_since(span.starts_at).as_hours()).collect::<Vec<_>>()
    };
    assert_eq!(lengths("2026-03-23 09:00", "2026-04-06 09:00"), [167, 168]);
    assert_eq!(lengths("2026-10-19 09:00", "2026-11-02 09:00"), [169, 168]);
    assert_eq!(listed(&schedule, &known, "2026-10-26 08:59", "2026-10-26 09:01").len(), 2);
}

#[test]
fn a_hand_off_at_a_time_that_does_not_exist_moves_no_later_one() {
    let daily = Turns::every(1, "02:30".parse().unwrap(), date("2026-03-27"));
    let schedule = schedule(vec![Layer::new(users(&["alice", "bob"]), daily, None)]);
    assert_eq!(
        listed(&schedule, &Known::default(), "2026-03-28 02:30", "2026-03-31 02:30"),
        [
            "Sat 28 02:30 - Sun 29 03:30 bob",
            "Sun 29 03:30 - Mon 30 02:30 alice",
            "Mon 30 02:30 - Tue 31 02:30 bob"
        ]
    );
    // In autumn 02:30 exists twice: the first counts.
    let spans = schedule.spans(&Known::default(), at("2026-10-24 12:00"), at("2026-10-25 12:00"));
    assert_eq!(spans[1].starts_at.to_string(), "2026-10-25T00:30:00Z");
}

#[test]
fn shifts_hand_off_by_the_clock_and_the_night_of_the_change_is_longer() {
    let shifts =
        Turns::shifts(["20:00", "08:00"].map(|time| time_of_day(time).unwrap()).to_vec(), date("2026-10-24"));
    let schedule = schedule(vec![Layer::new(users(&["alice", "bob", "carol"]), shifts, None)]);
    let spans = schedule.spans(&Known::default(), at("2026-10-24 08:00"), at("2026-10-26 08:00"));
    let found: Vec<_> = spans
        .iter()
        .map(|span| (names(&span.serving), span.ends_at.duration_since(span.starts_at).as_hours()))
        .collect();
    let expected = [("alice", 12), ("bob", 13), ("carol", 12), ("alice", 12)];
    assert_eq!(found, expected.map(|(name, hours)| (name.to_owned(), hours)));
}

#[test]
fn a_later_layer_covers_an_earlier_one_only_in_its_window() {
    let base = weekly(&["alice"], "Mon 09:00", "2026-11-02");
    let turns = Turns::every(7, "Mon 09:00".parse().unwrap(), date("2026-11-02"));
    let nights = Layer::new(users(&["bob"]), turns, Some("Mon-Fri 20:00-08:00".parse().unwrap()));
    let schedule = schedule(vec![base, nights]);
    assert_eq!(
        listed(&schedule, &Known::default(), "2026-11-06 12:00", "2026-11-10 12:00"),
        [
            "Fri 06 12:00 - Fri 06 20:00 alice",
            "Fri 06 20:00 - Sat 07 08:00 bob",
            "Sat 07 08:00 - Mon 09 20:00 alice",
            "Mon 09 20:00 - Tue 10 08:00 bob",
            "Tue 10 08:00 - Tue 10 12:00 alice",
        ]
    );
}

#[test]
fn windows_are_read_as_people_write_them() {
    let holds = |window: &str, instant: &str| {
        window.parse::<Window>().unwrap().holds(at(instant), berlin().time_zone())
    };
    for (window, inside, outside) in [
        ("Mon-Fri 08:00-18:00", "2026-11-09 08:00", "2026-11-09 18:00"),
        ("22:00-06:00", "2026-11-08 05:59", "2026-11-08 06:00"),
        ("Sat-Sun", "2026-11-08 23:59", "2026-11-09 00:00"),
        ("Fri 18:00-Mon 08:00", "2026-11-09 07:59", "2026-11-06 17:59"),
        ("Fri 18:00 - Mon 08:00", "2026-11-06 18:00", "2026-11-09 08:00"),
        ("mon, wed 08:00-24:00", "2026-11-11 23:59", "2026-11-10 12:00"),
        ("Sat-Mon", "2026-11-09 12:00", "2026-11-10 00:00"),
        ("Sunday 02:00-04:00", "2026-11-08 03:00", "2026-11-08 04:00"),
    ] {
        assert!(holds(window, inside), "{window} holds {inside}");
        assert!(!holds(window, outside), "{window} does not hold {outside}");
    }
    for wrong in
        ["", "Mon-Fri 8-18", "25:00-26:00", "Funday", "Mon 09:00", "08:00-18:00 Mon", "M 08:00-09:00"]
    {
        assert!(wrong.parse::<Window>().is_err(), "{wrong}");
    }
    for wrong in ["Mon", "9", "Mon 9", "Mon 09:00 x", "24:00", "Mon-Fri 09:00"] {
        assert!(wrong.parse::<HandOff>().is_err(), "{wrong}");
    }
}

#[test]
fn a_window_at_the_change_of_the_clock_ends_by_the_clock() {
    let night: Window = "22:00-06:00".parse().unwrap();
    let hours = |from: &str| {
        let windows = night.within(at(from), at(from) + SignedDuration::from_hours(1), berlin().time_zone());
        windows[0].1.duration_since(windows[0].0).as_hours()
    };
    assert_eq!([hours("2026-03-28 23:00"), hours("2026-10-24 23:00"), hours("2026-11-24 23:00")], [7, 9, 8]);
}

#[test]
fn an_override_wins_and_the_newest_of_several() {
    let schedule = schedule(vec![weekly(&["alice"], "Mon 09:00", "2026-11-02")]);
    let over = |id, person: &str, instead_of: Option<&str>, from: &str, to: &str| Override {
        id,
        person: user(person),
        instead_of: instead_of.map(user),
        starts_at: at(from),
        ends_at: at(to),
        made_by: user("boss"),
    };
    let overrides = vec![
        over(1, "bob", None, "2026-11-10 00:00", "2026-11-11 00:00"),
        over(2, "carol", Some("bob"), "2026-11-10 12:00", "2026-11-12 00:00"),
        over(3, "dave", Some("erin"), "2026-11-10 00:00", "2026-11-12 00:00"),
    ];
    let known = Known { overrides, shifts: Vec::new() };
    assert_eq!(
        listed(&schedule, &known, "2026-11-09 12:00", "2026-11-11 12:00"),
        [
            "Mon 09 12:00 - Tue 10 00:00 alice",
            "Tue 10 00:00 - Tue 10 12:00 bob",
            "Tue 10 12:00 - Wed 11 00:00 carol",
            "Wed 11 00:00 - Wed 11 12:00 alice",
        ]
    );
    let next = schedule.next_hand_off(&known, at("2026-11-09 12:00")).unwrap();
    assert_eq!(
        (names(&next.serving), next.starts_at, next.ends_at),
        ("bob".to_owned(), at("2026-11-10 00:00"), at("2026-11-10 12:00"))
    );
    assert_eq!(schedule.next_hand_off(&Known::default(), at("2026-11-09 12:00")), None);
}

/// A schedule of two people, daily at 09:00.
fn pair() -> Schedule {
    let daily = Turns::every(1, "09:00".parse().unwrap(), date("2026-11-02"));
    schedule(vec![Layer::new(users(&["alice", "bob"]), daily, None)])
}

fn with(known: &Known, plan: &planning::Plan) -> Known {
    let mut known = known.clone();
    for made in plan.overrides.clone() {
        known.overrides.push(Override {
            id: i64::try_from(known.overrides.len()).unwrap(),
            person: made.person,
            instead_of: made.instead_of,
            starts_at: made.starts_at,
            ends_at: made.ends_at,
            made_by: user("alice"),
        });
    }
    known
}

#[test]
fn taking_replaces_who_serves_and_names_them() {
    let (schedule, known, now) = (pair(), Known::default(), at("2026-11-02 12:00"));
    let plan = schedule.plan(&known, &user("bob"), &Change::Take(4 * HOUR), now, false).unwrap();
    assert_eq!(plan.others, users(&["alice"]));
    let after = with(&known, &plan);
    assert_eq!(
        listed(&schedule, &after, "2026-11-02 10:00", "2026-11-02 20:00"),
        [
            "Mon 02 10:00 - Mon 02 12:00 alice",
            "Mon 02 12:00 - Mon 02 16:00 bob",
            "Mon 02 16:00 - Mon 02 20:00 alice"
        ]
    );
    let mine = schedule.plan(&known, &user("alice"), &Change::Take(4 * HOUR), now, false);
    assert_eq!(mine, Err(NoPlan::AlreadyYours));
}

#[test]
fn giving_gives_only_ones_own_shifts() {
    let (schedule, known, now) = (pair(), Known::default(), at("2026-11-02 12:00"));
    let give = Change::Give(user("carol"), 72 * HOUR);
    let plan = schedule.plan(&known, &user("alice"), &give, now, false).unwrap();
    assert_eq!(plan.others, users(&[]));
    assert_eq!(
        listed(&schedule, &with(&known, &plan), "2026-11-02 12:00", "2026-11-06 09:00"),
        [
            "Mon 02 12:00 - Tue 03 09:00 carol",
            "Tue 03 09:00 - Wed 04 09:00 bob",
            "Wed 04 09:00 - Thu 05 09:00 carol",
            "Thu 05 09:00 - Fri 06 09:00 bob",
        ]
    );
    let stranger = schedule.plan(&known, &user("dave"), &give, now, false);
    assert!(matches!(stranger, Err(NoPlan::NoShift { next: None, .. })), "{stranger:?}");
    let moderator = schedule.plan(&known, &user("dave"), &give, now, true).unwrap();
    assert_eq!((moderator.overrides.len(), moderator.others), (1, users(&["alice", "bob"])));
    let oneself = Change::Give(user("alice"), HOUR);
    assert_eq!(schedule.plan(&known, &user("alice"), &oneself, now, true), Err(NoPlan::Yourself));
    let later = schedule.plan(&known, &user("bob"), &Change::Give(user("carol"), HOUR), now, false);
    assert!(matches!(later, Err(NoPlan::NoShift { next: Some(next), .. }) if next == at("2026-11-03 09:00")));
}

#[test]
fn swapping_exchanges_as_many_shifts() {
    let schedule = schedule(vec![weekly(&["alice", "bob"], "Mon 09:00", "2026-11-02")]);
    let (known, now) = (Known::default(), at("2026-11-10 12:00"));
    let swap = Change::Swap(user("bob"), "Tue-Thu".to_owned());
    let plan = schedule.plan(&known, &user("alice"), &swap, now, false).unwrap();
    assert_eq!(
        listed(&schedule, &with(&known, &plan), "2026-11-16 09:00", "2026-11-30 09:00"),
        [
            "Mon 16 09:00 - Tue 17 00:00 alice",
            "Tue 17 00:00 - Fri 20 00:00 bob",
            "Fri 20 00:00 - Mon 23 09:00 alice",
            "Mon 23 09:00 - Tue 24 00:00 bob",
            "Tue 24 00:00 - Fri 27 00:00 alice",
            "Fri 27 00:00 - Mon 30 09:00 bob",
        ]
    );
    let not_mine =
        schedule.plan(&known, &user("bob"), &Change::Swap(user("alice"), "Tue-Thu".to_owned()), now, false);
    assert!(matches!(not_mine, Err(NoPlan::NoShift { .. })), "{not_mine:?}");
    let nobody =
        schedule.plan(&known, &user("alice"), &Change::Swap(user("carol"), "Tue-Thu".to_owned()), now, false);
    assert_eq!(nobody, Err(NoPlan::TooFew { user: user("carol"), has: 0, needed: 1 }));
}

#[test]
fn mentions_name_people_and_say_when_there_is_nobody() {
    let (schedule, known) = (pair(), Known::default());
    let mentions = [Mention::OnCall("finance-primary".to_owned()), Mention::User(user("boss"))];
    let called = |now| {
        let mut on_call = OnCallNow::default();
        on_call.add("finance-primary", Some((&schedule, &known)), now);
        on_call.resolve(&mentions)
    };
    let serving = called(at("2026-11-03 12:00"));
    assert_eq!(serving.mentions, [Mention::User(user("bob")), Mention::User(user("boss"))]);
    assert!(serving.nobody.is_empty());
    let nobody = called(at("2026-11-01 12:00"));
    assert_eq!(nobody.mentions, [Mention::Room, Mention::User(user("boss"))]);
    assert_eq!(nobody.nobody, ["finance-primary"]);
    assert_eq!(OnCallNow::none().resolve(&mentions), nobody, "a schedule that was removed has nobody");
    let unknown = OnCallNow::default().with_unknown(["finance-primary".to_owned()]).resolve(&mentions);
    assert_eq!(unknown.mentions, mentions);
    assert!(!OnCallNow::none().includes(user_id!("@alice:example.org")));
}

fn any_turns() -> impl Strategy<Value = Turns> {
    let day = 0_i64..400;
    let hand_off = (0_i8..24, 0_i8..60, proptest::option::of(0_usize..7));
    let every = (day.clone(), 1_i64..15, hand_off).prop_map(|(start, days, (hour, minute, weekday))| {
        let day =
            weekday.map(|day| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][day]).unwrap_or_default();
        let hand_off = format!("{day} {hour:02}:{minute:02}").trim().parse().unwrap();
        Turns::every(days, hand_off, times::plus_days(date("2026-01-01"), start))
    });
    let times = proptest::collection::vec((0_i8..24, 0_i8..60), 1..4);
    let shifts = (day, times).prop_map(|(start, times)| {
        let times = times.into_iter().map(|(hour, minute)| jiff::civil::time(hour, minute, 0, 0)).collect();
        Turns::shifts(times, times::plus_days(date("2026-01-01"), start))
    });
    prop_oneof![every, shifts]
}

fn any_zone() -> impl Strategy<Value = Zone> {
    let zones =
        ["Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "UTC", "Pacific/Apia"];
    proptest::sample::select(zones.to_vec()).prop_map(|name| name.parse().unwrap())
}

proptest! {
    /// After the first hand-off there is exactly one person at each instant; the spans tile, agree with who serves at any
    /// instant, and the next hand-off is the next span with another person.
    #[test]
    fn a_rotation_without_windows_always_has_exactly_one_person(
        turns in any_turns(), zone in any_zone(), people in 1_usize..4, hours in 0_i64..20_000, minutes in 0_i64..60,
    ) {
        let layer = Layer::new(users(&["alice", "bob", "carol"][..people]), turns, None);
        let schedule = Schedule { zone, ..schedule(vec![layer]) };
        let known = Known::default();
        let from = date("2027-03-01").to_zoned(schedule.zone.time_zone().clone()).unwrap().timestamp();
        let instant = from + SignedDuration::from_mins(hours * 60 + minutes);
        prop_assert_eq!(schedule.serving(&known, instant).people.len(), 1);
        let to = instant + SignedDuration::from_hours(24 * 20);
        let spans = schedule.spans(&known, instant, to);
        prop_assert_eq!(spans.first().map(|span| span.starts_at), Some(instant));
        prop_assert_eq!(spans.last().map(|span| span.ends_at), Some(to));
        for (span, next) in spans.iter().zip(spans.iter().skip(1)) {
            prop_assert_eq!(span.ends_at, next.starts_at);
            prop_assert_ne!(&span.serving, &next.serving);
        }
        for span in &spans {
            let last = span.ends_at - SignedDuration::from_nanos(1);
            let middle = span.starts_at + span.ends_at.duration_since(span.starts_at) / 2;
            for inside in [span.starts_at, middle, last] {
                prop_assert_eq!(&schedule.serving(&known, inside), &span.serving);
            }
        }
        let next = schedule.next_hand_off(&known, instant);
        if let Some(second) = spans.get(1) {
            let next = next.unwrap();
            prop_assert_eq!((&next.serving, next.starts_at), (&second.serving, second.starts_at));
        } else if let Some(next) = next {
            prop_assert!(next.starts_at >= to);
        }
    }

    /// With windows, spans agree with who serves as well.
    #[test]
    fn spans_agree_with_who_serves_in_windows(
        turns in any_turns(), zone in any_zone(), window in 0_usize..5, hours in 0_i64..20_000,
    ) {
        let windows = ["Mon-Fri 08:00-18:00", "22:00-06:00", "Fri 18:00-Mon 08:00", "02:30-03:30", "Sat-Sun"];
        let only = Some(windows[window].parse().unwrap());
        let layers = vec![Layer::new(users(&["alice", "bob"]), turns.clone(), None), Layer::new(users(&["carol"]), turns, only)];
        let schedule = Schedule { zone, ..schedule(layers) };
        let known = Known::default();
        let from: Timestamp = "2027-03-01T00:00:00Z".parse().unwrap();
        let from = from + SignedDuration::from_hours(hours);
        for span in schedule.spans(&known, from, from + SignedDuration::from_hours(100)) {
            let last = span.ends_at - SignedDuration::from_nanos(1);
            let middle = span.starts_at + span.ends_at.duration_since(span.starts_at) / 2;
            for inside in [span.starts_at, middle, last] {
                prop_assert_eq!(&schedule.serving(&known, inside), &span.serving);
            }
        }
    }
}
