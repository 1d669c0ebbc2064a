#![allow(clippy::arithmetic_side_effects, reason = "tests may fail loudly")]

use super::*;
use crate::domain::watch::PeerAnswer;
use jiff::SignedDuration;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// An Alertmanager, and what is stored about the incident #1 of `finance`.
struct Story {
    watch: Watch,
    now: Timestamp,
    known: BTreeMap<i64, Known>,
    silences: BTreeMap<String, SilenceView>,
}

fn listed(receiver: &str, silences: &[&str], inhibited: bool) -> ListedAlert {
    ListedAlert {
        starts_at: NOW,
        ends_at: NOW + SignedDuration::from_hours(9),
        updated_at: NOW,
        suppressed: inhibited || !silences.is_empty(),
        silenced_by: silences.iter().map(|id| Arc::from(*id)).collect(),
        inhibited_by: if inhibited { vec![Arc::from("c")] } else { Vec::new() },
        receivers: vec![Arc::from(receiver)],
    }
}

impl Story {
    fn begins(firing: &[&str]) -> Self {
        let alert = KnownAlert { last_seen: NOW, listed_by: Some("main".to_owned()), unlisted_since: None };
        let known = Known {
            room_list: "finance".to_owned(),
            receiver: "finance".to_owned(),
            is_open: true,
            waits: false,
            hold: None,
            partly_silenced: BTreeSet::new(),
            firing: firing.iter().map(|name| ((*name).to_owned(), alert.clone())).collect(),
        };
        Self {
            watch: Watch::new(vec!["http://a".to_owned()], &Remembered::default()),
            now: NOW,
            known: [(1, known)].into(),
            silences: BTreeMap::new(),
        }
    }

    fn silence(&mut self, id: &str, minutes: i64) -> Timestamp {
        let until = NOW + SignedDuration::from_mins(minutes);
        let view = SilenceView { created_by: "bob".to_owned(), comment: String::new(), until };
        self.silences.insert(id.to_owned(), view);
        until
    }

    /// Half a minute later, a poll.
    fn polls(&mut self, alerts: &[(&str, ListedAlert)]) -> Plan {
        self.now += SignedDuration::from_secs(30);
        expect(&mut self.watch, "main", &self.known);
        let answer = PeerAnswer {
            started_at: NOW - SignedDuration::from_hours(9),
            clock: self.now,
            cluster: None,
            alerts: alerts.iter().map(|(name, alert)| ((*name).to_owned(), alert.clone())).collect(),
        };
        assert!(self.watch.polled(self.now, vec![Some(answer)]));
        let (muted, elsewhere) = (BTreeMap::new(), BTreeSet::new());
        let around = Around {
            name: "main",
            silences: &self.silences,
            muted: &muted,
            elsewhere: &elsewhere,
            now: self.now,
        };
        plan(&self.watch, &self.known, |_| Duration::MAX, &around)
    }

    fn hold(&mut self) -> &mut Option<Hold> {
        &mut self.known.get_mut(&1).unwrap().hold
    }
}

fn hold_of(plan: &Plan) -> Option<&Hold> {
    match &plan.listings.get(&1)?.hold {
        HoldNews::Held(hold) => Some(hold),
        HoldNews::Unchanged | HoldNews::Over => None,
    }
}

#[test]
fn an_incident_is_held_until_the_first_of_its_alerts_is_not() {
    let mut story = Story::begins(&["a", "b"]);
    let short = story.silence("short", 10);
    let long = story.silence("long", 60);
    assert_eq!(
        hold_of(
            &story
                .polls(&[("a", listed("finance", &["short"], false)), ("b", listed("finance", &[], false))])
        ),
        None
    );
    let plan = story.polls(&[
        ("a", listed("finance", &["short", "long"], false)),
        ("b", listed("finance", &["short"], false)),
    ]);
    let hold = hold_of(&plan).unwrap();
    assert_eq!((hold.until, hold.by.len()), (short, 2), "b is active first");
    let plan = story.polls(&[
        ("a", listed("finance", &["short", "long"], false)),
        ("b", listed("finance", &["long"], false)),
    ]);
    assert_eq!(hold_of(&plan).unwrap().until, long);
}

#[test]
fn a_hold_that_goes_on_is_no_news_and_one_without_an_end_is_extended() {
    let mut story = Story::begins(&["a"]);
    let inhibited = [("a", listed("finance", &[], true))];
    let first = hold_of(&story.polls(&inhibited)).unwrap().clone();
    assert_eq!(first.until, later(story.now, OPEN_HOLD));
    *story.hold() = Some(first);
    assert_eq!(story.polls(&inhibited), Plan::default());
    for _ in 0..9 {
        story.polls(&inhibited);
    }
    let extended = hold_of(&story.polls(&inhibited)).unwrap().until;
    assert_eq!(extended, later(story.now, OPEN_HOLD));
}

#[test]
fn a_hold_ends_when_an_alert_is_active_in_two_polls() {
    let mut story = Story::begins(&["a"]);
    let held = story.polls(&[("a", listed("finance", &[], true))]);
    *story.hold() = hold_of(&held).cloned();
    let active = [("a", listed("finance", &[], false))];
    assert_eq!(story.polls(&active), Plan::default());
    assert_eq!(story.polls(&active).listings[&1].hold, HoldNews::Over);
}

#[test]
fn a_hold_does_not_end_while_its_alert_may_have_ended() {
    let mut story = Story::begins(&["a"]);
    story.silence("s", 1);
    let held = story.polls(&[("a", listed("finance", &["s"], false))]);
    *story.hold() = hold_of(&held).cloned();
    let first = story.polls(&[]);
    assert_eq!(hold_of(&first).unwrap().until, later(story.now, UNLISTED_HOLD));
    assert_eq!(first.listings[&1].suppressed, ["a".to_owned()].into());
    *story.hold() = hold_of(&first).cloned();
    assert_eq!(story.polls(&[]).listings[&1].ended, ["a".to_owned()].into());
}

#[test]
fn only_what_this_alertmanager_has_listed_ends() {
    let mut story = Story::begins(&["a", "b"]);
    story.known.get_mut(&1).unwrap().firing.get_mut("b").unwrap().listed_by = None;
    story.polls(&[("a", listed("finance", &[], false))]);
    let first = story.polls(&[]);
    assert_eq!((first.unlisted, first.listings.len()), (["a".to_owned()].into(), 0));
    assert_eq!(story.polls(&[]).listings[&1].ended, ["a".to_owned()].into());
}

#[test]
fn what_nobody_reported_waits_for_its_webhook_and_for_its_list() {
    let mut story = Story::begins(&["a"]);
    let all = [
        ("a", listed("finance", &[], false)),
        ("x", listed("finance", &[], false)),
        ("y", listed("slack", &[], false)),
        ("z", listed("finance", &["s"], false)),
    ];
    let list_of = |receiver: &str| (receiver == "finance").then(|| Arc::from("finance"));
    let after =
        |story: &Story| unheard(&story.watch, &story.known, list_of, |_| Duration::from_mins(1), story.now);
    for _ in 0..2 {
        story.polls(&all);
        assert!(after(&story).is_empty());
    }
    story.polls(&all);
    let found = after(&story);
    assert_eq!(found.len(), 1);
    assert_eq!(found["finance"].alerts, ["x".to_owned()].into());
}
