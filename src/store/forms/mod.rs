//! Reads stored JSON: policies, timeline entries, messages, labels.
//!
//! A row may be older than this release, or newer if a release was rolled back. The stored form is what serde makes of
//! the types in `domain` (docs/adr/0016-stored-forms.md); `tests/fixtures/forms/` has what each release wrote. This
//! module reads every form:
//!
//! - a missing key has its default, and an unknown key is ignored;
//! - a value that cannot be read (an unknown variant, another type) counts as missing, and is logged once;
//! - only what stays unreadable then is an error: a data error of its row (`StoreError::is_data_error`).

use super::{StoreError, inconsistent};
use crate::domain::policy::Policy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

/// The most values of one row that are left out before it counts as unreadable.
const MOST_LEFT_OUT: usize = 100;
/// The most rows that are remembered as logged.
const MOST_LOGGED: usize = 1_000;

/// The rows whose unreadable values are logged: a row is read often.
static LOGGED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Reads a stored value, without the parts that cannot be read.
pub(super) fn read<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    id: impl Display,
    mut value: Value,
) -> Result<T, StoreError> {
    // Almost every value can be read. Only for another one it matters where it cannot.
    if let Ok(read) = T::deserialize(&value) {
        return Ok(read);
    }
    let mut left_out = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(read) => {
                if !left_out.is_empty() {
                    log(table, column, &id, &left_out.join("; "));
                }
                return Ok(read);
            }
            Err(error) => error,
        };
        if left_out.len() >= MOST_LEFT_OUT || !remove(&mut value, error.path()) {
            return Err(inconsistent(table, column, id, error));
        }
        left_out.push(error.to_string());
    }
}

/// Reads a stored policy. A ladder that lacks a level is none: incidents count its levels.
pub(super) fn read_policy(version: i64, value: Value) -> Result<Policy, StoreError> {
    const TABLE: &str = "policy_version";
    const COLUMN: &str = "policy";
    let levels = value.get("levels").map(|levels| levels.as_array().map(Vec::len));
    let policy: Policy = read(TABLE, COLUMN, version, value)?;
    match levels {
        Some(levels) if levels != Some(policy.levels.len()) => {
            Err(inconsistent(TABLE, COLUMN, version, "a level of the ladder cannot be read"))
        }
        _ => Ok(policy),
    }
}

/// Reads a stored value that nothing depends on. One that cannot be read is left out, and logged once.
pub(super) fn read_optional<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    id: impl Display,
    value: Value,
) -> Option<T> {
    match read(table, column, &id, value) {
        Ok(read) => Some(read),
        Err(error) => {
            log(table, column, &id, &error.to_string());
            None
        }
    }
}

/// Logs, once for each row, what is left out of it.
fn log(table: &'static str, column: &'static str, id: &impl Display, left_out: &str) {
    let row = format!("{table}.{column} of {id}");
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    if logged.len() < MOST_LOGGED && logged.insert(row.clone()) {
        tracing::warn!(
            row,
            left_out,
            "{row} has values that this release cannot read, the defaults apply: {left_out}"
        );
    }
}

/// Removes the value at a path, or the closest removable one around it. Returns whether there was one.
fn remove(value: &mut Value, path: &Path) -> bool {
    let mut segments: Vec<&Segment> = path.iter().collect();
    // A variant is removed with the whole value that it is of.
    while matches!(segments.last(), Some(Segment::Enum { .. } | Segment::Unknown)) {
        segments.pop();
    }
    let Some((last, parents)) = segments.split_last() else { return false };
    let mut parent = value;
    for segment in parents {
        let child = match segment {
            Segment::Seq { index } => parent.get_mut(*index),
            Segment::Map { key } => parent.get_mut(key),
            Segment::Enum { variant } => parent.get_mut(variant),
            Segment::Unknown => None,
        };
        match child {
            Some(child) => parent = child,
            None => return false,
        }
    }
    match (last, parent) {
        (Segment::Seq { index }, Value::Array(items)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        (Segment::Map { key }, Value::Object(map)) => map.remove(key).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
