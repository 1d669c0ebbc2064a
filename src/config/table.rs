//! A table of the file, asked key by key. What was not asked for is unknown, and told.

use super::decode::{Item, Source};
use super::yaml::{Entry, Node, Position, Value, join};
use secrecy::SecretString;
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
}

impl<'a> Table<'a> {
    pub(super) fn new(item: &Item<'a>, entries: &'a [Entry]) -> Self {
        Self { source: item.source, path: item.path.clone(), at: item.node.at, entries, known: Vec::new() }
    }

    /// Notes a problem with a key of this table, whether it is there or not.
    pub(super) fn wrong<T>(&self, key: &str, message: impl Into<String>) -> Option<T> {
        let at = self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.node.at);
        self.source.note(at, &join(&self.path, key), message);
        None
    }

    fn take(&mut self, key: &str) -> Option<Item<'a>> {
        self.known.push(key.to_owned());
        self.source.know(&self.path, key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item { source: self.source, node: &entry.node, path: join(&self.path, key) })
    }

    /// Whether the key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// A key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        decode: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            Some(item) => decode(&item),
            None => self.wrong(key, "is missing, and has no default"),
        }
    }

    /// A key that has a default.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        default: T,
        decode: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> T {
        self.maybe(key, decode).unwrap_or(default)
    }

    /// A key that may be absent.
    pub(super) fn maybe<T>(&mut self, key: &str, decode: impl FnOnce(&Item<'a>) -> Option<T>) -> Option<T> {
        self.take(key).and_then(|item| decode(&item))
    }

    /// A part that is a table of its own, with a default for each of its keys: its decoder runs even if it is
    /// absent.
    pub(super) fn section<T>(&mut self, key: &str, decode: impl FnOnce(Table<'a>) -> T) -> Option<T> {
        const NOTHING: &Node = &Node { at: Position { line: 1, column: 1 }, value: Value::Nothing };
        let absent = Item { source: self.source, node: NOTHING, path: join(&self.path, key) };
        self.take(key).unwrap_or(absent).table().map(decode)
    }

    /// A secret: under its own key, or in the file that `<key>_file` names. `None`: neither, or a problem.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretString> {
        let file_key = format!("{key}_file");
        let here = self.take(key);
        let in_file = self.take(&file_key);
        match (here, in_file) {
            (Some(_), Some(_)) => self.wrong(&file_key, format!("is given besides {key}: give one of them")),
            (Some(item), None) => item.text().map(SecretString::from),
            (None, Some(item)) => {
                let (path, content) = item.file()?;
                // Editors end a file with a newline; it is no part of the secret.
                match std::str::from_utf8(&content).map(|text| text.trim_end_matches(['\n', '\r'])) {
                    Ok("") => item.wrong(format!("the file {} is empty", path.display())),
                    Ok(secret) => Some(SecretString::from(secret)),
                    Err(_) => item.wrong(format!("the file {} is not text", path.display())),
                }
            }
            (None, None) => None,
        }
    }

    /// A secret that must be there.
    pub(super) fn required_secret(&mut self, key: &str) -> Option<SecretString> {
        let absent = !self.has(key) && !self.has(&format!("{key}_file"));
        let secret = self.secret(key);
        if absent {
            return self.wrong(key, format!("is missing, and so is {key}_file"));
        }
        secret
    }

    /// Every entry, for a table whose keys the operator chooses.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        self.entries.iter().map(move |entry| {
            let item = Item { source: self.source, node: &entry.node, path: join(&self.path, &entry.key) };
            (entry.key.as_str(), item)
        })
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
