//! `matrixbot import`
//!
//! Reads a predecessor's configuration (`opsdroid`, `matrixbot_ack`), and writes one for matrixbot (`writing`). It
//! lists what was not imported and what is still missing, and never prints a secret.

mod matrixbot_ack;
mod old;
mod opsdroid;
mod writing;

use super::registration::write_private;
use super::{FAILED, MISUSED, eprint, print};
use clap::{Args, ValueEnum};
use old::Old;
use serde_yaml::Value;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Writes a complete configuration with the imported values, and `${…}` for missing ones.
docs/MIGRATION.md has the next steps.

Examples:
  matrixbot import --from opsdroid configuration.yaml --output config.yaml
  matrixbot import --from matrixbot-ack config.yaml > new.yaml
  kubectl get configmap matrixbot -o jsonpath='{.data.configuration\\.yaml}' \\
      | matrixbot import --from opsdroid - --output config.yaml";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The predecessor
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
    /// The Rust program matrixbot-ack
    MatrixbotAck,
}

/// Converts a predecessor's configuration.
pub(super) fn import(options: &Options) -> ExitCode {
    let file = options.old.display();
    let text = match read(&options.old) {
        Ok(text) => text,
        Err(error) => {
            eprint(&format!("error: cannot read {file}: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let old = match parse(options.from, &text) {
        Ok(old) => old,
        Err(problem) => {
            eprint(&format!("error: {file}: {problem}"));
            return ExitCode::from(MISUSED);
        }
    };
    let config = writing::config(&old, options.from.name());
    let code = write(options, &config);
    if code == ExitCode::SUCCESS {
        list("To fill in", &writing::missing(&old));
        list("Not imported", &old.left);
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

/// Parses an old configuration. `Err`: why it is invalid.
fn parse(from: Predecessor, text: &str) -> Result<Old, String> {
    // The parser's message may contain a line of the file, and so a secret.
    let root: Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| format!(" (line {})", at.line()));
        format!("this is not YAML{place}")
    })?;
    if !root.is_mapping() {
        return Err("this is not a table of keys and values".to_owned());
    }
    match from {
        Predecessor::Opsdroid => opsdroid::parse(&root),
        Predecessor::MatrixbotAck => matrixbot_ack::parse(&root),
    }
}

fn write(options: &Options, config: &str) -> ExitCode {
    let Some(path) = &options.output else { return print(config.as_bytes()) };
    match write_private(path, config, options.force) {
        Ok(()) => {
            eprint(&format!(
                "{} was written; `matrixbot check` lists the remaining problems",
                path.display()
            ));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            eprint(&format!("error: {} exists; --force overwrites it", path.display()));
            ExitCode::from(FAILED)
        }
        Err(error) => {
            eprint(&format!("error: cannot write {}: {error}", path.display()));
            ExitCode::from(FAILED)
        }
    }
}

fn list(heading: &str, lines: &[String]) {
    if !lines.is_empty() {
        eprint(&format!("{heading}:"));
        for line in lines {
            eprint(&format!("  - {line}"));
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
