//! `matrixbot import`
//!
//! A predecessor's configuration is read for what has a place here (`opsdroid`, `matrixbot_ack`), and written as a
//! configuration of ours (`writing`). What has none, and what is still missing, is told; no secret ever is.

mod matrixbot_ack;
mod old;
mod opsdroid;
mod writing;

use super::registration::write_private;
use super::{FAILED, MISUSED, print, tell};
use clap::{Args, ValueEnum};
use old::Old;
use serde_yaml::Value;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
What is written is a whole configuration: what could be taken over, and `${…}` for what is
still missing. docs/MIGRATION.md has the way from there.

Examples:
  matrixbot import --from opsdroid configuration.yaml --output config.yaml
  matrixbot import --from matrixbot-ack config.yaml > new.yaml
  kubectl get configmap matrixbot -o jsonpath='{.data.configuration\\.yaml}' \\
      | matrixbot import --from opsdroid - --output config.yaml";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Whose configuration it is
    #[arg(long, value_enum)]
    from: Predecessor,
    /// The old configuration; -: standard input
    #[arg(value_name = "FILE")]
    old: PathBuf,
    /// The file to write, readable by its owner only; otherwise standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Predecessor {
    /// opsdroid with the skills eventmanager, eventmanager-ack or alertmanager
    Opsdroid,
    /// The Rust program of that name
    MatrixbotAck,
}

/// Writes a configuration of ours from a predecessor's.
pub(super) fn import(options: &Options) -> ExitCode {
    let file = options.old.display();
    let text = match read(&options.old) {
        Ok(text) => text,
        Err(error) => {
            tell(&format!("error: {file} cannot be read: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let old = match understand(options.from, &text) {
        Ok(old) => old,
        Err(problem) => {
            tell(&format!("error: {file}: {problem}"));
            return ExitCode::from(MISUSED);
        }
    };
    let config = writing::config(&old, options.from.name());
    let code = write(options, &config);
    if code == ExitCode::SUCCESS {
        told("To be filled in", &writing::missing(&old));
        told("Not taken over", &old.left);
    }
    code
}

fn read(path: &std::path::Path) -> std::io::Result<String> {
    if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    }
}

/// What an old configuration says. `Err`: why it is none.
fn understand(from: Predecessor, text: &str) -> Result<Old, String> {
    // The parser's own words may repeat a line of the file, and with it a secret.
    let root: Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| format!(" (line {})", at.line()));
        format!("this is not YAML{place}")
    })?;
    if !root.is_mapping() {
        return Err("this is not a table of keys and values".to_owned());
    }
    match from {
        Predecessor::Opsdroid => opsdroid::understand(&root),
        Predecessor::MatrixbotAck => matrixbot_ack::understand(&root),
    }
}

fn write(options: &Options, config: &str) -> ExitCode {
    let Some(path) = &options.output else { return print(config.as_bytes()) };
    match write_private(path, config, options.force) {
        Ok(()) => {
            tell(&format!(
                "{} was written; `matrixbot check` tells what is still wrong with it",
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            tell(&format!("error: {} exists; --force overwrites it", path.display()));
            ExitCode::from(FAILED)
        }
        Err(error) => {
            tell(&format!("error: {} cannot be written: {error}", path.display()));
            ExitCode::from(FAILED)
        }
    }
}

fn told(heading: &str, lines: &[String]) {
    if !lines.is_empty() {
        tell(&format!("{heading}:"));
        for line in lines {
            tell(&format!("  - {line}"));
        }
    }
}

impl Predecessor {
    fn name(self) -> &'static str {
        match self {
            Self::Opsdroid => "opsdroid",
            Self::MatrixbotAck => "matrixbot-ack",
        }
    }
}

#[cfg(test)]
mod tests;
