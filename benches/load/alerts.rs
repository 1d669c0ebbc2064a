//! What Alertmanager would post.

use serde_json::{Value, json};

/// A webhook of a group of its own with so many alerts, as Alertmanager 0.25 writes it.
pub(crate) fn webhook(group: &str, alerts: usize) -> String {
    let alerts: Vec<Value> = (0..alerts).map(|n| alert(group, n)).collect();
    json!({
        "receiver": "bench",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": { "alertname": group },
        "commonLabels": { "alertname": group, "severity": "critical", "job": "node" },
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.test:9093",
        "version": "4",
        "groupKey": format!("{{}}:{{alertname=\"{group}\"}}"),
        "truncatedAlerts": 0,
    })
    .to_string()
}

fn alert(group: &str, n: usize) -> Value {
    json!({
        "status": "firing",
        "labels": {
            "alertname": group, "instance": format!("db-{n}.example.test:9100"), "severity": "critical", "job": "node",
        },
        "annotations": {
            "summary": format!("The disk of db-{n} is nearly full"),
            "description": "Less than 5 % of /var is left. At the rate of the last hour it is full in 40 minutes.",
            "runbook_url": "https://runbooks.example.test/disk-full",
        },
        "startsAt": "2026-11-24T12:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.test:9090/graph?g0.expr=disk_free+%3C+5",
        "fingerprint": format!("{:016x}", fingerprint(group) ^ n as u64),
    })
}

fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
