//! Commands that operators run at the shell, with and without a running matrixbot. The program is a real process.

mod certificates;
mod doctor;
mod incidents;
mod on_call;
mod rooms;
mod stopping;
mod test_alert;
mod tokens;

use crate::database::TestDatabase;
use crate::homeserver::{Homeserver, SERVER_NAME};
use crate::waiting::{BOUND, until};
use crate::world::finance_list;
use ruma::OwnedRoomId;
use serde_json::{Value, json};
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const ALICE: &str = "@alice:example.test";

/// A homeserver, a database and the files of an operator. matrixbot is not running yet.
struct Site {
    homeserver: Homeserver,
    database: TestDatabase,
    ops: OwnedRoomId,
    managers: OwnedRoomId,
    ports: [u16; 3],
    files: tempfile::TempDir,
}

impl Site {
    async fn prepare() -> Self {
        let homeserver = Homeserver::start();
        let room = |name: &str| homeserver.public_room(ALICE, &format!("#{name}:{SERVER_NAME}"));
        let (ops, managers, fallback) = (room("ops"), room("managers"), room("fallback"));
        homeserver.set_power(&fallback, "@_alerts_finance:example.test", 50);
        let ports = free_ports();
        homeserver.set_appservice_url(&format!("http://127.0.0.1:{}", ports[0]));
        homeserver.push_in_background();
        let database = TestDatabase::create().await;
        let files = tempfile::tempdir().unwrap();
        let site = Self { homeserver, database, ops, managers, ports, files };
        site.write("config.yaml", &site.config());
        site.register(&site.homeserver.appservice().hs_token);
        site
    }

    /// The usual configuration.
    fn config(&self) -> String {
        let [appservice, webhook, admin] = self.ports.map(|port| format!("'127.0.0.1:{port}'"));
        format!(
            "homeserver: {{url: '{}', server_name: {SERVER_NAME}}}\nregistration: registration.yaml\n\
             database: {{url: '{}'}}\n\
             listen: {{appservice: {appservice}, webhook: {webhook}, admin: {admin}}}\nroom_lists:\n{}",
            self.homeserver.url(),
            self.database.url(),
            finance_list("")
        )
    }

    /// Writes our copy of the registration.
    fn register(&self, hs_token: &str) {
        let appservice = self.homeserver.appservice();
        let registration = json!({
            "id": appservice.id, "url": "http://127.0.0.1:1", "as_token": appservice.as_token,
            "hs_token": hs_token, "sender_localpart": appservice.sender.localpart(), "rate_limited": false,
            "namespaces": {"users": [{
                "exclusive": true, "regex": format!("@_alerts_.*:{}$", SERVER_NAME.replace('.', "\\.")),
            }]},
        });
        self.write("registration.yaml", &registration.to_string());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
        self.allow(name, 0o600);
    }

    fn allow(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrixbot"));
        command.args(arguments).current_dir(self.files.path()).env_clear();
        command
    }

    /// Runs a command to its end. Returns its exit code and both outputs.
    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        CommandOutput::from(output)
    }

    /// Starts the program, and waits until it is ready.
    async fn start(&self) -> Program {
        let log = self.path("run.log");
        let child = self
            .command(&["run"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let program = Program { child, log };
        until_logged(&program, " is running").await;
        let joined = "SELECT count(*) FROM room_membership WHERE membership = 'join'";
        until("it is in its rooms", async || self.count(joined).await == 3).await;
        program
    }

    async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.database.reader()).await.unwrap()
    }
}

/// Waits until the program has logged something. Fails with its log.
async fn until_logged(program: &Program, words: &str) {
    let logged = async {
        while !program.log().contains(words) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, logged).await.is_ok(), "{words:?} is not in {}", program.log());
}

/// Free ports, outside the range of outgoing connections: another test could use a port of that range before the
/// program binds it.
fn free_ports() -> [u16; 3] {
    let free = || loop {
        let port = u16::try_from(10_000 + RandomState::new().hash_one(()) % 20_000).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    };
    // Hold all listeners at once, so the ports differ.
    [free(), free(), free()].map(|listener| listener.local_addr().unwrap().port())
}

/// The output and the exit code of a command.
#[derive(Debug)]
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl CommandOutput {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A running program. It is killed with the test.
struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.child.id())]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
