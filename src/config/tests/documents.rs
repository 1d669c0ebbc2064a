//! The documents about the configuration: config.yaml.example, docs/CONFIGURATION.md, docs/config.schema.json, and the
//! part of the chart's values.schema.json that is the configuration.
//!
//! `UPDATE=1 cargo test --lib config::tests::documents` writes them; without it, the test compares.

use crate::config::registration::{Namespace, Namespaces, Registration};
use crate::config::schema;
use crate::config::shape::{CONFIG, Key, Need, Required, Shape, Table, text};
use crate::config::types::{
    AlertmanagerConfig, BasicAuth, Config, Database, Homeserver, Listen, Listener, Retention, RoomListConfig,
    TlsFiles,
};
use crate::config::yaml::join;
use crate::domain::policy::{Level, Permissions, Policy, SeverityRule};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::path::Path;

const EXAMPLE_HEAD: &str = "\
# yaml-language-server: $schema=docs/config.schema.json
# (for editors; `matrixbot check --schema` writes that file)
#
# The configuration of matrixbot, with every key: a key in use shows its default or an example, a key that is commented
# out (`#key`, without a space) is optional and has no default. `matrixbot check --config FILE` lists every problem of a
# file at once.
#
# Durations are whole numbers with the units w, d, h, m and s, largest first: `90s`, `15m`, `1h30m`, `2d`. Any value may
# be `${ENV_NAME}` or `${ENV_NAME:-default}`; write `$${` for a plain `${`. Any secret may be in a file instead, as
# `<key>_file`. Paths are relative to the folder of this file. Room ids (`!…`) and room aliases (`#…`) need quotes, because
# YAML reads them as tags and comments.
";

const REFERENCE_HEAD: &str = "\
# Configuration

<!-- Generated from the source: UPDATE=1 cargo test --lib config::tests::documents -->

This page lists every key of `config.yaml`. [config.yaml.example](../config.yaml.example) is a complete file, and
`matrixbot check --config config.yaml` lists every problem of your file at once, each with its line, column and key. Other
keys are refused.

- **Durations** are whole numbers with the units `w`, `d`, `h`, `m` and `s`, largest first, each at most once: `90s`, `15m`,
  `1h30m`, `1h 30m`, `2d`, `0`. Rooms and the command line use the same form.
- **Any value** may be, or contain, `${ENV_NAME}` or `${ENV_NAME:-default}`; write `$${` for a plain `${`. Numbers, `true`
  and `false` can also come from the environment.
- **A secret** may be in a file, which `<key>_file` names. A newline at its end is ignored.
- **Paths** are relative to the folder of `config.yaml`.
- **Room ids** (`!…`) and **room aliases** (`#…`) need quotes, because YAML reads them as tags and comments.
- **`SIGHUP`** (`systemctl reload`) reloads the file. Changes of `room_lists` and `compatibility` apply immediately, all at
  once; running incidents keep their ladder. Changes of `homeserver`, `registration`, `user_prefix`, `database`, `listen` and
  `retention` need a restart, which is logged. If the file has a problem, nothing changes and the reason is logged.

**In an editor** with a YAML language server, this first line of the file enables completion and validation.
`matrixbot check --schema > config.schema.json` writes the schema of your release;
[config.schema.json](config.schema.json) belongs to this source:

```yaml
# yaml-language-server: $schema=config.schema.json
```
";

/// The longest line of a comment.
const WIDTH: usize = 118;

/// The text of config.yaml.example.
pub(super) fn example() -> String {
    let mut lines = Vec::new();
    for key in ordered(&CONFIG) {
        lines.push(String::new());
        entry(&mut lines, key, 0);
    }
    format!("{EXAMPLE_HEAD}{}\n", lines.join("\n"))
}

/// A key with its comment, `indent` spaces from the left.
fn entry(lines: &mut Vec<String>, key: &Key, indent: usize) {
    comment(lines, &about(key), indent);
    let (margin, name) = (" ".repeat(indent), &key.name);
    if let Some(yaml) = text(&key.field, "x-hint") {
        lines.push(format!("{margin}#{name}: {yaml}"));
        return;
    }
    let value = match (text(&key.field, "x-example"), &key.need) {
        (Some(yaml), _) => Some(yaml.to_owned()),
        (None, Need::Default(default)) => Some(in_a_line(default)),
        (None, _) => None,
    };
    match value {
        Some(yaml) if yaml.contains('\n') || yaml.starts_with('"') => {
            lines.push(format!("{margin}{name}:"));
            block(lines, &yaml, indent + 2);
        }
        Some(yaml) => lines.push(format!("{margin}{name}: {yaml}")),
        None => {
            lines.push(format!("{margin}{name}:"));
            match &key.shape {
                Shape::List { items, .. } => {
                    let mut item = Vec::new();
                    parts(&mut item, items, indent + 4);
                    dash(&mut item, indent + 2);
                    lines.append(&mut item);
                }
                shape => parts(lines, shape, indent + 2),
            }
        }
    }
    if let Some(yaml) = text(&key.field, "x-continued") {
        block(lines, yaml, indent + 2);
    }
    if let (Some(file_key), Need::Secret { file, .. }) = (key.file_key(), &key.need) {
        lines.push(format!("{margin}#{file_key}: {file}"));
    }
}

/// The keys of a table.
fn parts(lines: &mut Vec<String>, shape: &Shape, indent: usize) {
    let Shape::Table(table) = shape else { return };
    for key in ordered(table) {
        if text(&key.field, "x-group").is_some() {
            lines.push(String::new());
        }
        entry(lines, key, indent);
    }
}

/// Makes keys the first item of a list: the first key gets a dash, and its comment moves to the left.
fn dash(lines: &mut [String], indent: usize) {
    for line in lines {
        let rest = line.trim_start().to_owned();
        let is_comment = rest.starts_with("# ");
        *line = format!("{}{}{rest}", " ".repeat(indent), if is_comment { "" } else { "- " });
        if !is_comment {
            return;
        }
    }
}

fn block(lines: &mut Vec<String>, yaml: &str, indent: usize) {
    lines.extend(yaml.lines().map(|line| format!("{}{line}", " ".repeat(indent))));
}

/// The comment of a key.
fn about(key: &Key) -> String {
    let need = match &key.need {
        Need::Required => "Required. ".to_owned(),
        Need::Secret { required: Required::Yes, .. } => "Required, here or in a file. ".to_owned(),
        Need::Secret { required: Required::Unless(other), .. } => {
            format!("Required, here or in a file, unless {other} is none. ")
        }
        Need::Default(_) | Need::Optional | Need::Secret { .. } => String::new(),
    };
    let default = match &key.need {
        Need::Default(_) if text(&key.field, "x-example").is_none() => String::new(),
        // The doc comment already explains the default.
        Need::Default(default) if *default == json!([]) && key.meaning().contains("Default: ") => {
            String::new()
        }
        Need::Default(default) if *default == json!([]) => " Default: none.".to_owned(),
        Need::Default(default) => format!(" Default: {}.", in_a_line(default)),
        Need::Required | Need::Optional | Need::Secret { .. } => String::new(),
    };
    format!("{need}{}{default}", key.meaning())
}

/// Wraps words as lines of a comment.
fn comment(lines: &mut Vec<String>, words: &str, indent: usize) {
    let start = format!("{}#", " ".repeat(indent));
    let mut line = start.clone();
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > start.len() {
            lines.push(std::mem::replace(&mut line, start.clone()));
        }
        line = [&line, " ", word].concat();
    }
    lines.push(line);
}

/// The text of docs/CONFIGURATION.md.
fn reference() -> String {
    let (mut lines, mut anchors) = (Vec::new(), Vec::new());
    section(&mut lines, &mut anchors, &CONFIG, "");
    format!("{REFERENCE_HEAD}{}\n", lines.join("\n"))
}

/// The table of keys at `path`, then the tables within it. Tables with the same keys and meanings share a section.
fn section(lines: &mut Vec<String>, anchors: &mut Vec<(String, String)>, table: &Table, path: &str) {
    let heading = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
    lines.extend([String::new(), format!("## {heading}")]);
    let mut inner = Vec::new();
    let mut begins = true;
    for key in ordered(table) {
        if let Some(group) = text(&key.field, "x-group") {
            lines.extend([String::new(), format!("**{group}**")]);
        }
        if begins || text(&key.field, "x-group").is_some() {
            lines.extend(
                ["", "| Key | Value | Default | Description |", "|---|---|---|---|"].map(str::to_owned),
            );
        }
        begins = false;
        let mut within = Vec::new();
        lines.push(row(key, &join(path, &key.name), anchors, &mut within));
        inner.append(&mut within);
    }
    for (path, table) in inner {
        section(lines, anchors, &table, &path);
    }
}

fn row(
    key: &Key,
    path: &str,
    anchors: &mut Vec<(String, String)>,
    inner: &mut Vec<(String, Table)>,
) -> String {
    let name = match key.file_key() {
        Some(file_key) => format!("`{}` or `{file_key}`", key.name),
        None => format!("`{}`", key.name),
    };
    let default = match &key.need {
        Need::Required | Need::Secret { required: Required::Yes, .. } => "*required*".to_owned(),
        Need::Secret { required: Required::Unless(other), .. } => format!("*required* if `{other}: token`"),
        Need::Default(default) => format!("`{}`", in_a_line(default)),
        Need::Optional | Need::Secret { .. } => String::new(),
    };
    let value = kind(&key.shape, path, anchors, inner);
    format!("| {name} | {value} | {default} | {} |", key.meaning())
}

/// The type of a value, in words.
fn kind(
    shape: &Shape,
    path: &str,
    anchors: &mut Vec<(String, String)>,
    inner: &mut Vec<(String, Table)>,
) -> String {
    match shape {
        Shape::Text(form) => form.name.to_owned(),
        Shape::Number { least, most } => format!("{least} to {most}"),
        Shape::Flag => "`true` or `false`".to_owned(),
        Shape::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Shape::Duration { none: false, .. } => "duration".to_owned(),
        Shape::Duration { none: true, .. } => "duration or `none`".to_owned(),
        Shape::List { items, .. } => format!("list of {}", kind(items, &format!("{path}[]"), anchors, inner)),
        Shape::Map { keys, values } => {
            format!("{}: {}", keys.name, kind(values, &format!("{path}.<key>"), anchors, inner))
        }
        Shape::Table(table) => format!("[table](#{})", anchor(table, path, anchors, inner)),
        Shape::Short(key, table) => {
            let short = table.keys.iter().find(|known| known.name == *key);
            let short = short.map(|key| kind(&key.shape, path, anchors, inner)).unwrap_or_default();
            format!("{short} or [table](#{})", anchor(table, path, anchors, inner))
        }
    }
}

/// The link to a table, which gets a section unless the same table has one already.
fn anchor(
    table: &Table,
    path: &str,
    anchors: &mut Vec<(String, String)>,
    inner: &mut Vec<(String, Table)>,
) -> String {
    let keys =
        table.keys.iter().map(|key| format!("{} {}", key.name, key.meaning())).collect::<Vec<_>>().join("\n");
    if let Some((_, anchor)) = anchors.iter().find(|(known, _)| *known == keys) {
        return anchor.clone();
    }
    let anchor: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    anchors.push((keys, anchor.clone()));
    inner.push((path.to_owned(), table.clone()));
    anchor
}

/// A value in one line of YAML.
pub(super) fn in_a_line(value: &Json) -> String {
    match value {
        Json::String(text) if is_plain(text) => text.clone(),
        // Rooms and reactions: quotes never hurt in a list.
        Json::Array(items) => {
            format!("[{}]", items.iter().map(Json::to_string).collect::<Vec<_>>().join(", "))
        }
        Json::Object(keys) => {
            let pair = |(key, value): (&String, &Json)| format!("{key}: {}", in_a_line(value));
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

/// The keys of a table in the order of its type's fields, which a schema does not keep.
fn ordered(table: &Table) -> Vec<&Key> {
    let field = |key: &'_ Key| key.inside.clone().unwrap_or_else(|| key.name.clone());
    let known: BTreeSet<String> = table.keys.iter().map(field).collect();
    let mut types = TYPES.iter().map(|fields| fields());
    let fields =
        types.find(|fields| fields.iter().map(|field| (*field).to_owned()).collect::<BTreeSet<_>>() == known);
    let fields = fields.unwrap_or_else(|| panic!("add the type with {known:?} to TYPES"));
    let at = |name: &str, fields: &[&str]| fields.iter().position(|field| *field == name);
    let mut keys: Vec<&Key> = table.keys.iter().collect();
    // Only a policy is lifted.
    keys.sort_by_key(|key| (at(&field(key), fields), at(&key.name, fields_of::<Policy>())));
    keys
}

/// Every type that is a table.
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
    fields_of::<Namespaces>,
    fields_of::<Namespace>,
];

/// The fields of a type.
type FieldsOf = &'static [&'static str];

fn fields_of<'de, T: Deserialize<'de>>() -> FieldsOf {
    let mut fields = &[][..];
    // Deserialization fails on purpose, after it has passed the fields.
    T::deserialize(Fields(&mut fields)).map_or(fields, |_| &[])
}

/// A deserializer that only records the fields of a struct.
struct Fields<'a>(&'a mut FieldsOf);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: FieldsOf,
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
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

/// The chart's values.schema.json with the program's schema of the configuration.
fn chart_schema(text: &str) -> String {
    let mut config = schema();
    let keys = config.as_object_mut().unwrap();
    keys.retain(|key, _| !matches!(key.as_str(), "$schema" | "title"));
    for own in ["registration", "database", "listen"] {
        keys["properties"].as_object_mut().unwrap().remove(own);
    }
    for_the_chart(&mut config);
    // These keys are empty in the chart's default values.
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

/// Secrets are references to the environment: the configuration is in a `ConfigMap`. The chart names the file of a
/// webhook's token itself.
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
        if properties.remove("webhook_token_file").is_some() {
            schema.as_object_mut().unwrap().remove("allOf");
        }
    }
    match schema {
        Json::Object(keys) => keys.values_mut().for_each(for_the_chart),
        Json::Array(items) => items.iter_mut().for_each(for_the_chart),
        _ => {}
    }
}

/// Compares a file with its source, or writes it.
fn is_up_to_date(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(current == text, "{path} is out of date: UPDATE=1 cargo test --lib config::documents");
}

#[test]
fn the_documents_and_schemas_are_up_to_date() {
    is_up_to_date("config.yaml.example", &example());
    is_up_to_date("docs/CONFIGURATION.md", &reference());
    is_up_to_date("docs/config.schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    let chart = include_str!("../../../charts/matrixbot/values.schema.json");
    is_up_to_date("charts/matrixbot/values.schema.json", &chart_schema(chart));
}

#[test]
fn a_value_in_a_line_parses_to_the_same_value() {
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
        let read: Json = serde_yaml::from_str(&in_a_line(&value)).unwrap();
        assert_eq!(read, value, "{}", in_a_line(&value));
    }
}
