//! `matrixbot rooms`, and what `doctor` says of moved rooms and removed lists.

use super::{ALICE, Site};
use crate::waiting::until;

#[tokio::test]
async fn a_move_is_listed_and_can_be_taken_back() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    assert_eq!(site.run(&["rooms", "moved"]).await.out, "No room has moved.\n");
    let successor = site.homeserver.person(ALICE).upgrades(&site.ops);
    let moved = format!("{} -> {successor}: followed", site.ops);
    until("the room has moved", async || site.run(&["rooms", "moved"]).await.out.starts_with(&moved)).await;
    let doctor = site.run(&["doctor", "--json"]).await.json();
    let checks = doctor["checks"].as_array().unwrap();
    let row = checks.iter().find(|check| check["check"] == "moved room").unwrap();
    assert!(row["detail"].as_str().unwrap().contains("undo-move"), "{row}");
    let undone = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    assert_eq!(undone.code, Some(0), "{undone:#?}");
    assert!(undone.out.starts_with(&format!("Pages go to {} again", site.ops)), "{undone:#?}");
    let again = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(site.run(&["rooms", "moved"]).await.out.contains("taken back"));
}
