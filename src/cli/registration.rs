//! `matrixbot registration`

use super::{FAILED, MISUSED, eprint, print};
use crate::config::appservice_address;
use crate::rooms::user_id;
use clap::Args;
use ruma::OwnedServerName;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use url::Url;

pub(super) const EXAMPLES: &str = "\
The homeserver and matrixbot read the same file: `app_service_config_files` in Synapse,
`registration` in matrixbot's configuration.

Examples:
  matrixbot registration --url http://127.0.0.1:9009 --server-name example.org \\
      --output registration.yaml
  matrixbot registration --url https://bot.example.org --server-name example.org \\
      --user-prefix _pager_";

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where the homeserver reaches matrixbot's appservice listener
    #[arg(long, value_parser = appservice_address)]
    url: Url,
    /// The part after the colon in the homeserver's user ids
    #[arg(long, value_name = "NAME")]
    server_name: OwnedServerName,
    /// The id of the registration; unique among the homeserver's appservices
    #[arg(long, default_value = "matrixbot", value_parser = localpart)]
    id: String,
    /// The account of the appservice itself, which never posts to rooms
    #[arg(long, value_name = "LOCALPART", default_value = "matrixbot", value_parser = localpart)]
    sender_localpart: String,
    /// Prefix of the virtual users' localparts; `user_prefix` in the configuration
    #[arg(long, value_name = "PREFIX", default_value = "_alerts_", value_parser = localpart)]
    user_prefix: String,
    /// The file to write, readable by its owner only; otherwise standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file, including the tokens that the homeserver knows
    #[arg(long)]
    force: bool,
}

/// Writes a registration.
pub(super) fn registration(options: &Options) -> ExitCode {
    if options.sender_localpart.starts_with(&options.user_prefix) {
        eprint("error: --sender-localpart must not begin with --user-prefix: it is not a virtual user");
        return ExitCode::from(MISUSED);
    }
    let text = text(options, &token(), &token());
    let written = match &options.output {
        Some(path) => write_private(path, &text, options.force),
        None => std::io::stdout().write_all(text.as_bytes()),
    };
    match (written, &options.output) {
        (Ok(()), None) => ExitCode::SUCCESS,
        (Ok(()), Some(path)) => {
            print(format!("{} was written; the homeserver needs the same file\n", path.display()).as_bytes())
        }
        (Err(error), Some(path)) if error.kind() == ErrorKind::AlreadyExists => {
            let kept = "exists, and the homeserver may know its tokens; --force overwrites it";
            eprint(&format!("error: {} {kept}", path.display()));
            ExitCode::from(FAILED)
        }
        (Err(error), path) => {
            let place = path.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
            eprint(&format!("error: cannot write {place}: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Writes a file that only its owner may read, from the first byte on.
pub(super) fn write_private(path: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut file = options.open(path)?;
    // An existing file would keep its mode.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A random token of 64 hexadecimal digits.
fn token() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

fn localpart(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-".contains(c);
    if !text.is_empty() && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("only a-z, 0-9, `.`, `_`, `=` and `-` are allowed".to_owned())
}

/// The registration's text. Synapse treats a missing `rate_limited` as true.
fn text(options: &Options, as_token: &str, hs_token: &str) -> String {
    let Options { url, server_name, id, sender_localpart, user_prefix, .. } = options;
    let url = url.as_str().trim_end_matches('/');
    let users = scalar(&user_id::namespace_regex(user_prefix, server_name));
    let (id, url, sender_localpart) = (scalar(id), scalar(url), scalar(sender_localpart));
    let (as_token, hs_token) = (scalar(as_token), scalar(hs_token));
    format!(
        "\
# Written by `matrixbot registration`. The homeserver and matrixbot both read this file. Nobody else may read it:
# as_token allows its holder to act as any of the users below.
id: {id}
# Where the homeserver reaches matrixbot's appservice listener.
url: {url}
# The token that matrixbot sends to the homeserver, and the one that the homeserver sends to matrixbot.
as_token: {as_token}
hs_token: {hs_token}
# The account of the appservice itself, which never posts to rooms.
sender_localpart: {sender_localpart}
# Pages must not wait.
rate_limited: false
# matrixbot does not use typing notifications and read receipts.
receive_ephemeral: false
# Devices of virtual users, for Synapse before 1.141: they make a resend safe across a restart of the homeserver.
io.element.msc4190: true
namespaces:
  # The virtual users: one for each room list.
  users:
    - exclusive: true
      regex: {users}
  aliases: []
  rooms: []
"
    )
}

/// A text as a YAML scalar, quoted where it must be.
pub(super) fn scalar(text: &str) -> String {
    serde_yaml::to_string(text).map_or_else(|_| format!("{text:?}"), |scalar| scalar.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Options, text, token, write_private};
    use crate::config::Registration;
    use clap::Parser;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt as _;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::parse_from(std::iter::once("registration").chain(line.split_whitespace())).options
    }

    const EXAMPLE: &str = "--url http://127.0.0.1:9009 --server-name example.org";

    #[test]
    fn the_example_file_is_up_to_date() {
        let example = include_str!("../../registration.yaml.example");
        assert_eq!(
            text(&options(EXAMPLE), "REPLACE_WITH_A_RANDOM_TOKEN", "REPLACE_WITH_ANOTHER_ONE"),
            example
        );
    }

    #[test]
    fn the_configuration_reads_a_written_registration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration.yaml");
        let line = "--url https://bot.example.org/ --server-name chat.example.org --user-prefix _pager-";
        write_private(&path, &text(&options(line), "a", "h"), false).unwrap();
        let read: Registration = crate::config::read_registration(&path).unwrap();
        assert_eq!((read.as_token.expose_secret(), read.hs_token.expose_secret()), ("a", "h"));
        assert_eq!(read.user_namespaces(), ["@_pager-.*:chat\\.example\\.org$"]);
        assert_eq!((read.id.as_str(), read.sender_localpart.as_str()), ("matrixbot", "matrixbot"));
    }

    #[test]
    fn a_file_is_private_and_only_force_overwrites_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registration.yaml");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_private(&path, "first", false).unwrap();
        assert_eq!(mode(), 0o600);
        write_private(&path, "second", false).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "third", true).unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), mode()), ("third", 0o600));
    }

    #[test]
    fn tokens_are_long_and_unique() {
        assert_eq!(token().len(), 64);
        assert_ne!(token(), token());
    }
}
