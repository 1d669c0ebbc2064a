//! `matrixbot doctor`: what it finds, what it leaves alone.

use super::{ALICE, Said, Site};
use crate::homeserver::{Endpoint, RoomKind, SERVER_NAME};
use crate::waiting::until;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

const USER: &str = "@_alerts_finance:example.test";

/// The rows of a check.
fn rows(said: &Said, check: &str) -> Vec<Value> {
    let report = said.json();
    let rows = report["checks"].as_array().unwrap().iter().filter(|row| row["check"] == check);
    rows.cloned().collect()
}

/// What a check came to, which there is one row of.
fn row(said: &Said, check: &str) -> Value {
    let rows = rows(said, check);
    assert_eq!(rows.len(), 1, "{check}: {said:#?}");
    rows[0].clone()
}

fn assert_failed(said: &Said, check: &str, detail: &str, remedy: &str) {
    let row = row(said, check);
    assert_eq!(row["outcome"], "failed", "{row:#}");
    assert!(row["detail"].as_str().unwrap().contains(detail), "{row:#}");
    assert!(row["remedy"].as_str().unwrap().contains(remedy), "{row:#}");
    assert_eq!((said.code, &said.json()["ok"]), (Some(1), &Value::Bool(false)), "{said:#?}");
}

#[tokio::test]
async fn before_the_first_start_everything_is_tried_and_nothing_is_said_in_any_room() {
    let site = Site::prepare().await;
    let said = site.run(&["doctor"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    for line in [
        "ok       database       PostgreSQL ",
        "ok       schema         up to date",
        "ok       as_token       the homeserver knows matrixbot as @matrixbot:example.test",
        "ok       hs_token       the homeserver reaches matrixbot and sends the right token (",
        "ok       virtual user   @_alerts_finance:example.test: registered just now, with its own device",
        "ok       room           #ops:example.test (level 1 of finance): joined just now",
        "ok       power          #fallback:example.test (fallback of finance): it may send messages, react, mention @room",
        "Everything is well. Changed: @_alerts_finance:example.test was registered; ",
    ] {
        assert!(said.out.contains(line), "{line}\n{}", said.out);
    }
    assert_eq!(site.homeserver.count(Endpoint::Send), 0);
    assert!(site.homeserver.is_joined(&site.managers, USER));
    assert_eq!(site.count("SELECT count(*) FROM room_list").await, 0, "the database is as it was");
    let again = site.run(&["doctor"]).await;
    assert!(again.out.ends_with("Everything is well. Nothing was changed.\n"), "{again:#?}");
}

#[tokio::test]
async fn read_only_changes_nothing_and_names_what_is_missing() {
    let site = Site::prepare().await;
    let said = site.run(&["doctor", "--read-only", "--json"]).await;
    assert_eq!(row(&said, "virtual user")["outcome"], "warning");
    assert_eq!((said.code, &said.json()["changed"]), (Some(0), &Value::Array(Vec::new())), "{said:#?}");
    assert!(site.homeserver.virtual_users().is_empty());
    assert_eq!(site.homeserver.count(Endpoint::Register) + site.homeserver.count(Endpoint::Join), 0);
}

#[tokio::test]
async fn beside_a_running_matrixbot_the_ping_reaches_that_one() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    let said = site.run(&["doctor", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert_eq!(row(&said, "hs_token")["outcome"], "ok");
    for listener in rows(&said, "listener") {
        assert_eq!(listener["detail"], "matrixbot is running here", "{listener:#}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_with_its_remedy() {
    let site = Site::prepare().await;
    let config = site.config();
    site.write("config.yaml", &config.replace(&site.database.name, "it_nowhere"));
    let said = site.run(&["doctor", "--json"]).await;
    assert_failed(&said, "database", "does not exist", "createdb");
    assert_eq!(row(&said, "schema")["outcome"], "skipped");
    site.write("config.yaml", &config.replace(&site.database.url(), "postgres://postgres@127.0.0.1:9/none"));
    let said = site.run(&["doctor", "--json"]).await;
    assert_failed(&said, "database", "refused", "Start PostgreSQL");
    // What does not need the database is tried all the same.
    assert_eq!(row(&said, "hs_token")["outcome"], "ok");
}

#[tokio::test]
async fn migrations_that_are_pending_are_named() {
    let site = Site::prepare().await;
    let mut connection = site.database.connect().await;
    sqlx::query("DELETE FROM _sqlx_migrations").execute(&mut connection).await.unwrap();
    let said = site.run(&["doctor", "--json"]).await;
    let schema = row(&said, "schema");
    assert_eq!((said.code, &schema["outcome"]), (Some(0), &"warning".into()), "run does it at its start");
    assert!(schema["detail"].as_str().unwrap().contains("foundations"), "{schema:#}");
    let config = site.config().replace("database: {", "database: {migrate: false, ");
    site.write("config.yaml", &config);
    assert_failed(&site.run(&["doctor", "--json"]).await, "schema", "pending: ", "matrixbot migrate");
}

#[tokio::test]
async fn tokens_that_differ_are_told_in_each_direction() {
    let site = Site::prepare().await;
    site.register("another-hs-token");
    let said = site.run(&["doctor", "--json"]).await;
    let another =
        "the homeserver reaches matrixbot, but sends another hs_token than the one in the registration";
    assert_failed(&said, "hs_token", another, "app_service_config_files");
    {
        // One that runs knows no better, and readyz says the same.
        let _program = site.start().await;
        assert_failed(
            &site.run(&["doctor", "--json"]).await,
            "hs_token",
            another,
            "app_service_config_files",
        );
        let readyz = format!("http://127.0.0.1:{}/readyz", site.ports[2]);
        until("it has been pinged", async || {
            reqwest::get(&readyz).await.unwrap().text().await.unwrap().contains(another)
        })
        .await;
    }
    let token = site.homeserver.appservice().as_token;
    let registration = std::fs::read_to_string(site.path("registration.yaml")).unwrap();
    site.write("registration.yaml", &registration.replace(&token, "another-as-token"));
    let said = site.run(&["doctor", "--json"]).await;
    assert_failed(&said, "as_token", "M_UNKNOWN_TOKEN", "app_service_config_files");
    assert_eq!(row(&said, "room")["outcome"], "skipped");
}

#[tokio::test]
async fn a_homeserver_that_does_not_answer_or_cannot_call_back_is_told() {
    let site = Site::prepare().await;
    site.homeserver.set_appservice_url("http://127.0.0.1:9");
    let said = site.run(&["doctor", "--json"]).await;
    assert_failed(&said, "hs_token", "M_CONNECTION_FAILED", "listen.appservice");
    site.homeserver.down().await;
    let said = site.run(&["doctor", "--json"]).await;
    assert_failed(&said, "homeserver", "cannot be reached", "homeserver.url");
}

#[tokio::test]
async fn another_program_on_a_port_is_told() {
    let site = Site::prepare().await;
    let _other = std::net::TcpListener::bind(("127.0.0.1", site.ports[1])).unwrap();
    let said = site.run(&["doctor", "--json"]).await;
    let taken = rows(&said, "listener").into_iter().find(|row| row["outcome"] == "failed").unwrap();
    assert!(taken["remedy"].as_str().unwrap().ends_with("or change `listen.webhook`."), "{taken:#}");
    assert_eq!(said.code, Some(1));
}

#[tokio::test]
async fn rooms_that_cannot_be_entered_used_or_read_are_told_each_with_its_remedy() {
    let site = Site::prepare().await;
    let private = site.homeserver.private_room(ALICE);
    let kind =
        RoomKind { alias: Some(format!("#secret:{SERVER_NAME}")), encrypted: true, ..RoomKind::default() };
    site.homeserver.room(ALICE, &kind);
    site.homeserver.change_power_levels(&site.ops, |levels| levels["events_default"] = 10.into());
    let config = site.config().replace("#managers:example.test", private.as_str()).replace(
        "fallback_rooms: [",
        "fallback_rooms: [\"#nowhere:example.test\", \"#secret:example.test\", ",
    );
    site.write("config.yaml", &config);
    let said = site.run(&["doctor", "--json"]).await;
    let report = said.json();
    let find = |check: &str, subject: &str| {
        let rows = report["checks"].as_array().unwrap();
        let found = rows.iter().find(|row| {
            row["check"] == check && row["subject"].as_str().is_some_and(|said| said.starts_with(subject))
        });
        let row = found.unwrap_or_else(|| panic!("{check} {subject}: {report:#}"));
        (row["outcome"].as_str().unwrap(), row["remedy"].as_str().unwrap_or_default())
    };
    let invite = "Invite it: write `/invite @_alerts_finance:example.test` in the room.";
    assert_eq!(find("room", private.as_str()), ("failed", invite));
    assert!(find("room", "#nowhere").1.starts_with("Create the room or its alias"));
    let power = "Give @_alerts_finance:example.test power level 10 in the room (it has 0), so that it may send messages.";
    assert_eq!(find("power", "#ops"), ("failed", power));
    assert_eq!(find("encryption", "#secret").0, "warning");
    let everybody = "Give @_alerts_finance:example.test power level 50 in the room (it has 0), so that it may mention @room.";
    assert_eq!(find("power", "#secret"), ("warning", everybody));
    assert_eq!(said.code, Some(1));
}

/// An Alertmanager below `/am` that wants to be shown `s3same`, and answers with this status. Returns its address.
fn alertmanager(status: Value) -> std::net::SocketAddr {
    let asked = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = asked.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in asked.incoming().map(Result::unwrap) {
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let right = request.starts_with("get /am/api/v2/status ") && request.contains("bearer s3same");
            let (line, body) = if right { ("200 OK", status.to_string()) } else { ("401 No", String::new()) };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[tokio::test]
async fn alertmanagers_are_asked_with_what_is_shown_to_them() {
    let site = Site::prepare().await;
    let address = alertmanager(json!({
        "cluster": {"status": "ready", "peers": [{}, {}]}, "versionInfo": {"version": "0.33.1"},
    }));
    let alertmanagers = |token: &str| {
        format!(
            "alertmanagers:\n  - {{name: main, url: 'http://{address}/am', bearer_token: {token}}}\n\
             \x20 - {{name: away, url: 'http://127.0.0.1:9'}}\nroom_lists:"
        )
    };
    site.write("config.yaml", &site.config().replace("room_lists:", &alertmanagers("s3same")));
    let said = site.run(&["doctor", "--json"]).await;
    let found = rows(&said, "alertmanager");
    assert_eq!(found[0]["detail"], "Alertmanager 0.33.1 answers, one of 2, cluster ready");
    assert_eq!(found[1]["outcome"], "failed");
    assert_eq!(row(&said, "stale_after")["outcome"], "skipped", "its status shows no configuration");
    assert_eq!(said.code, Some(1));
    site.write("config.yaml", &site.config().replace("room_lists:", &alertmanagers("wrong")));
    let said = site.run(&["doctor", "--json"]).await;
    assert_eq!(
        rows(&said, "alertmanager")[0]["remedy"],
        "Correct `basic_auth` or `bearer_token` in `alertmanagers`."
    );
}

#[tokio::test]
async fn routes_that_are_silent_for_longer_than_stale_after_are_told_with_both_figures() {
    let shown = include_str!("../../fixtures/alertmanager/configuration-0.25.0.yaml");
    let site = Site::prepare().await;
    let examined = async |shown: &str, stale_after: &str| {
        let address = alertmanager(json!({
            "cluster": {"status": "disabled"}, "versionInfo": {"version": "0.25.0"}, "config": {"original": shown},
        }));
        let main = format!("{{name: main, url: 'http://{address}/am', bearer_token: s3same}}");
        let config = site.config().replace("room_lists:", &format!("alertmanagers: [{main}]\nroom_lists:"));
        site.write("config.yaml", &format!("{config}\n    stale_after: {stale_after}\n"));
        site.run(&["doctor", "--json"]).await
    };
    let said = examined(shown, "8h").await;
    let silence = "8h is not longer than the 1d2h1m30s that Alertmanager may be silent (repeat_interval 1d2h + \
                   group_interval 1m30s, receiver finance)";
    assert_failed(&said, "stale_after", silence, "Set `stale_after` of finance to 2d4h or more");
    let left_out: Vec<Value> = rows(&said, "webhook").iter().map(|row| row["detail"].clone()).collect();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[0].as_str().unwrap().starts_with("send_resolved is false"), "{left_out:?}");
    assert!(left_out[1].as_str().unwrap().starts_with("max_alerts is 5"), "{left_out:?}");
    assert_eq!(row(&examined(shown, "27h").await, "stale_after")["outcome"], "ok");
    assert_eq!(row(&examined(shown, "none").await, "stale_after")["outcome"], "ok");

    let hidden = shown.replace("url: http://", "url: <secret> # http://");
    let said = examined(&hidden, "8h").await;
    let found = row(&said, "stale_after");
    assert_eq!((&found["outcome"], said.code), (&"warning".into(), Some(0)), "{said:#?}");
    assert!(found["detail"].as_str().unwrap().contains("hides the URLs of its webhooks"), "{found:#}");
}

#[tokio::test]
async fn a_room_with_two_names_is_told_and_one_on_two_levels_is_not() {
    let site = Site::prepare().await;
    let config = site.config();
    site.write("config.yaml", &config.replace("#managers:example.test", site.ops.as_str()));
    let said = site.run(&["doctor"]).await;
    let told = format!("{} (level 2 of finance): it is the same room as #ops:example.test", site.ops);
    assert!(said.code == Some(0) && said.out.contains(&told), "{said:#?}");
    site.write("config.yaml", &config.replace("#managers:example.test", "#ops:example.test"));
    let said = site.run(&["doctor"]).await;
    assert!(said.out.contains("#ops:example.test (level 1, level 2 of finance): joined\n"), "{said:#?}");
    assert!(said.out.contains("Everything is well."), "{said:#?}");
}

#[tokio::test]
async fn secrets_that_everybody_may_read_are_told() {
    let site = Site::prepare().await;
    site.allow("", 0o755);
    for name in ["config.yaml", "registration.yaml"] {
        site.allow(name, 0o644);
    }
    let said = site.run(&["doctor", "--json"]).await;
    let open: Vec<Value> = rows(&said, "secret").iter().map(|row| row["subject"].clone()).collect();
    let expected: Vec<Value> = vec!["config.yaml".into(), "registration.yaml".into()];
    assert!(open == expected && said.code == Some(0), "{said:#?}");
    for name in ["config.yaml", "registration.yaml"] {
        site.allow(name, 0o640);
    }
    assert_eq!(row(&site.run(&["doctor", "--json"]).await, "secret")["outcome"], "ok");
}

#[tokio::test]
async fn a_wrong_configuration_is_told_as_check_tells_it() {
    let site = Site::prepare().await;
    site.write("config.yaml", "homeserver: 7");
    let said = site.run(&["doctor"]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(said.err.contains("config.yaml:1:13: homeserver: must be a table"), "{said:#?}");
}
