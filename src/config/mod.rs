//! The configuration: `config.yaml`, validated as a whole, with every problem found at once.
//!
//! The types (`types`, `registration`, and `domain::policy`) are the only source: `shape` reflects their doc comments,
//! defaults and attributes. `yaml` parses a file into a tree with positions; `read` checks the tree against the shape,
//! with the forms of text (`forms`); `checks` has the rules that involve several keys; then the types deserialize the
//! result. `schema` writes the JSON Schema, and the tests write the documents.
//!
//! To add a key, add a field with its doc comment.

mod checks;
mod forms;
mod read;
mod registration;
mod schema;
mod shape;
mod swallowed;
mod types;
mod yaml;

pub use read::Outside;
pub use registration::{Namespace, Namespaces, Registration, appservice_address, read_registration};
pub use schema::schema;
pub use types::{
    AlertmanagerConfig, BasicAuth, Config, Database, Homeserver, Listen, Listener, Retention, RoomListConfig,
    TlsFiles, WebhookAuth,
};

use read::Reader;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use shape::{CONFIG, Shape, Table};
use std::fmt;
use std::path::{Path, PathBuf};

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// The column, from 1; 0 for the whole file.
    pub column: usize,
    /// The path of the key, such as `room_lists[0].levels[1].rooms`; may be empty.
    pub key: String,
    /// The problem, and what would be valid.
    pub message: String,
}

impl Problem {
    fn of_file(file: &Path, key: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, key: key.to_owned(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Reads and validates the configuration and the files that it names.
pub fn load(path: &Path, outside: Outside<'_>) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(path, Some(outside));
    let root = reader.parse();
    let mut value = root.and_then(|root| reader.value(&Shape::Table(CONFIG.clone()), &root, ""));
    let mut warnings = Vec::new();
    if let Some(config) = &mut value {
        let file = config.get("registration").and_then(Json::as_str).map(PathBuf::from);
        let read = file.as_ref().map(|file| registration::read(file)).transpose();
        let given = read.map_err(|problems| reader.adopt(problems)).unwrap_or_default();
        let registration =
            given.as_ref().and_then(|given| serde_json::from_value::<Registration>(given.clone()).ok());
        checks::check(&mut reader, config, registration.as_ref());
        if let (Some(file), Some(given), Some(registration)) = (file, given, registration) {
            warnings = registration.warnings(&file);
            checks::set(config, "registration", given);
        }
    }
    let secret_files = reader.secret_files();
    let config: Config = typed(path, value, reader.finish())?;
    Ok(Config { secret_files, warnings, ..config })
}

/// Reads only the listeners, and ignores other problems of the file: the health check must work even if the file has
/// become invalid since the start.
pub fn load_listen(path: &Path, outside: Outside<'_>) -> Result<Listen, Vec<Problem>> {
    #[derive(serde::Deserialize)]
    struct Only {
        #[serde(default)]
        listen: Listen,
    }
    let mut reader = Reader::new(path, Some(outside));
    let mut root = reader.parse();
    if let Some(yaml::Value::Table(entries)) = root.as_mut().map(|root| &mut root.value) {
        entries.retain(|entry| entry.key == "listen");
    }
    let keys = CONFIG.keys.iter().filter(|key| key.name == "listen").cloned().collect();
    let value = root.and_then(|root| reader.value(&Shape::Table(Table { keys }), &root, ""));
    if let Some(listen) = value.as_ref().and_then(|value| value.get("listen")) {
        checks::listeners(&mut reader, listen);
    }
    typed(path, value, reader.finish()).map(|Only { listen }| listen)
}

fn typed<T: DeserializeOwned>(
    path: &Path,
    value: Option<Json>,
    problems: Vec<Problem>,
) -> Result<T, Vec<Problem>> {
    if !problems.is_empty() {
        return Err(problems);
    }
    let unusable = |error| vec![Problem::of_file(path, "", format!("cannot be used: {error}"))];
    serde_json::from_value(value.unwrap_or_default()).map_err(unusable)
}

#[cfg(test)]
mod tests;
