//! A small world at random: sources that fire and end, peers that restart and go silent, clocks that are wrong, and a
//! matrixbot that restarts. The watch knows only the peers' answers; the test knows what really fires.

use crate::domain::watch::{ListedAlert, PeerAnswer, Remembered, Sight, Watch};
use jiff::Timestamp;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const PEERS: usize = 2;
const ALERTS: usize = 3;
/// Seconds: of a step of the world, between polls, until a source reports again, and how far ahead it reports an end.
const STEP: i64 = 5;
const POLL: i64 = 30;
const RESEND: i64 = 75;
const PROMISE: i64 = 240;

/// What holds for some time.
#[derive(Debug, Clone)]
struct Spell {
    seconds: i64,
    firing: [bool; ALERTS],
    silenced: [bool; ALERTS],
    up: [bool; PEERS],
    /// Whether matrixbot reaches the peer. Sources always do.
    reached: [bool; PEERS],
    /// Whether matrixbot starts anew at its beginning.
    restart: bool,
}

fn spell() -> impl Strategy<Value = Spell> {
    let mostly = || prop::bool::weighted(0.8);
    (
        (1_i64..150).prop_map(|steps| steps * STEP),
        prop::array::uniform3(any::<bool>()),
        prop::array::uniform3(prop::bool::weighted(0.2)),
        prop::array::uniform2(mostly()),
        prop::array::uniform2(mostly()),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(seconds, firing, silenced, up, reached, restart)| Spell {
            seconds,
            firing,
            silenced,
            up,
            reached,
            restart,
        })
}

/// A process of Alertmanager: when it started, and the last report of each alert.
#[derive(Debug, Default)]
struct Peer {
    started: Option<i64>,
    /// How far its clock is ahead.
    ahead: i64,
    reports: BTreeMap<usize, i64>,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn name(alert: usize) -> String {
    format!("{alert:016x}")
}

impl Peer {
    fn answer(&self, now: i64, silenced: [bool; ALERTS]) -> Option<PeerAnswer> {
        let own = |second: i64| at(second + self.ahead);
        let listed = self.reports.iter().filter(|(_, reported)| **reported + PROMISE > now);
        let alerts = listed.map(|(alert, reported)| {
            let listed = ListedAlert {
                starts_at: at(0),
                ends_at: own(reported + PROMISE),
                updated_at: own(*reported),
                suppressed: silenced[*alert],
                silenced_by: Vec::new(),
                inhibited_by: Vec::new(),
                receivers: Vec::new(),
            };
            (name(*alert), listed)
        });
        let started_at = own(self.started?);
        Some(PeerAnswer { started_at, clock: own(now), cluster: None, alerts: alerts.collect() })
    }
}

/// What the test knows about an alert.
#[derive(Debug, Default, Clone, Copy)]
struct Truth {
    firing_since: Option<i64>,
    /// The last poll that listed it.
    listed_at: Option<i64>,
    active_polls: u32,
}

struct World {
    now: i64,
    peers: [Peer; PEERS],
    truth: [Truth; ALERTS],
    watch: Watch,
    expect_latest: bool,
}

impl World {
    fn new(ahead: [i64; PEERS], expect_latest: bool) -> Self {
        let peers = ahead.map(|ahead| Peer { ahead, ..Peer::default() });
        let watch = Watch::new(urls(), &Remembered::default());
        Self { now: 0, peers, truth: <[Truth; ALERTS]>::default(), watch, expect_latest }
    }

    fn live(&mut self, spell: &Spell) -> Result<(), TestCaseError> {
        if spell.restart {
            self.restart();
        }
        for _ in 0..spell.seconds / STEP {
            self.sources(spell);
            if self.now % POLL == 0 {
                self.poll(spell)?;
            }
            self.now += STEP;
        }
        Ok(())
    }

    /// matrixbot knows from its database what was firing, and when it was listed.
    fn restart(&mut self) {
        let mut watch = Watch::new(urls(), &self.watch.remembered());
        for (alert, truth) in self.truth.iter_mut().enumerate() {
            truth.active_polls = 0;
            let Some(listed_at) = truth.listed_at else { continue };
            if self.watch.sight(&name(alert)).is_some_and(|sight| sight != Sight::Ended) {
                let known = truth
                    .firing_since
                    .filter(|_| !self.expect_latest)
                    .map_or(listed_at, |since| since.min(listed_at));
                watch.expect(&name(alert), at(known));
            }
        }
        self.watch = watch;
    }

    fn sources(&mut self, spell: &Spell) {
        let now = self.now;
        for (peer, up) in self.peers.iter_mut().zip(spell.up) {
            match (up, peer.started) {
                (true, None) => peer.started = Some(now),
                (false, _) => (peer.started, peer.reports) = (None, BTreeMap::new()),
                (true, Some(_)) => {}
            }
        }
        for (alert, firing) in spell.firing.iter().enumerate() {
            let truth = &mut self.truth[alert];
            let began = *firing && truth.firing_since.is_none();
            truth.firing_since = firing.then(|| truth.firing_since.unwrap_or(now));
            for peer in self.peers.iter_mut().filter(|peer| peer.started.is_some()) {
                if !firing {
                    peer.reports.remove(&alert);
                } else if began || now % RESEND == 0 {
                    peer.reports.insert(alert, now);
                }
            }
        }
    }

    fn poll(&mut self, spell: &Spell) -> Result<(), TestCaseError> {
        let now = self.now;
        let before: Vec<_> = (0..ALERTS).map(|alert| self.watch.sight(&name(alert))).collect();
        let answers: Vec<_> = (self.peers.iter().zip(spell.reached))
            .map(|(peer, reached)| peer.answer(now, spell.silenced).filter(|_| reached))
            .collect();
        let lists =
            |alert: usize| answers.iter().flatten().any(|answer| answer.alerts.contains_key(&name(alert)));
        let listed: Vec<bool> = (0..ALERTS).map(lists).collect();
        let good = answers.iter().any(Option::is_some);
        prop_assert_eq!(self.watch.polled(at(now), answers), good);
        if !good {
            return Ok(());
        }
        for (alert, listed) in listed.into_iter().enumerate() {
            let (truth, sight) = (&mut self.truth[alert], self.watch.sight(&name(alert)));
            truth.active_polls = if listed && !spell.silenced[alert] { truth.active_polls + 1 } else { 0 };
            if listed {
                truth.listed_at = Some(now);
            }
            match sight {
                Some(Sight::Active { polls, .. }) => prop_assert_eq!(polls, truth.active_polls),
                Some(Sight::Suppressed) => prop_assert!(listed && spell.silenced[alert]),
                Some(Sight::Ended) if before[alert] != Some(Sight::Ended) => {
                    let since_listed = truth.firing_since.zip(truth.listed_at);
                    let still_firing = since_listed.is_some_and(|(since, listed)| since <= listed);
                    prop_assert!(!still_firing, "{alert} has not ended at {now}: {truth:?}");
                }
                Some(Sight::Ended | Sight::Unclear) | None => prop_assert!(!listed),
            }
        }
        Ok(())
    }
}

fn urls() -> Vec<String> {
    (0..PEERS).map(|peer| format!("http://am-{peer}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_is_firing_has_ended_and_everything_that_ended_is_found(
        spells in prop::collection::vec(spell(), 1..25),
        ahead in prop::array::uniform2(prop::sample::select(vec![0, 0, 5, -600, 600])),
        expect_latest in any::<bool>(),
    ) {
        let mut world = World::new(ahead, expect_latest);
        for spell in &spells {
            world.live(spell)?;
        }
        // All sources end, and all peers answer for longer than any source may stay quiet.
        let calm = Spell {
            seconds: 12 * POLL + 2 * PROMISE,
            firing: [false; ALERTS],
            silenced: [false; ALERTS],
            up: [true; PEERS],
            reached: [true; PEERS],
            restart: false,
        };
        world.live(&calm)?;
        for alert in 0..ALERTS {
            let sight = world.watch.sight(&name(alert));
            prop_assert!(matches!(sight, None | Some(Sight::Ended)), "{alert}: {sight:?}");
        }
        prop_assert!(world.watch.remembered().longest_promise <= Duration::from_mins(4));
    }
}
