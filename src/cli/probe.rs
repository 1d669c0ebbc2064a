//! `matrixbot probe`

use super::{ConfigFile, FAILED, eprint, finish, local};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
For Docker's HEALTHCHECK and other tools that can only run a command. Exit code 0 if the
answer is 200, 1 if it is another one or none arrives. With --ready, 200 also means
degraded: pages arrive, but something needs a person; the answer is printed. Reads only `listen` from the
configuration: the running program works even if the file has become invalid.

Examples:
  matrixbot probe
  matrixbot probe --ready --config config.yaml";

/// Docker's health check has a timeout of its own, which is longer.
const TIMEOUT: Duration = Duration::from_secs(4);

/// What the answer of a program contains that is ready but needs a person.
const DEGRADED: &str = r#""status":"degraded""#;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Check everything (/readyz), not only that the program runs (/livez)
    #[arg(long)]
    ready: bool,
}

/// Checks the process that runs with this configuration on this machine.
pub(super) fn probe(options: &Options) -> ExitCode {
    let listen = match options.file.load_listen() {
        Ok(listen) => listen,
        Err(code) => return code,
    };
    let path = if options.ready { "/readyz" } else { "/livez" };
    let url = format!("{}{path}", local::url(&listen.admin));
    let mut answer = None;
    let result = finish("matrixbot probe", async {
        answer = Some(local::get(&url, TIMEOUT).await?);
        Ok(())
    });
    match answer {
        Some((200, body)) => {
            if body.contains(DEGRADED) {
                eprint(&format!("{url}: {body}"));
            }
            result
        }
        None => result,
        Some((code, body)) => {
            eprint(&format!("{url} answers {code}: {body}"));
            ExitCode::from(FAILED)
        }
    }
}
