//! `matrixbot doctor`: tests everything for real, and has a remedy for each failure.
//!
//! It changes what `run` changes at its start, and nothing else: it registers virtual users and joins the rooms of the
//! configuration. It writes nothing to the database and sends nothing to any room.

mod alertmanagers;
mod database;
mod files;
mod homeserver;
mod listeners;
mod moves;
mod on_call;
mod repeats;
mod report;
mod rooms;
mod software;
mod users;

use super::{ConfigFile, block_on, failed};
use crate::config::Config;
use crate::matrix::{Client, RequestObserver, Timeouts};
use clap::Args;
use report::Report;
use software::Software;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Pages nobody and posts to no room. Like `run` at its start, it registers the virtual users
and joins the rooms of the configuration; with --read-only it does neither and lists what
is missing. It works beside a running matrixbot, and also while none is running.

Exit code 0 if nothing failed, 1 if something did, 2 if the configuration is invalid.

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

/// Shared by the checks.
struct Examined<'a> {
    config: &'a Config,
    client: Client,
    /// Which homeserver it is, for remedies.
    software: Software,
    read_only: bool,
}

/// Counts the requests to the homeserver, and those that were rate limited.
#[derive(Debug, Default)]
struct RequestCounts {
    requests: AtomicU32,
    limited: AtomicU32,
}

impl RequestObserver for RequestCounts {
    fn on_request(&self, _endpoint: &'static str, code: Option<u16>, _elapsed: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if code == Some(429) {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tests everything, and reports.
pub(super) fn doctor(options: &Options) -> ExitCode {
    let config = match options.file.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match block_on(examine(&config, options)) {
        Ok(report) => report.finish(),
        Err(error) => failed(&error),
    }
}

async fn examine(config: &Config, options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new(options.json);
    configuration(&mut report, config, options);
    files::examine(&mut report, config);
    let store = database::examine(&mut report, config).await;
    listeners::examine(&mut report, config).await;
    let counts = Arc::new(RequestCounts::default());
    let client = Client::new(&config.homeserver.url, config.registration.as_token.clone(), TIMEOUTS)?
        .observed_by(Arc::clone(&counts) as Arc<dyn RequestObserver>);
    let software = Software::of(&client).await;
    let examined = Examined { config, client, software, read_only: options.read_only };
    if homeserver::examine(&mut report, &examined).await {
        for list in &config.room_lists {
            if let Some(identity) = users::examine(&mut report, &examined, list, store.as_ref()).await {
                rooms::examine(&mut report, &examined, list, &identity, store.as_ref()).await;
            }
        }
        homeserver::rate_limited(&mut report, &examined, &counts);
    } else {
        let why = "skipped because of the failures above";
        report.skipped("virtual user", None, why);
        report.skipped("room", None, why);
    }
    alertmanagers::examine(&mut report, config).await;
    on_call::examine(&mut report, config, store.as_ref()).await;
    if let Some(store) = store {
        moves::examine(&mut report, &store).await;
        store.close().await;
    }
    Ok(report)
}

fn configuration(report: &mut Report, config: &Config, options: &Options) {
    let names: Vec<&str> = config.room_lists.iter().map(|list| list.name.as_str()).collect();
    let file = options.file.config.display();
    report.ok("configuration", None, format!("{file}; room lists: {}", names.join(", ")));
    for warning in &config.warnings {
        report.warning("configuration", None, warning.to_string(), "Correct the file that it names.");
    }
}
