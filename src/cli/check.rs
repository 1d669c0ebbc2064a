//! `matrixbot check`

use super::{ConfigFile, eprint, print};
use crate::config;
use clap::Args;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Reads only files; it does not connect to the database or the homeserver. Each problem is
one line, `file:line:column: key: problem`, and the exit code is then 2.

Examples:
  matrixbot check --config config.yaml
  matrixbot check --schema > config.schema.json";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Write the configuration's JSON Schema to standard output instead, for editors
    #[arg(long)]
    schema: bool,
}

/// Prints every problem with the configuration, or that it is valid.
pub(super) fn check(options: &Options) -> ExitCode {
    if options.schema {
        return print(config::SCHEMA.as_bytes());
    }
    match options.file.load() {
        Ok(config) => {
            for warning in &config.warnings {
                eprint(&format!("warning: {warning}"));
            }
            let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
            let file = options.file.config.display();
            print(format!("{file}: valid; room lists: {}\n", names.join(", ")).as_bytes())
        }
        Err(code) => code,
    }
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::render::template::Templated;

    #[test]
    fn the_schema_knows_the_messages_that_can_have_templates() {
        let schema: serde_json::Value = serde_json::from_str(config::SCHEMA).unwrap();
        let room_list = "/properties/room_lists/items/properties";
        let pattern = schema.pointer(&format!("{room_list}/templates/propertyNames/pattern")).unwrap();
        let pattern = regex::Regex::new(pattern.as_str().unwrap()).unwrap();
        for what in Templated::ALL {
            assert!(pattern.is_match(&format!("{}_text", what.name())));
            assert!(pattern.is_match(&format!("{}_html", what.name())));
        }
        assert_eq!(pattern.as_str().matches('|').count(), Templated::ALL.len(), "and no other: {pattern}");
    }
}
