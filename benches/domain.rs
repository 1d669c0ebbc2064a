//! What one decision costs, without a database: the floor under every input.

use criterion::{BatchSize, Criterion};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use matrixbot::domain::incident::Incident;
use matrixbot::domain::input::{
    Act, Evidence, Input, PersonAction, PolicyInForce, ReportedAlert, Surroundings, Via,
};
use matrixbot::domain::policy::{Level, Policy};
use matrixbot::domain::transition::decide;
use ruma::user_id;
use std::hint::black_box;
use std::time::Duration;

const BEGAN: Timestamp = Timestamp::UNIX_EPOCH;
static UTC: TimeZone = TimeZone::UTC;

fn policy() -> Policy {
    let level = |minutes| Level {
        rooms: vec!["!room:example.org".to_owned()],
        escalate_after: Duration::from_mins(minutes),
        mention: Vec::new(),
    };
    Policy::with_levels(vec![level(15), level(30)])
}

fn around(policy: &Policy, minutes: i64) -> Surroundings<'_> {
    let in_force = PolicyInForce { version: 1, policy };
    let now = BEGAN + SignedDuration::from_mins(minutes);
    Surroundings { of_run: in_force, newest: in_force, maintenance: false, zone: &UTC, now }
}

/// A report on `count` alerts that fire since the beginning.
fn report(policy: &Policy, count: u32) -> Input {
    let alerts = (0..count).map(|number| ReportedAlert {
        fingerprint: format!("{number:016x}"),
        firing: true,
        severity: policy.severity(Some("critical")),
        starts_at: BEGAN,
        start_known: true,
        ends_at: None,
        evidence: Evidence::None,
    });
    Input::Report(alerts.collect::<Vec<_>>().into())
}

/// An incident with `count` alerts, paged.
fn paged(policy: &Policy, count: u32) -> Option<Incident> {
    let opened = decide(None, &report(policy, count), around(policy, 0)).incident;
    decide(opened.as_ref(), &Input::Tick, around(policy, 0)).incident
}

fn decisions(criterion: &mut Criterion) {
    let policy = policy();
    let ack = Input::Person(PersonAction {
        who: user_id!("@alice:example.org").to_owned(),
        via: Via::Reaction,
        act: Act::Acknowledge,
        comment: None,
        acted_at: BEGAN + SignedDuration::from_mins(30),
    });
    let mut decides = |name: String, incident: Option<Incident>, input: Input| {
        criterion.bench_function(&name, |bencher| {
            bencher.iter_batched(
                || input.clone(),
                |input| decide(black_box(incident.as_ref()), &input, around(&policy, 30)),
                BatchSize::SmallInput,
            );
        });
    };
    for count in [1, 500] {
        let paged = paged(&policy, count);
        decides(format!("report/opens/{count}"), None, report(&policy, count));
        decides(format!("report/repeats/{count}"), paged.clone(), report(&policy, count));
        decides(format!("tick/pages/{count}"), paged.clone(), Input::Tick);
        decides(format!("ack/takes/{count}"), paged, ack.clone());
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decisions(&mut criterion);
    criterion.final_summary();
}
