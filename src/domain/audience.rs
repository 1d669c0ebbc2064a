//! Whether the people whom pages mention can see them: a mention notifies nobody who is not in the room.

use super::on_call::Schedules;
use super::policy::{Mention, Policy, RoomReference};
use ruma::OwnedUserId;
use std::collections::{BTreeMap, BTreeSet};

/// The members of rooms, by the names that the configuration has for the rooms.
pub type Members = BTreeMap<RoomReference, BTreeSet<OwnedUserId>>;

/// The people whom pages mention, each with the rooms of which they must be in one: those of a level for its `mention`, those
/// of any level for the `mention` of a severity.
pub fn mentioned(policy: &Policy) -> BTreeMap<OwnedUserId, Vec<BTreeSet<RoomReference>>> {
    let mut people: BTreeMap<OwnedUserId, Vec<BTreeSet<RoomReference>>> = BTreeMap::new();
    let mut add = |mentions: &[Mention], rooms: &BTreeSet<RoomReference>| {
        for mention in mentions {
            if let Mention::User(user) = mention {
                let known = people.entry(user.clone()).or_default();
                if !known.contains(rooms) {
                    known.push(rooms.clone());
                }
            }
        }
    };
    for level in &policy.levels {
        add(&level.mention, &level.rooms.iter().cloned().collect());
    }
    let all: BTreeSet<RoomReference> = policy.levels.iter().flat_map(|level| &level.rooms).cloned().collect();
    for rule in policy.severities.values() {
        add(rule.mention.as_deref().unwrap_or_default(), &all);
    }
    people
}

/// The policy with everybody who may be on call in a schedule instead of the schedule.
pub fn with_everybody(policy: &Policy, schedules: &Schedules) -> Policy {
    let mut policy = policy.clone();
    let of_levels = policy.levels.iter_mut().map(|level| &mut level.mention);
    let of_severities = policy.severities.values_mut().filter_map(|rule| rule.mention.as_mut());
    for mentions in of_levels.chain(of_severities) {
        let expanded = mentions.drain(..).flat_map(|mention| match mention {
            Mention::OnCall(name) => {
                schedules.get(&name).map(|schedule| schedule.everybody()).unwrap_or_default()
            }
            other @ (Mention::User(_) | Mention::Room) => vec![other],
        });
        *mentions = expanded.collect();
    }
    policy
}

/// The people who are in none of the rooms where pages mention them, with these rooms. What is not known of a room's members
/// speaks for them.
pub fn absent(policy: &Policy, members: &Members) -> BTreeMap<OwnedUserId, BTreeSet<RoomReference>> {
    let mut absent: BTreeMap<OwnedUserId, BTreeSet<RoomReference>> = BTreeMap::new();
    for (user, places) in mentioned(policy) {
        let sees_nothing = |rooms: &&BTreeSet<RoomReference>| {
            rooms.iter().all(|room| members.get(room).is_some_and(|members| !members.contains(&user)))
        };
        let rooms: BTreeSet<RoomReference> = places.iter().filter(sees_nothing).flatten().cloned().collect();
        if !rooms.is_empty() {
            absent.insert(user, rooms);
        }
    }
    absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::on_call::{Layer, Schedule, Turns};
    use crate::domain::policy::Level;
    use crate::domain::severity::SeverityRule;
    use crate::domain::zone::Zone;
    use std::sync::Arc;
    use std::time::Duration;

    fn user(name: &str) -> OwnedUserId {
        OwnedUserId::try_from(format!("@{name}:example.org")).unwrap()
    }

    fn policy() -> Policy {
        let level = |rooms: &[&str], mention: &[&str]| Level {
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
            escalate_after: Duration::from_mins(15),
            mention: mention.iter().map(|name| Mention::User(user(name))).chain([Mention::Room]).collect(),
        };
        let mut policy =
            Policy::with_levels(vec![level(&["#a", "#b"], &["alice", "bob"]), level(&["#c"], &["alice"])]);
        let page =
            SeverityRule { mention: Some(vec![Mention::User(user("carol"))]), ..SeverityRule::default() };
        policy.severities.insert("page".to_owned(), page);
        policy
    }

    #[test]
    fn everybody_who_may_be_on_call_must_see_the_pages() {
        let turns = Turns::every(7, "Mon 09:00".parse().unwrap(), "2026-11-30".parse().unwrap());
        let schedule = Schedule {
            name: "primary".to_owned(),
            zone: Zone::UTC,
            layers: vec![Layer::new(vec![user("dave"), user("erin")], turns, None)],
            calendar: None,
            announce: Vec::new(),
            fallback: vec![Mention::User(user("frank")), Mention::Room],
        };
        let schedules = Schedules::from([("primary".to_owned(), Arc::new(schedule))]);
        let mut policy = policy();
        policy.levels[1].mention =
            vec![Mention::OnCall("primary".to_owned()), Mention::OnCall("gone".to_owned())];
        let expanded = with_everybody(&policy, &schedules);
        let members = members(&[("#a", &["alice", "bob", "carol"]), ("#b", &[]), ("#c", &["erin"])]);
        let absent: Vec<_> = absent(&expanded, &members).into_keys().collect();
        assert_eq!(absent, [user("dave"), user("frank")]);
        assert!(expanded.levels[1].mention.contains(&Mention::Room));
    }

    fn members(rooms: &[(&str, &[&str])]) -> Members {
        let people = |names: &[&str]| names.iter().map(|name| user(name)).collect();
        rooms.iter().map(|(room, names)| ((*room).to_owned(), people(names))).collect()
    }

    #[test]
    fn one_room_of_a_level_suffices_and_any_room_for_a_severity() {
        let all = members(&[("#a", &["alice"]), ("#b", &["bob"]), ("#c", &["alice", "carol"])]);
        assert_eq!(absent(&policy(), &all), BTreeMap::new());
    }

    #[test]
    fn who_is_in_no_room_of_a_level_is_absent_there() {
        let all = members(&[("#a", &["alice"]), ("#b", &[]), ("#c", &["bob"])]);
        let found = absent(&policy(), &all);
        let rooms = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found[&user("alice")], rooms(&["#c"]));
        assert_eq!(found[&user("bob")], rooms(&["#a", "#b"]));
        assert_eq!(found[&user("carol")], rooms(&["#a", "#b", "#c"]));
    }

    #[test]
    fn a_room_whose_members_are_not_known_may_have_them() {
        let some = members(&[("#a", &[]), ("#c", &["alice"])]);
        assert_eq!(absent(&policy(), &some), BTreeMap::new());
    }
}
