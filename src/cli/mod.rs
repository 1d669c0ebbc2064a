//! The command line. One file per command; `--help` describes each.
//!
//! Exit codes: 0, done; 1, failed; 2, the command line or the configuration is invalid.

mod check;
mod completions;
mod doctor;
mod import;
mod incidents;
mod local;
mod man;
mod migrate;
mod oncall;
mod preview;
mod probe;
mod registration;
mod rooms;
mod run;
mod shell;
mod test_alert;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Listen, Outside, Problem, load, load_listen};
use crate::matrix::install_tls_provider;
use crate::render::template;
use crate::telemetry::logs::{self, Format};
use crate::telemetry::{COMMIT, VERSION};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

/// The command failed.
const FAILED: u8 = 1;
/// The configuration is invalid; clap uses the same code for an invalid command line.
const MISUSED: u8 = 2;

/// How long the database may take to answer a command.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!("{VERSION} (commit {COMMIT}, {profile}, {}-{})", std::env::consts::ARCH, std::env::consts::OS)
});

/// Posts firing Alertmanager alerts to a Matrix room, lets someone there acknowledge them, and escalates to the next
/// room if nobody does.
#[derive(Debug, Parser)]
#[command(name = "matrixbot", version = LONG_VERSION.as_str(), after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logs: LogOptions,
}

const EXAMPLES: &str = "\
Examples:
  Create a registration, and give the same file to the homeserver:
    matrixbot registration --url http://127.0.0.1:9009 --server-name example.org \\
        --output registration.yaml
  Validate a configuration, then run:
    matrixbot check --config config.yaml
    matrixbot run --config config.yaml

Exit codes: 0, done; 1, failed; 2, the command line or the configuration is invalid.";

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
struct LogOptions {
    /// Format of log lines; auto: readable text on a terminal, otherwise JSON
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        global = true,
        env = "MATRIXBOT_LOG_FORMAT",
        display_order = 100
    )]
    log_format: LogFormat,
    /// error, warn, info, debug or trace; or directives such as matrixbot=debug,sqlx=info
    #[arg(long, default_value = "info", global = true, env = "RUST_LOG", display_order = 100)]
    log_level: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Human,
    Json,
    Auto,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT; then finish in-flight work and exit
    #[command(after_help = run::EXAMPLES)]
    Run(ConfigFile),
    /// Validate the configuration and the files it names
    #[command(after_help = check::EXAMPLES)]
    Check(check::Options),
    /// Test everything for real, from the database to every room, and say how to fix each failure
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Options),
    /// List, show, and act on incidents, as people do in rooms
    #[command(after_help = incidents::EXAMPLES)]
    Incidents(incidents::Options),
    /// List the rooms and whether they are joined; list the rooms that have moved, and take a move back
    #[command(after_help = rooms::EXAMPLES)]
    Rooms(rooms::Options),
    /// Show who is on call when
    #[command(after_help = oncall::EXAMPLES)]
    Oncall(oncall::Options),
    /// Send a test alert through the whole path, and wait until its page is in every room
    #[command(after_help = test_alert::EXAMPLES)]
    TestAlert(test_alert::Options),
    /// Show the page of a webhook's body, and whom it would notify when; nothing is sent
    #[command(after_help = preview::EXAMPLES)]
    Preview(preview::Options),
    /// Migrate the database's schema
    #[command(after_help = migrate::EXAMPLES)]
    Migrate(ConfigFile),
    /// Health check for Docker
    #[command(after_help = probe::EXAMPLES)]
    Probe(probe::Options),
    /// Create a registration with new tokens, for the homeserver and matrixbot
    #[command(after_help = registration::EXAMPLES)]
    Registration(registration::Options),
    /// Convert the configuration of opsdroid's alert skills or of matrixbot-ack
    #[command(after_help = import::EXAMPLES)]
    Import(import::Options),
    /// Write shell completions to standard output
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Options),
    /// Write the manual
    #[command(after_help = man::EXAMPLES)]
    Man(man::Options),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "config.yaml",
        env = "MATRIXBOT_CONFIG",
        global = true
    )]
    config: PathBuf,
}

impl ConfigFile {
    /// The configuration, or every problem with it.
    fn read(&self) -> Result<Config, Vec<Problem>> {
        load(&self.config, OUTSIDE)
    }

    /// The configuration; or, after printing every problem, the exit code.
    fn load(&self) -> Result<Config, ExitCode> {
        self.read().map_err(misused)
    }

    /// Only `listen`, even if other parts of the configuration are invalid.
    fn load_listen(&self) -> Result<Listen, ExitCode> {
        load_listen(&self.config, OUTSIDE).map_err(misused)
    }
}

/// What the configuration uses from outside its file.
const OUTSIDE: Outside<'static> =
    Outside { environment: &|name| std::env::var(name).ok(), template: &check_template };

/// Prints every problem.
fn misused(problems: Vec<Problem>) -> ExitCode {
    for problem in problems {
        eprint(&problem.to_string());
    }
    ExitCode::from(MISUSED)
}

impl Cli {
    /// Executes the command.
    pub fn execute(self) -> ExitCode {
        let format = match self.logs.log_format {
            LogFormat::Human => Format::Human,
            LogFormat::Json => Format::Json,
            LogFormat::Auto => Format::Auto,
        };
        if let Err(error) = logs::init(format, &self.logs.log_level) {
            eprint(&format!("error: {error}"));
            return ExitCode::from(MISUSED);
        }
        install_tls_provider();
        match self.command {
            Command::Run(file) => run::run(&file),
            Command::Check(options) => check::check(&options),
            Command::Doctor(options) => doctor::doctor(&options),
            Command::Incidents(options) => incidents::incidents(&options),
            Command::Rooms(options) => rooms::rooms(&options),
            Command::Oncall(options) => oncall::oncall(&options),
            Command::TestAlert(options) => test_alert::test_alert(&options),
            Command::Preview(options) => preview::preview(&options),
            Command::Migrate(file) => migrate::migrate(&file),
            Command::Probe(options) => probe::probe(&options),
            Command::Registration(options) => registration::registration(&options),
            Command::Import(options) => import::import(&options),
            Command::Completions(options) => completions::completions(&options),
            Command::Man(options) => man::man(&options),
        }
    }
}

/// Tests a message template with a sample incident.
fn check_template(name: &str, text: &str) -> Result<(), String> {
    let one = BTreeMap::from([(name.to_owned(), text.to_owned())]);
    match template::check(&one, SystemClock.now()).into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(problem.problem),
    }
}

/// Runs `work` to its end and returns the exit code. A failure is logged here, with its causes.
fn finish(what: &'static str, work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match block_on(work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = logs::causes(error.as_ref());
            tracing::error!(cause, "{what} failed: {cause}");
            ExitCode::from(FAILED)
        }
    }
}

/// Runs `work` to its end.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(work))
}

/// Writes a result to standard output. A closed pipe is no failure.
fn print(result: &[u8]) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match output.write_all(result).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprint(&format!("error: cannot write to standard output: {error}"));
            ExitCode::from(FAILED)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints why a command failed, each cause once.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprint(&format!("error: {}", logs::causes(error.as_ref())));
    ExitCode::from(FAILED)
}

/// Prints a line to standard error, if it is open.
fn eprint(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_commands_are_valid() {
        for line in [
            "matrixbot run --config config.yaml",
            "matrixbot check --config config.yaml --log-format json",
            "matrixbot --log-level debug migrate --config config.yaml",
            "matrixbot probe --ready --config config.yaml",
            "matrixbot check --schema",
            "matrixbot import --from opsdroid configuration.yaml --output config.yaml --force",
            "matrixbot import --from matrixbot-ack -",
            "matrixbot registration --url http://127.0.0.1:9009 --server-name example.org",
            "matrixbot registration --url http://127.0.0.1:9009 --server-name example.org --id matrixbot \
             --sender-localpart matrixbot --user-prefix _alerts_ --output registration.yaml --force",
            "matrixbot doctor --config config.yaml",
            "matrixbot doctor --read-only --json",
            "matrixbot test-alert --config config.yaml --room-list finance",
            "matrixbot test-alert --room-list finance --level 2 --timeout 1m --keep --json",
            "matrixbot incidents",
            "matrixbot incidents --json",
            "matrixbot incidents list --state firing --room-list finance --config config.yaml",
            "matrixbot incidents --config config.yaml show 42",
            "matrixbot incidents ack 42 #43 --comment mine --as @alice:example.org --json",
            "matrixbot incidents snooze all --for 2h",
            "matrixbot incidents resolve --room-list removed --all",
            "matrixbot rooms moved --config config.yaml",
            "matrixbot rooms undo-move !old:example.org",
            "matrixbot completions bash",
            "matrixbot man",
            "matrixbot man --output man1",
        ] {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn option_as_requires_a_whole_user_id() {
        for user in ["alice", "@alice", "alice:example.org"] {
            let error =
                Cli::try_parse_from(["matrixbot", "incidents", "ack", "42", "--as", user]).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("'--as <USER>'") && error.contains("such as @alice:example.org"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_version_names_the_release_and_the_commit() {
        let version = Cli::command().render_version();
        assert!(version.contains(env!("CARGO_PKG_VERSION")) && version.contains("commit"), "{version}");
    }
}
