//! How rooms share the places of the outbox: fair between room lists, whatever their rooms do. Pure.

use super::pacing::pause;
use crate::domain::time::later;
use crate::store::Busy;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// From this duration on an attempt is slow.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// A list's slow rooms get one of so many of its places: more requests at once make a busy homeserver slower for everybody,
/// and the list's other rooms always find a place.
const PART_OF_SLOW_ROOMS: usize = 4;

/// There are places for so many lists that use all of theirs.
const LISTS: usize = 4;

/// The rooms that are being served, and those that rest because serving them failed.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The list for which each room is served.
    served: BTreeMap<String, String>,
    /// Rooms whose last serving failed in matrixbot, such as by an error of the database.
    resting: BTreeMap<String, Rest>,
    /// Rooms whose last attempt was slow, and the list that it was for.
    slow: BTreeMap<String, String>,
}

/// How serving a room ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has nothing to send now.
    Well,
    /// The last attempt was slow.
    Slow,
    /// By an error in matrixbot, such as one of the database.
    Failed,
}

/// Whether a room got a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It did.
    Yes,
    /// It did not: it is being served, or its list uses enough places.
    No,
    /// It did not: its list serves enough slow rooms.
    TooSlow,
}

/// How often in a row serving a room failed, and until when it rests.
#[derive(Debug, Clone, Copy)]
struct Rest {
    failures: u32,
    until: Timestamp,
}

impl Places {
    /// No room is being served any more. Rooms that rest go on resting.
    pub(super) fn clear(&mut self) {
        self.served.clear();
    }

    /// How many more rooms can be served, if one list uses at most `for_one_list` places.
    pub(super) fn free(&self, for_one_list: usize) -> usize {
        for_one_list.saturating_mul(LISTS).saturating_sub(self.served.len())
    }

    /// How many messages of a room may be on their way, at least one: its part of its list's `for_one_list` places.
    pub(super) fn part_of(&self, room: &str, for_one_list: usize) -> usize {
        let list = self.served.get(room);
        let rooms = self.served.values().filter(|served| Some(*served) == list).count();
        (for_one_list / rooms.max(1)).max(1)
    }

    /// What the store needs to know to find the next rooms, if one list uses at most `for_one_list` places. A slow room of a
    /// list that serves enough of them is not one.
    pub(super) fn busy(&self, now: Timestamp, for_one_list: usize) -> Busy {
        let resting = self.resting.iter().filter(|(_, rest)| rest.until > now).map(|(room, _)| room);
        let slow = self.slow.iter().filter(|(_, list)| !self.has_place_for_slow(list, for_one_list));
        let mut lists = BTreeMap::new();
        for list in self.served.values() {
            *lists.entry(list.clone()).or_insert(0) += 1;
        }
        let rooms = self.served.keys().chain(resting).chain(slow.map(|(room, _)| room));
        Busy { rooms: rooms.cloned().collect(), lists }
    }

    /// Takes a place for a room, unless its list uses `for_one_list` places already, or half of those that other lists
    /// leave: another list always finds one. A slow room also needs one of the places for slow rooms.
    pub(super) fn take(&mut self, room: &str, list: &str, for_one_list: usize) -> Taken {
        let own = self.served.values().filter(|served| *served == list).count();
        let left_by_others = self.free(for_one_list).saturating_add(own);
        if self.served.contains_key(room) || own >= for_one_list.min(left_by_others.div_ceil(2)) {
            return Taken::No;
        }
        if self.slow.get(room).is_some_and(|list| !self.has_place_for_slow(list, for_one_list)) {
            return Taken::TooSlow;
        }
        self.served.insert(room.to_owned(), list.to_owned());
        Taken::Yes
    }

    fn has_place_for_slow(&self, list: &str, for_one_list: usize) -> bool {
        let slow =
            self.slow.iter().filter(|(room, of)| *of == list && self.served.contains_key(*room)).count();
        slow < for_one_list.div_ceil(PART_OF_SLOW_ROOMS)
    }

    /// Gives a room's place back. If serving it failed, the room rests, longer from time to time.
    pub(super) fn give_back(&mut self, room: &str, ended: Ended, now: Timestamp, roll: f64) {
        let list = self.served.remove(room);
        self.slow.remove(room);
        if ended == Ended::Failed {
            let failures = self.resting.get(room).map_or(0, |rest| rest.failures);
            let rest =
                Rest { failures: failures.saturating_add(1), until: later(now, pause(failures, roll)) };
            self.resting.insert(room.to_owned(), rest);
            return;
        }
        self.resting.remove(room);
        if ended == Ended::Slow
            && let Some(list) = list
        {
            self.slow.insert(room.to_owned(), list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn take(places: &mut Places, list: &str, rooms: usize) -> usize {
        (0..rooms).filter(|n| places.take(&format!("!{list}{n}"), list, 32) == Taken::Yes).count()
    }

    #[test]
    fn each_list_leaves_a_place_for_another() {
        let mut places = Places::default();
        let taken = ["a", "b", "c", "d", "e", "f", "g"].map(|list| take(&mut places, list, 70));
        assert_eq!(taken, [32, 32, 32, 16, 8, 4, 2]);
    }

    #[test]
    fn a_room_that_is_served_is_not_served_again() {
        let mut places = Places::default();
        assert_eq!(places.take("!a", "a", 32), Taken::Yes);
        assert_eq!(places.take("!a", "b", 32), Taken::No);
        places.give_back("!a", Ended::Well, NOW, 0.0);
        assert_eq!(places.take("!a", "b", 32), Taken::Yes);
    }

    #[test]
    fn the_rooms_of_a_list_share_its_places_for_messages() {
        let mut places = Places::default();
        let mut parts = Vec::new();
        for rooms in 1..=32 {
            places.take(&format!("!{rooms}"), "a", 32);
            parts.push(places.part_of("!1", 32));
        }
        assert_eq!((parts[0], parts[1], parts[7], parts[8], parts[31]), (32, 16, 4, 3, 1));
    }

    #[test]
    fn a_room_that_fails_rests_longer_and_longer() {
        let mut places = Places::default();
        let second = Duration::from_secs(1);
        places.give_back("!a", Ended::Failed, NOW, 1.0);
        assert_eq!(places.busy(NOW, 32).rooms, ["!a"]);
        assert!(places.busy(later(NOW, second), 32).rooms.is_empty());
        places.give_back("!a", Ended::Failed, NOW, 1.0);
        assert_eq!(places.busy(later(NOW, second), 32).rooms, ["!a"]);
        places.give_back("!a", Ended::Well, NOW, 1.0);
        assert!(places.busy(NOW, 32).rooms.is_empty());
    }

    #[test]
    fn slow_rooms_leave_places_to_the_other_rooms_of_their_list() {
        let mut places = Places::default();
        assert_eq!(take(&mut places, "a", 32), 32);
        for n in 0..32 {
            places.give_back(&format!("!a{n}"), Ended::Slow, NOW, 0.0);
        }
        assert_eq!(take(&mut places, "a", 32), 8);
        assert_eq!(places.take("!a9", "a", 32), Taken::TooSlow);
        assert_eq!(
            places.busy(NOW, 32).rooms.iter().collect::<BTreeSet<_>>().len(),
            32,
            "no slow room is looked for"
        );
        assert_eq!(places.take("!quick", "a", 32), Taken::Yes);
        places.give_back("!a0", Ended::Well, NOW, 0.0);
        assert_eq!(places.take("!a9", "a", 32), Taken::Yes);
    }
}
