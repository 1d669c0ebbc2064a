//! The JSON Schema (draft 7, which editors know best) of config.yaml: docs/config.schema.json, which `matrixbot check
//! --schema` prints.

use super::keys::{Need, Required, meaning, need};
use crate::config::forms::Form;
use crate::config::shape::{CONFIG, Key, Kind, keys};
use crate::domain::duration;
use serde_json::{Map, Value as Json, json};

/// A value with a reference to the environment may turn out to be anything.
const REFERENCE: &str = r"\$\{";

/// The schema of config.yaml, for editors and other tools.
pub(super) fn schema() -> Json {
    let mut schema = table(&CONFIG);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("The configuration of matrixbot");
    schema
}

fn value(schema: &Json) -> Json {
    match Kind::of(schema) {
        Kind::Text(Form { pattern: None, .. }) => json!({"type": "string", "pattern": r"\S"}),
        Kind::Text(form) => {
            let mut text = text_like(form.pattern());
            text["title"] = json!(form.title());
            text
        }
        Kind::Number(range) => {
            json!({"anyOf": [{"type": "integer", "minimum": range.start(), "maximum": range.end()}, reference()]})
        }
        Kind::Decimal(range) => {
            json!({"anyOf": [{"type": "number", "minimum": range.start(), "maximum": range.end()}, reference()]})
        }
        Kind::Flag => json!({"anyOf": [{"type": "boolean"}, reference()]}),
        Kind::Word(words) => json!({"anyOf": [{"enum": words}, reference()]}),
        Kind::Duration { none, .. } => {
            let other = if none { json!("none") } else { json!(0) };
            json!({"anyOf": [text_like(duration::PATTERN), {"const": other}]})
        }
        Kind::List(items) if schema.get("minItems").is_some() => {
            json!({"type": "array", "minItems": 1, "items": value(items)})
        }
        Kind::List(items) => json!({"type": ["array", "null"], "items": value(items)}),
        Kind::Map(keys, values) => {
            // An empty value counts as an empty table.
            let mut map = json!({"type": ["object", "null"], "additionalProperties": value(values)});
            if keys.pattern.is_some() {
                map["propertyNames"] = json!({"pattern": keys.pattern()});
            }
            map
        }
        Kind::Table if schema["x-none"] == true => json!({"anyOf": [table(schema), {"const": "none"}]}),
        Kind::Table => match schema["x-short"].as_str() {
            Some(short) => {
                let mut long = table(schema);
                long["type"] = json!("object");
                json!({"anyOf": [value(&schema["properties"][short]), long]})
            }
            None => table(schema),
        },
    }
}

fn reference() -> Json {
    json!({"type": "string", "pattern": REFERENCE})
}

fn text_like(pattern: &str) -> Json {
    json!({"type": "string", "anyOf": [{"pattern": pattern}, {"pattern": REFERENCE}]})
}

fn table(table: &Json) -> Json {
    let (mut properties, mut required, mut rules) = (Map::new(), Vec::new(), Vec::new());
    for key in keys(table) {
        properties.insert(key.name.to_owned(), described(value(key.schema), &key, &meaning(&key)));
        let need = need(&key);
        if need == Need::Required {
            required.push(json!(key.name));
        }
        if let Some(other) = key.schema["x-either"].as_str() {
            let own = [Some(key.name.to_owned()), key.file_key()].into_iter().flatten();
            let own: Vec<Json> = own.map(|name| json!({"required": [name]})).collect();
            rules.push(json!({"oneOf": [{"anyOf": own}, {"required": [other]}]}));
        }
        if let (Need::Secret { required, .. }, Some(file_key)) = (&need, key.file_key()) {
            let meaning = format!("A file with `{}`.", key.name);
            let file = json!({"type": "string", "pattern": r"\S"});
            properties.insert(file_key.clone(), described(file, &key, &meaning));
            rules.push(json!({"not": {"required": [key.name, file_key]}}));
            rules.extend(is_given(key.name, &file_key, required));
        }
    }
    let optional = required.is_empty() && rules.is_empty();
    let kind = if optional { json!(["object", "null"]) } else { json!("object") };
    let mut schema = json!({"type": kind, "properties": properties, "additionalProperties": false});
    for (rule, values) in [("required", required), ("allOf", rules)] {
        if !values.is_empty() {
            schema[rule] = Json::Array(values);
        }
    }
    schema
}

/// A secret is given, itself or in a file.
fn is_given(key: &str, file_key: &str, required: &Required) -> Option<Json> {
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

/// A schema with what editors show.
fn described(mut schema: Json, key: &Key<'_>, meaning: &str) -> Json {
    schema["description"] = json!(meaning);
    if let Need::Default(default) = need(key) {
        schema["default"] = default;
    }
    schema
}

/// The chart's values.schema.json with the configuration as the program has it.
pub(super) fn chart_schema(text: &str) -> String {
    let mut config = schema();
    let keys = config.as_object_mut().unwrap();
    keys.retain(|key, _| !matches!(key.as_str(), "$schema" | "title"));
    for own in ["registration", "database", "listen"] {
        keys["properties"].as_object_mut().unwrap().remove(own);
    }
    for_the_chart(&mut config);
    // The values have neither until somebody sets them.
    let config = config.as_object_mut().unwrap();
    config.remove("required");
    let properties = &mut config["properties"];
    properties["homeserver"].as_object_mut().unwrap().remove("required");
    properties["room_lists"].as_object_mut().unwrap().remove("minItems");
    for path in ["/homeserver/properties/url", "/homeserver/properties/server_name", "/user_prefix"] {
        let text = properties.pointer_mut(path).unwrap();
        text["anyOf"].as_array_mut().unwrap().push(json!({"const": ""}));
    }
    let (start, end) = ("    \"config\": {\n", "\n    },\n");
    let (before, rest) = text.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let config = serde_json::to_string_pretty(&config).unwrap().replace('\n', "\n    ");
    format!("{before}    \"config\": {config}{}{after}", end.trim_start_matches("\n    }"))
}

/// Secrets are references to the environment: the configuration is in a `ConfigMap`. The chart names the file of a webhook's
/// token itself, unless the values do.
fn for_the_chart(schema: &mut Json) {
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        let secrets: Vec<String> =
            properties.keys().filter_map(|key| key.strip_suffix("_file")).map(str::to_owned).collect();
        for secret in secrets {
            let reference = json!({
                "description": properties[&secret]["description"],
                "type": "string",
                "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_]*\}$",
            });
            properties.insert(secret, reference);
        }
        if properties.contains_key("webhook_token_file") {
            schema.as_object_mut().unwrap().remove("allOf");
        }
    }
    // Keys of others, and anchors: the chart leaves them out.
    if schema.get("properties").is_some() && schema.get("additionalProperties") == Some(&json!(false)) {
        schema["patternProperties"] = json!({"^x-": true});
    }
    match schema {
        Json::Object(keys) => keys.values_mut().for_each(for_the_chart),
        Json::Array(items) => items.iter_mut().for_each(for_the_chart),
        _ => {}
    }
}
