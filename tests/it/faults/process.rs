//! The program as a real process on the machine's clock: stopped, killed and restarted during work.

use super::{ALICE, messages_to};
use crate::database::TestDatabase;
use crate::homeserver::{Endpoint, Fault, Homeserver, Match, SERVER_NAME};
use crate::waiting::{BOUND, until};
use crate::world::{Group, TOKEN, finance_list, post};
use jiff::Timestamp;
use matrixbot::clock::{Clock as _, SystemClock};
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The longest time of a stop without in-flight work.
const SOON: Duration = Duration::from_secs(8);
const PASSWORD: &str = "pa55word-of-the-database";

/// A homeserver, a database and the files of an operator.
struct Site {
    homeserver: Homeserver,
    database: TestDatabase,
    ops: OwnedRoomId,
    files: tempfile::TempDir,
}

impl Site {
    async fn prepare() -> Self {
        let homeserver = Homeserver::start();
        let room = |name: &str| homeserver.public_room(ALICE, &format!("#{name}:{SERVER_NAME}"));
        let ops = room("ops");
        room("managers");
        room("fallback");
        homeserver.push_in_background();
        let site = Self {
            homeserver,
            database: TestDatabase::create_empty().await,
            ops,
            files: tempfile::tempdir().unwrap(),
        };
        site.write();
        site
    }

    fn write(&self) {
        let appservice = self.homeserver.appservice();
        let registration = json!({
            "id": appservice.id, "url": "http://127.0.0.1:1", "as_token": appservice.as_token,
            "hs_token": appservice.hs_token, "sender_localpart": appservice.sender.localpart(), "rate_limited": false,
            "namespaces": {"users": [{
                "exclusive": true, "regex": format!("@_alerts_.*:{}$", SERVER_NAME.replace('.', "\\.")),
            }]},
        });
        std::fs::write(self.path("registration.yaml"), registration.to_string()).unwrap();
        let mut database: url::Url = self.database.url().parse().unwrap();
        // If the server needs no password, set one that the test can search for in the log.
        if database.password().is_none() {
            database.set_password(Some(PASSWORD)).unwrap();
        }
        let config = format!(
            "homeserver: {{url: '{}', server_name: {SERVER_NAME}}}\nregistration: registration.yaml\n\
             database: {{url: '{database}'}}\n\
             listen: {{appservice: '127.0.0.1:0', webhook: '127.0.0.1:0', admin: '127.0.0.1:0'}}\nroom_lists:\n{}",
            self.homeserver.url(),
            // Each page is looked for by its text.
            finance_list("    digest: none\n")
        );
        std::fs::write(self.path("config.yaml"), config).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Starts the program, and waits until it listens.
    async fn start(&self, name: &str, level: &str) -> Program {
        let mut program = self.spawn(name, level);
        until("it is running", async || program.log().contains("is running")).await;
        program.webhook = program.address("webhook");
        program.appservice = program.address("appservice");
        self.homeserver.set_appservice_url(&program.appservice);
        program
    }

    fn spawn(&self, name: &str, level: &str) -> Program {
        let log = self.path(&format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_matrixbot"))
            .args(["run", "--config", "config.yaml", "--log-format", "json", "--log-level", level])
            .current_dir(self.files.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Program { child, log, webhook: String::new(), appservice: String::new() }
    }

    /// The pages of a group in the first room.
    fn pages(&self, name: &str) -> Vec<crate::homeserver::view::SeenMessage> {
        let mut messages = self.homeserver.messages(&self.ops);
        messages.retain(|message| {
            message.body.contains(&format!("{name} on db-1")) && message.msgtype == "m.text"
        });
        messages
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.database.reader()).await.unwrap()
    }

    /// Ends the leases of a killed process.
    async fn leases_run_out(&self) {
        let mut connection = self.database.connect().await;
        sqlx::query("UPDATE room_gate SET lease_until = '2000-01-01' WHERE lease_until IS NOT NULL")
            .execute(&mut connection)
            .await
            .unwrap();
    }

    async fn nothing_waits(&self) {
        until("nothing waits", async || {
            self.count(
                "SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending') AND not_before <= now()",
            )
            .await
                == 0
                && self.count("SELECT count(*) FROM inbox WHERE state = 'waiting'").await == 0
        })
        .await;
    }
}

/// A running program. It is killed with the test.
struct Program {
    child: Child,
    log: PathBuf,
    webhook: String,
    appservice: String,
}

impl Program {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The address that it logged for a listener.
    fn address(&self, of: &str) -> String {
        let log = self.log();
        let logged = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| {
                line.to_string().contains("listening on") && line.to_string().contains(&format!("for {of}"))
            })
            .unwrap_or_else(|| panic!("no address of {of}: {log}"));
        let text = logged.to_string();
        let place = text.split("listening on ").nth(1).unwrap().split(' ').next().unwrap();
        format!("http://{place}")
    }

    async fn fires(&self, name: &str) -> (u16, Value) {
        let body = Group::firing(name, now()).payload().to_string();
        post(&format!("{}/webhook/finance", self.webhook), TOKEN, body).await
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }

    async fn exit(&mut self) -> ExitStatus {
        let waiting = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(BOUND, waiting).await.expect("it does not exit")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

#[tokio::test]
async fn a_stop_finishes_in_flight_work_and_the_next_start_continues() {
    let site = Site::prepare().await;
    let mut first = site.start("first", "info").await;
    let held = site.homeserver.hold_after(messages_to(&site.ops));
    assert_eq!(first.fires("DiskFull").await.0, 200);
    held.reached().await;
    first.signal("TERM");
    until("it stops", async || first.log().contains("shutting down")).await;
    let address = first.webhook.trim_start_matches("http://").to_owned();
    until("nothing is accepted any more", async || tokio::net::TcpStream::connect(&address).await.is_err())
        .await;
    assert!(first.child.try_wait().unwrap().is_none(), "it has a message in flight");
    held.release();
    assert_eq!(first.exit().await.code(), Some(0), "{}", first.log());
    assert_eq!(site.count("SELECT count(*) FROM room_gate WHERE message IS NOT NULL").await, 0);
    assert_eq!(site.count("SELECT count(*) FROM outbox WHERE kind = 'page' AND state = 'sent'").await, 1);

    let second = site.start("second", "info").await;
    let page = site.pages("DiskFull").remove(0);
    site.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    until("the incident is acknowledged", async || {
        site.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await == 1
    })
    .await;
    assert_eq!(second.fires("HostDown").await.0, 200);
    until("the next page", async || site.pages("HostDown").len() == 1).await;
    site.nothing_waits().await;
    assert_eq!(site.pages("DiskFull").len(), 1);
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let site = Site::prepare().await;
    let mut program = site.start("only", "info").await;
    // The connections stay open, as those of Alertmanager and Synapse do.
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    for _ in 0..3 {
        let answer = client.get(format!("{}/nothing", program.webhook)).send().await.unwrap();
        drop(answer.text().await.unwrap());
    }
    let begun = std::time::Instant::now();
    program.signal("TERM");
    assert_eq!(program.exit().await.code(), Some(0));
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn matrixbot_stops_while_it_waits_for_the_database() {
    let site = Site::prepare().await;
    site.database.down().await;
    let mut program = site.spawn("only", "info");
    until("it waits", async || program.log().contains("waiting for the database")).await;
    program.webhook = program.address("webhook");
    assert_eq!(program.fires("DiskFull").await.0, 503, "Alertmanager must retry");
    program.signal("TERM");
    assert_eq!(program.exit().await.code(), Some(0));
    site.database.up().await;
    let program = site.start("again", "info").await;
    assert_eq!(program.fires("DiskFull").await.0, 200);
    until("the page", async || site.pages("DiskFull").len() == 1).await;
}

#[tokio::test]
async fn killed_while_a_page_is_in_flight_nothing_is_lost_or_posted_twice() {
    let site = Site::prepare().await;
    let mut first = site.start("first", "info").await;
    let held = site.homeserver.hold_after(messages_to(&site.ops));
    assert_eq!(first.fires("DiskFull").await.0, 200);
    held.reached().await;
    first.signal("KILL");
    assert_eq!(first.exit().await.code(), None);
    let page = site.pages("DiskFull").remove(0);
    site.homeserver.person(ALICE).reacts(&page.event_id, "✅");
    site.homeserver.restart().await;
    site.leases_run_out().await;
    let _second = site.start("second", "info").await;
    until("the incident is acknowledged", async || {
        site.count("SELECT count(*) FROM incident WHERE phase = 'acknowledged'").await == 1
    })
    .await;
    site.nothing_waits().await;
    assert_eq!(site.pages("DiskFull").len(), 1);
}

#[tokio::test]
async fn killed_under_load_every_accepted_report_is_paged_once() {
    let site = Site::prepare().await;
    let mut first = site.start("first", "info").await;
    let names: Vec<String> = (100..140).map(|n| format!("G{n}")).collect();
    let mut accepted = 0;
    for (n, name) in names.iter().enumerate() {
        if n == 25 {
            first.signal("KILL");
            first.exit().await;
            break;
        }
        assert_eq!(first.fires(name).await.0, 200);
        accepted += 1;
    }
    site.leases_run_out().await;
    let second = site.start("second", "info").await;
    // Alertmanager retries the reports that were not accepted, and one that was.
    for name in &names[accepted - 1..] {
        assert_eq!(second.fires(name).await.0, 200);
    }
    until("every page", async || names.iter().all(|name| !site.pages(name).is_empty())).await;
    site.nothing_waits().await;
    for name in &names {
        assert_eq!(site.pages(name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_rolling_restart_of_two_processes_loses_nothing() {
    let site = Site::prepare().await;
    let mut first = site.start("first", "info").await;
    let second = site.start("second", "info").await;
    for n in 200..210 {
        assert_eq!(first.fires(&format!("G{n}")).await.0, 200);
        assert_eq!(second.fires(&format!("G{n}")).await.0, 200);
    }
    first.signal("TERM");
    for n in 210..220 {
        assert_eq!(second.fires(&format!("G{n}")).await.0, 200);
    }
    assert_eq!(first.exit().await.code(), Some(0));
    let names: Vec<String> = (200..220).map(|n| format!("G{n}")).collect();
    until("every page", async || names.iter().all(|name| !site.pages(name).is_empty())).await;
    site.nothing_waits().await;
    for name in &names {
        assert_eq!(site.pages(name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn reports_during_the_start_of_two_processes_are_paged_once() {
    let site = Site::prepare().await;
    // Nothing exists yet: no schema, no virtual users, no joined rooms.
    let mut programs = [site.spawn("first", "info"), site.spawn("second", "info")];
    let names: Vec<String> = (300..320).map(|n| format!("G{n}")).collect();
    for program in &mut programs {
        until("it listens", async || program.log().contains("for webhook")).await;
        program.webhook = program.address("webhook");
    }
    let reports = programs.iter().flat_map(|program| {
        names.iter().map(move |name| async move {
            // Retry as Alertmanager does, until it is accepted.
            while program.fires(name).await.0 != 200 {}
        })
    });
    futures_util::future::join_all(reports).await;
    until("every page", async || names.iter().all(|name| !site.pages(name).is_empty())).await;
    site.nothing_waits().await;
    for name in &names {
        assert_eq!(site.pages(name).len(), 1, "{name}");
    }
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    let site = Site::prepare().await;
    let appservice = site.homeserver.appservice();
    let mut program = site.start("only", "trace,matrixbot=trace").await;
    site.homeserver.fail_next(messages_to(&site.ops), Fault::Status(500, "M_UNKNOWN"));
    site.homeserver
        .fail_next(Match::to(Endpoint::Send).of_type("m.reaction"), Fault::DropReplyAfterAccepting);
    assert_eq!(program.fires("DiskFull").await.0, 200);
    until("the page", async || site.pages("DiskFull").len() == 1).await;
    site.homeserver.person(ALICE).says(&site.ops, "ack 1");
    site.homeserver.person(ALICE).says(&site.ops, "!help");
    site.nothing_waits().await;
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let (hook, app) = (&program.webhook, &program.appservice);
    // Put each secret in every place where people may put it by mistake.
    for secret in [TOKEN, &appservice.hs_token, &appservice.as_token] {
        for url in [
            format!("{hook}/webhook/finance?token={secret}"),
            format!("{hook}/webhook/nobody?access_token={secret}"),
            format!("{app}/_matrix/app/v1/transactions/1?access_token={secret}"),
            format!("{app}/transactions/2?access_token={secret}"),
            format!("{app}/_matrix/app/v1/users/@x:y?access_token={secret}"),
        ] {
            for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::GET] {
                let request = client.request(method, &url).bearer_auth(secret).body("{\"events\": 7}");
                drop(request.send().await.unwrap().text().await.unwrap());
            }
            drop(client.post(&url).basic_auth("x", Some(secret)).body("[").send().await.unwrap());
        }
    }
    site.database.down().await;
    assert_eq!(program.fires("HostDown").await.0, 503);
    site.database.up().await;
    assert_eq!(program.fires("HostDown").await.0, 200);
    until("the next page", async || site.pages("HostDown").len() == 1).await;
    program.signal("TERM");
    assert_eq!(program.exit().await.code(), Some(0));
    let log = program.log();
    assert!(log.contains("TRACE"), "the log level is trace");
    assert_eq!(log.lines().find(|line| line.contains("access_token=")), None, "no query is in the log");
    for (what, secret) in [
        ("the webhook token", TOKEN),
        ("hs_token", &appservice.hs_token),
        ("as_token", &appservice.as_token),
        ("the database's password", PASSWORD),
    ] {
        let found = log.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{what} is in the log");
    }
}
