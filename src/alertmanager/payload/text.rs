//! Single values of a body.

use crate::domain::webhook::Labels;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use url::Url;

/// The fields of an object, not yet parsed. If a field occurs twice, the last one counts, as in Go.
pub(super) type Fields<'a> = BTreeMap<Text, &'a RawValue>;

/// The longest URL that is kept. A longer one is dropped: a cut URL would lead elsewhere.
const LONGEST_URL: usize = 8 * 1024;

/// A JSON string that Postgres and Matrix accept: NUL and everything that is not a Unicode character become U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")))
            }
        }
        // serde_json rejects lone surrogates in strings but not in bytes.
        deserializer.deserialize_bytes(Bytes)
    }
}

/// A string; `None` if the value is anything else.
pub(super) fn read(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok().map(Text::into_string)
}

/// An `http(s)` URL, without user name and password because rooms see it.
pub(super) fn read_url(raw: &RawValue) -> Option<String> {
    let sent = read(raw)?;
    let mut url = Url::parse(&sent).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    let url = url.as_str();
    // `Url` adds a slash to a bare host.
    let url = if sent.ends_with('/') { url } else { url.strip_suffix('/').unwrap_or(url) };
    (url.len() <= LONGEST_URL).then(|| url.to_owned())
}

/// The value is no object.
pub(super) struct NotAnObject;

/// Labels or annotations, and the names of those whose values were no strings: these are kept as JSON text. A label
/// that is `null` counts as missing.
pub(super) fn read_labels(raw: &RawValue) -> Result<(Labels, Vec<String>), NotAnObject> {
    let fields: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_not_an_object| NotAnObject)?;
    let mut stringified = Vec::new();
    let mut labels = Labels::new();
    for (name, raw) in fields {
        let name = name.into_string();
        if let Some(value) = read(raw) {
            labels.insert(name, value);
            continue;
        }
        if raw.get() != "null" {
            labels.insert(name.clone(), raw.get().to_owned());
        }
        stringified.push(name);
    }
    Ok((labels, stringified))
}

/// The JSON type of a value, in words.
pub(super) fn kind_of(raw: &RawValue) -> &'static str {
    match raw.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
