//! The load of `scripts/bench.sh`, which starts the servers and passes their addresses.
//!
//! `load intake`: webhooks, with the homeserver unreachable. `load paging`: from an alert to the event in its room, on a
//! real Synapse. `load scale`: timers and commands with many open incidents. With `--against NAME` the first two compare
//! two builds. Each prints Markdown to standard output.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures go to standard output")]
#![expect(clippy::indexing_slicing, reason = "of JSON, where missing values are null")]

mod alerts;
mod compare;
mod database;
mod figures;
mod http;
mod intake;
mod many;
mod neighbours;
mod paging;
mod scale;
mod storms;

use anyhow::{Context as _, bail};
use neighbours::load_average;
use std::collections::BTreeMap;

/// The options of the command line: `--name value`.
#[derive(Debug, Clone)]
pub(crate) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("--{name} is missing"))
    }

    /// The same for the other build: `--against-binary` in the place of `--binary`, and so on.
    pub(crate) fn against(&self) -> Self {
        let mut settings = self.0.clone();
        for (name, value) in &self.0 {
            if let Some(name) = name.strip_prefix("against-") {
                settings.insert(name.to_owned(), value.clone());
            }
        }
        Self(settings)
    }

    /// A size: the one of the report, or a small one to see whether everything works.
    pub(crate) fn sized<T>(&self, full: T, quick: T) -> T {
        if self.0.get("size").is_some_and(|size| size == "quick") { quick } else { full }
    }
}

/// Prints what is being done.
pub(crate) fn progress(what: &str) {
    eprintln!("  {what}");
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let mut settings = BTreeMap::new();
    while let Some(name) = arguments.next() {
        let name = name.strip_prefix("--").with_context(|| format!("{name} is no option"))?.to_owned();
        settings.insert(name, arguments.next().context("an option has no value")?);
    }
    let settings = Settings(settings);
    let comparing = settings.get("against").is_ok();
    match command.as_str() {
        "intake" if comparing => compare::intake(&settings),
        "paging" if comparing => compare::paging(&settings),
        "intake" => intake::measure(&settings),
        "paging" => paging::measure(&settings),
        "scale" => scale::measure(&settings),
        _ => bail!("run this by scripts/bench.sh"),
    }
}
