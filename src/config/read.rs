//! Reads a YAML tree by a schema. The reader notes a problem with its place and reads on, so one run finds every problem of
//! a file.

use super::Problem;
use super::environment::expand;
use super::forms::{self, Form};
use super::shape::{Key, Kind, keys};
use super::yaml::{Entry, Node, Position, Value, join, parse};
use crate::domain::duration;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NO_TABLE: &str = "must be a table of keys and values";

/// What the configuration depends on apart from its files.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// A look at the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Judges a message template, by name and text. `Err`: its problem.
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
    /// `None`: for files that others read too, literally and with keys of their own.
    pub(super) outside: Option<Outside<'a>>,
    /// Where the values are that were read.
    pub(super) places: BTreeMap<String, Position>,
    pub(super) problems: Vec<Problem>,
    /// Settings that are valid but probably a mistake.
    pub(super) warnings: Vec<Problem>,
    /// The files that nobody else should be able to read.
    pub(super) secret_files: BTreeSet<PathBuf>,
}

/// Where a scalar is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Plain,
    Quoted,
    Environment,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &Path, outside: Option<Outside<'a>>) -> Self {
        let (places, problems, warnings, secret_files) = Default::default();
        Self { file: file.to_owned(), outside, places, problems, warnings, secret_files }
    }

    /// The file's tree. `None`: it is unreadable or not YAML, which is noted.
    pub(super) fn parse(&mut self) -> Option<Node> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(Problem::of_file(&self.file, "", format!("cannot be read: {error}")));
                return None;
            }
        };
        let (root, faults) = parse(&text);
        for fault in faults {
            self.note_at(fault.at, &fault.key, fault.message);
        }
        root
    }

    /// What was read as its type, or every problem in the order of the file.
    pub(super) fn finish<T: DeserializeOwned>(mut self, value: Option<Json>) -> Result<T, Vec<Problem>> {
        self.problems.sort_by_key(|problem| (problem.file != self.file, problem.line, problem.column));
        self.problems.dedup();
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let unusable = |error| vec![Problem::of_file(&self.file, "", format!("cannot be used: {error}"))];
        serde_json::from_value(value.unwrap_or_default()).map_err(unusable)
    }

    /// Notes a problem of the value at `path`, or of the table where it is missing.
    pub(super) fn note(&mut self, path: &str, message: impl Into<String>) {
        self.note_at(self.place(path), path, message);
    }

    /// Notes a setting that is valid but probably a mistake.
    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>) {
        let Position { line, column } = self.place(path);
        self.warnings.push(Problem { line, column, ..Problem::of_file(&self.file, path, message) });
    }

    /// Where the value at `path` is, or the table where it is missing.
    fn place(&self, path: &str) -> Position {
        let mut known = path;
        while !self.places.contains_key(known) && !known.is_empty() {
            known = known.rfind(['.', '[']).and_then(|end| known.get(..end)).unwrap_or_default();
        }
        self.places.get(known).copied().unwrap_or(Position { line: 1, column: 1 })
    }

    fn note_at(&mut self, at: Position, key: &str, message: impl Into<String>) {
        let Position { line, column } = at;
        self.problems.push(Problem { line, column, ..Problem::of_file(&self.file, key, message) });
    }

    /// A path in the folder of the configuration.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// A file and its content. Its path is relative to the folder of the configuration.
    pub(super) fn file(&self, path: &str) -> Result<(PathBuf, Vec<u8>), String> {
        let path = self.beside(path);
        if path.to_str().is_none() {
            return Err(format!("the path {} is not UTF-8", path.display()));
        }
        match std::fs::read(&path) {
            Ok(content) => Ok((path, content)),
            Err(error) => Err(format!("the file {} cannot be read: {error}", path.display())),
        }
    }

    /// The value as its type deserializes it. `None`: it has a problem. A table lacks the keys that have one.
    pub(super) fn value(&mut self, schema: &Json, node: &Node, path: &str) -> Option<Json> {
        self.noted(node, path, |reader| reader.read(schema, node, path))
    }

    /// What `read` reads from `node`, with its place and problem noted.
    fn noted<F>(&mut self, node: &Node, path: &str, read: F) -> Option<Json>
    where
        F: FnOnce(&mut Self) -> Result<Json, String>,
    {
        self.places.insert(path.to_owned(), node.at);
        if node.value == Value::Faulty {
            return None;
        }
        read(self).map_err(|message| self.note(path, message)).ok()
    }

    fn read(&mut self, schema: &Json, node: &Node, path: &str) -> Result<Json, String> {
        // A homeserver calls nothing if the `url` of a registration is null.
        if self.outside.is_none() && node.value == Value::Nothing && schema["type"].is_array() {
            return Ok(Json::Null);
        }
        match Kind::of(schema) {
            Kind::Text(form) => self.text(form, schema.get("x-secret").is_some(), node),
            Kind::Duration { none, zero } => self.duration(node, none, zero),
            Kind::Number(range) => {
                let expected = format!("must be a whole number from {} to {}", range.start(), range.end());
                self.bare(node, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
            }
            Kind::Decimal(range) => {
                let expected = format!("must be a number from {} to {}", range.start(), range.end());
                self.bare(node, &expected, |text| text.parse::<f64>().ok().filter(|it| range.contains(it)))
            }
            Kind::Flag => self.bare(node, "must be true or false", |text| text.parse::<bool>().ok()),
            Kind::Word(words) => {
                let expected = format!("must be {}", words.join(" or "));
                let (text, _) = self.scalar(node, &expected)?;
                let word = words.into_iter().find(|word| *word == text);
                word.map(Json::from).ok_or_else(|| format!("{expected}, not `{text}`"))
            }
            Kind::List(items) => {
                let nodes = node.items().ok_or("must be a list")?;
                if nodes.is_empty() && schema.get("minItems").is_some() {
                    let name = path.rsplit('.').next().unwrap_or(path).replace('_', " ");
                    return Err(format!("must hold at least one {}", name.trim_end_matches('s')));
                }
                Ok(self.list(items, schema["uniqueItems"] == true, nodes, path))
            }
            Kind::Map(keys, values) => Ok(self.map(keys, values, node.entries().ok_or(NO_TABLE)?, path)),
            Kind::Table if schema["x-none"] == true && self.is_none(node) => Ok(Json::Null),
            Kind::Table => {
                let is_text = matches!(node.value, Value::Text { .. });
                match keys(schema).find(|key| is_text && schema["x-short"] == key.name) {
                    Some(short) => Ok(json!({ short.name: self.read(short.schema, node, path)? })),
                    None => Ok(self.table(schema, node.entries().ok_or(NO_TABLE)?, path)),
                }
            }
        }
    }

    /// The text of a scalar, with the environment in place of references.
    fn scalar(&self, node: &Node, expected: &str) -> Result<(String, Origin), String> {
        match (&node.value, self.outside) {
            (Value::Text { text, plain }, outside) => {
                let expanded = outside.map_or_else(|| Ok(text.clone()), |it| expand(text, it.environment))?;
                let written = if *plain { Origin::Plain } else { Origin::Quoted };
                let origin = if expanded == *text { written } else { Origin::Environment };
                Ok((expanded, origin))
            }
            (Value::Nothing | Value::Faulty, _) => Err(format!("has no value: it {expected}")),
            (Value::List(_), _) => Err(format!("{expected}, not be a list")),
            (Value::Table(_), _) => Err(format!("{expected}, not be a table")),
        }
    }

    /// Whether a table that may be left out is: `none`.
    fn is_none(&self, node: &Node) -> bool {
        matches!(self.scalar(node, NO_TABLE), Ok((text, _)) if text == "none")
    }

    fn text(&mut self, form: &Form, secret: bool, node: &Node) -> Result<Json, String> {
        let (text, origin) = self.scalar(node, "must be text")?;
        // A form with a pattern says best what is expected, and is never that of a secret.
        if !form.expected.is_empty() && !form.matches(&text) && !text.trim().is_empty() {
            return Err(format!("{}, not `{text}`", form.expected));
        }
        // What is from the environment is text, whatever it looks like. The value may be a secret: it is not repeated.
        if let (Origin::Plain, Some(kind)) = (origin, foreign(&text)) {
            return Err(format!("must be text, and this is {kind} to YAML: put it in quotes"));
        }
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        let value = (form.parse)(self, form.expected, &text)?;
        if secret && origin != Origin::Environment && is_secret(&text) {
            self.secret_files.insert(self.file.clone());
        }
        Ok(value)
    }

    /// The secret in the file that `node` names.
    fn secret_file(&mut self, form: &Form, node: &Node) -> Result<Json, String> {
        let name = self.text(&forms::TEXT, false, node)?;
        let (file, content) = self.file(name.as_str().unwrap_or_default())?;
        let name = file.display();
        let text = std::str::from_utf8(&content).map_err(|_why| format!("the file {name} is not text"))?;
        // Editors end a file with a newline, which is no part of the secret.
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.trim().is_empty() {
            return Err(format!("the file {name} is empty"));
        }
        self.secret_files.insert(file.clone());
        (form.parse)(self, form.expected, secret)
    }

    fn duration(&self, node: &Node, none: bool, zero: bool) -> Result<Json, String> {
        let expected = [duration::EXPECTED, if none { ", or none" } else { "" }].concat();
        let (text, _) = self.scalar(node, &expected)?;
        let message = match duration::parse(&text) {
            _ if none && text == "none" => return Ok(Json::Null),
            Ok(Duration::ZERO) if none => "must be greater than zero; use `none` to disable it".to_owned(),
            Ok(Duration::ZERO) if !zero => "must be greater than zero".to_owned(),
            Ok(duration) => return Ok(json!(duration)),
            Err(message) => message.replacen(duration::EXPECTED, &expected, 1),
        };
        Err(message)
    }

    /// A value without quotes: with them, YAML has text.
    fn bare<T: Into<Json>>(
        &self,
        node: &Node,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Json, String> {
        let (text, origin) = self.scalar(node, expected)?;
        match parse(&text) {
            Some(_) if origin == Origin::Quoted => Err(format!("{expected}, without quotes")),
            Some(value) => Ok(value.into()),
            None => Err(format!("{expected}, not `{text}`")),
        }
    }

    /// The items, with `null` for those that have a problem.
    fn list(&mut self, items: &Json, unique: bool, nodes: &[Node], path: &str) -> Json {
        let mut list: Vec<Json> = Vec::with_capacity(nodes.len());
        for (node, index) in nodes.iter().zip(0..) {
            let path = format!("{path}[{index}]");
            let item = self.value(items, node, &path).unwrap_or_default();
            if let Some(text) = item.as_str().filter(|_| unique && list.contains(&item)) {
                self.note(&path, format!("names `{text}` a second time"));
            }
            list.push(item);
        }
        Json::Array(list)
    }

    fn map(&mut self, keys: &Form, values: &Json, entries: &[Entry], path: &str) -> Json {
        let mut map = Map::new();
        for Entry { key, node, .. } in entries {
            let path = join(path, key);
            let matching = if keys.matches(key) { Ok(key) } else { Err(keys.expected.to_owned()) };
            match matching.and_then(|key| (keys.parse)(self, keys.expected, key)) {
                Ok(_) => map.extend(self.value(values, node, &path).map(|value| (key.clone(), value))),
                Err(message) => self.note_at(node.at, &path, format!("the key {message}")),
            }
        }
        Json::Object(map)
    }

    fn table(&mut self, schema: &Json, entries: &[Entry], path: &str) -> Json {
        let (mut values, mut known) = (Map::new(), Vec::new());
        for key in keys(schema) {
            values.extend(self.key(&key, entries, path).map(|value| (key.name.to_owned(), value)));
            known.push(key.name.to_owned());
            known.extend(key.file_key());
        }
        // A registration has keys for the homeserver alone.
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

    fn key(&mut self, key: &Key<'_>, entries: &[Entry], path: &str) -> Option<Json> {
        let find = |name: &str| entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node);
        let (node, file_key) = (find(key.name), key.file_key());
        if let Some((file_key, file)) = file_key.as_deref().and_then(|key| Some((key, find(key)?))) {
            let path = join(path, file_key);
            if node.is_some() {
                self.places.insert(path.clone(), file.at);
                self.note(&path, format!("cannot be combined with {}: give one of them", key.name));
                return None;
            }
            return self.noted(file, &path, |reader| reader.secret_file(forms::of(key.schema), file));
        }
        if let Some(node) = node {
            return self.value(key.schema, node, &join(path, key.name));
        }
        if key.required {
            let message = match file_key {
                Some(file_key) => format!("is missing, and so is {file_key}"),
                None => "is missing, and has no default".to_owned(),
            };
            self.note(&join(path, key.name), message);
        }
        None
    }
}

/// Whether nobody else should read it: a URL is a secret only if it has a password.
fn is_secret(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return true };
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.contains("password=")
}

/// What YAML reads a plain scalar as, if not as text.
fn foreign(text: &str) -> Option<&'static str> {
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        Some("true or false")
    } else if text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit()) {
        Some("a number")
    } else {
        None
    }
}

/// The known key that a misspelt one most likely means.
pub(super) fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let distances = known.iter().map(|candidate| (strsim::levenshtein(key, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < candidate.chars().count()).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        let known = ["server_name".to_owned(), "url".to_owned()];
        assert_eq!(nearest("sever_name", &known), Some("server_name"));
        assert_eq!(nearest("uri", &known), Some("url"));
        assert_eq!(nearest("password", &known), None);
    }
}
