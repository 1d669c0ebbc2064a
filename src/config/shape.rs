//! The shape of a configuration, reflected from its types: `schemars` reads their doc comments, defaults and
//! attributes.

use super::forms::{self, Form};
use super::registration::Registration;
use super::types::Config;
use crate::domain::duration;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::sync::LazyLock;
use std::time::Duration;

/// The keys of config.yaml.
pub(super) static CONFIG: LazyLock<Table> = LazyLock::new(table_of::<Config>);
/// The keys of a registration that matrixbot uses.
pub(super) static REGISTRATION: LazyLock<Table> = LazyLock::new(table_of::<Registration>);

/// The kind of a value.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Text(&'static Form),
    Duration {
        none: bool,
        zero: bool,
    },
    Number {
        least: i64,
        most: i64,
    },
    Flag,
    Word(Vec<String>),
    List {
        filled: bool,
        unique: bool,
        items: Box<Shape>,
    },
    /// Keys of the operator's choice.
    Map {
        keys: &'static Form,
        values: Box<Shape>,
    },
    Table(Table),
    /// A table, or the value of one of its keys.
    Short(String, Table),
}

/// The known keys of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) keys: Vec<Key>,
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    /// The schema of its field.
    pub(super) field: Json,
    pub(super) need: Need,
    /// The field that contains the value in the type, if the key is lifted from an inner table (`x-flat`).
    pub(super) inside: Option<String>,
    pub(super) shape: Shape,
}

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

impl Key {
    /// The doc comment.
    pub(super) fn meaning(&self) -> String {
        text(&self.field, "description").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The key for the file of a secret.
    pub(super) fn file_key(&self) -> Option<String> {
        matches!(self.need, Need::Secret { .. }).then(|| format!("{}_file", self.name))
    }
}

fn table_of<T: JsonSchema>() -> Table {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.transforms.clear());
    let root = settings.into_generator().into_root_schema_for::<T>();
    let definitions = root.get("$defs").cloned().unwrap_or_default();
    Reflection { definitions }.table(root.as_value())
}

/// The schemas of all types by their names.
struct Reflection {
    definitions: Json,
}

impl Reflection {
    fn shape(&self, schema: &Json) -> Shape {
        let none = schema.get("anyOf").and_then(Json::as_array).and_then(|options| options.first());
        let reference = none.unwrap_or(schema).get("$ref").and_then(Json::as_str);
        if let Some(name) = reference.and_then(|reference| reference.rsplit('/').next()) {
            if name == Duration::schema_name() {
                return Shape::Duration {
                    none: none.is_some(),
                    zero: none.is_none() && text(schema, "format").is_none(),
                };
            }
            return self.named(self.definitions.get(name).unwrap_or(&Json::Null));
        }
        let words = schema.get("enum").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
        if let Some(words) = words {
            let word = |word: &Json| word.get("const").unwrap_or(word).as_str().map(str::to_owned);
            return Shape::Word(words.iter().filter_map(word).collect());
        }
        let kind = schema.get("type");
        let kind = kind.and_then(Json::as_array).and_then(|kinds| kinds.first()).or(kind);
        let number = |key: &str| schema.get(key).and_then(Json::as_i64);
        match kind.and_then(Json::as_str) {
            Some("integer") => Shape::Number {
                least: number("minimum").unwrap_or_default(),
                most: number("maximum").unwrap_or(i64::MAX),
            },
            Some("boolean") => Shape::Flag,
            Some("array") => Shape::List {
                filled: number("minItems").is_some(),
                unique: schema.get("uniqueItems").is_some(),
                items: Box::new(self.items(schema, "items")),
            },
            Some("object") => Shape::Map {
                keys: forms::named(text(schema, "x-key").unwrap_or("text")),
                values: Box::new(self.items(schema, "additionalProperties")),
            },
            _ => Shape::Text(forms::named(text(schema, "format").unwrap_or("text"))),
        }
    }

    /// The items of a list or the values of a map, which may have a form.
    fn items(&self, schema: &Json, key: &str) -> Shape {
        match text(schema, "x-items") {
            Some(form) => Shape::Text(forms::named(form)),
            None => self.shape(schema.get(key).unwrap_or(&Json::Null)),
        }
    }

    fn named(&self, schema: &Json) -> Shape {
        match text(schema, "x-short") {
            _ if schema.get("properties").is_none() => self.shape(schema),
            Some(key) => Shape::Short(key.to_owned(), self.table(schema)),
            None => Shape::Table(self.table(schema)),
        }
    }

    fn table(&self, schema: &Json) -> Table {
        let properties = schema.get("properties").and_then(Json::as_object);
        let required = schema.get("required").and_then(Json::as_array);
        let mut keys = Vec::new();
        for (name, field) in properties.into_iter().flatten() {
            let required = required.is_some_and(|required| required.iter().any(|key| key == name));
            match self.shape(field) {
                Shape::Table(inner) if field.get("x-flat").is_some() => {
                    keys.extend(inner.keys.into_iter().map(|key| Key { inside: Some(name.clone()), ..key }));
                }
                shape => {
                    let (need, field) = (need(field, required, &shape), field.clone());
                    keys.push(Key { name: name.clone(), field, need, inside: None, shape });
                }
            }
        }
        Table { keys }
    }
}

pub(super) fn text<'a>(schema: &'a Json, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Json::as_str)
}

fn need(field: &Json, required: bool, shape: &Shape) -> Need {
    match text(field, "x-secret") {
        Some(file) => Need::Secret {
            file: file.to_owned(),
            required: match text(field, "x-unless") {
                Some(other) => Required::Unless(other.to_owned()),
                None if required => Required::Yes,
                None => Required::No,
            },
        },
        None if required => Need::Required,
        None => default(shape, field.get("default")),
    }
}

/// The default of a value. Tables have none; their keys have.
fn default(shape: &Shape, default: Option<&Json>) -> Need {
    let is_empty = |default: &Json| match default {
        Json::Null => !matches!(shape, Shape::Duration { .. }),
        Json::String(text) => text.is_empty(),
        Json::Object(keys) => keys.is_empty(),
        _ => false,
    };
    match (default, shape) {
        // An empty list is no default where a list must not be empty.
        (Some(Json::Array(items)), Shape::List { filled: true, .. }) if items.is_empty() => Need::Required,
        (Some(_), Shape::Table(_)) => Need::Optional,
        (Some(_), Shape::List { items, .. }) if matches!(**items, Shape::Table(_)) => Need::Optional,
        (Some(default), _) if !is_empty(default) => Need::Default(configured(shape, default)),
        _ => Need::Optional,
    }
}

/// A value in the form that operators write.
fn configured(shape: &Shape, value: &Json) -> Json {
    match (shape, value) {
        (Shape::Duration { .. }, value) => match Duration::deserialize(value) {
            Ok(value) => Json::String(duration::format(value)),
            Err(_) => Json::String("none".to_owned()),
        },
        (Shape::Map { values, .. }, Json::Object(keys)) => {
            keys.iter().map(|(key, value)| (key.clone(), configured(values, value))).collect()
        }
        (Shape::Table(table) | Shape::Short(_, table), Json::Object(values)) => {
            let mut keys = Map::new();
            for key in &table.keys {
                let value = values.get(&key.name).filter(|value| !value.is_null());
                let Some(value) = value.map(|value| configured(&key.shape, value)) else { continue };
                if key.need != Need::Default(value.clone()) {
                    keys.insert(key.name.clone(), value);
                }
            }
            match (shape, keys.len()) {
                (Shape::Short(short, _), 1) => keys.remove(short).unwrap_or_default(),
                _ => Json::Object(keys),
            }
        }
        (_, value) => value.clone(),
    }
}
