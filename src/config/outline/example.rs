//! config.yaml.example: every key with its meaning, and its default or an example.

use super::written::in_a_line;
use super::{Example, Key, Need, Outline, Required, Shape};
use crate::config::load;
use serde_json::json;

const HEAD: &str = "\
# yaml-language-server: $schema=docs/config.schema.json
# (for editors; `matrixbot check --schema` writes that file)
#
# matrixbot's configuration. Every key is here: a key in use shows its default or an example, a key that is commented
# out (`#key`, without a space) is optional and has no default. `matrixbot check --config FILE` tells everything that
# is wrong with a file at once.
#
# Durations are written `90s`, `15m`, `1h30m`, `2d`. Any value may be `${ENV_NAME}` or `${ENV_NAME:-default}`; a plain
# `${` is written `$${`. Any secret may be given as `<key>_file` instead. Paths are relative to this file's folder.
# Room ids (`!…`) and room aliases (`#…`) need quotes: without them YAML takes them for tags and comments.
";

/// How wide a line of comment may be.
const WIDTH: usize = 118;

/// The text of config.yaml.example.
pub fn example() -> String {
    let outline = load::outline();
    let mut lines = Vec::new();
    for key in outline.keys_of("") {
        lines.push(String::new());
        entry(&mut lines, &outline, key, 0);
    }
    format!("{HEAD}{}\n", lines.join("\n"))
}

/// A key with its comment, `indent` spaces from the left.
fn entry(lines: &mut Vec<String>, outline: &Outline, key: &Key, indent: usize) {
    comment(lines, &about(key), indent);
    let margin = " ".repeat(indent);
    let name = &key.name;
    let value = match key.example {
        Example::Hinted(yaml) => {
            lines.push(format!("{margin}#{name}: {yaml}"));
            return;
        }
        Example::Shown(yaml) => Some(yaml.to_owned()),
        Example::Itself | Example::Continued(_) => default_in_a_line(outline, key),
    };
    match value {
        Some(value) if is_block(&value) => {
            lines.push(format!("{margin}{name}:"));
            block(lines, &value, indent.saturating_add(2));
        }
        Some(value) => lines.push(format!("{margin}{name}: {value}")),
        None => {
            lines.push(format!("{margin}{name}:"));
            parts(lines, outline, &key.path(), indent.saturating_add(2));
            if let Example::Continued(yaml) = key.example {
                block(lines, yaml, indent.saturating_add(2));
            }
        }
    }
    if let (Some(file_key), Need::Secret { file, .. }) = (key.file_key(), &key.need) {
        lines.push(format!("{margin}#{file_key}: {file}"));
    }
}

/// What a table, or one item of a list of tables, holds.
fn parts(lines: &mut Vec<String>, outline: &Outline, path: &str, indent: usize) {
    let in_a_list = matches!(outline.shape(path), Shape::List { .. });
    let path = if in_a_list { format!("{path}[]") } else { path.to_owned() };
    let inner = if in_a_list { indent.saturating_add(2) } else { indent };
    let mut group = None;
    for (key, is_first) in outline.keys_of(&path).zip(std::iter::once(true).chain(std::iter::repeat(false))) {
        if key.group != group {
            group = key.group;
            lines.push(String::new());
        }
        let mut part = Vec::new();
        entry(&mut part, outline, key, inner);
        if is_first && in_a_list {
            dash(&mut part, indent);
        }
        lines.append(&mut part);
    }
}

/// The first key of an item: its comment moves to the left, and its line gets a dash.
fn dash(lines: &mut [String], indent: usize) {
    let margin = " ".repeat(indent);
    let mut marks = std::iter::once("- ").chain(std::iter::repeat("  "));
    for line in lines {
        let rest = line.trim_start();
        let mark = if rest.starts_with("# ") { "" } else { marks.next().unwrap_or_default() };
        *line = format!("{margin}{mark}{rest}");
    }
}

fn block(lines: &mut Vec<String>, yaml: &str, indent: usize) {
    for line in yaml.lines() {
        lines.push(format!("{}{line}", " ".repeat(indent)));
    }
}

/// Whether YAML is more than the rest of a line: it begins with a key.
fn is_block(yaml: &str) -> bool {
    yaml.lines().count() > 1 || yaml.starts_with('"')
}

fn default_in_a_line(outline: &Outline, key: &Key) -> Option<String> {
    match &key.need {
        Need::Default(default) => Some(in_a_line(default)),
        _ if matches!(outline.shape(&key.path()), Shape::Table | Shape::List { .. }) => None,
        _ => Some(String::new()),
    }
}

/// The comment of a key.
fn about(key: &Key) -> String {
    let need = match &key.need {
        Need::Required => "Required. ",
        Need::Secret { required: Required::Yes, .. } => "Required, here or in a file. ",
        Need::Secret { required: Required::Unless(other, _), .. } => {
            return format!("Required, here or in a file, unless {other} says otherwise. {}", key.meaning);
        }
        Need::Default(_) | Need::Optional | Need::Secret { .. } => "",
    };
    let default = match (&key.need, key.example) {
        (Need::Default(default), Example::Shown(_)) if *default == json!([]) => " Default: none.".to_owned(),
        (Need::Default(default), Example::Shown(_)) => format!(" Default: {}.", in_a_line(default)),
        _ => String::new(),
    };
    format!("{need}{}{default}", key.meaning)
}

/// Words as lines of comment.
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
