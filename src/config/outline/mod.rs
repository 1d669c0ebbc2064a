//! What a configuration may hold, as its own reader tells it.
//!
//! The reader says of each key what it is called, what it means, what it is if absent and how its value is read. Run
//! on nothing, it fills an `Outline`, and from that come the JSON Schema (`schema`), docs/CONFIGURATION.md
//! (`reference`) and config.yaml.example (`example`), so that none of them can differ from what is read.

mod example;
mod reference;
mod schema;
mod written;

pub use example::example;
pub use reference::reference;
pub use schema::schema;
pub(super) use written::Written;

use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// What text must look like.
#[derive(Debug)]
pub(super) struct Form {
    /// What it is called in documents.
    name: &'static str,
    /// A regular expression in the dialect that Rust and JSON Schema share.
    pattern: &'static str,
    /// What to say of anything else: "must …" or "may …".
    pub(super) expected: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Form {
    pub(super) const fn new(name: &'static str, pattern: &'static str, expected: &'static str) -> Self {
        Self { name, pattern, expected, compiled: OnceLock::new() }
    }

    /// Whether `text` has this form.
    pub(super) fn knows(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(self.pattern).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

/// What a value may be.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Text of any kind.
    Text,
    /// Text of this form.
    Form(&'static Form),
    /// A whole number.
    Number { least: i64, most: i64 },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(Vec<&'static str>),
    /// A duration.
    Duration,
    /// A duration, or `none`.
    DurationOrNone,
    /// The name of a file that exists.
    File,
    /// Values in order; `filled`: at least one. They are at `path[]`.
    List { filled: bool },
    /// Keys that are told one by one.
    Table,
    /// Keys of the operator's choice, of this form. Their values are at `path.*`.
    Map(&'static Form),
    /// This for short, or a table.
    ShortOrTable(Box<Shape>),
}

/// What holds if a key is absent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Need {
    /// It must be there.
    Required,
    /// It is this.
    Default(Value),
    /// Nothing, or what its meaning says.
    Optional,
    /// It is a secret: it may stand in a file, named like this one, that `<key>_file` names.
    Secret { file: &'static str, required: Required },
}

/// Whether a secret must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Required {
    Yes,
    No,
    /// Unless this key of the same table is written, and is not this word.
    Unless(&'static str, &'static str),
}

/// How config.yaml.example shows a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Example {
    /// By its default, or by its parts.
    Itself,
    /// By its parts, and then this YAML.
    Continued(&'static str),
    /// By this YAML.
    Shown(&'static str),
    /// By this YAML, commented out.
    Hinted(&'static str),
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The path of its table; lists as `[]`, keys of the operator's choice as `*`.
    pub(super) table: String,
    pub(super) name: String,
    /// What it means, in full sentences.
    pub(super) meaning: &'static str,
    pub(super) need: Need,
    pub(super) example: Example,
    /// What the keys from here on have in common.
    pub(super) group: Option<&'static str>,
}

/// Every key, and what each value may be by its path.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) keys: Vec<Key>,
    pub(super) shapes: BTreeMap<String, Shape>,
}

impl Outline {
    /// The keys of the table at `path`, in the order in which they are read.
    fn keys_of(&self, path: &str) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.table == path)
    }

    fn shape(&self, path: &str) -> &Shape {
        self.shapes.get(path).unwrap_or(&Shape::Text)
    }
}

impl Key {
    /// The path of its value.
    fn path(&self) -> String {
        super::yaml::join(&self.table, &self.name)
    }

    /// The key of the file that a secret may stand in.
    fn file_key(&self) -> Option<String> {
        matches!(self.need, Need::Secret { .. }).then(|| format!("{}_file", self.name))
    }
}

#[cfg(test)]
mod tests;
