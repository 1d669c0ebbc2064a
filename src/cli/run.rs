//! `matrixbot run`

use super::{ConfigFile, finish};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Examples:
  matrixbot run --config config.yaml
  matrixbot run --config config.yaml --log-format json --log-level debug";

/// Runs until SIGTERM or SIGINT; SIGHUP reloads the configuration.
pub(super) fn run(file: &ConfigFile) -> ExitCode {
    match file.load() {
        Ok(config) => finish("matrixbot", crate::app::run(config, || file.read())),
        Err(code) => code,
    }
}
