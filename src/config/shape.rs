//! What a configuration may contain, as its types say it: `schemars` reads their doc comments, defaults and attributes.

use super::forms::{self, Form};
use super::registration::Registration;
use super::types::{
    AlertmanagerConfig, BasicAuth, Config, Database, Homeserver, Listen, Listener, Retention, RoomListConfig,
    TlsFiles,
};
use crate::domain::duration;
use crate::domain::policy::{Level, Permissions, Policy, SeverityRule};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Map, Value as Json};
use std::sync::LazyLock;
use std::time::Duration;

/// The keys of config.yaml.
pub(super) static CONFIG: LazyLock<Table> = LazyLock::new(table_of::<Config>);
/// The keys of a registration, as far as matrixbot needs them.
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

/// The known keys of a table, in the order of their type's fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) keys: Vec<Key>,
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    /// The doc comment.
    pub(super) meaning: String,
    pub(super) need: Need,
    pub(super) example: Example,
    /// The heading of the keys from here on.
    pub(super) group: Option<String>,
    /// The field that has the key's value in its type, if the key is lifted from there.
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

/// A key in config.yaml.example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Example {
    /// Its default, or its keys.
    Default,
    /// Its keys, then this YAML.
    Continued(String),
    /// This YAML.
    Shown(String),
    /// This YAML, commented out.
    Hinted(String),
}

impl Key {
    /// The key for the file of a secret.
    pub(super) fn file_key(&self) -> Option<String> {
        matches!(self.need, Need::Secret { .. }).then(|| format!("{}_file", self.name))
    }
}

fn table_of<T: JsonSchema>() -> Table {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.transforms.clear());
    let root = settings.into_generator().into_root_schema_for::<T>();
    let definitions = root.get("$defs").cloned().unwrap_or_default();
    Reflection { definitions }.table(&T::schema_name(), root.as_value())
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
            return self.named(name, self.definitions.get(name).unwrap_or(&Json::Null));
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

    fn named(&self, name: &str, schema: &Json) -> Shape {
        match text(schema, "x-short") {
            _ if schema.get("properties").is_none() => self.shape(schema),
            Some(key) => Shape::Short(key.to_owned(), self.table(name, schema)),
            None => Shape::Table(self.table(name, schema)),
        }
    }

    fn table(&self, name: &str, schema: &Json) -> Table {
        let fields = TYPES.iter().map(|fields| fields()).find(|(known, _)| *known == name);
        let mut keys = Vec::new();
        for field in fields.map_or(&[][..], |(_, fields)| fields) {
            let Some(property) = schema.get("properties").and_then(|properties| properties.get(field)) else {
                continue;
            };
            let required = schema.get("required").and_then(Json::as_array);
            let required = required.is_some_and(|required| required.iter().any(|name| name == field));
            match self.shape(property) {
                Shape::Table(inner) if property.get("x-flat").is_some() => {
                    let lifted = |key| Key { inside: Some((*field).to_owned()), ..key };
                    keys.extend(inner.keys.into_iter().map(lifted));
                }
                shape => keys.push(key(field, property, required, shape)),
            }
        }
        Table { keys }
    }
}

fn text<'a>(schema: &'a Json, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Json::as_str)
}

fn key(name: &str, schema: &Json, required: bool, shape: Shape) -> Key {
    let owned = |key: &str| text(schema, key).map(str::to_owned);
    let meaning = text(schema, "description").unwrap_or_default();
    let need = match (owned("x-secret"), owned("x-unless")) {
        (Some(file), Some(other)) => Need::Secret { file, required: Required::Unless(other) },
        (Some(file), None) => {
            Need::Secret { file, required: if required { Required::Yes } else { Required::No } }
        }
        (None, _) if required => Need::Required,
        (None, _) => default(&shape, schema.get("default")),
    };
    let hint = owned("x-hint").map(Example::Hinted);
    let example = hint.or_else(|| owned("x-example").map(Example::Shown));
    let example = example.or_else(|| owned("x-continued").map(Example::Continued));
    Key {
        name: name.to_owned(),
        meaning: meaning.split_whitespace().collect::<Vec<_>>().join(" "),
        need,
        example: example.unwrap_or(Example::Default),
        group: owned("x-group"),
        inside: None,
        shape,
    }
}

/// A default is for values, not for tables: those have the defaults of their keys.
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

/// A stored value as it is configured.
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
                // An entry that is all defaults shows its first key.
                if key.need != Need::Default(value.clone()) || keys.is_empty() {
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

/// Every type that is a table: a schema does not keep the order of its fields.
const TYPES: [fn() -> FieldsOf; 17] = [
    fields_of::<Config>,
    fields_of::<Homeserver>,
    fields_of::<Database>,
    fields_of::<Listen>,
    fields_of::<Listener>,
    fields_of::<TlsFiles>,
    fields_of::<AlertmanagerConfig>,
    fields_of::<BasicAuth>,
    fields_of::<RoomListConfig>,
    fields_of::<Policy>,
    fields_of::<Level>,
    fields_of::<SeverityRule>,
    fields_of::<Permissions>,
    fields_of::<Retention>,
    fields_of::<Registration>,
    fields_of::<super::registration::Namespaces>,
    fields_of::<super::registration::Namespace>,
];

/// The name and the fields of a type.
type FieldsOf = (&'static str, &'static [&'static str]);

fn fields_of<'de, T: Deserialize<'de>>() -> FieldsOf {
    let mut fields = ("", &[][..]);
    // Nothing is deserialized: the fields are asked for first.
    T::deserialize(Fields(&mut fields)).map_or(fields, |_| ("", &[]))
}

/// Is asked for a struct, and keeps its name and fields.
struct Fields<'a>(&'a mut FieldsOf);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = (name, fields);
        Err(Error::custom("only the fields are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
