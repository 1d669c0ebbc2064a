//! Random webhooks of several groups that share alerts, and faults that the properties must detect.

use super::{Holders, Split, split};
use crate::domain::webhook::{Labels, WebhookAlert};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};

type Splits = for<'a> fn(&'a [WebhookAlert], &Holders) -> Split<'a>;
type Held = Result<(), TestCaseError>;

const ALERTS: [&str; 4] = ["a", "b", "c", "d"];

/// One step.
#[derive(Debug, Clone)]
enum Step {
    /// A group's webhook: which alerts it contains, and whether each is firing.
    Report(u8, Vec<Option<bool>>),
    /// An incident without firing alerts closes.
    Close(usize),
}

#[derive(Debug, Clone, Default)]
struct Incident {
    firing: BTreeSet<String>,
    resolved: BTreeSet<String>,
    closed: bool,
}

/// The incidents of a room list.
#[derive(Debug, Default)]
struct World {
    incidents: BTreeMap<i64, Incident>,
    owners: BTreeMap<u8, i64>,
}

impl World {
    fn where_it(&self, is: impl Fn(&Incident) -> bool) -> BTreeSet<i64> {
        let open = self.incidents.iter().filter(|(_, incident)| !incident.closed && is(incident));
        open.map(|(number, _)| *number).collect()
    }

    fn fires_in(&self, name: &str) -> BTreeSet<i64> {
        self.where_it(|incident| incident.firing.contains(name))
    }

    fn owner(&self, group: u8) -> Option<i64> {
        self.owners.get(&group).copied().filter(|number| !self.incidents[number].closed)
    }

    fn step(&mut self, step: &Step, splits: Splits) -> Held {
        match step {
            Step::Close(place) => {
                let over = self.incidents.values_mut().filter(|incident| incident.firing.is_empty());
                if let Some(incident) = over.into_iter().nth(*place) {
                    incident.closed = true;
                }
                Ok(())
            }
            Step::Report(group, alerts) => self.report(*group, alerts, splits),
        }
    }

    fn report(&mut self, group: u8, states: &[Option<bool>], splits: Splits) -> Held {
        let alerts: Vec<WebhookAlert> =
            ALERTS.iter().zip(states).filter_map(|(name, firing)| Some(alert(name, (*firing)?))).collect();
        let held_before: BTreeMap<&str, BTreeSet<i64>> =
            ALERTS.iter().map(|name| (*name, self.fires_in(name))).collect();
        let holders = Holders {
            owner: self.owner(group),
            firing: ALERTS.iter().map(|name| ((*name).to_owned(), self.fires_in(name))).collect(),
            resolved: ALERTS
                .iter()
                .map(|name| ((*name).to_owned(), self.where_it(|incident| incident.resolved.contains(*name))))
                .collect(),
        };
        let split = splits(&alerts, &holders);
        let known = self.incidents.len();
        for (number, part) in &split.parts {
            self.apply(*number, part);
        }
        if !split.new.is_empty() {
            let number = i64::try_from(known.saturating_add(1)).unwrap();
            self.incidents.insert(number, Incident::default());
            self.apply(number, &split.new);
            self.owners.insert(group, number);
        }
        if let Some(adopter) = split.adopter {
            self.owners.insert(group, adopter);
        }
        self.holds(group, &alerts, &held_before, &holders, known)
    }

    fn apply(&mut self, number: i64, part: &[&WebhookAlert]) {
        let incident = self.incidents.get_mut(&number).unwrap();
        for alert in part {
            let (to, from) = if alert.firing {
                (&mut incident.firing, &mut incident.resolved)
            } else {
                (&mut incident.resolved, &mut incident.firing)
            };
            from.remove(&alert.fingerprint);
            to.insert(alert.fingerprint.clone());
        }
    }

    fn holds(
        &self,
        group: u8,
        alerts: &[WebhookAlert],
        before: &BTreeMap<&str, BTreeSet<i64>>,
        holders: &Holders,
        known: usize,
    ) -> Held {
        for alert in alerts {
            let name = alert.fingerprint.as_str();
            let (was, is) = (&before[name], self.fires_in(name));
            if !alert.firing {
                prop_assert!(is.is_empty(), "a resolve does not end {} in {:?}", name, is);
                continue;
            }
            prop_assert_eq!(is.len(), 1, "{} is held by {:?}", name, is);
            prop_assert!(was.is_empty() || *was == is, "{} moved to another incident", name);
            let just_resolved = &holders.resolved[name];
            let joins = was.is_empty() && just_resolved.is_empty();
            if let (true, Some(owner)) = (joins, holders.owner) {
                prop_assert!(is.contains(&owner), "{} does not join the incident of its group", name);
            }
            if joins && holders.owner.is_none() {
                let newest = i64::try_from(known.saturating_add(1)).unwrap();
                prop_assert!(is.contains(&newest), "{} joins an incident of another group", name);
            }
        }
        let firing = alerts.iter().filter(|alert| alert.firing);
        let known_already = |alert: &WebhookAlert| !before[alert.fingerprint.as_str()].is_empty();
        if firing.clone().all(known_already) {
            prop_assert_eq!(self.incidents.len(), known, "it opens an incident for what is held already");
        }
        prop_assert!(firing.count() == 0 || self.owner(group).is_some(), "nobody owns the group");
        Ok(())
    }
}

fn alert(name: &str, firing: bool) -> WebhookAlert {
    WebhookAlert {
        fingerprint: name.to_owned(),
        firing,
        labels: Labels::new(),
        annotations: Labels::new(),
        starts_at: Timestamp::UNIX_EPOCH,
        start_known: true,
        ends_at: None,
        generator_url: None,
        defect: None,
    }
}

fn violation(splits: Splits) -> Option<String> {
    let state = select(&[None, None, Some(true), Some(true), Some(false)][..]);
    let report = (0..4_u8, prop::collection::vec(state, ALERTS.len()));
    let step = prop_oneof![
        4 => report.prop_map(|(group, alerts)| Step::Report(group, alerts)),
        1 => (0..3_usize).prop_map(Step::Close),
    ];
    let config = Config { cases: 300, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&prop::collection::vec(step, 1..30), |steps| {
        let mut world = World::default();
        steps.iter().try_for_each(|step| world.step(step, splits))
    });
    result.err().map(|error| error.to_string())
}

#[test]
fn an_alert_is_held_by_one_incident_whatever_group_brings_it() {
    assert_eq!(violation(split), None);
}

#[test]
fn a_second_group_keeps_what_is_held_and_opens_an_incident_for_the_rest() {
    let held = |number: i64| BTreeSet::from([number]);
    let holders = Holders {
        owner: None,
        firing: [("a".to_owned(), held(42)), ("b".to_owned(), held(42))].into(),
        resolved: BTreeMap::new(),
    };
    let alerts = [alert("b", true), alert("c", true)];
    let both = split(&alerts, &holders);
    assert_eq!(both.parts.keys().collect::<Vec<_>>(), [&42]);
    assert_eq!(both.new.iter().map(|alert| alert.fingerprint.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(both.adopter, None, "the new incident owns the group");
    assert_eq!(split(&alerts[..1], &holders).adopter, Some(42), "it brings only what #42 holds");
}

#[test]
fn each_fault_is_detected() {
    fn only_the_owner_counts<'a>(alerts: &'a [WebhookAlert], holders: &Holders) -> Split<'a> {
        split(alerts, &Holders { owner: holders.owner, ..Holders::default() })
    }
    fn a_resolve_ends_the_alert_in_the_incident_of_its_group<'a>(
        alerts: &'a [WebhookAlert],
        holders: &Holders,
    ) -> Split<'a> {
        let mut split = split(alerts, holders);
        for (number, part) in &mut split.parts {
            part.retain(|alert| alert.firing || holders.owner == Some(*number));
        }
        split
    }
    fn everything_joins_the_first_holder<'a>(alerts: &'a [WebhookAlert], holders: &Holders) -> Split<'a> {
        let first = holders.firing.values().flatten().min().copied();
        split(alerts, &Holders { owner: holders.owner.or(first), ..holders.clone() })
    }
    fn a_group_is_never_adopted<'a>(alerts: &'a [WebhookAlert], holders: &Holders) -> Split<'a> {
        Split { adopter: None, ..split(alerts, holders) }
    }
    fn an_alert_moves_with_its_group<'a>(alerts: &'a [WebhookAlert], holders: &Holders) -> Split<'a> {
        match holders.owner {
            Some(owner) => Split { parts: [(owner, alerts.iter().collect())].into(), ..Split::default() },
            None => split(alerts, holders),
        }
    }
    let faults: [(&str, Splits); 5] = [
        ("only the owner counts", only_the_owner_counts),
        ("a resolve ends one of them", a_resolve_ends_the_alert_in_the_incident_of_its_group),
        ("everything joins the first holder", everything_joins_the_first_holder),
        ("a group is never adopted", a_group_is_never_adopted),
        ("an alert moves with its group", an_alert_moves_with_its_group),
    ];
    for (name, fault) in faults {
        assert!(violation(fault).is_some(), "the properties do not detect this fault: {name}");
    }
}
