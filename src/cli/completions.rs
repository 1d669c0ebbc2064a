//! `matrixbot completions`

use super::{Cli, print};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Examples:
  matrixbot completions bash > /etc/bash_completion.d/matrixbot
  matrixbot completions zsh > /usr/local/share/zsh/site-functions/_matrixbot
  matrixbot completions fish > ~/.config/fish/completions/matrixbot.fish";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

/// Writes a shell's completions to standard output.
pub(super) fn completions(options: &Options) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "matrixbot", &mut script);
    print(&script)
}
