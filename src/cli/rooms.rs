//! `matrixbot rooms`: the rooms of the configuration, and where they have moved.

use super::shell::Shell;
use super::{ConfigFile, block_on, eprint, failed, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, RoomListConfig};
use crate::domain::lists::{FollowAliases, ListSettings};
use crate::matrix::{Client, Identity, Timeouts};
use crate::rooms::user_id::user_id_for;
use crate::rooms::{Differs, look_up, why_muted};
use crate::store::{Move, Strayed, alias, commit, room_move};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use ruma::{RoomId, UserId};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

/// How long the homeserver may take.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), request: Duration::from_secs(10) };

pub(super) const EXAMPLES: &str = "\
Works directly on the database, whether matrixbot runs or not. A running process sends pages
to the room again at once; at its next attendance, within five minutes, it joins the room
again if it has left it.

Examples:
  matrixbot rooms list
  matrixbot rooms list --json | jq '.[] | select(.membership != \"join\")'
  matrixbot rooms moved
  matrixbot rooms undo-move '!old:example.org'";

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the rooms of each room list with their names, and whether the virtual user is in them
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// List the rooms that have moved, and whether matrixbot follows
    Moved,
    /// Take back that a room has moved: pages go to the room itself again
    UndoMove {
        /// The room that moved, by its id
        #[arg(value_name = "ROOM")]
        room: String,
        /// Also if no page can be sent there now, because an upgrade makes the old room read-only
        #[arg(long)]
        force: bool,
    },
}

/// Lists moves, or takes one back.
pub(super) fn rooms(options: &Options) -> ExitCode {
    let config = match options.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let done = block_on(async {
        let shell = Shell::open(&config).await?;
        let done = match &options.what {
            What::List { json } => list(&shell, &config, *json).await,
            What::Moved => moved(&shell).await,
            What::UndoMove { room, force } => undo(&shell, &config, room, *force).await,
        };
        shell.store.close().await;
        done
    });
    match done {
        Ok(text) => print(text.as_bytes()),
        Err(error) => failed(&error),
    }
}

/// One room of a room list.
#[derive(Serialize)]
struct Line {
    room_list: String,
    /// The room, as the configuration names it.
    reference: String,
    /// Its levels, counted from 1.
    levels: Vec<usize>,
    fallback: bool,
    /// Where its pages go; the alias, if that was never looked up.
    room: String,
    /// What people call that room.
    name: Option<String>,
    /// As in Matrix, or `unreachable`.
    membership: Option<String>,
    /// Whether the virtual user was found to be in the room, but not to be allowed to send messages.
    muted: bool,
    /// Where its alias leads, if pages do not follow.
    alias_leads_to: Option<String>,
    /// Why they do not, and what to do if they should.
    alias_why: Option<String>,
}

async fn list(shell: &Shell, config: &Config, as_json: bool) -> anyhow::Result<String> {
    let strayed = shell.store.strayed_aliases().await?;
    let mut lines = Vec::new();
    for list in &config.room_lists {
        let user = user_id_for(&list.name, &config.user_prefix, &config.homeserver.server_name)?;
        let troubled = shell.store.troubled_rooms(&list.name).await?;
        let settings = ListSettings::new(list.name.clone(), user.clone(), list.policy.clone());
        for reference in settings.references() {
            let levels = list.policy.levels.iter().zip(1..);
            let levels = levels.filter(|(level, _)| level.rooms.contains(&reference));
            let room = shell.store.room_of(&reference).await?;
            let strayed = strayed.iter().find(|one| one.room_list == list.name && one.alias == reference);
            let alias_why = match strayed.map(|one| &one.is) {
                Some(Strayed::Waiting { why, .. }) => {
                    Some(format!("where {user} cannot post: {why}; write `/invite {user}` there"))
                }
                Some(Strayed::Kept { leads_to }) => Some(kept(shell, list, &room, leads_to).await?),
                Some(Strayed::Missing) | None => None,
            };
            lines.push(Line {
                room_list: list.name.clone(),
                levels: levels.map(|(_, number)| number).collect(),
                fallback: list.policy.fallback_rooms.contains(&reference),
                name: shell.store.room_called(&room).await?,
                membership: shell.store.membership(user.as_str(), &room).await?,
                muted: troubled.iter().any(|room| room.reference == reference && room.muted),
                alias_why,
                alias_leads_to: strayed.and_then(|one| one.is.leads_to().map(str::to_owned)),
                room,
                reference,
            });
        }
    }
    if as_json {
        return Ok(format!("{:#}\n", serde_json::to_value(lines)?));
    }
    Ok(lines.iter().map(Line::text).collect())
}

impl Line {
    fn text(&self) -> String {
        let mut places: Vec<String> = self.levels.iter().map(|level| format!("level {level}")).collect();
        if self.fallback {
            places.push("fallback".to_owned());
        }
        let name = self.name.as_ref().filter(|name| **name != self.reference);
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        let room = if self.room == self.reference { String::new() } else { format!(" -> {}", self.room) };
        let is = match self.membership.as_deref() {
            Some("join") if self.muted => "joined, but may not send messages",
            Some("join") => "joined",
            Some("unreachable") => "cannot be joined",
            Some(_) => "not joined any more",
            None => "not joined yet",
        };
        let why = self.alias_why.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
        let strays = self.alias_leads_to.as_ref().map(|to| format!("; the alias leads to {to}{why}"));
        let (list, places) = (&self.room_list, places.join(", "));
        format!("{list}, {places}: {}{room}{name}: {is}{}\n", self.reference, strays.unwrap_or_default())
    }
}

/// Why pages stay in a room whose alias leads to another one, and what to do if they should not.
async fn kept(shell: &Shell, list: &RoomListConfig, room: &str, leads_to: &str) -> anyhow::Result<String> {
    let moved = shell.store.room_move(room).await?.filter(|moved| moved.successor == leads_to);
    Ok(match moved.map(|moved| moved.is) {
        Some(Move::Undone) => format!("but the move there was taken back: {}", after_undo(room, leads_to)),
        _ if list.follow_aliases == FollowAliases::Never => "but follow_aliases is never".to_owned(),
        _ => "and pages follow soon".to_owned(),
    })
}

/// What to do about an alias that leads to a room after the move there was taken back.
pub(super) fn after_undo(room: &str, leads_to: &str) -> String {
    format!("let it lead to {room} again, or configure {leads_to} by its id if pages should go there")
}

async fn moved(shell: &Shell) -> anyhow::Result<String> {
    let moves = shell.store.room_moves().await?;
    if moves.is_empty() {
        return Ok("No room has moved.\n".to_owned());
    }
    let mut lines = Vec::with_capacity(moves.len());
    for moved in moves {
        let (room, successor) =
            (shell.store.room_label(&moved.room).await?, shell.store.room_label(&moved.successor).await?);
        let is = match moved.is {
            Move::Followed => "followed".to_owned(),
            Move::Undone => "taken back; pages go to the room itself".to_owned(),
            Move::Waiting(why) => format!("not joined yet ({why}); pages stay in the room"),
            Move::Refused(why) => format!("refused: {why}; pages stay in the room"),
        };
        lines.push(format!("{room} -> {successor}: {is}, since {}\n", moved.since));
    }
    Ok(lines.concat())
}

async fn undo(shell: &Shell, config: &Config, room: &str, force: bool) -> anyhow::Result<String> {
    let now = SystemClock.now();
    let known = shell.store.room_move(room).await?;
    let Some(known) = known.filter(|known| known.is != Move::Undone) else {
        anyhow::bail!("{room} has not moved; `matrixbot rooms moved` lists the rooms that have");
    };
    let origins = shell.store.origins(room).await?;
    let label = shell.store.room_label(room).await?;
    match obstacles(shell, config, room).await {
        Ok(obstacles) if obstacles.is_empty() => {}
        Ok(obstacles) => {
            let problem = format!(
                "matrixbot may not send messages in {label}: {}. An upgrade makes the old room \
                read-only; let the virtual user write there first",
                obstacles.join("; ")
            );
            // Otherwise the pages are there anyway.
            anyhow::ensure!(force || known.is != Move::Followed, "{problem}, or repeat this with --force");
            eprint(&format!("warning: {problem}"));
        }
        Err(error) => eprint(&format!(
            "warning: it is not known whether matrixbot may send messages in {label}: {error:#}"
        )),
    }
    // What waits for the successor is meant for the room, unless a list has the successor in its own right.
    let mut leading = shell.store.references_to(&known.successor).await?;
    leading.retain(|reference| !origins.contains(reference));
    let own = config.room_lists.iter().any(|list| names(list, &leading));
    let mut tx = shell.store.begin().await?;
    room_move::undo(&mut tx, room, !own, now).await?;
    commit(tx).await?;
    let aliases = aliases_left_behind(shell, config, room, &known.successor).await?;
    let leading = shell.store.references_to(room).await?;
    if !config.room_lists.iter().any(|list| names(list, &leading)) {
        return Ok(format!(
            "The move is taken back, but pages do not go to {room}: no room of the configuration leads there. An upgrade \
             moves the room's aliases as well.\n"
        ));
    }
    Ok(format!("Pages go to {room} again, no longer to {}.\n{aliases}", known.successor))
}

/// Records which aliases of a room still lead to its former successor, as attendance does, and returns what to do.
async fn aliases_left_behind(
    shell: &Shell,
    config: &Config,
    room: &str,
    successor: &str,
) -> anyhow::Result<String> {
    let client = Client::new(&config.homeserver.url, config.registration.as_token.clone(), TIMEOUTS)?;
    let leading = shell.store.references_to(room).await?;
    let (now, mut lines) = (SystemClock.now(), Vec::new());
    for alias in leading.iter().filter(|reference| reference.starts_with('#')) {
        let found = look_up(&client, Some(&shell.store), alias).await;
        let Ok(Some(Differs::Leads(leads_to))) = found.map(|found| found.differs) else { continue };
        if leads_to != successor {
            continue;
        }
        let is = Strayed::Kept { leads_to };
        let mut tx = shell.store.begin().await?;
        for list in config.room_lists.iter().filter(|list| names(list, std::slice::from_ref(alias))) {
            alias::strays(&mut tx, &list.name, alias, &is, now).await?;
        }
        commit(tx).await?;
        lines.push(format!("{alias} still leads to {successor}: {}.\n", after_undo(room, successor)));
    }
    Ok(lines.concat())
}

/// Whether a list has one of these rooms.
fn names(list: &RoomListConfig, references: &[String]) -> bool {
    let levels = list.policy.levels.iter().flat_map(|level| &level.rooms);
    levels.chain(&list.policy.fallback_rooms).any(|named| references.contains(named))
}

/// Why the virtual users that are in a room may not send messages there.
async fn obstacles(shell: &Shell, config: &Config, room: &str) -> anyhow::Result<Vec<String>> {
    let id = RoomId::parse(room).context("that is no room id")?;
    let client = Client::new(&config.homeserver.url, config.registration.as_token.clone(), TIMEOUTS)?;
    let mut obstacles = Vec::new();
    for user in shell.store.users_in(room).await? {
        let user = UserId::parse(user)?;
        let levels = client.power_levels(&Identity::new(user.clone()), &id).await?;
        obstacles.extend(why_muted(&levels, &user));
    }
    Ok(obstacles)
}
