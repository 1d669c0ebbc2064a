//! The processes of Alertmanager that answer at the peers' URLs: a restart makes a new one, and a load balancer may lead
//! to several.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// The most that are remembered: a bit of `Mask` for each. The one that answered longest ago is forgotten first.
const MOST: u32 = u64::BITS;

/// A set of processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mask(u64);

impl Mask {
    pub(super) fn of(slot: u32) -> Self {
        Self(1_u64.checked_shl(slot).unwrap_or_default())
    }

    pub(super) fn insert(&mut self, slot: u32) {
        self.0 |= Self::of(slot).0;
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.0 &= !Self::of(slot).0;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn contains(self, slot: u32) -> bool {
        self.intersects(Self::of(slot))
    }
}

/// What identifies a process: the index of its peer, its start and its name in the cluster.
pub(super) type Identity = (usize, Timestamp, Option<String>);

#[derive(Debug, Clone)]
struct Process {
    slot: u32,
    identity: Identity,
    /// When it started, or else the first poll that it answered: before that, another one may have answered.
    known_since: Timestamp,
    answered_at: Timestamp,
}

/// All known processes of an Alertmanager.
#[derive(Debug, Clone)]
pub(super) struct Processes {
    /// The number of peers.
    peers: usize,
    /// By peer, the start of the process that answered another process of matrixbot.
    remembered: BTreeMap<usize, Timestamp>,
    known: Vec<Process>,
}

/// A process that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) slot: u32,
    /// The slot belonged to another process until now.
    pub(super) evicted: Option<u32>,
}

impl Processes {
    /// `started`: by URL, when the process of a peer had started.
    pub(super) fn new(peers: &[String], started: &BTreeMap<String, Timestamp>) -> Self {
        let remembered = peers.iter().enumerate();
        let remembered = remembered.filter_map(|(peer, url)| Some((peer, *started.get(url)?))).collect();
        Self { peers: peers.len(), remembered, known: Vec::new() }
    }

    /// Notes that a process answered. `started_at`: its start by our clock.
    pub(super) fn answered(&mut self, identity: Identity, started_at: Timestamp, now: Timestamp) -> Answered {
        if let Some(process) = self.known.iter_mut().find(|process| process.identity == identity) {
            process.answered_at = now;
            return Answered { slot: process.slot, evicted: None };
        }
        let (peer, start, _name) = &identity;
        let another_before = self.known.iter().any(|process| process.identity.0 == *peer)
            || self.remembered.get(peer).is_some_and(|known| known != start);
        let known_since = if another_before { now.max(started_at) } else { started_at };
        let (slot, evicted) = self.free_slot();
        self.known.push(Process { slot, identity, known_since, answered_at: now });
        Answered { slot, evicted }
    }

    fn free_slot(&mut self) -> (u32, Option<u32>) {
        let is_free = |slot: &u32| self.known.iter().all(|process| process.slot != *slot);
        if let Some(slot) = (0..MOST).find(is_free) {
            return (slot, None);
        }
        let oldest = self.known.iter().enumerate().min_by_key(|(_, process)| process.answered_at);
        let Some((index, slot)) = oldest.map(|(index, process)| (index, process.slot)) else {
            return (0, None);
        };
        self.known.remove(index);
        (slot, Some(slot))
    }

    /// Whether processes that answered cover an alert that others listed last: one of them has the same peer. If it is
    /// unknown which listed it, every peer has to answer.
    pub(super) fn speak_for(&self, answered: Mask, listed_by: Mask) -> bool {
        let peers_of = |mask: Mask| {
            self.known
                .iter()
                .filter(move |process| mask.contains(process.slot))
                .map(|process| process.identity.0)
        };
        let answers = |peer: usize| peers_of(answered).any(|answering| answering == peer);
        if listed_by.is_empty() { (0..self.peers).all(answers) } else { peers_of(listed_by).any(answers) }
    }

    /// Since when the newest of these processes is known.
    pub(super) fn newest(&self, of: Mask) -> Option<Timestamp> {
        self.known.iter().filter(|process| of.contains(process.slot)).map(|process| process.known_since).max()
    }

    /// By URL, the start of the process that answered last.
    pub(super) fn started(&self, peers: &[String]) -> BTreeMap<String, Timestamp> {
        let of_peer = |peer: usize| {
            let answered = self.known.iter().filter(|process| process.identity.0 == peer);
            let last = answered.max_by_key(|process| process.answered_at).map(|process| process.identity.1);
            last.or_else(|| self.remembered.get(&peer).copied())
        };
        peers.iter().enumerate().filter_map(|(peer, url)| Some((url.clone(), of_peer(peer)?))).collect()
    }
}
