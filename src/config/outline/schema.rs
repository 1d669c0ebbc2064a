//! The JSON Schema (draft 7, which editors know best) of a configuration.

use super::{Form, Key, Need, Outline, Required, Shape};
use crate::config::load;
use crate::domain::duration;
use serde_json::{Map, Value, json};

/// A value that holds a reference to the environment may turn out to be anything.
const REFERENCE: &str = r"\$\{";

/// The schema, for editors and for whoever checks files without this program.
pub fn schema() -> Value {
    let outline = load::outline();
    let mut schema = value(&outline, "");
    if let Value::Object(keys) = &mut schema {
        keys.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        keys.insert("title".to_owned(), json!("The configuration of matrixbot"));
    }
    schema
}

/// The schema of the value at `path`.
fn value(outline: &Outline, path: &str) -> Value {
    of_shape(outline, path, outline.shape(path))
}

fn of_shape(outline: &Outline, path: &str, shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::File => json!({"type": "string", "pattern": r"\S"}),
        Shape::Form(form) => text_like(form.pattern),
        Shape::Number { least, most } => {
            json!({"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, reference()]})
        }
        Shape::Flag => json!({"anyOf": [{"type": "boolean"}, reference()]}),
        Shape::Word(words) => json!({"anyOf": [{"enum": words}, reference()]}),
        Shape::Duration => json!({"anyOf": [text_like(duration::PATTERN), {"const": 0}]}),
        Shape::DurationOrNone => {
            json!({"anyOf": [text_like(duration::PATTERN), {"const": "none"}]})
        }
        Shape::List { filled: true } => {
            json!({"type": "array", "minItems": 1, "items": value(outline, &format!("{path}[]"))})
        }
        Shape::List { filled: false } => {
            json!({"type": ["array", "null"], "items": value(outline, &format!("{path}[]"))})
        }
        Shape::Map(form) => map(outline, path, form),
        Shape::Table => table(outline, path),
        Shape::ShortOrTable(short) => {
            let mut long = table(outline, path);
            if let Value::Object(keys) = &mut long {
                keys.insert("type".to_owned(), json!("object"));
            }
            json!({"anyOf": [of_shape(outline, path, short), long]})
        }
    }
}

fn reference() -> Value {
    json!({"type": "string", "pattern": REFERENCE})
}

fn text_like(pattern: &str) -> Value {
    json!({"type": "string", "anyOf": [{"pattern": pattern}, {"pattern": REFERENCE}]})
}

/// Nothing written counts as an empty table.
fn map(outline: &Outline, path: &str, form: &Form) -> Value {
    let values = value(outline, &super::super::yaml::join(path, "*"));
    let mut schema = json!({"type": ["object", "null"], "additionalProperties": values});
    if let Value::Object(keys) = &mut schema
        && !form.pattern.is_empty()
    {
        keys.insert("propertyNames".to_owned(), json!({"pattern": form.pattern}));
    }
    schema
}

fn table(outline: &Outline, path: &str) -> Value {
    let (mut properties, mut required, mut rules) = (Map::new(), Vec::new(), Vec::new());
    for key in outline.keys_of(path) {
        properties.insert(key.name.clone(), described(value(outline, &key.path()), key, key.meaning));
        if key.need == Need::Required {
            required.push(json!(key.name));
        }
        if let (Need::Secret { required, .. }, Some(file_key)) = (&key.need, key.file_key()) {
            let file = of_shape(outline, path, &Shape::File);
            let meaning = format!("The file that holds `{}`.", key.name);
            properties.insert(file_key.clone(), described(file, key, &meaning));
            rules.push(json!({"not": {"required": [key.name, file_key]}}));
            rules.extend(one_is_there(&key.name, &file_key, *required));
        }
    }
    let nothing_needed = required.is_empty() && rules.is_empty();
    let mut schema = json!({
        "type": if nothing_needed { json!(["object", "null"]) } else { json!("object") },
        "properties": properties,
        "additionalProperties": false,
    });
    if let Value::Object(keys) = &mut schema {
        if !required.is_empty() {
            keys.insert("required".to_owned(), Value::Array(required));
        }
        if !rules.is_empty() {
            keys.insert("allOf".to_owned(), Value::Array(rules));
        }
    }
    schema
}

/// That a secret is there, under its own key or in a file.
fn one_is_there(key: &str, file_key: &str, required: Required) -> Option<Value> {
    let (here, in_file) = (json!({"required": [key]}), json!({"required": [file_key]}));
    match required {
        Required::No => None,
        Required::Yes => Some(json!({"anyOf": [here, in_file]})),
        Required::Unless(other, word) => {
            let otherwise = json!({"required": [other], "properties": {other: {"not": {"const": word}}}});
            Some(json!({"anyOf": [here, in_file, otherwise]}))
        }
    }
}

/// A schema with what editors show of the key.
fn described(mut schema: Value, key: &Key, meaning: &str) -> Value {
    if let Value::Object(keys) = &mut schema {
        keys.insert("description".to_owned(), json!(meaning));
        if let Need::Default(default) = &key.need {
            keys.insert("default".to_owned(), default.clone());
        }
    }
    schema
}
