//! The JSON Schema (draft 7, which editors know best) of a configuration.

use super::forms::Form;
use super::shape::{CONFIG, Key, Need, Required, Shape, Table};
use crate::domain::duration;
use serde_json::{Map, Value as Json, json};

/// The value of a reference to the environment is unknown here, so it is always valid.
const REFERENCE: &str = r"\$\{";

/// The schema of config.yaml, for editors and other tools.
pub fn schema() -> Json {
    let mut schema = table(&CONFIG);
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!("The configuration of matrixbot"));
    Json::Object(schema)
}

fn value(shape: &Shape) -> Json {
    match shape {
        Shape::Text(form) if form.pattern.is_empty() => json!({"type": "string", "pattern": r"\S"}),
        Shape::Text(form) => titled(text_like(form.pattern), form.name),
        Shape::Number { least, most } => {
            json!({"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, reference()]})
        }
        Shape::Flag => json!({"anyOf": [{"type": "boolean"}, reference()]}),
        Shape::Word(words) => json!({"anyOf": [{"enum": words}, reference()]}),
        Shape::Duration { none: false, .. } => json!({"anyOf": [text_like(duration::PATTERN), {"const": 0}]}),
        Shape::Duration { none: true, .. } => {
            json!({"anyOf": [text_like(duration::PATTERN), {"const": "none"}]})
        }
        Shape::List { filled: true, items, .. } => {
            json!({"type": "array", "minItems": 1, "items": value(items)})
        }
        Shape::List { filled: false, items, .. } => json!({"type": ["array", "null"], "items": value(items)}),
        Shape::Map { keys, values } => map(keys, values),
        Shape::Table(keys) => Json::Object(table(keys)),
        Shape::Short(short, keys) => {
            let mut long = table(keys);
            long.insert("type".to_owned(), json!("object"));
            let short = keys.keys.iter().find(|key| key.name == *short).map(|key| value(&key.shape));
            json!({"anyOf": [short, long]})
        }
    }
}

/// A schema with the name of its form.
fn titled(mut schema: Json, name: &str) -> Json {
    if let Json::Object(schema) = &mut schema {
        schema.insert("title".to_owned(), json!(name));
    }
    schema
}

fn reference() -> Json {
    json!({"type": "string", "pattern": REFERENCE})
}

fn text_like(pattern: &str) -> Json {
    json!({"type": "string", "anyOf": [{"pattern": pattern}, {"pattern": REFERENCE}]})
}

/// An empty value counts as an empty table.
fn map(keys: &Form, values: &Shape) -> Json {
    let schema = json!({"type": ["object", "null"], "additionalProperties": value(values)});
    match schema {
        Json::Object(mut schema) if !keys.pattern.is_empty() => {
            schema.insert("propertyNames".to_owned(), json!({"pattern": keys.pattern}));
            Json::Object(schema)
        }
        schema => schema,
    }
}

fn table(table: &Table) -> Map<String, Json> {
    let (mut properties, mut required, mut rules) = (Map::new(), Vec::new(), Vec::new());
    for key in &table.keys {
        properties.insert(key.name.clone(), described(value(&key.shape), key, &key.meaning()));
        if key.need == Need::Required {
            required.push(json!(key.name));
        }
        if let (Need::Secret { required, .. }, Some(file_key)) = (&key.need, key.file_key()) {
            let meaning = format!("A file with `{}`.", key.name);
            let file = json!({"type": "string", "pattern": r"\S"});
            properties.insert(file_key.clone(), described(file, key, &meaning));
            rules.push(json!({"not": {"required": [key.name, file_key]}}));
            rules.extend(requires_secret(&key.name, &file_key, required));
        }
    }
    let optional = required.is_empty() && rules.is_empty();
    let kind = if optional { json!(["object", "null"]) } else { json!("object") };
    let mut schema = Map::from_iter([
        ("type".to_owned(), kind),
        ("properties".to_owned(), Json::Object(properties)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    for (rule, values) in [("required", required), ("allOf", rules)] {
        if !values.is_empty() {
            schema.insert(rule.to_owned(), Json::Array(values));
        }
    }
    schema
}

/// Requires a secret or its file.
fn requires_secret(key: &str, file_key: &str, required: &Required) -> Option<Json> {
    let (here, in_file) = (json!({"required": [key]}), json!({"required": [file_key]}));
    match required {
        Required::No => None,
        Required::Yes => Some(json!({"anyOf": [here, in_file]})),
        Required::Unless(other) => {
            let otherwise = json!({"required": [other], "properties": {other: {"not": {"const": "token"}}}});
            Some(json!({"anyOf": [here, in_file, otherwise]}))
        }
    }
}

/// A schema with the description and default for editors.
fn described(mut schema: Json, key: &Key, meaning: &str) -> Json {
    if let Json::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(meaning));
        if let Need::Default(default) = &key.need {
            schema.insert("default".to_owned(), default.clone());
        }
    }
    schema
}
