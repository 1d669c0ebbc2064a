//! `matrixbot man`

use super::{Cli, FAILED, eprint, print};
use clap::{Args, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Examples:
  matrixbot man | man -l -
  matrixbot man --output /usr/local/share/man/man1";

const SOURCE: &str = concat!("matrixbot ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Write a page for each command to this directory: matrixbot.1, matrixbot-run.1 and so on
    #[arg(long, short, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// Writes the manual: its first page to standard output, or every page to a directory.
pub(super) fn man(options: &Options) -> ExitCode {
    match pages() {
        Ok(pages) => match &options.output {
            Some(directory) => write(directory, &pages),
            None => pages.first().map_or(ExitCode::from(FAILED), |(_, page)| print(page)),
        },
        Err(error) => failed("cannot create the manual", &error),
    }
}

/// Every page with its file's name; the program's own page comes first.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    // Without the commit, so the manual of a release is the same wherever it is built.
    let mut program = Cli::command().version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add(program, &mut pages)?;
    Ok(pages)
}

fn add(command: clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let further: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    let notes = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let man = Man::new(command.after_help(None).after_long_help(None)).manual("matrixbot").source(SOURCE);
    let mut page = Vec::new();
    man.render(&mut page)?;
    if let Some(notes) = notes {
        append(&notes, &mut page)?;
    }
    pages.push((man.get_filename(), page));
    for command in further {
        // `man matrixbot run` opens the page `matrixbot-run`.
        let own = format!("{name}-{}", command.get_name());
        add(command.display_name(own), pages)?;
    }
    Ok(())
}

/// Adds the text below the help, line by line.
fn append(notes: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]).control("nf", []);
    for line in notes.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_writer(page)
}

fn write(directory: &Path, pages: &[(String, Vec<u8>)]) -> ExitCode {
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| pages.iter().try_for_each(|(name, page)| std::fs::write(directory.join(name), page)));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("cannot write to {}", directory.display()), &error),
    }
}

fn failed(what: &str, error: &std::io::Error) -> ExitCode {
    eprint(&format!("error: {what}: {error}"));
    ExitCode::from(FAILED)
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn every_command_has_a_page_that_names_it() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "matrixbot.1");
        for name in ["matrixbot-run.1", "matrixbot-doctor.1", "matrixbot-incidents-ack.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, page) in &pages {
            let page = String::from_utf8_lossy(page);
            let command = name.trim_end_matches(".1").replace('-', "\\-");
            assert!(page.contains(&command), "{name}: {page}");
        }
    }
}
