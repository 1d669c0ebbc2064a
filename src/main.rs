//! The `matrixbot` program: the command line of the library.

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    matrixbot::cli::Cli::parse().execute()
}
