//! `matrixbot rooms`: where the rooms of the configuration have moved.

use super::shell::Shell;
use super::{ConfigFile, FAILED, block_on, eprint, print};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::store::{Move, commit, room_move};
use clap::{Args, Subcommand};
use std::process::ExitCode;

pub(super) const EXAMPLES: &str = "\
Works directly on the database, whether matrixbot runs or not. A running process sends pages
to the room again at once; at its next attendance, within five minutes, it joins the room
again if it has left it.

Examples:
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
    /// List the rooms that have moved, and whether matrixbot follows
    Moved,
    /// Take back that a room has moved: pages go to the room itself again
    UndoMove {
        /// The room that moved, by its id
        #[arg(value_name = "ROOM")]
        room: String,
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
            What::Moved => moved(&shell).await,
            What::UndoMove { room } => undo(&shell, &config, room).await,
        };
        shell.store.close().await;
        done
    });
    match done {
        Ok(text) => print(text.as_bytes()),
        Err(error) => {
            eprint(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn moved(shell: &Shell) -> anyhow::Result<String> {
    let moves = shell.store.room_moves().await?;
    if moves.is_empty() {
        return Ok("No room has moved.\n".to_owned());
    }
    let lines = moves.into_iter().map(|moved| {
        let is = match moved.is {
            Move::Followed => "followed".to_owned(),
            Move::Undone => "taken back; pages go to the room itself".to_owned(),
            Move::Waiting(why) => format!("not joined yet ({why}); pages stay in the room"),
            Move::Refused(why) => format!("refused: {why}; pages stay in the room"),
        };
        format!("{} -> {}: {is}, since {}\n", moved.room, moved.successor, moved.since)
    });
    Ok(lines.collect())
}

async fn undo(shell: &Shell, config: &Config, room: &str) -> anyhow::Result<String> {
    let now = SystemClock.now();
    let known = shell.store.room_move(room).await?;
    let Some(known) = known.filter(|known| known.is != Move::Undone) else {
        anyhow::bail!("{room} has not moved; `matrixbot rooms moved` lists the rooms that have");
    };
    // What waits for the successor is meant for the room, unless a list has the successor in its own right.
    let mut leading = shell.store.references_to(&known.successor).await?;
    let through_room = shell.store.origins(room).await?;
    leading.retain(|reference| !through_room.contains(reference));
    let own = config.room_lists.iter().any(|list| {
        let levels = list.policy.levels.iter().flat_map(|level| &level.rooms);
        levels.chain(&list.policy.fallback_rooms).any(|named| leading.contains(named))
    });
    let mut tx = shell.store.begin().await?;
    room_move::undo(&mut tx, room, !own, now).await?;
    commit(tx).await?;
    Ok(format!("Pages go to {room} again, no longer to {}.\n", known.successor))
}
