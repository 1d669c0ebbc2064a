//! Logs to standard error: text for people on a terminal, JSON for machines. Logs never contain secrets, bodies or
//! query strings, and nothing about a person except the user id.

use std::error::Error;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
    /// Text if standard error is a terminal, otherwise JSON.
    #[default]
    Auto,
}

/// The logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The level is neither a level nor a list of directives.
    #[error("the log level `{level}` cannot be read: {source}")]
    Level {
        /// The configured level.
        level: String,
        /// The cause.
        source: tracing_subscriber::filter::ParseError,
    },
    /// This process already has a log subscriber.
    #[error("the logs are set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the logs of this process; panics are logged as well. `level` is a level for matrixbot (libraries log only
/// warnings and errors), or a list of directives as in `RUST_LOG`.
pub fn init(format: Format, level: &str) -> Result<(), LogsError> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let is_text = match format {
        Format::Human => true,
        Format::Json => false,
        Format::Auto => terminal,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if is_text {
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

/// An error with all its sources, in one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_line = cause.to_string();
        // Some errors already contain the text of their source.
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
    fn a_level_applies_to_matrixbot_and_libraries_log_only_warnings() {
        assert_eq!(filter("debug").unwrap().to_string(), "matrixbot=debug,warn");
    }

    #[test]
    fn directives_are_used_unchanged() {
        assert_eq!(filter("sqlx=info,matrixbot=trace").unwrap().to_string(), "matrixbot=trace,sqlx=info");
    }

    #[test]
    fn an_unknown_level_is_an_error() {
        let error = filter("loud").unwrap_err().to_string();
        assert!(error.contains("`loud` cannot be read"), "{error}");
    }
}
