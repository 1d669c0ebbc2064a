//! `matrixbot probe`

use super::{ConfigFile, FAILED, finish, local, tell};
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
For Docker's HEALTHCHECK and whatever else can only run a command. Exit code 0 if the
answer is 200, 1 if it is another one or none comes. Only `listen` is read of the
configuration: a running program is well even if its file is wrong by now.

Examples:
  matrixbot probe
  matrixbot probe --ready --config config.yaml";

/// Whoever asks does not wait for longer either.
const TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask whether everything is well (/readyz), and not only whether the program works (/livez)
    #[arg(long)]
    ready: bool,
}

/// Asks the process that serves this configuration on this machine how it is.
pub(super) fn probe(options: &Options) -> ExitCode {
    let listen = match options.file.load_listen() {
        Ok(listen) => listen,
        Err(code) => return code,
    };
    let path = if options.ready { "/readyz" } else { "/livez" };
    let url = format!("{}{path}", local::url(&listen.admin));
    let mut answer = None;
    let asked = finish("matrixbot probe", async {
        answer = Some(local::get(&url, TIMEOUT).await?);
        Ok(())
    });
    match answer {
        Some((200, _)) | None => asked,
        Some((code, body)) => {
            tell(&format!("{url} answers {code}: {body}"));
            ExitCode::from(FAILED)
        }
    }
}
