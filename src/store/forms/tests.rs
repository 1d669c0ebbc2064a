//! What each release wrote is read and written back the same, and what a later release may write is read as far as it
//! can be.

use super::{read, read_policy};
use crate::domain::outgoing::Outgoing;
use crate::domain::policy::{AckScope, Mention, Policy};
use crate::domain::timeline::Entry;
use crate::domain::webhook::Labels;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders with what each release wrote, and with what is new since the last one.
fn releases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/forms");
    let mut releases: Vec<_> = fs::read_dir(folder).unwrap().map(|release| release.unwrap().path()).collect();
    releases.sort();
    releases
}

fn read_back<T: DeserializeOwned + Serialize>(file: &str, value: &Value) {
    let read_value: T = read("table", "column", file, value.clone()).unwrap();
    assert_eq!(serde_json::to_value(read_value).unwrap(), *value, "{file}");
}

/// The same for a form that later releases write with more keys, which have their defaults.
fn read_back_with_new_keys<T: DeserializeOwned + Serialize>(file: &str, value: &Value) {
    let read_value: T = read("table", "column", file, value.clone()).unwrap();
    let written = serde_json::to_value(read_value).unwrap();
    assert!(keeps(&written, value), "{file}: {written} lacks something of {value}");
}

/// Whether a written form has everything that was stored.
fn keeps(written: &Value, stored: &Value) -> bool {
    match (written, stored) {
        (Value::Object(written), Value::Object(stored)) => {
            stored.iter().all(|(key, value)| written.get(key).is_some_and(|written| keeps(written, value)))
        }
        (Value::Array(written), Value::Array(stored)) => {
            written.len() == stored.len() && written.iter().zip(stored).all(|(one, other)| keeps(one, other))
        }
        (written, stored) => written == stored,
    }
}

#[test]
fn what_each_release_wrote_is_read_and_written_back_the_same() {
    let mut columns = BTreeSet::new();
    for release in releases() {
        for file in fs::read_dir(release).unwrap() {
            let file = file.unwrap().path();
            let name = file.display().to_string();
            let values: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let stem = file.file_stem().unwrap().to_str().unwrap();
            let column = stem.trim_end_matches(".rest");
            for value in &values {
                match column {
                    "policy_version.policy" => read_back_with_new_keys::<Policy>(&name, value),
                    "timeline.entry" => read_back::<Entry>(&name, value),
                    "outbox.payload" => read_back::<Outgoing>(&name, value),
                    "incident.group_labels"
                    | "incident.common_labels"
                    | "incident_alert.labels"
                    | "incident_alert.annotations" => read_back::<Labels>(&name, value),
                    other => panic!("what is {other}?"),
                }
            }
            columns.insert(column.to_owned());
        }
    }
    assert_eq!(columns.len(), 7, "every column with JSON of ours has files: {columns:?}");
}

/// A policy as an earlier release wrote it.
fn stored_policy() -> Value {
    let file = releases()[0].join("policy_version.policy.json");
    let policies: Vec<Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    policies[0].clone()
}

#[test]
fn a_policy_of_a_later_release_has_defaults_for_what_is_unknown() {
    let before = read_policy(1, stored_policy()).unwrap();
    let mut later = stored_policy();
    later["quiet_hours"] = json!([{ "from": "22:00" }]);
    later["levels"][0]["call"] = json!("+49");
    later["levels"][0]["mention"] =
        json!([{ "group": "on-call" }, { "user": "@alice:example.test" }, "moderators"]);
    later["levels"][1]["escalate_after"] = json!({ "business_hours": 4 });
    later["ack_scope"] = json!("same_floor");
    later["severities"]["critical"]["rank"] = json!("highest");
    later["permissions"]["users"] =
        json!({ "@alice:example.test": "superuser", "@bob:example.test": "moderate" });
    later["send_cap"] = json!("10m");
    let policy = read_policy(1, later).unwrap();
    assert_eq!(policy.levels[0].rooms, before.levels[0].rooms);
    assert_eq!(policy.levels[0].mention, [Mention::User("@alice:example.test".try_into().unwrap())]);
    assert_eq!(policy.levels[1].escalate_after.as_secs(), 15 * 60, "the default");
    assert_eq!(policy.ack_scope, AckScope::Notified);
    assert_eq!(policy.severities["critical"].rank, 0);
    assert_eq!(policy.severities["warning"], before.severities["warning"]);
    assert_eq!(
        policy.permissions.users.keys().map(|user| user.as_str()).collect::<Vec<_>>(),
        ["@bob:example.test"]
    );
    assert_eq!(policy.send_cap, Policy::default().send_cap);
    assert_eq!(policy.stale_after, before.stale_after);
}

#[test]
fn a_policy_without_one_of_its_levels_is_unreadable() {
    for (path, value) in [("/levels/1/rooms", json!({ "any": "room" })), ("/levels/1", json!("managers"))] {
        let mut policy = stored_policy();
        *policy.pointer_mut(path).unwrap() = value;
        let error = read_policy(7, policy).unwrap_err();
        assert!(error.is_data_error());
        assert_eq!(
            error.to_string(),
            "policy_version.policy of 7 cannot be read: a level of the ladder cannot be read"
        );
    }
    for nothing in [json!("a policy"), json!(null), json!({ "levels": "two" })] {
        assert!(read_policy(7, nothing).unwrap_err().is_data_error());
    }
}

#[test]
fn labels_that_are_no_text_are_left_out() {
    let labels: Labels = read("incident", "labels", 1, json!({ "a": "b", "n": 1, "list": ["c"] })).unwrap();
    assert_eq!(labels, Labels::from([("a".to_owned(), "b".to_owned())]));
    assert!(read::<Labels>("incident", "labels", 1, json!(["a"])).is_err());
}

#[test]
fn an_entry_keeps_what_is_known_of_it() {
    let entry = json!({ "at": "2026-11-24T12:00:00Z", "version": 3, "kind": "unanswered", "since": "noon" });
    let entry: Entry = read("timeline", "entry", 1, entry).unwrap();
    assert_eq!(entry.kind.as_str(), "unanswered");
    let unknown = json!({ "at": "2026-11-24T12:00:00Z", "version": 3, "kind": "called" });
    assert!(read::<Entry>("timeline", "entry", 1, unknown).unwrap_err().is_data_error());
}
