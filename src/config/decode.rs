//! From the tree of a file to values of the program's types: each decoder says what is wrong and goes on, so that
//! every problem is found at once.
//!
//! A decoder is a function from an `Item` to `Option<T>`: `None` means that a problem was noted.

use super::expand::expand;
use super::problem::Problem;
use super::yaml::{Node, Position, Value, join, parse};
use super::{duration, table::Table};
use std::cell::RefCell;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What the configuration depends on besides its files.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// A look at the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Judges a message template, by name and text. `Err`: what is wrong with it.
    pub template: &'a dyn Fn(&str, &str) -> Result<(), String>,
}

impl std::fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// One file that is being read, and what was found wrong with it.
pub(super) struct Source<'a> {
    file: PathBuf,
    /// `None`: values are taken as they are.
    outside: Option<Outside<'a>>,
    problems: RefCell<Vec<Problem>>,
    /// Every key that a decoder asked for, without the numbers of list items.
    known: RefCell<std::collections::BTreeSet<String>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &Path, outside: Option<Outside<'a>>) -> Self {
        Self { file: file.to_owned(), outside, problems: RefCell::default(), known: RefCell::default() }
    }

    /// Reads the file. `None`: it cannot be read, or is not YAML; the problem is noted.
    pub(super) fn read(&self) -> Option<Node> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) => {
                self.note(Position { line: 0, column: 0 }, "", format!("cannot be read: {error}"));
                return None;
            }
        };
        let (root, faults) = parse(&text);
        for fault in faults {
            self.note(fault.at, &fault.key, fault.message);
        }
        root
    }

    /// `path` as it is meant in this file: relative to the file's own folder.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    pub(super) fn note(&self, at: Position, key: &str, message: impl Into<String>) {
        self.adopt(vec![Problem {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            key: key.to_owned(),
            message: message.into(),
        }]);
    }

    /// Takes over the problems of another file.
    pub(super) fn adopt(&self, problems: Vec<Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    pub(super) fn know(&self, table: &str, key: &str) {
        let mut path = String::new();
        for part in join(table, key).split_inclusive(['[', ']']) {
            // `rooms[3]` is known as `rooms[]`.
            path.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        self.known.borrow_mut().insert(path);
    }

    /// Everything that was found wrong, in the order of the file, and every key that was asked for.
    pub(super) fn finish(self) -> (Vec<Problem>, std::collections::BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.file != self.file, problem.line, problem.column));
        problems.dedup();
        (problems, self.known.into_inner())
    }
}

/// A value on its way from the tree into the program.
#[derive(Clone)]
pub(super) struct Item<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) node: &'a Node,
    pub(super) path: String,
}

impl<'a> Item<'a> {
    /// Notes a problem with this value. Always `None`, to end a decoder with.
    pub(super) fn wrong<T>(&self, message: impl Into<String>) -> Option<T> {
        self.source.note(self.node.at, &self.path, message);
        None
    }

    /// The value's text, with references to the environment replaced; and whether it may be a number: it stood
    /// without quotes, or came from the environment.
    fn scalar(&self, expected: &str) -> Option<(String, bool)> {
        match &self.node.value {
            Value::Text { text, plain } => {
                let Some(outside) = self.source.outside else { return Some((text.clone(), *plain)) };
                match expand(text, outside.environment) {
                    Ok(expanded) => {
                        let bare = *plain || expanded != *text;
                        Some((expanded, bare))
                    }
                    Err(message) => self.wrong(message),
                }
            }
            Value::Nothing => self.wrong(format!("has no value: it {expected}")),
            Value::List(_) => self.wrong(format!("{expected}, not be a list")),
            Value::Table(_) => self.wrong(format!("{expected}, not be a table")),
            Value::Faulty => None,
        }
    }

    /// Text that is not empty.
    pub(super) fn text(&self) -> Option<String> {
        let (text, _) = self.scalar("must be text")?;
        let foreign = match &self.node.value {
            // What came from the environment is text, whatever it looks like.
            Value::Text { text: written, plain: true } if *written == text => foreign(&text),
            _ => None,
        };
        match foreign {
            // The value is not repeated: it may be a secret.
            Some(kind) => self.wrong(format!("must be text, and this is {kind}: put it in quotes")),
            None if text.trim().is_empty() => self.wrong("must not be empty"),
            None => Some(text),
        }
    }

    /// A message template of this name.
    pub(super) fn template(&self, name: &str) -> Option<String> {
        let text = self.text()?;
        match self.source.outside.map_or(Ok(()), |outside| (outside.template)(name, &text)) {
            Ok(()) => Some(text),
            Err(problem) => self.wrong(problem),
        }
    }

    /// Text that is read as something else. `expected` completes "must be …".
    pub(super) fn parsed<T>(&self, expected: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.wrong(format!("must be {expected}, not `{text}`: {error}")),
        }
    }

    /// A whole number.
    pub(super) fn number<T: Copy + FromStr + PartialOrd + Display>(&self, least: T, most: T) -> Option<T> {
        let expected = format!("must be a whole number from {least} to {most}");
        let (text, bare) = self.scalar(&expected)?;
        match text.parse() {
            Ok(number) if bare && number >= least && number <= most => Some(number),
            Ok(_) if !bare => self.wrong(format!("{expected}, without quotes")),
            _ => self.wrong(format!("{expected}, not `{text}`")),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        let (text, bare) = self.scalar("must be true or false")?;
        match text.as_str() {
            "true" if bare => Some(true),
            "false" if bare => Some(false),
            _ => self.wrong(format!("must be true or false, not `{text}`")),
        }
    }

    /// One word of a fixed set.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names = words.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
        let (text, _) = self.scalar(&format!("must be {names}"))?;
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Some(*value),
            None => self.wrong(format!("must be {names}, not `{text}`")),
        }
    }

    /// A duration.
    pub(super) fn duration(&self) -> Option<Duration> {
        let (text, _) = self.scalar(duration::EXPECTED)?;
        duration::parse_duration(&text).map_or_else(|message| self.wrong(message), Some)
    }

    /// A duration, or `none`.
    #[expect(clippy::option_option, reason = "a decoder's failure around an optional value")]
    pub(super) fn duration_or_none(&self) -> Option<Option<Duration>> {
        let expected = format!("{}, or none", duration::EXPECTED);
        let (text, _) = self.scalar(&expected)?;
        if text == "none" {
            return Some(None);
        }
        match duration::parse_duration(&text) {
            Ok(duration) => Some(Some(duration)),
            Err(_) => self.wrong(format!("{expected}, not `{text}`")),
        }
    }

    /// The items of a list; those that are wrong are left out. Nothing written counts as an empty list.
    pub(super) fn list<T>(&self, decode: impl Fn(&Item<'a>) -> Option<T>) -> Option<Vec<T>> {
        match &self.node.value {
            Value::List(items) => {
                let item = |(index, node)| Item {
                    source: self.source,
                    node,
                    path: format!("{}[{index}]", self.path),
                };
                Some(items.iter().enumerate().filter_map(|pair| decode(&item(pair))).collect())
            }
            Value::Nothing => Some(Vec::new()),
            Value::Text { .. } | Value::Table(_) => self.wrong("must be a list"),
            Value::Faulty => None,
        }
    }

    /// Whether the value is written as a list or table rather than as one word.
    pub(super) fn has_parts(&self) -> bool {
        matches!(self.node.value, Value::List(_) | Value::Table(_))
    }

    /// The keys of a table. Nothing written counts as an empty table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        match &self.node.value {
            Value::Table(entries) => Some(Table::new(self, entries)),
            Value::Nothing => Some(Table::new(self, &[])),
            Value::Text { .. } | Value::List(_) => self.wrong("must be a table of keys and values"),
            Value::Faulty => None,
        }
    }

    /// The file that this value names, which must be readable. Relative to the folder of the configuration.
    pub(super) fn file(&self) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.source.beside(&self.text()?);
        match std::fs::read(&path) {
            Ok(content) => Some((path, content)),
            Err(error) => self.wrong(format!("the file {} cannot be read: {error}", path.display())),
        }
    }
}

/// What a plain scalar is to YAML, if not text.
fn foreign(text: &str) -> Option<&'static str> {
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        Some("a truth value to YAML")
    } else if text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit()) {
        Some("a number to YAML")
    } else {
        None
    }
}
