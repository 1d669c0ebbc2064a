//! The error for a body that cannot be parsed at all.

use super::text::kind_of;
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a body cannot be parsed, and where. Quotes nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}{}", prefix(path), position.map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default())]
pub struct Unreadable {
    /// The problem, as a phrase.
    pub what: String,
    /// The path of the invalid value: `alerts[3].labels`; empty: the whole body.
    pub path: String,
    /// Its line and column, from 1; `None` if it is missing.
    pub position: Option<(usize, usize)>,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`: ") }
}

impl Unreadable {
    /// `text` is not JSON, or not an object.
    pub(super) fn from_json(text: &str, error: &serde_json::Error) -> Self {
        let position = Some((error.line(), error.column()));
        if error.is_data() {
            let what = match serde_json::from_str::<&RawValue>(text.trim()) {
                Ok(raw) => format!("expected an object, found {}", kind_of(raw)),
                Err(_) => "expected an object".to_owned(),
            };
            return Self { what, path: String::new(), position: Some((1, 1)) };
        }
        if text.trim().is_empty() {
            return Self { what: "the body is empty".to_owned(), path: String::new(), position: None };
        }
        // "… at line 1 column 2": drop the position, which has its own field.
        let words = error.to_string();
        let what = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _position)| words);
        Self {
            what: format!("not JSON: {what}"),
            path: path_of_error(text, error).unwrap_or_default(),
            position,
        }
    }

    /// A field is missing.
    pub(super) fn missing(path: &str) -> Self {
        Self { what: "it is missing".to_owned(), path: path.to_owned(), position: None }
    }

    /// A field somewhere in `text` has the wrong type.
    pub(super) fn unexpected(text: &str, path: &str, found: &RawValue, expected: &str) -> Self {
        let what = format!("expected {expected}, found {}", kind_of(found));
        Self { what, path: path.to_owned(), position: position_of(text, found) }
    }
}

/// The path at which the first parse failed. Only this second parse tracks the path, because tracking is slow.
fn path_of_error(text: &str, error: &serde_json::Error) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let again = serde_path_to_error::deserialize::<_, Value>(&mut deserializer).err()?;
    let same = (again.inner().line(), again.inner().column()) == (error.line(), error.column());
    let path = again.path().to_string();
    (same && path != "." && path != "?").then_some(path)
}

/// The line and column of a part of `text` that was borrowed from it.
fn position_of(text: &str, part: &RawValue) -> Option<(usize, usize)> {
    let offset = part.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let before = text.get(..offset)?;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    Some((before.matches('\n').count().saturating_add(1), column.saturating_add(1)))
}
