//! A table of the file, asked key by key. What was not asked for is unknown, and told.
//!
//! `table.key(name, meaning)`, perhaps how config.yaml.example shows it, and then how it is read: all there is to
//! say of a key, in one place.

use super::decode::{Item, NOTHING, Source};
use super::outline::{Example, Key, Need, Required, Written};
use super::yaml::{Entry, Position, Value, join};
use secrecy::SecretString;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The names that items of a list have, each once.
pub(super) type Names = RefCell<BTreeSet<String>>;

/// A name that no other item of its list has.
pub(super) fn unique(name: String, item: &Item<'_>, names: &Names) -> Option<String> {
    if names.borrow_mut().insert(name.clone()) {
        return Some(name);
    }
    item.wrong(format!("names `{name}` a second time"))
}

/// A table and which of its keys were asked for.
pub(super) struct Table<'a> {
    source: &'a Source<'a>,
    path: String,
    at: Position,
    entries: &'a [Entry],
    known: Vec<String>,
    group: Option<&'static str>,
}

/// A key that is about to be read.
#[must_use = "a key is only known when it is read"]
pub(super) struct Asked<'t, 'a> {
    table: &'t mut Table<'a>,
    name: &'static str,
    meaning: &'static str,
    example: Example,
}

impl<'a> Table<'a> {
    pub(super) fn new(item: &Item<'a>, entries: &'a [Entry]) -> Self {
        let (path, at) = (item.path.clone(), item.node.at);
        Self { source: item.source, path, at, entries, known: Vec::new(), group: None }
    }

    /// Begins a group of keys that have something in common.
    pub(super) fn group(&mut self, heading: &'static str) {
        self.group = Some(heading);
    }

    /// Asks for a key. `meaning` goes into every document.
    pub(super) fn key<'t>(&'t mut self, name: &'static str, meaning: &'static str) -> Asked<'t, 'a> {
        Asked { table: self, name, meaning, example: Example::Itself }
    }

    /// Notes a problem with a key of this table, or, as `key.key`, of a table in it; whether it is there or not.
    pub(super) fn wrong<T>(&self, key: &str, message: impl Into<String>) -> Option<T> {
        let (mut at, mut entries) = (self.at, self.entries);
        for part in key.split('.') {
            let Some(entry) = entries.iter().find(|entry| entry.key == part) else { break };
            at = entry.node.at;
            entries = if let Value::Table(inner) = &entry.node.value { inner } else { &[] };
        }
        self.source.note(at, &join(&self.path, key), message);
        None
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Every entry, for a table whose keys the operator chooses.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        self.entries.iter().map(move |entry| {
            let item = Item { source: self.source, node: &entry.node, path: join(&self.path, &entry.key) };
            (entry.key.as_str(), item)
        })
    }

    fn take(&mut self, key: &str) -> Option<Item<'a>> {
        self.known.push(key.to_owned());
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item { source: self.source, node: &entry.node, path: join(&self.path, key) })
    }

    /// Tells every key that nobody asked for.
    pub(super) fn finish(self) {
        for entry in self.entries {
            if self.known.contains(&entry.key) {
                continue;
            }
            let message = match nearest(&entry.key, &self.known) {
                Some(near) => format!("this key is unknown; did you mean {near}?"),
                None => format!("this key is unknown; known here: {}", self.known.join(", ")),
            };
            self.source.note(entry.at, &join(&self.path, &entry.key), message);
        }
    }
}

impl<'a> Asked<'_, 'a> {
    /// config.yaml.example shows its parts, and then this YAML.
    pub(super) fn continued(self, yaml: &'static str) -> Self {
        Self { example: Example::Continued(yaml), ..self }
    }

    /// config.yaml.example shows it with this YAML instead of its default or its parts.
    pub(super) fn shown(self, yaml: &'static str) -> Self {
        Self { example: Example::Shown(yaml), ..self }
    }

    /// config.yaml.example shows it with this YAML, commented out.
    pub(super) fn hinted(self, yaml: &'static str) -> Self {
        Self { example: Example::Hinted(yaml), ..self }
    }

    /// The value, if it is there; what there is to say of the key, if only that is asked.
    fn take(&mut self, need: impl FnOnce() -> Need) -> Option<Item<'a>> {
        if let Some(mut outline) = self.table.source.outline() {
            outline.keys.push(Key {
                table: self.table.path.clone(),
                name: self.name.to_owned(),
                meaning: self.meaning,
                need: need(),
                example: self.example,
                group: self.table.group,
            });
            let path = join(&self.table.path, self.name);
            return Some(Item { source: self.table.source, node: NOTHING, path });
        }
        self.table.take(self.name)
    }

    /// It must be there.
    pub(super) fn required<T>(mut self, decode: impl FnOnce(&Item<'a>) -> Option<T>) -> Option<T> {
        match self.take(|| Need::Required) {
            Some(item) => decode(&item),
            None => self.table.wrong(self.name, "is missing, and has no default"),
        }
    }

    /// It is `default` if it is absent.
    pub(super) fn or<T: Written>(mut self, default: T, decode: impl FnOnce(&Item<'a>) -> Option<T>) -> T {
        self.take(|| Need::Default(default.written())).and_then(|item| decode(&item)).unwrap_or(default)
    }

    /// One word of a fixed set; what `default` stands for if it is absent.
    pub(super) fn word<T: Copy + PartialEq>(mut self, default: T, words: &[(&'static str, T)]) -> T {
        let written = || words.iter().find(|(_, value)| *value == default).map(|(word, _)| *word);
        self.take(|| Need::Default(json!(written()))).and_then(|item| item.word(words)).unwrap_or(default)
    }

    /// It may be absent.
    pub(super) fn maybe<T>(mut self, decode: impl FnOnce(&Item<'a>) -> Option<T>) -> Option<T> {
        self.take(|| Need::Optional).and_then(|item| decode(&item))
    }

    /// A table with a default for each of its keys: its decoder runs even if it is absent.
    pub(super) fn section<T>(mut self, decode: impl FnOnce(Table<'a>) -> T) -> Option<T> {
        let path = join(&self.table.path, self.name);
        let absent = Item { source: self.table.source, node: NOTHING, path };
        self.take(|| Need::Optional).unwrap_or(absent).table().map(decode)
    }

    /// A secret that must be there.
    pub(super) fn required_secret(self, file: &'static str) -> Option<SecretString> {
        let absent = !self.table.has(self.name) && !self.table.has(&format!("{}_file", self.name));
        if absent {
            let message = format!("is missing, and so is {}_file", self.name);
            self.table.wrong::<()>(self.name, message);
        }
        self.secret(file, Required::Yes)
    }

    /// A secret: under its own key, or in the file that `<key>_file` names, such as `file`. `None`: neither, or a
    /// problem. Whether one of them must be there is for the caller to see to.
    pub(super) fn secret(mut self, file: &'static str, required: Required) -> Option<SecretString> {
        let file_key = format!("{}_file", self.name);
        let here = self.take(|| Need::Secret { file, required });
        let in_file = self.table.take(&file_key);
        match (here, in_file) {
            (Some(_), Some(_)) => {
                self.table.wrong(&file_key, format!("is given besides {}: give one of them", self.name))
            }
            (Some(item), None) => item.secret().map(SecretString::from),
            (None, Some(item)) => {
                let (path, content) = item.file()?;
                item.source.holds_secret(Some(&path));
                // Editors end a file with a newline; it is no part of the secret.
                match std::str::from_utf8(&content).map(|text| text.trim_end_matches(['\n', '\r'])) {
                    Ok(blank) if blank.trim().is_empty() => {
                        item.wrong(format!("the file {} is empty", path.display()))
                    }
                    Ok(secret) => Some(SecretString::from(secret)),
                    Err(_) => item.wrong(format!("the file {} is not text", path.display())),
                }
            }
            (None, None) => None,
        }
    }
}

/// The known key that a misspelt one most likely means.
fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let distances = known.iter().map(|candidate| (distance(key, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < candidate.chars().count()).then_some(candidate)
}

/// How many letters must be added, dropped or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (letter, index) in one.chars().zip(1..) {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), index);
        let mut left = index;
        for (cell, candidate) in row.iter_mut().skip(1).zip(other.chars()) {
            let changed = diagonal + usize::from(letter != candidate);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        let known = ["server_name".to_owned(), "url".to_owned()];
        assert_eq!(nearest("sever_name", &known), Some("server_name"));
        assert_eq!(nearest("uri", &known), Some("url"));
        assert_eq!(nearest("password", &known), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
