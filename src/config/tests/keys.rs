//! What the documents and the published schema show of a key.

use crate::config::forms::Form;
use crate::config::shape::{Key, Kind, keys};
use crate::domain::duration;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// What an absent key means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Need {
    Required,
    /// The default, as it is configured.
    Default(Json),
    Optional,
    /// A secret, which may also be in the file that `<key>_file` names; `file` is an example.
    Secret {
        file: String,
        required: Required,
    },
}

/// Whether a secret is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Required {
    Yes,
    No,
    /// Unless this key of the same table is `none`.
    Unless(String),
}

impl Form {
    /// Its name without the words in parentheses.
    pub(super) fn title(&self) -> &'static str {
        self.name.split_once(" (").map_or(self.name, |(title, _)| title)
    }

    /// The text of its pattern; empty: anything.
    pub(super) fn pattern(&self) -> &str {
        self.pattern.as_ref().map_or("", |pattern| pattern.as_str())
    }
}

/// The doc comment of a key.
pub(super) fn meaning(key: &Key<'_>) -> String {
    let comment = key.schema["description"].as_str().unwrap_or_default();
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn need(key: &Key<'_>) -> Need {
    match (key.schema["x-secret"].as_str(), key.schema["x-unless"].as_str()) {
        (Some(file), Some(other)) => {
            Need::Secret { file: file.to_owned(), required: Required::Unless(other.to_owned()) }
        }
        (Some(file), None) => {
            let required = if key.required { Required::Yes } else { Required::No };
            Need::Secret { file: file.to_owned(), required }
        }
        (None, _) if key.required => Need::Required,
        (None, _) => default(key.schema),
    }
}

/// A default is for values, not for tables: those have the defaults of their keys.
fn default(schema: &Json) -> Need {
    let kind = Kind::of(schema);
    let is_table = |schema: &Json| matches!(Kind::of(schema), Kind::Table) && schema.get("x-short").is_none();
    let default = schema.get("default").filter(|default| match (default, &kind) {
        (_, Kind::Table) => !is_table(schema),
        (_, Kind::List(items)) if is_table(items) => false,
        (Json::Null, kind) => matches!(kind, Kind::Duration { .. }),
        (Json::String(text), _) => !text.is_empty(),
        (Json::Object(keys), _) => !keys.is_empty(),
        _ => true,
    });
    default.map_or(Need::Optional, |default| Need::Default(configured(schema, default)))
}

/// A stored value as it is configured.
fn configured(schema: &Json, value: &Json) -> Json {
    match (Kind::of(schema), value) {
        (Kind::Duration { .. }, value) => match Duration::deserialize(value) {
            Ok(value) => Json::String(duration::format(value)),
            Err(_) => Json::String("none".to_owned()),
        },
        (Kind::Map(_, values), Json::Object(keys)) => {
            keys.iter().map(|(key, value)| (key.clone(), configured(values, value))).collect()
        }
        (Kind::Table, Json::Object(values)) => {
            let mut given = Map::new();
            for key in keys(schema) {
                let value = values.get(key.name).filter(|value| !value.is_null());
                let Some(value) = value.map(|value| configured(key.schema, value)) else { continue };
                if need(&key) != Need::Default(value.clone()) {
                    given.insert(key.name.to_owned(), value);
                }
            }
            match (schema["x-short"].as_str(), given.len()) {
                (Some(short), 1) => given.remove(short).unwrap_or_default(),
                _ => Json::Object(given),
            }
        }
        (_, value) => value.clone(),
    }
}
