//! Logs: to standard error, for people on a terminal, as JSON for machines. They never hold secrets, bodies, query
//! strings, or more of a person than the user id.

use std::error::Error;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
    /// For people if standard error is a terminal, otherwise JSON.
    #[default]
    Auto,
}

/// The logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The level is neither a level nor a list of directives.
    #[error("the log level `{level}` cannot be read: {source}")]
    Level {
        /// What was asked for.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else collects this process's logs already.
    #[error("the logs are set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the logs of this process, and sees to it that a panic is logged like everything else. `level`: a level,
/// which concerns this program (others only warn), or directives as `RUST_LOG` takes them.
pub fn init(format: Format, level: &str) -> Result<(), LogsError> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        Format::Human => true,
        Format::Json => false,
        Format::Auto => terminal,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if human {
        registry.with(lines.with_ansi(terminal).with_target(false)).try_init()?;
    } else {
        registry.with(lines.json().flatten_event(true).with_current_span(true)).try_init()?;
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, LogsError> {
    let directives = if level.chars().all(|c| c.is_ascii_alphabetic()) {
        format!("warn,matrixbot={level}")
    } else {
        level.to_owned()
    };
    EnvFilter::try_new(directives).map_err(|source| LogsError::Level { level: level.to_owned(), source })
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = std::backtrace::Backtrace::capture();
    let message = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, thread, %backtrace, "the program has a defect and panicked at {place}: {message}");
}

/// An error and everything behind it, in one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_line = cause.to_string();
        // Some errors repeat their source in their own words.
        if !line.contains(&cause_line) {
            line.push_str(": ");
            line.push_str(&cause_line);
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_level_concerns_this_program_and_others_only_warn() {
        assert_eq!(filter("debug").unwrap().to_string(), "matrixbot=debug,warn");
    }

    #[test]
    fn directives_are_taken_as_they_are() {
        assert_eq!(filter("sqlx=info,matrixbot=trace").unwrap().to_string(), "matrixbot=trace,sqlx=info");
    }

    #[test]
    fn a_level_that_is_none_is_told() {
        let error = filter("loud").unwrap_err().to_string();
        assert!(error.contains("`loud` cannot be read"), "{error}");
    }
}
