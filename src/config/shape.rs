//! What a configuration may contain: the JSON Schema that `schemars` makes of the types, with their doc comments, defaults
//! and attributes. Types within types are inlined, and a flattened type's keys are among the keys of its table.

use super::forms::{self, Form};
use super::registration::Registration;
use super::types::Config;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The table of config.yaml.
pub(super) static CONFIG: LazyLock<Json> = LazyLock::new(of::<Config>);
/// The table of a registration, as far as matrixbot needs it.
pub(super) static REGISTRATION: LazyLock<Json> = LazyLock::new(of::<Registration>);

/// The schema of a type.
pub(super) fn of<T: JsonSchema>() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.transforms.clear();
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The kind of a value.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    Text(&'static Form),
    /// Whether it may be `none`, and whether it may be zero.
    Duration {
        none: bool,
        zero: bool,
    },
    Number(RangeInclusive<i64>),
    Decimal(RangeInclusive<f64>),
    Flag,
    Word(Vec<&'a str>),
    List(&'a Json),
    /// Keys of the operator's choice, with their form.
    Map(&'static Form, &'a Json),
    Table,
}

impl<'a> Kind<'a> {
    /// The kind of the values that a schema describes.
    pub(super) fn of(schema: &'a Json) -> Self {
        if let Some(words) = schema["oneOf"].as_array() {
            return Self::Word(words.iter().filter_map(|word| word["const"].as_str()).collect());
        }
        // An optional value has the types `[…, "null"]`.
        let optional = schema["type"].get(0);
        let properties = schema["properties"].as_object();
        match optional.unwrap_or(&schema["type"]).as_str() {
            Some("integer") => {
                let limit = |key: &str| schema[key].as_i64();
                Self::Number(limit("minimum").unwrap_or(0)..=limit("maximum").unwrap_or(i64::MAX))
            }
            Some("number") => {
                let limit = |key: &str, other: f64| schema[key].as_f64().unwrap_or(other);
                Self::Decimal(limit("minimum", f64::MIN)..=limit("maximum", f64::MAX))
            }
            Some("boolean") => Self::Flag,
            Some("array") => Self::List(&schema["items"]),
            Some("object") if properties.is_some_and(|keys| keys.contains_key("nanos")) => {
                let none = optional.is_some();
                Self::Duration { none, zero: !none && schema["format"] != "time-to-answer" }
            }
            Some("object") if properties.is_some() => Self::Table,
            Some("object") => Self::Map(forms::of(&schema["propertyNames"]), &schema["additionalProperties"]),
            _ => Self::Text(forms::of(schema)),
        }
    }
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key<'a> {
    pub(super) name: &'a str,
    pub(super) schema: &'a Json,
    pub(super) required: bool,
}

impl Key<'_> {
    /// The key for the file of a secret.
    pub(super) fn file_key(&self) -> Option<String> {
        self.schema.get("x-secret").map(|_| format!("{}_file", self.name))
    }
}

/// The keys of a table, in the order of the alphabet.
pub(super) fn keys(table: &Json) -> impl Iterator<Item = Key<'_>> {
    let required = table["required"].as_array();
    table["properties"].as_object().into_iter().flatten().map(move |(name, schema)| {
        let required = required.is_some_and(|required| required.iter().any(|key| key == name));
        Key { name, schema, required }
    })
}
