//! The documents about the configuration: config.yaml.example, docs/CONFIGURATION.md, docs/config.schema.json, and the
//! part of the chart's values.schema.json that is the configuration.
//!
//! `UPDATE=1 cargo test --lib config::tests::documents` writes them; without it, the test compares.

use super::keys::{Need, Required, meaning, need};
use super::published::{chart_schema, schema};
use crate::config::shape::{CONFIG, Key, Kind, keys};
use crate::config::yaml::join;
use serde_json::{Value as Json, json};
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
- **`SIGHUP`** (`systemctl reload`) reloads the file. Changes of `room_lists`, `on_call`, `alertmanagers` and `compatibility` apply
  immediately, all at once; running incidents keep their ladder. Changes of `homeserver`, `registration`, `user_prefix`, `database`, `listen`,
  `retention` and `own_heartbeat` need a restart, which is logged. If the file has a problem, nothing changes and the reason is logged.

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
        entry(&mut lines, &key, 0);
    }
    format!("{EXAMPLE_HEAD}{}\n", lines.join("\n"))
}

/// A key with its comment, `indent` spaces from the left.
fn entry(lines: &mut Vec<String>, key: &Key<'_>, indent: usize) {
    comment(lines, &about(key), indent);
    let (margin, name, need) = (" ".repeat(indent), key.name, need(key));
    if let Some(yaml) = text(key, "x-hint") {
        lines.push(format!("{margin}#{name}: {yaml}"));
        return;
    }
    let value = match (text(key, "x-example"), &need) {
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
            match Kind::of(key.schema) {
                Kind::List(items) => {
                    let mut item = Vec::new();
                    parts(&mut item, items, indent + 4);
                    dash(&mut item, indent + 2);
                    lines.append(&mut item);
                }
                _ => parts(lines, key.schema, indent + 2),
            }
        }
    }
    if let Some(yaml) = text(key, "x-continued") {
        block(lines, yaml, indent + 2);
    }
    if let (Some(file_key), Need::Secret { file, .. }) = (key.file_key(), &need) {
        lines.push(format!("{margin}#{file_key}: {file}"));
    }
}

/// The keys of a table.
fn parts(lines: &mut Vec<String>, table: &Json, indent: usize) {
    for key in ordered(table) {
        if text(&key, "x-group").is_some() {
            lines.push(String::new());
        }
        entry(lines, &key, indent);
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
fn about(key: &Key<'_>) -> String {
    let (need, meaning) = (need(key), meaning(key));
    let required = match &need {
        Need::Required => "Required. ".to_owned(),
        Need::Secret { required: Required::Yes, .. } => "Required, here or in a file. ".to_owned(),
        Need::Secret { required: Required::Unless(other), .. } => {
            format!("Required, here or in a file, unless {other} is none. ")
        }
        Need::Default(_) | Need::Optional | Need::Secret { .. } => String::new(),
    };
    let default = match &need {
        Need::Default(_) if text(key, "x-example").is_none() => String::new(),
        // The doc comment says what it means that there is none.
        Need::Default(default) if *default == json!([]) && meaning.contains("Default: ") => String::new(),
        Need::Default(default) if *default == json!([]) => " Default: none.".to_owned(),
        Need::Default(default) => format!(" Default: {}.", in_a_line(default)),
        Need::Required | Need::Optional | Need::Secret { .. } => String::new(),
    };
    format!("{required}{meaning}{default}")
}

/// Words as lines of a comment.
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
    let mut reference = Reference { lines: Vec::new(), anchors: Vec::new(), inner: Vec::new() };
    reference.section(&CONFIG, "");
    format!("{REFERENCE_HEAD}{}\n", reference.lines.join("\n"))
}

struct Reference<'a> {
    lines: Vec<String>,
    /// The tables that have a section, as their keys and meanings, and the section's anchor.
    anchors: Vec<(String, String)>,
    /// Tables without a section yet, with their paths.
    inner: Vec<(String, &'a Json)>,
}

impl<'a> Reference<'a> {
    /// The table of keys at `path`, then the tables within it. Tables with the same keys and meanings share a section.
    fn section(&mut self, table: &'a Json, path: &str) {
        let heading = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
        self.lines.extend([String::new(), format!("## {heading}")]);
        let mut begins = true;
        for key in ordered(table) {
            let group = text(&key, "x-group");
            if let Some(group) = group {
                self.lines.extend([String::new(), format!("**{group}**")]);
            }
            if begins || group.is_some() {
                let head = ["", "| Key | Value | Default | Description |", "|---|---|---|---|"];
                self.lines.extend(head.map(str::to_owned));
            }
            begins = false;
            let row = self.row(&key, &join(path, key.name));
            self.lines.push(row);
        }
        for (path, table) in std::mem::take(&mut self.inner) {
            self.section(table, &path);
        }
    }

    fn row(&mut self, key: &Key<'a>, path: &str) -> String {
        let name = match key.file_key() {
            Some(file_key) => format!("`{}` or `{file_key}`", key.name),
            None => format!("`{}`", key.name),
        };
        let default = match need(key) {
            Need::Required | Need::Secret { required: Required::Yes, .. } => "*required*".to_owned(),
            Need::Secret { required: Required::Unless(other), .. } => {
                format!("*required* if `{other}: token`")
            }
            Need::Default(default) => format!("`{}`", in_a_line(&default)),
            Need::Optional | Need::Secret { .. } => String::new(),
        };
        let value = self.kind(key.schema, path);
        format!("| {name} | {value} | {default} | {} |", meaning(key))
    }

    /// What a value may be, in words.
    fn kind(&mut self, schema: &'a Json, path: &str) -> String {
        match Kind::of(schema) {
            Kind::Text(form) => form.title().to_owned(),
            Kind::Number(range) => format!("{} to {}", range.start(), range.end()),
            Kind::Decimal(range) => {
                format!("{} to {}, also with a decimal point", range.start(), range.end())
            }
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Word(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
            }
            Kind::Duration { none: false, .. } => "duration".to_owned(),
            Kind::Duration { none: true, .. } => "duration or `none`".to_owned(),
            Kind::List(items) => format!("list of {}", self.kind(items, &format!("{path}[]"))),
            Kind::Map(keys, values) => {
                format!("{}: {}", keys.title(), self.kind(values, &format!("{path}.<key>")))
            }
            Kind::Table => {
                let short = schema["x-short"].as_str().map(|key| self.kind(&schema["properties"][key], path));
                let short = short.map(|short| format!("{short} or ")).unwrap_or_default();
                let none = if schema["x-none"] == true { " or `none`" } else { "" };
                format!("{short}[table](#{}){none}", self.anchor(schema, path))
            }
        }
    }

    /// The link to a table, which gets a section unless the same table has one already.
    fn anchor(&mut self, table: &'a Json, path: &str) -> String {
        let about = |key: Key<'_>| format!("{} {}", key.name, meaning(&key));
        let content = keys(table).map(about).collect::<Vec<_>>().join("\n");
        if let Some((_, anchor)) = self.anchors.iter().find(|(known, _)| *known == content) {
            return anchor.clone();
        }
        let anchor: String = path.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        self.anchors.push((content, anchor.clone()));
        self.inner.push((path.to_owned(), table));
        anchor
    }
}

/// An attribute of a key.
fn text<'a>(key: &Key<'a>, attribute: &str) -> Option<&'a str> {
    key.schema[attribute].as_str()
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
fn ordered(table: &Json) -> Vec<Key<'_>> {
    let mut keys: Vec<Key<'_>> = keys(table).collect();
    let types = types();
    let has_all = |fields: &&Vec<&str>| keys.iter().all(|key| fields.contains(&key.name));
    // Another type may have the same fields and more.
    let fields = types.iter().filter(has_all).min_by_key(|fields| fields.len());
    let fields = fields.unwrap_or_else(|| panic!("no type has the fields {keys:?}"));
    keys.sort_by_key(|key| fields.iter().position(|field| *field == key.name));
    keys
}

/// The fields of each type that is a table, in the order of the source.
fn types() -> Vec<Vec<&'static str>> {
    let policy = include_str!("../../domain/policy.rs");
    let mut types: Vec<Vec<&str>> = Vec::new();
    let severity = include_str!("../../domain/severity.rs");
    let files = [policy, severity, include_str!("../types.rs"), include_str!("../on_call.rs")];
    for line in files.into_iter().flat_map(str::lines) {
        let field = line.strip_prefix("    pub ").and_then(|field| field.split_once(": "));
        match field {
            _ if line.starts_with("pub struct ") => types.push(Vec::new()),
            // It is flattened, and is the first type of its file.
            Some(("policy", _)) => {
                let fields = types[0].clone();
                types.last_mut().unwrap().extend(fields);
            }
            Some((field, _)) => types.last_mut().unwrap().push(field),
            None => {}
        }
    }
    types
}

/// Compares a file with its source, or writes it.
fn is_up_to_date(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(current == text, "{path} is out of date: UPDATE=1 cargo test --lib config::tests::documents");
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
        let read: Json = serde_yaml::from_str(&in_a_line(&value)).unwrap();
        assert_eq!(read, value, "{}", in_a_line(&value));
    }
}
