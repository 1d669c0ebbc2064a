//! Values of the program as the operator would write them.

use crate::config::types::Listener;
use crate::domain::duration;
use crate::domain::policy::SeverityRule;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A value that can be a default.
pub(in crate::config) trait Written {
    /// As it is written in the file.
    fn written(&self) -> Value;
}

macro_rules! written_as_json {
    ($($kind:ty),*) => {$(
        impl Written for $kind {
            fn written(&self) -> Value {
                json!(self)
            }
        }
    )*};
}

written_as_json!(bool, u32, i32, i64, String, Vec<String>);

impl Written for Duration {
    fn written(&self) -> Value {
        Value::String(duration::format(*self))
    }
}

impl Written for Option<Duration> {
    fn written(&self) -> Value {
        self.as_ref().map_or_else(|| json!("none"), Written::written)
    }
}

impl Written for Listener {
    fn written(&self) -> Value {
        json!(self.address.to_string())
    }
}

/// Severities that mention nobody of their own.
impl Written for BTreeMap<String, SeverityRule> {
    fn written(&self) -> Value {
        let rule = |rule: &SeverityRule| {
            let mut keys = Map::from_iter([("rank".to_owned(), json!(rule.rank))]);
            if !rule.escalate {
                keys.insert("escalate".to_owned(), json!(false));
            }
            Value::Object(keys)
        };
        Value::Object(self.iter().map(|(name, value)| (name.clone(), rule(value))).collect())
    }
}

/// A value in one line of YAML.
pub(super) fn in_a_line(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            // Rooms and reactions: quotes never hurt in a list.
            format!("[{}]", items.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        Value::Object(keys) => {
            let pair = |(key, value): (&String, &Value)| format!("{key}: {}", in_a_line(value));
            format!("{{{}}}", keys.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether text is the same without quotes.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c))
        && !text.ends_with(':')
        && text.parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use super::in_a_line;
    use serde_json::json;

    #[test]
    fn a_value_in_a_line_reads_as_itself() {
        for value in [
            json!("15m"),
            json!("127.0.0.1:9009"),
            json!("5"),
            json!("#room"),
            json!(["✅", "a: b"]),
            json!({"critical": {"rank": 2}}),
            json!(10),
            json!([]),
            json!(""),
        ] {
            let read: serde_json::Value = serde_yaml::from_str(&in_a_line(&value)).unwrap();
            assert_eq!(read, value, "{}", in_a_line(&value));
        }
    }
}
