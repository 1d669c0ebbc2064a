//! Reads a YAML tree by its shape. The reader notes each problem with its place and continues, to find all problems at
//! once.

use super::Problem;
use super::forms::Form;
use super::shape::{Key, Need, Required, Shape, Table};
use super::yaml::{Entry, Node, Position, Value, join, parse};
use crate::domain::duration;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the configuration needs in addition to its files.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Reads an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Checks a message template by name and text. `Err`: its problem.
    pub template: &'a dyn Fn(&str, &str) -> Result<(), String>,
}

impl std::fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// A file that is being read, and its problems.
pub(super) struct Reader<'a> {
    file: PathBuf,
    /// `None`: for files that other programs also read. These use no environment and may have unknown keys.
    outside: Option<Outside<'a>>,
    problems: Vec<Problem>,
    secret_files: BTreeSet<PathBuf>,
    places: BTreeMap<String, Position>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &Path, outside: Option<Outside<'a>>) -> Self {
        let (problems, secret_files, places) = Default::default();
        Self { file: file.to_owned(), outside, problems, secret_files, places }
    }

    /// The file's tree. `None`: it is unreadable or not YAML, which is noted.
    pub(super) fn parse(&mut self) -> Option<Node> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) => {
                self.note_at(Position { line: 0, column: 0 }, "", format!("cannot be read: {error}"));
                return None;
            }
        };
        let (root, faults) = parse(&text);
        for fault in faults {
            self.note_at(fault.at, &fault.key, fault.message);
        }
        root
    }

    /// Notes a problem of the value at `path`. If the value is missing, the problem is at the table.
    pub(super) fn note(&mut self, path: &str, message: impl Into<String>) {
        let mut known = path;
        while !self.places.contains_key(known) && !known.is_empty() {
            known = known.rfind(['.', '[']).and_then(|end| known.get(..end)).unwrap_or_default();
        }
        let at = self.places.get(known).copied().unwrap_or(Position { line: 1, column: 1 });
        self.note_at(at, path, message);
    }

    fn note_at(&mut self, at: Position, key: &str, message: impl Into<String>) {
        let (file, key, message) = (self.file.clone(), key.to_owned(), message.into());
        self.adopt(vec![Problem { file, line: at.line, column: at.column, key, message }]);
    }

    /// Whether the key at `path` is in the file.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Notes a problem and returns `None`.
    fn reject<T>(&mut self, path: &str, message: impl Into<String>) -> Option<T> {
        self.note(path, message);
        None
    }

    /// Adds the problems of another file.
    pub(super) fn adopt(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// Adds a file that others must not read.
    pub(super) fn add_secret_file(&mut self, file: PathBuf) {
        self.secret_files.insert(file);
    }

    pub(super) fn secret_files(&self) -> Vec<PathBuf> {
        self.secret_files.iter().cloned().collect()
    }

    /// Every problem, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.file != self.file, problem.line, problem.column));
        self.problems.dedup();
        self.problems
    }

    /// A file and its content. Its path is relative to the folder of the configuration.
    pub(super) fn file(&self, path: &str) -> Result<(PathBuf, Vec<u8>), String> {
        let path = self.file.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path));
        if path.to_str().is_none() {
            return Err(format!("the path {} is not UTF-8", path.display()));
        }
        let content = std::fs::read(&path);
        content
            .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))
            .map(|content| (path, content))
    }

    pub(super) fn check_template(&self, name: &str, text: &str) -> Result<(), String> {
        self.outside.map_or(Ok(()), |outside| (outside.template)(name, text))
    }

    /// The value as its type deserializes it. `None`: it has a problem. A table is returned without its invalid values.
    pub(super) fn value(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        self.places.insert(path.to_owned(), node.at);
        match (shape, &node.value) {
            (_, Value::Faulty) => None,
            (Shape::Text(form), _) => self.text(form, node, path),
            (Shape::Duration { none, zero }, _) => self.duration(node, path, *none, *zero),
            (Shape::Number { least, most }, _) => self.number(node, path, *least, *most),
            (Shape::Flag, _) => {
                let (text, bare) = self.scalar(node, path, "must be true or false")?;
                match text.parse::<bool>() {
                    Ok(flag) if bare => Some(json!(flag)),
                    _ => self.reject(path, format!("must be true or false, not `{text}`")),
                }
            }
            (Shape::Word(words), _) => {
                let expected = format!("must be {}", words.join(" or "));
                let (text, _) = self.scalar(node, path, &expected)?;
                if words.contains(&text) {
                    Some(json!(text))
                } else {
                    self.reject(path, format!("{expected}, not `{text}`"))
                }
            }
            (Shape::List { filled, unique, items }, Value::List(nodes)) if !(*filled && nodes.is_empty()) => {
                Some(self.list(*unique, items, nodes, path))
            }
            (Shape::List { filled: false, .. }, Value::Nothing) => Some(json!([])),
            (Shape::List { .. }, Value::List(_) | Value::Nothing) => {
                let name = path.rsplit('.').next().unwrap_or(path).replace('_', " ");
                self.reject(path, format!("must hold at least one {}", name.trim_end_matches('s')))
            }
            (Shape::List { .. }, _) => self.reject(path, "must be a list"),
            (Shape::Short(key, table), Value::Text { .. }) => {
                let short = table.keys.iter().find(|known| known.name == *key)?;
                Some(json!({ key: self.value(&short.shape, node, path)? }))
            }
            (Shape::Table(table) | Shape::Short(_, table), Value::Table(entries)) => {
                Some(self.table(table, entries, path))
            }
            (Shape::Table(table) | Shape::Short(_, table), Value::Nothing) => {
                Some(self.table(table, &[], path))
            }
            (Shape::Map { keys, values }, Value::Table(entries)) => {
                Some(self.map(keys, values, entries, path))
            }
            (Shape::Map { .. }, Value::Nothing) => Some(json!({})),
            (Shape::Table(_) | Shape::Short(..) | Shape::Map { .. }, _) => {
                self.reject(path, "must be a table of keys and values")
            }
        }
    }

    /// The text of a scalar with its references replaced, and whether it may be a number or flag: only if it has no
    /// quotes or comes from the environment.
    fn scalar(&mut self, node: &Node, path: &str, expected: &str) -> Option<(String, bool)> {
        match (&node.value, self.outside) {
            (Value::Text { text, plain }, None) => Some((text.clone(), *plain)),
            (Value::Text { text, plain }, Some(outside)) => match expand(text, outside.environment) {
                Ok(expanded) => {
                    let bare = *plain || expanded != *text;
                    Some((expanded, bare))
                }
                Err(message) => self.reject(path, message),
            },
            (Value::Nothing, _) => self.reject(path, format!("has no value: it {expected}")),
            (Value::List(_), _) => self.reject(path, format!("{expected}, not be a list")),
            (Value::Table(_), _) => self.reject(path, format!("{expected}, not be a table")),
            (Value::Faulty, _) => None,
        }
    }

    fn text(&mut self, form: &Form, node: &Node, path: &str) -> Option<Json> {
        let (text, _) = self.scalar(node, path, "must be text")?;
        // A value from the environment always counts as text. The message omits the value, which may be a secret.
        if matches!(&node.value, Value::Text { text: written, plain: true } if *written == text)
            && let Some(kind) = foreign(&text)
        {
            return self.reject(path, format!("must be text, and this is {kind} to YAML: put it in quotes"));
        }
        if text.trim().is_empty() {
            return self.reject(path, "must not be empty");
        }
        if !form.matches(&text) {
            return self.reject(path, format!("{}, not `{text}`", form.expected));
        }
        (form.parse)(self, path, &text).map_or_else(|message| self.reject(path, message), Some)
    }

    fn duration(&mut self, node: &Node, path: &str, none: bool, zero: bool) -> Option<Json> {
        let expected =
            if none { format!("{}, or none", duration::EXPECTED) } else { duration::EXPECTED.to_owned() };
        let (text, _) = self.scalar(node, path, &expected)?;
        if none && text == "none" {
            return Some(Json::Null);
        }
        match duration::parse(&text) {
            Ok(Duration::ZERO) if none => {
                self.reject(path, "must be greater than zero; use `none` to disable it")
            }
            Ok(Duration::ZERO) if !zero => self.reject(
                path,
                "must be greater than zero: nobody could answer before the next level is paged",
            ),
            Ok(duration) => Some(json!(duration)),
            Err(message) => self.reject(path, message.replacen(duration::EXPECTED, &expected, 1)),
        }
    }

    fn number(&mut self, node: &Node, path: &str, least: i64, most: i64) -> Option<Json> {
        let expected = format!("must be a whole number from {least} to {most}");
        let (text, bare) = self.scalar(node, path, &expected)?;
        match text.parse::<i64>() {
            Ok(_) if !bare => self.reject(path, format!("{expected}, without quotes")),
            Ok(number) if (least..=most).contains(&number) => Some(json!(number)),
            _ => self.reject(path, format!("{expected}, not `{text}`")),
        }
    }

    /// The items, with `null` for each invalid one.
    fn list(&mut self, unique: bool, items: &Shape, nodes: &[Node], path: &str) -> Json {
        let mut list: Vec<Json> = Vec::with_capacity(nodes.len());
        for (node, index) in nodes.iter().zip(0..) {
            let path = format!("{path}[{index}]");
            let item = self.value(items, node, &path).unwrap_or_default();
            match &item {
                Json::String(text) if unique && list.contains(&item) => {
                    self.note(&path, format!("names `{text}` a second time"));
                }
                _ => {}
            }
            list.push(item);
        }
        Json::Array(list)
    }

    fn map(&mut self, keys: &Form, values: &Shape, entries: &[Entry], path: &str) -> Json {
        let mut map = Map::new();
        for entry in entries {
            let path = join(path, &entry.key);
            if !keys.matches(&entry.key) {
                self.note_at(entry.node.at, &path, format!("the key {}", keys.expected));
                continue;
            }
            let value = self.value(values, &entry.node, &path);
            match ((keys.parse)(self, &path, &entry.key), value) {
                (Ok(_), Some(value)) => drop(map.insert(entry.key.clone(), value)),
                (Ok(_), None) => {}
                (Err(message), _) => self.note(&path, format!("the key {message}")),
            }
        }
        Json::Object(map)
    }

    fn table(&mut self, table: &Table, entries: &[Entry], path: &str) -> Json {
        let mut values = Map::new();
        let mut known = Vec::new();
        for key in &table.keys {
            known.push(key.name.clone());
            known.extend(key.file_key());
            let Some(value) = self.key(key, entries, path) else { continue };
            let inside = key
                .inside
                .as_ref()
                .and_then(|field| values.entry(field).or_insert_with(|| json!({})).as_object_mut());
            match inside {
                Some(inside) => inside.insert(key.name.clone(), value),
                None => values.insert(key.name.clone(), value),
            };
        }
        // A registration also has keys that only the homeserver uses.
        let is_ours = self.outside.is_some();
        for entry in entries.iter().filter(|entry| is_ours && !known.contains(&entry.key)) {
            let message = match nearest(&entry.key, &known) {
                Some(near) => format!("this key is unknown; did you mean {near}?"),
                None => format!("this key is unknown; known keys: {}", known.join(", ")),
            };
            self.note_at(entry.at, &join(path, &entry.key), message);
        }
        Json::Object(values)
    }

    fn key(&mut self, key: &Key, entries: &[Entry], path: &str) -> Option<Json> {
        let find = |name: &str| entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node);
        let here = join(path, &key.name);
        match (&key.need, find(&key.name)) {
            (Need::Secret { required, .. }, node) => {
                let file_key = key.file_key().unwrap_or_default();
                let in_file = join(path, &file_key);
                match (node, find(&file_key)) {
                    (Some(_), Some(other)) => {
                        self.places.insert(in_file.clone(), other.at);
                        self.reject(
                            &in_file,
                            format!("cannot be combined with {}: give one of them", key.name),
                        )
                    }
                    (Some(node), None) => self.secret(&key.shape, node, &here),
                    (None, Some(node)) => self.secret_file(&key.shape, node, &in_file),
                    (None, None) if *required == Required::Yes => {
                        self.reject(&here, format!("is missing, and so is {file_key}"))
                    }
                    (None, None) => None,
                }
            }
            // `url: null` in a registration is valid: the homeserver then sends nothing.
            (Need::Optional, Some(node)) if self.outside.is_none() && node.value == Value::Nothing => None,
            (_, Some(node)) => self.value(&key.shape, node, &here),
            (Need::Required, None) => self.reject(&here, "is missing, and has no default"),
            // If a required key is in this table, reading the table reports it.
            (_, None) => None,
        }
    }

    fn secret(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        let value = self.value(shape, node, path)?;
        // A secret from the environment is not in the file.
        if let (Value::Text { text, .. }, Some(outside)) = (&node.value, self.outside)
            && is_secret(text)
            && expand(text, outside.environment).is_ok_and(|expanded| expanded == *text)
        {
            self.add_secret_file(self.file.clone());
        }
        Some(value)
    }

    /// A secret in the file that `node` names.
    fn secret_file(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        let file = self.value(&Shape::Text(super::forms::named("text")), node, path)?;
        let (file, content) = match self.file(file.as_str().unwrap_or_default()) {
            Ok(read) => read,
            Err(message) => return self.reject(path, message),
        };
        self.add_secret_file(file.clone());
        let Shape::Text(form) = shape else { return None };
        // Editors add a newline at the end, which is not part of the secret.
        match std::str::from_utf8(&content).map(|text| text.trim_end_matches(['\n', '\r'])) {
            Ok(blank) if blank.trim().is_empty() => {
                self.reject(path, format!("the file {} is empty", file.display()))
            }
            Ok(secret) => {
                (form.parse)(self, path, secret).map_or_else(|message| self.reject(path, message), Some)
            }
            Err(_) => self.reject(path, format!("the file {} is not text", file.display())),
        }
    }
}

/// Whether a value is a secret. A URL is one only if it has a password.
fn is_secret(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return true };
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.contains("password=")
}

/// The type that YAML gives a plain scalar, if it is not text.
fn foreign(text: &str) -> Option<&'static str> {
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        Some("true or false")
    } else if text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit()) {
        Some("a number")
    } else {
        None
    }
}

/// The known key that is most similar to an unknown one.
fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let distances = known.iter().map(|candidate| (strsim::levenshtein(key, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < candidate.chars().count()).then_some(candidate)
}

/// Replaces `${NAME}` and `${NAME:-default}`; `$${` is a plain `${`. `Err`: a reference has a problem.
fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((reference, after)) = after.split_once('}') else {
            return Err("`${` has no closing `}`; write `$${` for a plain `${`".to_owned());
        };
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`${{{reference}}}` does not name an environment variable"));
        }
        // As in a shell, the default also replaces an empty variable.
        let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
        match value.as_deref().or(default) {
            Some(value) => out.push_str(value),
            None => return Err(format!("the environment variable {name} is not set")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{expand, nearest};

    fn with_name(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "NAME" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced_everywhere_in_a_text() {
        assert_eq!(with_name("a ${NAME} and ${NAME}!").unwrap(), "a value and value!");
        assert_eq!(with_name("nothing to do, $5").unwrap(), "nothing to do, $5");
        assert_eq!(with_name("${EMPTY}").unwrap(), "");
    }

    #[test]
    fn a_default_replaces_an_unset_or_empty_variable() {
        assert_eq!(with_name("${ABSENT:-fallback}").unwrap(), "fallback");
        assert_eq!(with_name("${EMPTY:-fallback}").unwrap(), "fallback");
        assert_eq!(with_name("${NAME:-fallback}").unwrap(), "value");
        assert_eq!(with_name("${ABSENT:-}").unwrap(), "");
    }

    #[test]
    fn a_doubled_dollar_keeps_the_reference() {
        assert_eq!(with_name("$${NAME}").unwrap(), "${NAME}");
    }

    #[test]
    fn an_invalid_reference_is_reported() {
        assert_eq!(with_name("${ABSENT}").unwrap_err(), "the environment variable ABSENT is not set");
        assert!(with_name("${NAME").unwrap_err().contains("no closing"));
        assert!(with_name("${a b}").unwrap_err().contains("does not name"));
    }

    #[test]
    fn nearest_finds_the_key_of_a_typo() {
        let known = ["server_name".to_owned(), "url".to_owned()];
        assert_eq!(nearest("sever_name", &known), Some("server_name"));
        assert_eq!(nearest("uri", &known), Some("url"));
        assert_eq!(nearest("password", &known), None);
    }
}
