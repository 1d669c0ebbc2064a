//! How a limited number of places is shared between room lists, so that the slow rooms of one list leave room for the
//! others.

use std::collections::{BTreeMap, VecDeque};

/// Chooses the items that get a free place now, in the order in which they get it.
///
/// `waiting` are items with their owner, the first to wait first; `busy` is how many places each owner holds; `places` is
/// how many there are. The owner with the fewest places is served first. An owner gets another place only while it holds
/// fewer than are free: one owner alone gets half of the places, two get a third each, and some always stay free for an
/// owner that comes later.
pub fn admit<T, K: Ord + Clone>(
    waiting: impl IntoIterator<Item = (T, K)>,
    busy: &BTreeMap<K, usize>,
    places: usize,
) -> Vec<T> {
    let mut queues: BTreeMap<K, VecDeque<T>> = BTreeMap::new();
    for (item, owner) in waiting {
        queues.entry(owner).or_default().push_back(item);
    }
    let mut held = busy.clone();
    let mut free = places.saturating_sub(held.values().sum());
    let mut admitted = Vec::new();
    loop {
        let holds = |owner: &K| held.get(owner).copied().unwrap_or(0);
        let Some(owner) = queues.keys().min_by_key(|owner| holds(owner)).cloned() else { break };
        if holds(&owner) >= free {
            break;
        }
        let Some(queue) = queues.get_mut(&owner) else { break };
        match queue.pop_front() {
            Some(item) => {
                admitted.push(item);
                let held = held.entry(owner).or_default();
                *held = held.saturating_add(1);
                free = free.saturating_sub(1);
            }
            None => {
                queues.remove(&owner);
            }
        }
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::admit;
    use std::collections::BTreeMap;

    fn rooms(list: &'static str, count: usize) -> impl Iterator<Item = (String, &'static str)> {
        (0..count).map(move |n| (format!("{list}-{n}"), list))
    }

    fn of<'a>(admitted: &'a [String], list: &str) -> Vec<&'a String> {
        admitted.iter().filter(|room| room.starts_with(list)).collect()
    }

    #[test]
    fn a_list_alone_gets_half_of_the_places() {
        assert_eq!(admit(rooms("finance", 70), &BTreeMap::new(), 32).len(), 16);
        assert!(admit(rooms("finance", 70), &BTreeMap::from([("finance", 16)]), 32).is_empty());
    }

    #[test]
    fn lists_take_turns() {
        let waiting = rooms("finance", 70).chain(rooms("network", 2));
        let admitted = admit(waiting, &BTreeMap::new(), 8);
        assert_eq!(of(&admitted, "network").len(), 2);
        assert_eq!(of(&admitted, "finance").len(), 3);
        assert_eq!(admitted.first().map(String::as_str), Some("finance-0"), "the first to wait goes first");
    }

    #[test]
    fn a_list_that_comes_later_finds_a_place() {
        let busy = BTreeMap::from([("finance", 10), ("network", 10)]);
        let waiting = rooms("finance", 70).chain(rooms("network", 70)).chain(rooms("ops", 1));
        assert_eq!(of(&admit(waiting, &busy, 32), "ops").len(), 1);
    }

    #[test]
    fn without_a_free_place_nobody_is_admitted() {
        let busy = BTreeMap::from([("finance", 4)]);
        assert!(admit(rooms("network", 3), &busy, 4).is_empty());
        assert!(admit(rooms("network", 3), &busy, 2).is_empty());
    }
}
