//! The configuration: `config.yaml`, validated as a whole, with every problem found at once.
//!
//! The types (`types`, `registration`, and `domain::policy`) are the one source: `shape` has the JSON Schema that `schemars`
//! makes of their doc comments, defaults and attributes. A file becomes a tree with places (`yaml`); `read` reads the tree
//! by the schema, with the forms of text (`forms`); `checks` has the rules that concern several keys; then the types
//! deserialize what was read. The tests write the documents and the published schema.
//!
//! Adding a key: a field with its doc comment.

mod checks;
mod environment;
mod forms;
mod on_call;
mod read;
mod registration;
mod schedules;
mod shape;
mod swallowed;
mod types;
mod yaml;

pub use on_call::{CalendarConfig, LayerConfig, OnCallConfig};
pub use read::Outside;
pub use registration::{Namespace, Namespaces, Registration, appservice_address, read_registration};
pub use types::{
    AlertmanagerConfig, BasicAuth, Config, Database, Homeserver, Listen, Listener, OwnHeartbeatConfig,
    Retention, RoomListConfig, TlsFiles, WebhookAuth,
};

use read::Reader;
use schemars::JsonSchema;
use serde::Deserialize;
use shape::CONFIG;
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

/// The JSON Schema of config.yaml, for editors and other tools. The tests write it.
pub const SCHEMA: &str = include_str!("../../docs/config.schema.json");

/// Reads and validates the configuration, with the files that it names.
pub fn load(path: &Path, outside: Outside<'_>) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader::new(path, Some(outside));
    let mut value = reader.parse().and_then(|root| reader.value(&CONFIG, &root, ""));
    if let Some(config) = &mut value {
        checks::check(&mut reader, config);
    }
    let (secret_files, mut warnings) = (reader.secret_files.clone(), reader.warnings.clone());
    warnings.sort();
    let config: Config = reader.finish(value)?;
    Ok(Config { secret_files, warnings, ..config })
}

/// Reads only the listeners, whatever other problems the file has: a health check must work even if the file was changed
/// since the start.
pub fn load_listen(path: &Path, outside: Outside<'_>) -> Result<Listen, Vec<Problem>> {
    #[derive(Deserialize, JsonSchema)]
    struct Only {
        #[serde(default)]
        listen: Listen,
    }
    let mut reader = Reader::new(path, Some(outside));
    let mut root = reader.parse();
    if let Some(yaml::Value::Table(entries)) = root.as_mut().map(|root| &mut root.value) {
        entries.retain(|entry| entry.key == "listen");
    }
    let value = root.and_then(|root| reader.value(&shape::of::<Only>(), &root, ""));
    if let Some(value) = &value {
        checks::listeners(&mut reader, value);
    }
    reader.finish(value).map(|Only { listen }| listen)
}

#[cfg(test)]
mod tests;
