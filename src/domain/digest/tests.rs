#![allow(clippy::arithmetic_side_effects, reason = "tests may fail loudly")]

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn severity(rank: i32) -> Severity {
    Severity { name: Some(format!("rank {rank}")), rank, escalate: true }
}

fn member(number: i64, phase: PhaseName, rank: i32, mentions: &[Mention]) -> Member {
    Member {
        number,
        name: "DiskFull".to_owned(),
        place: "db-1".to_owned(),
        phase,
        severity: Some(severity(rank)),
        ackers: Vec::new(),
        escalated: false,
        mentions: mentions.to_vec(),
    }
}

fn open(sent: u64, edited: u64, members: Vec<Member>) -> Open {
    Open { sent_at: earlier(NOW, seconds(sent)), edited_at: earlier(NOW, seconds(edited)), members }
}

#[test]
fn pages_join_a_young_digest_that_calls_everybody_they_would_call() {
    use PhaseName::{Acknowledged, Firing};
    let rule = DigestRule::default();
    let firing = |rank, mentions: &[Mention]| member(1, Firing, rank, mentions);
    let room = [Mention::Room];
    let cases = [
        ("none yet", None, firing(1, &[]), Plan::New),
        ("young", Some(open(30, 10, vec![firing(1, &[])])), firing(1, &[]), Plan::Join),
        (
            "just edited",
            Some(open(30, 1, vec![firing(1, &[])])),
            firing(1, &[]),
            Plan::JoinAt(later(NOW, seconds(2))),
        ),
        ("old", Some(open(60, 10, vec![firing(1, &[])])), firing(1, &[]), Plan::New),
        (
            "acknowledged",
            Some(open(30, 10, vec![member(1, Acknowledged, 1, &[])])),
            firing(1, &[]),
            Plan::New,
        ),
        ("more severe", Some(open(30, 10, vec![firing(1, &[])])), firing(2, &[]), Plan::New),
        ("calls others", Some(open(30, 10, vec![firing(1, &[])])), firing(1, &room), Plan::New),
        ("calls the same", Some(open(30, 10, vec![firing(1, &room)])), firing(0, &room), Plan::Join),
        ("full", Some(open(30, 10, vec![firing(1, &[]); MOST_MEMBERS])), firing(1, &[]), Plan::New),
    ];
    for (case, open, coming, expected) in cases {
        assert_eq!(plan(rule, open.as_ref(), &[coming], NOW), expected, "{case}");
    }
}

#[test]
fn numbers_become_ranges() {
    assert_eq!(ranges([3, 1, 2, 7, 9, 8, 12]), [(1, 3), (7, 9), (12, 12)]);
    assert_eq!(ranges([]), []);
    assert_eq!(ranges([5, 5]), [(5, 5)]);
}

/// What happens in a room: pages become due, time passes, the room sends.
#[derive(Debug, Clone)]
enum Step {
    Due(Vec<i32>),
    Passes(u64),
    Acknowledged,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(0..3, 1..30).prop_map(Step::Due),
        3 => (0_u64..40).prop_map(Step::Passes),
        1 => Just(Step::Acknowledged),
    ]
}

/// A room that sends by the rules. Records how each page was sent.
#[derive(Default)]
struct Room {
    now: u64,
    due: Vec<Member>,
    open: Option<Open>,
    posted: Vec<u64>,
    /// By number: how often it was sent, and whether in a message that wakes people.
    sent: std::collections::BTreeMap<i64, (u32, bool)>,
    messages: Vec<u64>,
    edits: Vec<u64>,
}

impl Room {
    fn at(&self) -> Timestamp {
        later(NOW, seconds(self.now))
    }

    fn send(&mut self, rule: DigestRule) {
        while let Some(first) = self.due.first().cloned() {
            let recent = self.posted.iter().filter(|at| self.now - **at < rule.within.as_secs()).count();
            let plan = if is_storm(rule, self.due.len(), recent) {
                plan(rule, self.open.as_ref(), &self.due, self.at())
            } else {
                Plan::Alone
            };
            let sent: Vec<Member> = match plan {
                Plan::JoinAt(_) => return,
                Plan::Alone => {
                    self.due.remove(0);
                    vec![first]
                }
                Plan::New | Plan::Join => std::mem::take(&mut self.due),
            };
            for member in &sent {
                let entry = self.sent.entry(member.number).or_default();
                entry.0 += 1;
                entry.1 |= plan != Plan::Join;
                self.posted.push(self.now);
            }
            let now = self.at();
            match (plan, &mut self.open) {
                (Plan::Join, Some(open)) => {
                    open.members.extend(sent);
                    open.edited_at = now;
                    self.edits.push(self.now);
                }
                (Plan::New, _) => {
                    self.open = Some(Open { sent_at: now, edited_at: now, members: sent });
                    self.messages.push(self.now);
                }
                _ => self.messages.push(self.now),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each page is sent once, within a few seconds. One that only an edit carried came while those who were woken less than
    /// `within` ago still had something to acknowledge. A room gets few messages, however many pages there are.
    #[test]
    fn each_page_is_told_once_and_a_room_gets_few_messages(
        steps in proptest::collection::vec(step(), 1..40),
        above in 1_u32..10,
    ) {
        let rule = DigestRule { above, within: seconds(60) };
        let mut room = Room::default();
        let mut number = 0;
        for step in steps {
            match step {
                Step::Due(ranks) => {
                    for rank in ranks {
                        number += 1;
                        room.due.push(member(number, PhaseName::Firing, rank, &[]));
                    }
                }
                Step::Passes(time) => {
                    for _ in 0..time {
                        room.now += 1;
                        room.send(rule);
                    }
                }
                Step::Acknowledged => {
                    for member in room.open.iter_mut().flat_map(|open| &mut open.members) {
                        member.phase = PhaseName::Acknowledged;
                    }
                }
            }
            room.send(rule);
        }
        for _ in 0..5 {
            room.now += 1;
            room.send(rule);
        }
        prop_assert!(room.due.is_empty(), "something waits");
        prop_assert_eq!(i64::try_from(room.sent.len()).unwrap(), number);
        prop_assert!(room.sent.values().all(|(times, _)| *times == 1));
        prop_assert!(room.edits.windows(2).all(|pair| pair[1] - pair[0] >= 3), "edits: {:?}", room.edits);
    }
}
