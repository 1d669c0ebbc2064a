//! Rooms that moved, and room lists that were removed while they had open incidents.

use super::report::Report;
use crate::store::{Move, Store};

/// Reports what the database knows of both.
pub(super) async fn examine(report: &mut Report, store: &Store) {
    match store.room_moves().await {
        Ok(moves) => {
            for moved in moves {
                let undo = format!("If that is not wanted: `matrixbot rooms undo-move '{}'`.", moved.room);
                let label = store.room_label(&moved.room).await.unwrap_or_else(|_| moved.room.clone());
                let successor =
                    store.room_label(&moved.successor).await.unwrap_or_else(|_| moved.successor.clone());
                let room = label.as_str();
                match moved.is {
                    Move::Followed => {
                        let detail = format!("moved to {successor} on {}", moved.since.strftime("%Y-%m-%d"));
                        report.ok("moved room", Some(room), format!("{detail}; {undo}"));
                    }
                    Move::Undone => {
                        let detail = format!("its move to {successor} was taken back");
                        report.ok("moved room", Some(room), detail);
                    }
                    Move::Waiting(why) => {
                        let detail =
                            format!("moved to {successor}, which cannot be joined: {why}; pages stay here");
                        let remedy = format!("Invite the virtual users to {successor}. {undo}");
                        report.warning("moved room", Some(room), detail, remedy);
                    }
                    Move::Refused(why) => {
                        let detail =
                            format!("names {successor} as its successor, but {why}; pages stay here");
                        let remedy = "Upgrade the room again, or configure the new room.";
                        report.warning("moved room", Some(room), detail, remedy);
                    }
                }
            }
        }
        Err(error) => report.failed("moved room", None, error.to_string(), "See the database's log."),
    }
    match store.former_lists().await {
        Ok(lists) => {
            for (name, open) in lists {
                let detail = format!(
                    "is not configured any more and has {open} open incidents, which Alertmanager can no longer resolve"
                );
                let remedy =
                    format!("`matrixbot incidents resolve --room-list {name} --all`, or configure it again.");
                report.warning("removed room list", Some(&name), detail, remedy);
            }
        }
        Err(error) => report.failed("removed room list", None, error.to_string(), "See the database's log."),
    }
}
