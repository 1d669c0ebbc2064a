//! `matrixbot rooms`, and what `doctor` says of moved rooms and removed lists.

use super::{ALICE, Site};
use crate::waiting::until;

/// A site whose first level is configured by its room's id: an upgrade would move its alias.
async fn by_id() -> Site {
    let site = Site::prepare().await;
    site.homeserver.name_room(&site.ops, "Ops");
    site.write("config.yaml", &site.config().replace("#ops:example.test", site.ops.as_str()));
    site
}

#[tokio::test]
async fn a_move_is_listed_and_can_be_taken_back() {
    let site = by_id().await;
    let _program = site.start().await;
    assert_eq!(site.run(&["rooms", "moved"]).await.out, "No room has moved.\n");
    let successor = site.homeserver.person(ALICE).upgrades(&site.ops);
    let moved = format!("{successor}: followed");
    until("the room has moved", async || site.run(&["rooms", "moved"]).await.out.contains(&moved)).await;
    let doctor = site.run(&["doctor", "--json"]).await.json();
    let checks = doctor["checks"].as_array().unwrap();
    let row = checks.iter().find(|check| check["check"] == "moved room").unwrap();
    assert!(row["detail"].as_str().unwrap().contains("undo-move"), "{row}");
    // The upgrade made it read-only: no page could be sent there.
    let refused = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.err.contains("may not send messages in"), "{refused:#?}");
    assert!(refused.err.contains("has power level 0 there, and messages need 50"), "{refused:#?}");
    assert!(site.run(&["rooms", "moved"]).await.out.contains("followed"));
    site.homeserver.set_power(&site.ops, "@_alerts_finance:example.test", 50);
    let undone = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    assert_eq!(undone.code, Some(0), "{undone:#?}");
    assert!(undone.out.starts_with(&format!("Pages go to {} again", site.ops)), "{undone:#?}");
    let again = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    assert_eq!(again.code, Some(1), "{again:#?}");
    assert!(site.run(&["rooms", "moved"]).await.out.contains("taken back"));
}

#[tokio::test]
async fn a_move_into_a_room_that_was_made_read_only_is_taken_back_only_by_force() {
    let site = by_id().await;
    let program = site.start().await;
    let successor = site.homeserver.person(ALICE).upgrades(&site.ops);
    let moved = format!("{successor}: followed");
    until("the room has moved", async || site.run(&["rooms", "moved"]).await.out.contains(&moved)).await;
    drop(program);
    let forced = site.run(&["rooms", "undo-move", "--force", site.ops.as_str()]).await;
    assert_eq!(forced.code, Some(0), "{forced:#?}");
    assert!(forced.err.contains("may not send messages in"), "{forced:#?}");
    assert!(forced.out.starts_with(&format!("Pages go to {} again", site.ops)), "{forced:#?}");
}

#[tokio::test]
async fn after_a_move_was_taken_back_it_is_shown_where_the_alias_leads() {
    let site = Site::prepare().await;
    let program = site.start().await;
    let successor = site.homeserver.person(ALICE).upgrades(&site.ops);
    // The upgrade moves the alias, as Synapse does; here only after the move was followed, not because of the alias.
    site.homeserver.set_alias("#ops:example.test", Some(&site.ops));
    until("the room has moved", async || site.run(&["rooms", "moved"]).await.out.contains(": followed"))
        .await;
    drop(program);
    site.homeserver.set_alias("#ops:example.test", Some(&successor));
    site.homeserver.set_power(&site.ops, "@_alerts_finance:example.test", 50);
    let undone = site.run(&["rooms", "undo-move", site.ops.as_str()]).await;
    let remedy = format!("let it lead to {} again, or configure {successor} by its id", site.ops);
    assert!(undone.out.contains(&format!("#ops:example.test still leads to {successor}")), "{undone:#?}");
    assert!(undone.out.contains(&remedy), "{undone:#?}");
    let listed = site.run(&["rooms", "list"]).await.out;
    let strays = format!("; the alias leads to {successor}, but the move there was taken back: {remedy}");
    assert!(listed.contains(&strays), "{listed}");
    let report = site.run(&["doctor", "--json"]).await.json();
    let rows = report["checks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["check"] == "alias").unwrap();
    assert!(row["detail"].as_str().unwrap().contains("because the move there was taken back"), "{row:#}");
    assert!(row["remedy"].as_str().unwrap().contains(site.ops.as_str()), "{row:#}");
}

#[tokio::test]
async fn rooms_are_listed_with_their_names_and_whether_they_are_joined() {
    let site = Site::prepare().await;
    let by_id = site.config().replace("#managers:example.test", site.managers.as_str());
    site.write("config.yaml", &by_id);
    site.homeserver.name_room(&site.managers, "Managers");
    site.homeserver.name_room(&site.ops, "Ops");
    let program = site.start().await;
    let listed = async || site.run(&["rooms", "list"]).await.out;
    let managers = format!("finance, level 2: {} \"Managers\": joined", site.managers);
    until("the name is known", async || listed().await.contains(&managers)).await;
    let ops = format!("finance, level 1: #ops:example.test -> {} \"Ops\": joined\n", site.ops);
    assert!(listed().await.starts_with(&ops), "{}", listed().await);
    let json = site.run(&["rooms", "list", "--json"]).await.json();
    assert_eq!(json[1]["name"], "\"Managers\"");
    assert_eq!((&json[2]["fallback"], &json[2]["membership"]), (&true.into(), &"join".into()));
    let doctor = site.run(&["doctor", "--json"]).await;
    assert!(
        doctor.out.contains(&format!("\\\"Managers\\\" ({}) (level 2 of finance)", site.managers)),
        "{doctor:#?}"
    );
    site.fires("DiskFull").await;
    let shown = format!("Shown in #ops:example.test {} ($", site.ops);
    until("the page is sent", async || site.run(&["incidents", "show", "1"]).await.out.contains(&shown))
        .await;
    // The alias moves to a room that the virtual user cannot join: pages stay, and both commands show it.
    let new = site.homeserver.private_room(ALICE);
    site.homeserver.set_alias("#ops:example.test", Some(&new));
    let alias = async || {
        let report = site.run(&["doctor", "--json"]).await.json();
        let rows = report["checks"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["check"] == "alias").unwrap_or_default()
    };
    let row = alias().await;
    assert_eq!(row["outcome"], "warning");
    let differs = format!("it leads to {new} now, but pages go to {}", site.ops);
    assert!(row["detail"].as_str().unwrap().starts_with(&differs), "{row:#}");
    drop(program);
    let _program = site.start().await;
    let strays = format!("; the alias leads to {new}");
    until("the alias was looked up", async || listed().await.contains(&strays)).await;
    assert!(
        alias().await["remedy"].as_str().unwrap().contains("/invite @_alerts_finance"),
        "{}",
        alias().await
    );
    site.homeserver.set_alias("#ops:example.test", None);
    assert!(
        alias().await["detail"].as_str().unwrap().contains("does not exist any more"),
        "{}",
        alias().await
    );
}

#[tokio::test]
async fn a_room_where_nothing_can_be_sent_is_listed_as_such_and_an_error_has_each_cause_once() {
    let site = Site::prepare().await;
    site.homeserver.change_power_levels(&site.ops, |levels| levels["events_default"] = 50.into());
    let _program = site.start().await;
    let muted =
        format!("finance, level 1: #ops:example.test -> {}: joined, but may not send messages", site.ops);
    until("it was noticed", async || site.run(&["rooms", "list"]).await.out.starts_with(&muted)).await;
    let rows = site.run(&["rooms", "list", "--json"]).await.json();
    assert_eq!((&rows[0]["membership"], &rows[0]["muted"]), (&"join".into(), &true.into()));
    assert_eq!(rows[1]["muted"], false);

    let elsewhere = site.config().replace(&site.database.url(), "postgres://postgres@127.0.0.1:9/none");
    site.write("config.yaml", &elsewhere);
    let failed = site.run(&["rooms", "list"]).await;
    assert_eq!((failed.code, failed.err.matches("Connection refused").count()), (Some(1), 1), "{failed:#?}");
}
