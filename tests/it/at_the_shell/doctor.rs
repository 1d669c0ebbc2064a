//! `matrixbot doctor`: its findings, and what it does not change.

use super::{ALICE, CommandOutput, Site};
use crate::alertmanager::{Alertmanager, Fault};
use crate::homeserver::{Blocked, Endpoint, RoomKind, SERVER_NAME};
use crate::waiting::until;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

const USER: &str = "@_alerts_finance:example.test";

/// The rows of a check.
fn rows(output: &CommandOutput, check: &str) -> Vec<Value> {
    let report = output.json();
    let rows = report["checks"].as_array().unwrap().iter().filter(|row| row["check"] == check);
    rows.cloned().collect()
}

/// The only row of a check.
pub(super) fn row(output: &CommandOutput, check: &str) -> Value {
    let rows = rows(output, check);
    assert_eq!(rows.len(), 1, "{check}: {output:#?}");
    rows[0].clone()
}

pub(super) fn assert_failed(output: &CommandOutput, check: &str, detail: &str, remedy: &str) {
    let row = row(output, check);
    assert_eq!(row["outcome"], "failed", "{row:#}");
    assert!(row["detail"].as_str().unwrap().contains(detail), "{row:#}");
    assert!(row["remedy"].as_str().unwrap().contains(remedy), "{row:#}");
    assert_eq!((output.code, &output.json()["ok"]), (Some(1), &Value::Bool(false)), "{output:#?}");
}

#[tokio::test]
async fn before_the_first_start_everything_is_tested_and_nothing_is_posted() {
    let site = Site::prepare().await;
    let output = site.run(&["doctor"]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    for line in [
        "ok       database       PostgreSQL ",
        "ok       schema         up to date",
        "ok       clock          0 s ahead of the database's",
        "ok       as_token       the homeserver knows matrixbot as @matrixbot:example.test",
        "ok       hs_token       the homeserver reaches matrixbot and sends the right token (",
        "ok       virtual user   @_alerts_finance:example.test: registered just now, with its own device",
        "ok       room           #ops:example.test (level 1 of finance): joined just now",
        "ok       power          #fallback:example.test (fallback of finance): it may send messages, react, mention @room",
        "Everything is well. Changed: @_alerts_finance:example.test was registered; ",
    ] {
        assert!(output.out.contains(line), "{line}\n{}", output.out);
    }
    assert_eq!(site.homeserver.count(Endpoint::Send), 0);
    assert!(site.homeserver.is_joined(&site.managers, USER));
    assert_eq!(site.count("SELECT count(*) FROM room_list").await, 0, "the database is unchanged");
    let again = site.run(&["doctor"]).await;
    assert!(again.out.ends_with("Everything is well. Nothing was changed.\n"), "{again:#?}");
}

#[tokio::test]
async fn read_only_changes_nothing_and_names_what_is_missing() {
    let site = Site::prepare().await;
    let output = site.run(&["doctor", "--read-only", "--json"]).await;
    assert_eq!(row(&output, "virtual user")["outcome"], "warning");
    assert_eq!((output.code, &output.json()["changed"]), (Some(0), &Value::Array(Vec::new())), "{output:#?}");
    assert!(site.homeserver.virtual_users().is_empty());
    assert_eq!(site.homeserver.count(Endpoint::Register) + site.homeserver.count(Endpoint::Join), 0);
}

#[tokio::test]
async fn read_only_shows_what_a_running_matrixbot_has_found_of_a_room() {
    let site = Site::prepare().await;
    site.homeserver.person(ALICE).bans(&site.managers, USER.try_into().unwrap());
    site.homeserver.change_power_levels(&site.ops, |levels| levels["events_default"] = 50.into());
    let log = site.path("run.log");
    let mut child = site.command(&["run"]).stderr(std::fs::File::create(log).unwrap()).spawn().unwrap();
    let troubles = "SELECT count(*) FROM room_trouble";
    until("both troubles are stored", async || {
        sqlx::query_scalar(troubles).fetch_one(site.database.reader()).await.unwrap_or(0_i64) == 2
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let output = site.run(&["doctor", "--read-only", "--json"]).await;
    let rooms = rows(&output, "room");
    let found = |subject: &str, what: &str| {
        rooms.iter().any(|row| {
            let has = |key: &str, text: &str| row[key].as_str().is_some_and(|value| value.contains(text));
            row["outcome"] == "failed" && has("subject", subject) && has("detail", what)
        })
    };
    assert!(found("#managers:example.test", "cannot reach it since"), "{output:#?}");
    assert!(found("#ops:example.test", "may not write there since"), "{output:#?}");
    assert_eq!(output.code, Some(1));
}

#[tokio::test]
async fn the_ping_reaches_a_running_matrixbot() {
    let site = Site::prepare().await;
    let _program = site.start().await;
    let output = site.run(&["doctor", "--json"]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(row(&output, "hs_token")["outcome"], "ok");
    for listener in rows(&output, "listener") {
        assert_eq!(listener["detail"], "matrixbot is running here", "{listener:#}");
    }
}

#[tokio::test]
async fn an_unusable_database_is_reported_with_its_remedy() {
    let site = Site::prepare().await;
    let config = site.config();
    site.write("config.yaml", &config.replace(&site.database.name, "it_nowhere"));
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "database", "does not exist", "createdb");
    assert_eq!(row(&output, "schema")["outcome"], "skipped");
    site.write("config.yaml", &config.replace(&site.database.url(), "postgres://postgres@127.0.0.1:9/none"));
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "database", "refused", "Start PostgreSQL");
    // Checks that need no database still run.
    assert_eq!(row(&output, "hs_token")["outcome"], "ok");
}

#[tokio::test]
async fn pending_migrations_are_listed() {
    let site = Site::prepare().await;
    let mut connection = site.database.connect().await;
    sqlx::query("DELETE FROM _sqlx_migrations").execute(&mut connection).await.unwrap();
    let output = site.run(&["doctor", "--json"]).await;
    let schema = row(&output, "schema");
    assert_eq!((output.code, &schema["outcome"]), (Some(0), &"warning".into()), "run does it at its start");
    assert!(schema["detail"].as_str().unwrap().contains("foundations"), "{schema:#}");
    let config = site.config().replace("database: {", "database: {migrate: false, ");
    site.write("config.yaml", &config);
    assert_failed(&site.run(&["doctor", "--json"]).await, "schema", "pending: ", "matrixbot migrate");
}

#[tokio::test]
async fn a_homeserver_that_does_not_answer_or_cannot_call_back_is_reported() {
    let site = Site::prepare().await;
    site.homeserver.set_appservice_url("http://127.0.0.1:9");
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "hs_token", "M_CONNECTION_FAILED", "listen.appservice");
    site.homeserver.down().await;
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "homeserver", "cannot be reached", "homeserver.url");
}

#[tokio::test]
async fn another_program_on_a_port_is_reported() {
    let site = Site::prepare().await;
    let _other = std::net::TcpListener::bind(("127.0.0.1", site.ports[1])).unwrap();
    let output = site.run(&["doctor", "--json"]).await;
    let in_use = rows(&output, "listener").into_iter().find(|row| row["outcome"] == "failed").unwrap();
    assert!(in_use["remedy"].as_str().unwrap().ends_with("or change `listen.webhook`."), "{in_use:#}");
    assert_eq!(output.code, Some(1));
}

#[tokio::test]
async fn unusable_rooms_are_reported_each_with_its_remedy() {
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
    let output = site.run(&["doctor", "--json"]).await;
    let report = output.json();
    let find = |check: &str, subject: &str| {
        let rows = report["checks"].as_array().unwrap();
        let found = rows.iter().find(|row| {
            row["check"] == check && row["subject"].as_str().is_some_and(|text| text.starts_with(subject))
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
    assert_eq!(output.code, Some(1));
}

/// An Alertmanager below `/am` that requires the token `s3same` and answers with this status. Returns its address.
fn alertmanager(status: Value) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map(Result::unwrap) {
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
async fn alertmanagers_are_called_with_the_configured_credentials() {
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
    let output = site.run(&["doctor", "--json"]).await;
    let found = rows(&output, "alertmanager");
    assert_eq!(found[0]["detail"], "Alertmanager 0.33.1 answers, one of 2, cluster ready");
    assert_eq!(found[1]["outcome"], "failed");
    assert_eq!(row(&output, "stale_after")["outcome"], "skipped", "its status shows no configuration");
    assert_eq!(output.code, Some(1));
    site.write("config.yaml", &site.config().replace("room_lists:", &alertmanagers("wrong")));
    let output = site.run(&["doctor", "--json"]).await;
    assert_eq!(
        rows(&output, "alertmanager")[0]["remedy"],
        "Correct `basic_auth` or `bearer_token` in `alertmanagers`."
    );
}

#[tokio::test]
async fn each_peer_of_an_alertmanager_is_examined_and_two_clusters_are_a_warning() {
    let site = Site::prepare().await;
    let (one, two) = (Alertmanager::start(), Alertmanager::start());
    two.change(|state| state.name = "process-1".to_owned());
    let (first, second) = (one.url(), two.url());
    let entry = format!("alertmanagers: [{{name: pair, urls: ['{first}', '{second}']}}]\nroom_lists:");
    site.write("config.yaml", &site.config().replace("room_lists:", &entry));
    let output = site.run(&["doctor", "--json"]).await;
    let found = rows(&output, "alertmanager");
    let outcomes: Vec<&str> = found.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!((outcomes, output.code), (vec!["ok", "ok", "warning"], Some(0)), "{output:#?}");
    assert_eq!(found[0]["detail"], "Alertmanager 0.33.1 answers, no cluster");
    let warning = found[2]["detail"].as_str().unwrap();
    let words = "are not peers of one cluster: they share no silences, and each notifies";
    assert!(found[2]["subject"] == "pair" && warning.ends_with(words), "{warning}");
    assert_eq!(rows(&output, "stale_after").len(), 1, "the peers have one configuration");

    one.join(&two);
    two.fail(Some(Fault::Status(503, "Limit of concurrent GET requests reached (1)\n".to_owned())));
    let output = site.run(&["doctor", "--json"]).await;
    let found = rows(&output, "alertmanager");
    assert_eq!(found[0]["detail"], "Alertmanager 0.33.1 answers, one of 2, cluster ready");
    assert_eq!(found[1]["detail"], "it answered 503: Limit of concurrent GET requests reached (1)");
    assert_eq!((found.len(), output.code), (2, Some(1)), "{output:#?}");
    two.fail(None);
    assert_eq!(site.run(&["doctor", "--json"]).await.code, Some(0));
}

#[tokio::test]
async fn routes_that_are_silent_for_longer_than_stale_after_are_reported_with_both_durations() {
    let configuration = include_str!("../../fixtures/alertmanager/configuration-0.25.0.yaml");
    let site = Site::prepare().await;
    let run_doctor = async |configuration: &str, stale_after: &str| {
        let address = alertmanager(json!({
            "cluster": {"status": "disabled"}, "versionInfo": {"version": "0.25.0"}, "config": {"original": configuration},
        }));
        let main = format!("{{name: main, url: 'http://{address}/am', bearer_token: s3same}}");
        let config = site.config().replace("room_lists:", &format!("alertmanagers: [{main}]\nroom_lists:"));
        site.write("config.yaml", &format!("{config}\n    stale_after: {stale_after}\n"));
        site.run(&["doctor", "--json"]).await
    };
    let output = run_doctor(configuration, "8h").await;
    let silence = "8h is not longer than the 1d2h1m30s that Alertmanager may be silent (repeat_interval 1d2h + \
                   group_interval 1m30s, receiver finance)";
    assert_failed(&output, "stale_after", silence, "Set `stale_after` of finance to 2d4h or more");
    let omitted: Vec<Value> = rows(&output, "webhook").iter().map(|row| row["detail"].clone()).collect();
    assert_eq!(omitted.len(), 2, "{omitted:?}");
    assert!(omitted[0].as_str().unwrap().starts_with("send_resolved is false"), "{omitted:?}");
    assert!(omitted[1].as_str().unwrap().starts_with("max_alerts is 5"), "{omitted:?}");
    assert_eq!(row(&run_doctor(configuration, "27h").await, "stale_after")["outcome"], "ok");
    assert_eq!(row(&run_doctor(configuration, "none").await, "stale_after")["outcome"], "ok");

    let hidden = configuration.replace("url: http://", "url: <secret> # http://");
    let output = run_doctor(&hidden, "8h").await;
    let found = row(&output, "stale_after");
    assert_eq!((&found["outcome"], output.code), (&"warning".into(), Some(0)), "{output:#?}");
    assert!(found["detail"].as_str().unwrap().contains("hides the URLs of its webhooks"), "{found:#}");
}

#[tokio::test]
async fn a_room_with_two_names_gives_a_warning_and_one_on_two_levels_does_not() {
    let site = Site::prepare().await;
    let config = site.config();
    site.write("config.yaml", &config.replace("#managers:example.test", site.ops.as_str()));
    let output = site.run(&["doctor"]).await;
    let warning = format!("{} (level 2 of finance): it is the same room as #ops:example.test", site.ops);
    assert!(output.code == Some(0) && output.out.contains(&warning), "{output:#?}");
    site.write("config.yaml", &config.replace("#managers:example.test", "#ops:example.test"));
    let output = site.run(&["doctor"]).await;
    assert!(output.out.contains("#ops:example.test (level 1, level 2 of finance): joined\n"), "{output:#?}");
    assert!(output.out.contains("Everything is well."), "{output:#?}");
}

#[tokio::test]
async fn secrets_that_everybody_can_read_are_reported() {
    let site = Site::prepare().await;
    site.allow("", 0o755);
    for name in ["config.yaml", "registration.yaml"] {
        site.allow(name, 0o644);
    }
    let output = site.run(&["doctor", "--json"]).await;
    let open: Vec<Value> = rows(&output, "secret").iter().map(|row| row["subject"].clone()).collect();
    let expected: Vec<Value> = vec!["config.yaml".into(), "registration.yaml".into()];
    assert!(open == expected && output.code == Some(0), "{output:#?}");
    for name in ["config.yaml", "registration.yaml"] {
        site.allow(name, 0o640);
    }
    assert_eq!(row(&site.run(&["doctor", "--json"]).await, "secret")["outcome"], "ok");
}

#[tokio::test]
async fn an_invalid_configuration_is_reported_as_check_reports_it() {
    let site = Site::prepare().await;
    site.write("config.yaml", "homeserver: 7");
    let output = site.run(&["doctor"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.err.contains("config.yaml:1:13: homeserver: must be a table"), "{output:#?}");
}

#[tokio::test]
async fn a_suspended_user_is_reported_before_it_has_anything_to_send() {
    let site = Site::prepare().await;
    let program = site.start().await;
    drop(program);
    let user = <&ruma::UserId>::try_from(USER).unwrap();
    site.homeserver.blocks(user, Some(Blocked::Suspended));
    let events = site.homeserver.messages(&site.ops).len();
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "virtual user", "M_USER_SUSPENDED", "end its suspension");
    assert_eq!(site.homeserver.messages(&site.ops).len(), events, "nothing is to be seen");
    // It may not join either: that is no fault of the room.
    let other = site.homeserver.public_room(ALICE, "#other:example.test");
    site.write("config.yaml", &site.config().replace("#managers:example.test", other.as_str()));
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "virtual user", "M_USER_SUSPENDED", "end its suspension");
    assert!(rows(&output, "room").iter().all(|row| row["outcome"] != "failed"), "{output:#?}");

    site.homeserver.blocks(user, None);
    assert_eq!(row(&site.run(&["doctor", "--json"]).await, "virtual user")["outcome"], "ok");
}
