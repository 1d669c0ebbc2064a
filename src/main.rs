//! The `matrixbot` program: the library behind a command line.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    matrixbot::cli::Cli::parse().execute()
}
