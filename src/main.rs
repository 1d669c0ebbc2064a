//! The `matrixbot` program: the library behind a command line.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
