//! Random histories from proptest: a few policies and a list of steps.

use crate::domain::policy::{Level, Mention, OnNewAlert, Policy, SeverityRule};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeMap;
use std::time::Duration;

/// The policies (the first is the newest at the start) and the steps.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) policies: Vec<Policy>,
    pub(super) steps: Vec<Step>,
}

/// One step. Its indexes are resolved when it runs.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// This many seconds pass.
    Pass(u64),
    /// A poll of Alertmanager: which alerts have ended, and whether it holds back the others for so many seconds, or no
    /// longer.
    Poll {
        ended: Vec<bool>,
        hold: Hold,
    },
    /// Alertmanager sends a report, with one step for each alert.
    Report(Vec<AlertStep>),
    /// One of the earlier reports arrives again.
    OldReport(Index),
    /// All alerts resolve, and this many seconds later they fire again with the same severities.
    Flap(u64),
    /// The tick comes this many seconds after it was due.
    Tick {
        late: u64,
    },
    /// The tick comes now, due or not.
    TickNow,
    /// The timer is looked at while the virtual user cannot send.
    TickWhileHeld,
    TickWhileUnpolled,
    /// The outbox delivers one of its unsent messages.
    Send(Index),
    /// One unsent page is undeliverable.
    Fail(Index),
    /// The outbox reports a delivery again.
    SentAgain(Index),
    /// A person acts.
    Person(Who, Does),
    /// The event of a person who acted this many seconds ago arrives.
    LatePerson(Who, Does, u64),
    /// Maintenance starts or ends.
    Maintenance,
    /// The operator reloads the configuration.
    Reload(Index),
    /// The incident is stale.
    Stale,
    /// The incident could not be read for a while; whether another one has its alerts.
    ReadableAgain {
        replaced: bool,
    },
}

/// What a poll finds about a hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hold {
    /// Nothing.
    Unchanged,
    /// Every alert is held back for this many seconds.
    For(u64),
    /// Some alert is not.
    Over,
}

/// What a report contains about an alert.
#[derive(Debug, Clone, Copy)]
pub(super) enum AlertStep {
    Nothing,
    /// It is firing with this severity: a new episode if it was not firing.
    Fires(i32),
    /// It is firing, with the start time of its last episode.
    SameEpisode,
    /// It is firing, and started later than known, whether or not it has resolved.
    Restarts,
    Clears,
    /// It is resolved, with an earlier start than known.
    ClearsFromEarlier,
    /// It is resolved, in an episode that ended before the current one.
    ClearedBefore,
    /// Its group is reported without it.
    LeftOut,
}

/// A person.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    Alice,
    Bob,
}

/// A person's act.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    Acknowledge,
    Unacknowledge,
    Snooze(u64),
    Unsnooze,
    /// Without a page.
    Escalate,
    /// For the current page.
    EscalateThis,
    /// For a page that is not current.
    EscalateOther,
    Resolve,
}

/// Random histories.
pub(super) fn histories() -> impl Strategy<Value = History> {
    (prop::collection::vec(policies(), 1..=3), prop::collection::vec(steps(), 1..=70))
        .prop_map(|(policies, steps)| History { policies, steps })
}

fn seconds(choices: &'static [u64]) -> impl Strategy<Value = Duration> {
    select(choices).prop_map(Duration::from_secs)
}

fn policies() -> impl Strategy<Value = Policy> {
    let level = (seconds(&[60, 300, 900]), 1..=2_usize).prop_map(|(escalate_after, rooms)| Level {
        rooms: (0..rooms).map(|room| format!("!{room}:example.org")).collect(),
        escalate_after,
        mention: vec![Mention::Room],
    });
    let ladder = (prop::collection::vec(level, 1..=3), 0..=2_u32, seconds(&[0, 0, 120]));
    let unanswered = (prop::option::of(seconds(&[600])), 0..=3_u32);
    let ack_or_snooze = (
        prop::option::of(seconds(&[300, 1800])),
        seconds(&[60, 600]),
        select(&[OnNewAlert::Reopen, OnNewAlert::Reopen, OnNewAlert::Sticky]),
    );
    (ladder, unanswered, ack_or_snooze, seconds(&[60, 600])).prop_map(
        |(ladder, unanswered, ack_or_snooze, reopen_window)| {
            let mut policy = Policy::with_levels(ladder.0);
            (policy.repeat, policy.initial_delay) = (ladder.1, ladder.2);
            (policy.remind_every, policy.max_reminders) = unanswered;
            (policy.ack_timeout, policy.ack_reminder, policy.on_new_alert) = ack_or_snooze;
            policy.reopen_window = reopen_window;
            policy.severities = severities();
            policy
        },
    )
}

/// Only an info neither escalates nor mentions anybody.
pub(super) fn severities() -> BTreeMap<String, SeverityRule> {
    let rule = |rank| SeverityRule { rank, ..SeverityRule::default() };
    let info = SeverityRule { escalate: false, mention: Some(Vec::new()), ..rule(0) };
    [("info", info), ("warning", rule(1)), ("critical", rule(2))]
        .map(|(name, rule)| (name.to_owned(), rule))
        .into()
}

fn steps() -> impl Strategy<Value = Step> {
    let alert = prop_oneof![
        4 => Just(AlertStep::Nothing),
        4 => (0..=2).prop_map(AlertStep::Fires),
        1 => Just(AlertStep::SameEpisode),
        1 => Just(AlertStep::Restarts),
        4 => Just(AlertStep::Clears),
        1 => Just(AlertStep::ClearsFromEarlier),
        1 => Just(AlertStep::ClearedBefore),
        1 => Just(AlertStep::LeftOut),
    ];
    let reports = || prop::collection::vec(alert.clone(), 3);
    let who = || prop_oneof![Just(Who::Alice), Just(Who::Bob)];
    let person = |does: Does| who().prop_map(move |who| Step::Person(who, does));
    prop_oneof![
        6 => select(&[0, 1, 5, 30, 59, 61, 300, 301, 1800, 40_000][..]).prop_map(Step::Pass),
        8 => reports().prop_map(Step::Report),
        2 => any::<Index>().prop_map(Step::OldReport),
        2 => select(&[30, 301, 1800][..]).prop_map(Step::Flap),
        9 => select(&[0, 0, 0, 1, 120, 40_000][..]).prop_map(|late| Step::Tick { late }),
        1 => Just(Step::TickNow),
        1 => Just(Step::TickWhileHeld),
        1 => Just(Step::TickWhileUnpolled),
        5 => any::<Index>().prop_map(Step::Send),
        1 => any::<Index>().prop_map(Step::Fail),
        1 => any::<Index>().prop_map(Step::SentAgain),
        5 => person(Does::Acknowledge),
        2 => (who(), select(&[Does::Acknowledge, Does::Acknowledge, Does::Snooze(900), Does::Resolve][..]),
              select(&[1, 61, 301][..]))
            .prop_map(|(who, does, late)| Step::LatePerson(who, does, late)),
        1 => person(Does::Unacknowledge),
        1 => (who(), select(&[60, 900, 1_000_000][..]))
            .prop_map(|(who, length)| Step::Person(who, Does::Snooze(length))),
        1 => person(Does::Unsnooze),
        1 => person(Does::Escalate),
        1 => person(Does::EscalateThis),
        1 => person(Does::EscalateOther),
        1 => person(Does::Resolve),
        1 => (prop::collection::vec(any::<bool>(), 3), select(&[Hold::Unchanged, Hold::Over, Hold::For(60), Hold::For(1800)][..]))
            .prop_map(|(ended, hold)| Step::Poll { ended, hold }),
        2 => select(&[Hold::Over, Hold::For(60), Hold::For(1800)][..])
            .prop_map(|hold| Step::Poll { ended: vec![false; 3], hold }),
        1 => Just(Step::Maintenance),
        1 => any::<Index>().prop_map(Step::Reload),
        1 => Just(Step::Stale),
        1 => any::<bool>().prop_map(|replaced| Step::ReadableAgain { replaced }),
    ]
}
