//! `matrixbot check`

use super::{ConfigFile, tell};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Reads files only: neither the database nor the homeserver is asked. Every problem is one
line of `file:line:column: key: what is wrong`, and the exit code is then 2.

Example:
  matrixbot check --config config.yaml";

/// Tells everything that is wrong with the configuration, or that nothing is.
pub(super) fn check(file: &ConfigFile) -> ExitCode {
    match file.load() {
        Ok(config) => {
            let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
            tell(&format!("{}: nothing is wrong; room lists: {}", file.config.display(), names.join(", ")));
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}
