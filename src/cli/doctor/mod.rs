//! `matrixbot doctor`: everything tried for real, each failure with its remedy.
//!
//! It changes what `run` changes at its start, and nothing else: it registers virtual users and joins the rooms of the
//! configuration. It writes nothing to the database and sends nothing to any room.

mod alertmanagers;
mod database;
mod files;
mod homeserver;
mod listeners;
mod repeats;
mod report;
mod rooms;
mod users;

use super::{ConfigFile, FAILED, block_on, tell};
use crate::config::Config;
use crate::matrix::{Client, RequestObserver, Timeouts};
use clap::Args;
use report::Report;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Pages nobody and says nothing in any room. Like `run` at its start, it registers the
virtual users and joins the rooms of the configuration that they are not in yet; with
--read-only it does neither, and says what is missing. It works beside a running
matrixbot and, for the time being, in place of one that does not run.

Exit code 0 if nothing failed, 1 if something did, 2 if the configuration is wrong.

Examples:
  matrixbot doctor --config config.yaml
  matrixbot doctor --read-only --json | jq '.checks[] | select(.outcome == \"failed\")'";

/// Long enough to join a room of another server.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), request: Duration::from_secs(45) };

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Change nothing: register no virtual user, and join no room
    #[arg(long)]
    read_only: bool,
    /// Report as one JSON object
    #[arg(long)]
    json: bool,
}

/// What the checks have in common.
struct Patient<'a> {
    config: &'a Config,
    client: Client,
    read_only: bool,
}

/// Counts what the homeserver was asked, and what it wanted less of.
#[derive(Debug, Default)]
struct Pulse {
    requests: AtomicU32,
    limited: AtomicU32,
}

impl RequestObserver for Pulse {
    fn on_request(&self, _endpoint: &'static str, code: Option<u16>, _elapsed: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if code == Some(429) {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tries everything, and reports.
pub(super) fn doctor(options: &Options) -> ExitCode {
    let config = match options.file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match block_on(examine(&config, options)) {
        Ok(report) => report.finish(),
        Err(error) => {
            tell(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn examine(config: &Config, options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new(options.json);
    configuration(&mut report, config, options);
    files::examine(&mut report, config);
    let store = database::examine(&mut report, config).await;
    listeners::examine(&mut report, config).await;
    let pulse = Arc::new(Pulse::default());
    let client = Client::new(&config.homeserver.url, config.registration.as_token.clone(), TIMEOUTS)?
        .observed_by(Arc::clone(&pulse) as Arc<dyn RequestObserver>);
    let patient = Patient { config, client, read_only: options.read_only };
    if homeserver::examine(&mut report, &patient).await {
        for list in &config.room_lists {
            if let Some(identity) = users::examine(&mut report, &patient, list).await {
                rooms::examine(&mut report, &patient, list, &identity, store.as_ref()).await;
            }
        }
        homeserver::rate_limited(&mut report, config, &pulse);
    } else {
        let why = "not tried: see the failures above";
        report.skipped("virtual user", None, why);
        report.skipped("room", None, why);
    }
    alertmanagers::examine(&mut report, config).await;
    if let Some(store) = store {
        store.close().await;
    }
    Ok(report)
}

fn configuration(report: &mut Report, config: &Config, options: &Options) {
    let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
    let file = options.file.config.display();
    report.ok("configuration", None, format!("{file}; room lists: {}", names.join(", ")));
    for warning in &config.warnings {
        report.warning("configuration", None, warning.to_string(), "Change the file that it names.");
    }
}
