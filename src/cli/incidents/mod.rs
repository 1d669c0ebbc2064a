//! `matrixbot incidents`: the commands of rooms, for a shell. They share the rooms' code but work directly on the
//! database, so they also work while the homeserver is unreachable.

mod act;
mod list;
mod show;
mod silences;

use super::shell::{self, Shell};
use super::{ConfigFile, FAILED, block_on, failed};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::domain::command::{Act, Verb, VerbEffect};
use crate::domain::duration;
use crate::domain::on_call::OnCallNow;
use crate::domain::policy::Policy;
use crate::domain::zone;
use crate::engine::Engine;
use crate::render::Context;
use crate::store::Store;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use ruma::OwnedUserId;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Without a command, lists open incidents. Works directly on the database, whether matrixbot
runs or not, and whether the homeserver answers or not; rooms see what changed as soon
as a running matrixbot has sent it. Anyone who can read the configuration may do everything:
rights and scopes of rooms do not matter here. The timeline names the user of the shell,
or whom --as names.

Examples:
  matrixbot incidents
  matrixbot incidents list --room-list finance --state firing --state unanswered --json
  matrixbot incidents show 42
  matrixbot incidents ack 42 43 --comment 'on my way' --as @alice:example.org
  matrixbot incidents resolve all --room-list staging
  matrixbot incidents silence 42 2h 'disk swap'
  matrixbot incidents resolve --room-list removed --all";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<IncidentsCommand>,
    #[command(flatten)]
    config: ConfigFile,
    /// Only incidents of this room list; several may be named
    #[arg(long = "room-list", value_name = "NAME", global = true)]
    room_lists: Vec<String>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum IncidentsCommand {
    /// List incidents, the oldest first; without options, open incidents
    List(list::Options),
    /// Show incidents as they stand, with their alerts
    Show(Numbers),
    /// Show what happened to incidents, by whom and when
    Timeline(Numbers),
    /// Silence the alerts of an incident in Alertmanager, or move the end of its silences
    Silence(silences::Silence),
    /// List the silences that hold alerts of open incidents, or were made for them
    Silences,
    /// End one of these silences
    Unsilence(silences::Unsilence),
    #[command(flatten)]
    Act(ActCommand),
}

/// A command that changes incidents. Each verb of the rooms that does so has one.
#[derive(Debug)]
struct ActCommand {
    act: Act,
    acting: Acting,
}

#[derive(Debug, Args)]
struct Numbers {
    /// The incidents
    #[arg(required = true, value_name = "N", value_parser = number)]
    numbers: Vec<i64>,
}

#[derive(Debug, Args)]
struct Acting {
    /// The incidents, or `all` that this can concern
    #[arg(required_unless_present = "every", value_name = "N|all")]
    which: Vec<Which>,
    /// The same as `all`
    #[arg(long = "all", conflicts_with = "which")]
    every: bool,
    /// A comment for the timeline and the messages in the rooms
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The Matrix user who does it, such as @alice:example.org; otherwise the user of this shell
    #[arg(long = "as", value_name = "USER", value_parser = user)]
    who: Option<OwnedUserId>,
}

#[derive(Debug, Args)]
struct Length {
    /// For how long, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Duration,
}

/// The verbs that change incidents.
fn acts() -> impl Iterator<Item = Verb> {
    Verb::ALL.iter().copied().filter(|verb| verb.is_act())
}

impl Subcommand for ActCommand {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        acts().fold(command, |command, verb| {
            let row = verb.row();
            let mut purpose = row.purpose.to_owned();
            if let Some(first) = purpose.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            let subcommand = clap::Command::new(verb.word()).about(purpose);
            let subcommand = match row.effect {
                VerbEffect::ActFor(_) => Length::augment_args(subcommand),
                _ => subcommand,
            };
            command.subcommand(Acting::augment_args(subcommand))
        })
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        acts().any(|verb| verb.word() == name)
    }
}

impl FromArgMatches for ActCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.subcommand();
        let given =
            given.and_then(|(word, matches)| Some((acts().find(|verb| verb.word() == word)?, matches)));
        let Some((verb, matches)) = given else {
            return Err(clap::Error::new(ErrorKind::InvalidSubcommand));
        };
        let act = match verb.row().effect {
            VerbEffect::Act(act) | VerbEffect::ActWithComment(act) => act,
            VerbEffect::ActFor(act) => act(Length::from_arg_matches(matches)?.length),
            VerbEffect::Show(_)
            | VerbEffect::Query(_)
            | VerbEffect::Silence
            | VerbEffect::Unsilence
            | VerbEffect::OnCall
            | VerbEffect::NotAvailable(_) => {
                return Err(clap::Error::new(ErrorKind::InvalidSubcommand));
            }
        };
        Ok(Self { act, acting: Acting::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An incident, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Number(i64),
    All,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("all") { Ok(Self::All) } else { number(text).map(Self::Number) }
    }
}

/// `42` or `#42`.
fn number(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    match digits.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is not an incident number")),
    }
}

/// A whole Matrix user id.
fn user(text: &str) -> Result<OwnedUserId, String> {
    OwnedUserId::try_from(text)
        .map_err(|_why| "it must be a whole Matrix user id such as @alice:example.org".to_owned())
}

/// The state that the commands share.
struct Incidents {
    engine: Engine,
    store: Store,
    room_lists: Vec<String>,
    json: bool,
}

impl Incidents {
    async fn open(config: &Config, options: &Options) -> anyhow::Result<Self> {
        let Shell { engine, store, room_lists: known } = Shell::open(config).await?;
        for wanted in &options.room_lists {
            anyhow::ensure!(
                known.contains(wanted),
                "the database knows no room list {wanted}; it knows {}",
                known.join(", ")
            );
        }
        let room_lists = if options.room_lists.is_empty() { known } else { options.room_lists.clone() };
        Ok(Self { engine, store, room_lists, json: options.json })
    }

    /// Whether the command applies to incidents of this room list.
    fn includes(&self, room_list: &str) -> bool {
        self.room_lists.iter().any(|name| name == room_list)
    }

    /// The context for rendering answers.
    fn context(policy: &Policy) -> Context<'_> {
        Context {
            policy,
            on_call: OnCallNow::none(),
            ack_reaction: "",
            for_good: false,
            now: SystemClock.now(),
            zone: &zone::UTC,
        }
    }
}

/// Executes the command.
pub(super) fn incidents(options: &Options) -> ExitCode {
    let config = match options.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let done = block_on(async {
        let incidents = Incidents::open(&config, options).await?;
        let done = incidents.execute(&config, options.command.as_ref()).await;
        incidents.store.close().await;
        done
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => failed(&error),
    }
}

impl Incidents {
    /// Executes a command; without one, lists open incidents. Returns whether it succeeded for every incident.
    async fn execute(&self, config: &Config, command: Option<&IncidentsCommand>) -> anyhow::Result<bool> {
        let who = |named: Option<&OwnedUserId>| {
            named.cloned().unwrap_or_else(|| shell::user(&config.homeserver.server_name))
        };
        let ActCommand { act, acting } = match command {
            None => return self.list(&list::Options::default()).await,
            Some(IncidentsCommand::List(options)) => return self.list(options).await,
            Some(IncidentsCommand::Show(wanted)) => return self.show(&wanted.numbers).await,
            Some(IncidentsCommand::Timeline(wanted)) => return self.timeline(&wanted.numbers).await,
            Some(IncidentsCommand::Silence(options)) => {
                return self.silence(config, options, &who(options.who.as_ref())).await;
            }
            Some(IncidentsCommand::Silences) => return self.silences(config, &who(None)).await,
            Some(IncidentsCommand::Unsilence(options)) => {
                return self.unsilence(config, options, &who(None)).await;
            }
            Some(IncidentsCommand::Act(command)) => command,
        };
        let who = who(acting.who.as_ref());
        let which = if acting.every { &[Which::All][..] } else { &acting.which };
        self.act(which, *act, &who, acting.comment.as_deref()).await
    }
}
