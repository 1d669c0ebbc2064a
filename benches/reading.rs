//! What reading costs: a webhook's body, an event of the homeserver, a command.

#![expect(clippy::indexing_slicing, reason = "the fixtures are ours")]

use criterion::{Criterion, Throughput};
use jiff::Timestamp;
use matrixbot::alertmanager::payload;
use matrixbot::appservice::events::interpret;
use matrixbot::domain::command::{Context, parse};
use serde_json::Value;
use serde_json::value::RawValue;
use std::hint::black_box;

const FIRING: &str = include_str!("../tests/fixtures/alertmanager/firing-0.33.1.json");
const TRANSACTION: &str = include_str!("../tests/fixtures/appservice/command.json");

/// The body of a group with `count` alerts, written as Alertmanager does.
fn body(count: usize) -> Option<Vec<u8>> {
    let mut body: Value = serde_json::from_str(FIRING).ok()?;
    let alerts = body.get_mut("alerts")?.as_array_mut()?;
    let one = alerts.first()?.clone();
    *alerts = (0..count)
        .map(|number| {
            let mut alert = one.clone();
            alert["fingerprint"] = Value::String(format!("{number:016x}"));
            alert["labels"]["instance"] = Value::String(format!("web-{number}:9100"));
            alert
        })
        .collect();
    serde_json::to_vec(&body).ok()
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a webhook's body");
    for count in [1, 10, 500] {
        let Some(body) = body(count) else { continue };
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{count} alerts"), |bencher| {
            bencher.iter(|| payload::parse(black_box(&body), Timestamp::MAX));
        });
    }
}

fn events(criterion: &mut Criterion) {
    let transaction: Value = serde_json::from_str(TRANSACTION).unwrap_or_default();
    let Ok(event) = serde_json::value::to_raw_value(&transaction["events"][0]) else { return };
    let event: &RawValue = &event;
    criterion
        .bench_function("an event with a command", |bencher| bencher.iter(|| interpret(black_box(event))));
}

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a text");
    let long = "lorem ipsum ".repeat(4000);
    for (name, text) in [
        ("a command", "ack 42, 43 looking into it"),
        ("a snooze", "snooze 42 1h 30m until the vendor calls"),
        ("chatter", "looks like the disk again"),
        ("long chatter", &long),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(text), Context::default())));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bodies(&mut criterion);
    events(&mut criterion);
    commands(&mut criterion);
    criterion.final_summary();
}
