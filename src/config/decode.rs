//! From the tree of a file to values of the program's types: each decoder says what is wrong and goes on, so that
//! every problem is found at once.
//!
//! A decoder is a function from an `Item` to `Option<T>`: `None` means that a problem was noted, or that the decoder
//! was only asked what it reads: it runs on nothing then, and what each value may be goes into an `Outline`.

use super::expand::expand;
use super::outline::{Form, Outline, Shape};
use super::problem::Problem;
use super::table::Table;
use super::yaml::{Node, Position, Value, join, parse};
use crate::domain::duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// What is not written.
pub(super) const NOTHING: &Node = &Node { at: Position { line: 1, column: 1 }, value: Value::Nothing };

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
    secret_files: RefCell<BTreeSet<PathBuf>>,
    /// What the decoders say of themselves, if they are asked that instead of reading.
    outline: Option<RefCell<Outline>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &Path, outside: Option<Outside<'a>>) -> Self {
        let (problems, secret_files) = (RefCell::default(), RefCell::default());
        Self { file: file.to_owned(), outside, problems, secret_files, outline: None }
    }

    /// What these decoders read.
    pub(super) fn outline_of<T>(decode: impl FnOnce(&Item<'_>) -> Option<T>) -> Outline {
        let outline = Some(RefCell::default());
        let source = Source { outline, ..Source::new(Path::new(""), None) };
        decode(&Item { source: &source, node: NOTHING, path: String::new() });
        source.outline.map(RefCell::into_inner).unwrap_or_default()
    }

    /// The outline to fill, if the decoders are asked for it.
    pub(super) fn outline(&self) -> Option<std::cell::RefMut<'_, Outline>> {
        self.outline.as_ref().map(RefCell::borrow_mut)
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

    /// Notes a file that others must not read; this one, if none is named.
    pub(super) fn holds_secret(&self, file: Option<&Path>) {
        self.secret_files.borrow_mut().insert(file.unwrap_or(&self.file).to_owned());
    }

    /// The files that others must not read.
    pub(super) fn secret_files(&self) -> Vec<PathBuf> {
        self.secret_files.borrow().iter().cloned().collect()
    }

    /// Takes over the problems of another file.
    pub(super) fn adopt(&self, problems: Vec<Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    /// Everything that was found wrong, in the order of the file.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.file != self.file, problem.line, problem.column));
        problems.dedup();
        problems
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

    /// Says what this value may be. `None`: that was all that was asked.
    fn may_be(&self, shape: Shape) -> Option<()> {
        match self.source.outline() {
            None => Some(()),
            Some(mut outline) => {
                outline.shapes.insert(self.path.clone(), shape);
                None
            }
        }
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
        self.may_be(Shape::Text)?;
        self.some_text()
    }

    /// Text of this form; it may be repeated in a problem.
    pub(super) fn formed(&self, form: &'static Form) -> Option<String> {
        self.may_be(Shape::Form(form))?;
        let text = self.some_text()?;
        if form.knows(&text) { Some(text) } else { self.wrong(format!("{}, not `{text}`", form.expected)) }
    }

    /// Text that others must not read, which is in this file unless it comes from the environment.
    pub(super) fn secret(&self) -> Option<String> {
        let text = self.text()?;
        if is_secret(&text)
            && matches!(&self.node.value, Value::Text { text: written, .. } if *written == text)
        {
            self.source.holds_secret(None);
        }
        Some(text)
    }

    fn some_text(&self) -> Option<String> {
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

    /// Text of this form that is read as something else.
    pub(super) fn parsed<T>(&self, form: &'static Form) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.formed(form)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.wrong(format!("{}, not `{text}`: {error}", form.expected)),
        }
    }

    /// A whole number.
    pub(super) fn number<T>(&self, least: T, most: T) -> Option<T>
    where
        T: Copy + FromStr + PartialOrd + Display + Into<i64>,
    {
        self.may_be(Shape::Number { least: least.into(), most: most.into() })?;
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
        self.may_be(Shape::Flag)?;
        let (text, bare) = self.scalar("must be true or false")?;
        match text.as_str() {
            "true" if bare => Some(true),
            "false" if bare => Some(false),
            _ => self.wrong(format!("must be true or false, not `{text}`")),
        }
    }

    /// One word of a fixed set.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        self.may_be(Shape::Word(words.iter().map(|(name, _)| *name).collect()))?;
        let names = words.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
        let (text, _) = self.scalar(&format!("must be {names}"))?;
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Some(*value),
            None => self.wrong(format!("must be {names}, not `{text}`")),
        }
    }

    /// A duration.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.may_be(Shape::Duration)?;
        let (text, _) = self.scalar(duration::EXPECTED)?;
        duration::parse(&text).map_or_else(|message| self.wrong(message), Some)
    }

    /// A duration, or `none`.
    #[expect(clippy::option_option, reason = "a decoder's failure around an optional value")]
    pub(super) fn duration_or_none(&self) -> Option<Option<Duration>> {
        self.may_be(Shape::DurationOrNone)?;
        let expected = format!("{}, or none", duration::EXPECTED);
        let (text, _) = self.scalar(&expected)?;
        if text == "none" {
            return Some(None);
        }
        match duration::parse(&text) {
            Ok(Duration::ZERO) => self.wrong("must be longer than nothing: write none if you mean never"),
            Ok(duration) => Some(Some(duration)),
            Err(_) => self.wrong(format!("{expected}, not `{text}`")),
        }
    }

    /// The items of a list; those that are wrong are left out. Nothing written counts as an empty list.
    pub(super) fn list<T>(&self, decode: impl Fn(&Item<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.items(false, decode).map(|items| items.into_iter().flatten().collect())
    }

    /// The items of a list that must have some, or else `empty` is wrong. One that is wrong counts: that there is
    /// none would be no help.
    pub(super) fn filled_list<T>(
        &self,
        empty: &str,
        decode: impl Fn(&Item<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(true, decode)?;
        if items.is_empty() { self.wrong(empty) } else { Some(items.into_iter().flatten().collect()) }
    }

    fn items<T>(&self, filled: bool, decode: impl Fn(&Item<'a>) -> Option<T>) -> Option<Vec<Option<T>>> {
        let item =
            |index: &str, node| Item { source: self.source, node, path: format!("{}[{index}]", self.path) };
        if self.may_be(Shape::List { filled }).is_none() {
            decode(&item("", NOTHING));
            return None;
        }
        match &self.node.value {
            Value::List(items) => {
                let numbered = items.iter().enumerate();
                Some(numbered.map(|(index, node)| decode(&item(&index.to_string(), node))).collect())
            }
            Value::Nothing => Some(Vec::new()),
            Value::Text { .. } | Value::Table(_) => self.wrong("must be a list"),
            Value::Faulty => None,
        }
    }

    /// One word for short, or a table.
    pub(super) fn short_or_table<T>(
        &self,
        short: impl Fn(&Self) -> Option<T>,
        long: impl Fn(Table<'a>) -> Option<T>,
    ) -> Option<T> {
        if self.source.outline().is_some() {
            short(self);
            let shape = self.source.outline().and_then(|outline| outline.shapes.get(&self.path).cloned());
            self.table().and_then(&long);
            self.may_be(Shape::ShortOrTable(Box::new(shape.unwrap_or(Shape::Text))))?;
        }
        match self.node.value {
            Value::List(_) | Value::Table(_) => self.table().and_then(long),
            Value::Nothing | Value::Text { .. } | Value::Faulty => short(self),
        }
    }

    /// The keys of a table. Nothing written counts as an empty table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        if self.may_be(Shape::Table).is_none() {
            return Some(Table::new(self, &[]));
        }
        match &self.node.value {
            Value::Table(entries) => Some(Table::new(self, entries)),
            Value::Nothing => Some(Table::new(self, &[])),
            Value::Text { .. } | Value::List(_) => self.wrong("must be a table of keys and values"),
            Value::Faulty => None,
        }
    }

    /// The entries of a table whose keys the operator chooses, as far as they have this form.
    pub(super) fn map<T>(
        &self,
        form: &'static Form,
        decode: impl Fn(&'a str, &Item<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.may_be(Shape::Map(form)).is_none() {
            decode("*", &Item { source: self.source, node: NOTHING, path: join(&self.path, "*") });
            return None;
        }
        let entry = |(key, item): (&'a str, Item<'a>)| {
            if form.knows(key) {
                decode(key, &item)
            } else {
                item.wrong(format!("the key {}", form.expected))
            }
        };
        Some(self.table()?.entries().filter_map(entry).collect())
    }

    /// The file that this value names, which must be readable. Relative to the folder of the configuration.
    pub(super) fn file(&self) -> Option<(PathBuf, Vec<u8>)> {
        self.may_be(Shape::File)?;
        let path = self.source.beside(&self.some_text()?);
        match std::fs::read(&path) {
            Ok(content) => Some((path, content)),
            Err(error) => self.wrong(format!("the file {} cannot be read: {error}", path.display())),
        }
    }
}

/// Whether others must not read it: a URL holds a secret only if it holds a password.
fn is_secret(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return true };
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.contains("password=")
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
