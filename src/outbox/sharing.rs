//! How rooms share the places of the outbox: fair between room lists, whatever their rooms do. Pure.

use super::pacing::pause;
use crate::domain::time::later;
use crate::store::Busy;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// There are places for so many lists that use all of theirs.
const LISTS: usize = 4;

/// The rooms that are being served, and those that rest because serving them failed.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The list for which each room is served.
    served: BTreeMap<String, String>,
    /// Rooms whose last serving failed in matrixbot, such as by an error of the database.
    resting: BTreeMap<String, Rest>,
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

    /// What the store needs to know to find the next rooms.
    pub(super) fn busy(&self, now: Timestamp) -> Busy {
        let resting = self.resting.iter().filter(|(_, rest)| rest.until > now).map(|(room, _)| room);
        let mut lists = BTreeMap::new();
        for list in self.served.values() {
            *lists.entry(list.clone()).or_insert(0) += 1;
        }
        Busy { rooms: self.served.keys().chain(resting).cloned().collect(), lists }
    }

    /// Takes a place for a room, unless its list uses `for_one_list` places already, or half of those that other lists
    /// leave: another list always finds one. Returns whether it did.
    pub(super) fn take(&mut self, room: &str, list: &str, for_one_list: usize) -> bool {
        let own = self.served.values().filter(|served| *served == list).count();
        let left_by_others = self.free(for_one_list).saturating_add(own);
        let is_free = !self.served.contains_key(room) && own < for_one_list.min(left_by_others.div_ceil(2));
        if is_free {
            self.served.insert(room.to_owned(), list.to_owned());
        }
        is_free
    }

    /// Gives a room's place back. If serving it failed, the room rests, longer from time to time.
    pub(super) fn give_back(&mut self, room: &str, failed: bool, now: Timestamp, roll: f64) {
        self.served.remove(room);
        if failed {
            let failures = self.resting.get(room).map_or(0, |rest| rest.failures);
            let rest =
                Rest { failures: failures.saturating_add(1), until: later(now, pause(failures, roll)) };
            self.resting.insert(room.to_owned(), rest);
        } else {
            self.resting.remove(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn take(places: &mut Places, list: &str, rooms: usize) -> usize {
        (0..rooms).filter(|n| places.take(&format!("!{list}{n}"), list, 32)).count()
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
        assert!(places.take("!a", "a", 32));
        assert!(!places.take("!a", "b", 32));
        places.give_back("!a", false, NOW, 0.0);
        assert!(places.take("!a", "b", 32));
    }

    #[test]
    fn a_room_that_fails_rests_longer_and_longer() {
        let mut places = Places::default();
        let second = Duration::from_secs(1);
        places.give_back("!a", true, NOW, 1.0);
        assert_eq!(places.busy(NOW).rooms, ["!a"]);
        assert!(places.busy(later(NOW, second)).rooms.is_empty());
        places.give_back("!a", true, NOW, 1.0);
        assert_eq!(places.busy(later(NOW, second)).rooms, ["!a"]);
        places.give_back("!a", false, NOW, 1.0);
        assert!(places.busy(NOW).rooms.is_empty());
    }
}
