//! The program as operators start it: its output and its exit codes.

use crate::database::TestDatabase;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A process that is killed with its test. Otherwise the reader of the test's output would wait for it forever.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder that the program is started in.
struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with a registration, written by the program, and a configuration.
    fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let written = folder.run(&[
            "registration",
            "--url=http://127.0.0.1:9009",
            "--server-name=example.org",
            "--output=registration.yaml",
        ]);
        assert!(written.status.success(), "{written:?}");
        std::fs::write(folder.path("config.yaml"), config).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrixbot"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn configuration(database: &str) -> String {
    format!(
        "homeserver: {{url: 'http://127.0.0.1:9', server_name: example.org}}\n\
         registration: registration.yaml\n\
         database: {{url: '{database}'}}\n\
         listen: {{appservice: '127.0.0.1:0', webhook: '127.0.0.1:0', admin: '127.0.0.1:0'}}\n\
         room_lists:\n  - name: finance\n    webhook_token: s3cret\n    levels:\n      - rooms: ['#finance:example.org']\n"
    )
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

#[test]
fn check_prints_its_result_to_standard_output_and_exits_0_on_the_example() {
    let folder = Folder::with(include_str!("../../config.yaml.example"));
    let output = folder.run(&["check", "--config", "config.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output.stderr), Vec::<String>::new());
    assert_eq!(lines(&output.stdout), ["config.yaml: valid; room lists: finance"]);
}

#[test]
fn check_and_run_print_each_problem_on_its_own_line_and_exit_2() {
    let wrong = configuration("mysql://h/d").replace("levels:", "level:").replace("s3cret", "''");
    let folder = Folder::with(&wrong);
    for command in ["check", "run", "migrate"] {
        let output = folder.run(&[command]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let problems = lines(&output.stderr);
        let expected = [
            "config.yaml:3:17: database.url: must be a URL",
            "config.yaml:6:5: room_lists[0].levels: is missing",
            "config.yaml:7:20: room_lists[0].webhook_token: must not be empty",
            "config.yaml:8:5: room_lists[0].level: this key is unknown; did you mean levels?",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem}\n{expected}");
        }
    }
    let absent = folder.run(&["check", "--config", "absent.yaml"]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(lines(&absent.stderr)[0].starts_with("absent.yaml: cannot be read"), "{absent:?}");
}

#[test]
fn a_registration_is_private_and_is_not_overwritten_unless_forced() {
    let folder = Folder::with("");
    let path = folder.path("registration.yaml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&path).unwrap();
    let again = ["registration", "--url=http://h", "--server-name=example.org", "--output=registration.yaml"];
    let refused = folder.run(&again);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(lines(&refused.stderr)[0].contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
    let written = folder.run(&[&again[..], &["--force"]].concat());
    assert!(written.status.success() && lines(&written.stderr).is_empty(), "{written:?}");
    assert!(lines(&written.stdout)[0].starts_with("registration.yaml was written"), "{written:?}");
    assert_ne!(std::fs::read_to_string(&path).unwrap(), first);
    let printed = folder.run(&again[..3]);
    assert!(
        lines(&printed.stdout).iter().any(|line| line == r"      regex: '@_alerts_.*:example\.org$'"),
        "{printed:?}"
    );
}

#[test]
fn an_imported_configuration_is_private_and_valid_once_filled_in() {
    let folder = Folder::with("");
    let old = include_str!("../fixtures/predecessors/matrixbot-ack.yaml");
    std::fs::write(folder.path("old.yaml"), old).unwrap();
    let import = ["import", "--from=matrixbot-ack", "old.yaml", "--output=new.yaml"];
    let written = folder.run(&import);
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0), "{written:?}");
    let printed = lines(&written.stderr);
    assert!(printed.iter().any(|line| line.starts_with("  - ${MATRIXBOT_DATABASE_URL}: ")), "{printed:#?}");
    assert!(
        printed.contains(&"Not imported:".to_owned()) && !printed.concat().contains("secret"),
        "{printed:#?}"
    );
    assert_eq!(std::fs::metadata(folder.path("new.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = folder.run(&import);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(folder.run(&[&import[..], &["--force"]].concat()).status.success());

    let check = ["check", "--config=new.yaml"];
    let missing = folder.run(&check);
    assert_eq!((missing.status.code(), lines(&missing.stderr).len()), (Some(2), 2), "{missing:?}");
    let filled_in = folder
        .command(&check)
        .env("MATRIXBOT_DATABASE_URL", "postgres://localhost/matrixbot")
        .env("MATRIXBOT_ALERTS_WEBHOOK_TOKEN", "s3cret")
        .output()
        .unwrap();
    assert_eq!(lines(&filled_in.stdout), ["new.yaml: valid; room lists: alerts"], "{filled_in:?}");

    let printed = folder.run(&import[..3]);
    assert_eq!(printed.stdout, std::fs::read(folder.path("new.yaml")).unwrap());
    let other = folder.run(&["import", "--from=opsdroid", "old.yaml"]);
    assert_eq!((other.status.code(), other.stdout.len()), (Some(2), 0), "{other:?}");
}

#[test]
fn the_schema_goes_to_standard_output() {
    let schema = Folder::with("").run(&["check", "--schema"]);
    assert_eq!(schema.status.code(), Some(0), "{schema:?}");
    assert_eq!(String::from_utf8_lossy(&schema.stdout), include_str!("../../docs/config.schema.json"));
}

#[test]
fn a_preview_shows_the_page_and_whom_the_ladder_notifies_when() {
    let config = configuration("postgres://127.0.0.1/x").replace(
        "- rooms: ['#finance:example.org']",
        "- {rooms: ['#finance:example.org'], escalate_after: 15m}\n      \
         - {rooms: ['#managers:example.org'], escalate_after: 30m, mention: ['@room']}\n    \
         fallback_rooms: ['#all:example.org']\n    max_reminders: 1",
    );
    let folder = Folder::with(&config);
    let body = r#"{"receiver": "other", "alerts": [{"status": "firing", "startsAt": "2026-12-24T02:55:00Z",
        "fingerprint": "00000000000000aa", "labels": {"alertname": "DiskFull", "severity": "critical"}, "annotations": {"summary": "97 % used"}}]}"#;
    std::fs::write(folder.path("body.json"), body).unwrap();
    let preview = folder.run(&["preview", "body.json", "--at=2026-12-24T03:00:00Z"]);
    assert_eq!(preview.status.code(), Some(0), "{preview:?}");
    assert_eq!(
        lines(&preview.stdout).join("\n"),
        "🔴 FIRING #1 DiskFull · critical\n97 % used\n\nfinance · firing since 02:55 UTC\n\n\
         To acknowledge: react with ✅, reply \"ack\", or type \"ack 1\".\n\n\
         If nobody acts, finance notifies:\n  \
         2026-12-24 03:00:00 UTC  level 1: #finance:example.org\n  \
         2026-12-24 03:15:00 UTC  level 2: #managers:example.org; mentions @room\n  \
         2026-12-24 03:45:00 UTC  fallback: #all:example.org\n  \
         2026-12-24 04:45:00 UTC  reminder 1: #managers:example.org, #all:example.org; mentions @room"
    );
    let html = folder.run(&["preview", "body.json", "--html"]);
    assert!(
        String::from_utf8_lossy(&html.stdout).starts_with("<p>🔴 <strong>FIRING #1 DiskFull</strong>"),
        "{html:?}"
    );
    let unknown = folder.run(&["preview", "body.json", "--room-list=ops"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(
        lines(&unknown.stderr).last().unwrap(),
        "error: there is no room list ops; there are: finance"
    );
    let missing = folder.run(&["preview", "none.json"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[test]
fn an_invalid_command_line_exits_2_and_version_names_the_release() {
    let folder = Folder::with("");
    assert_eq!(folder.run(&["serve"]).status.code(), Some(2));
    assert_eq!(folder.run(&["check", "--log-level", "loud"]).status.code(), Some(2));
    let version = lines(&folder.run(&["--version"]).stdout);
    assert!(
        version[0].starts_with(concat!("matrixbot ", env!("CARGO_PKG_VERSION"), " (commit ")),
        "{version:?}"
    );
}

#[test]
fn completions_and_the_manual_go_to_standard_output_or_to_a_directory() {
    let folder = Folder::with("");
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.run(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0), "{script:?}");
        assert!(String::from_utf8_lossy(&script.stdout).contains("registration"), "{shell}");
    }
    let page = folder.run(&["man"]);
    assert!(lines(&page.stdout).iter().any(|line| line.starts_with(".TH matrixbot 1")), "{page:?}");
    assert!(folder.run(&["man", "--output", "man1"]).status.success());
    let run = std::fs::read_to_string(folder.path("man1").join("matrixbot-run.1")).unwrap();
    assert!(run.contains("SIGTERM"), "{run}");
}

#[tokio::test]
async fn migrate_can_run_several_times() {
    let database = TestDatabase::create().await;
    let folder = Folder::with(&configuration(&database.url()));
    for _ in 0..2 {
        let output = folder.run(&["migrate"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let nowhere = Folder::with(&configuration("postgres://postgres@127.0.0.1:9/none"));
    let output = nowhere.run(&["migrate"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(lines(&output.stderr)[0].contains("matrixbot migrate failed"), "{output:?}");
}

#[tokio::test]
async fn a_schema_with_additions_of_a_newer_release_is_accepted() {
    let database = TestDatabase::create().await;
    let folder = Folder::with(&configuration(&database.url()));
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (99991231000000, 'of a newer release', true, '', 0)";
    sqlx::query(newer).execute(&mut database.connect().await).await.unwrap();
    let output = folder.run(&["migrate"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn run_logs_json_and_exits_0_on_sigterm() {
    let database = TestDatabase::create().await;
    let folder = Folder::with(&configuration(&database.url()));
    let mut process = Running(folder.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(process.0.stderr.take().unwrap()).lines();
    let running = log.find(|line| line.as_ref().unwrap().contains(" is running")).unwrap().unwrap();
    let line: serde_json::Value = serde_json::from_str(&running).unwrap();
    assert_eq!((&line["level"], &line["room_lists"]), (&"INFO".into(), &1.into()), "{line}");
    let stopping = Instant::now();
    // Use the shell's own `kill`: a small Debian has no such program.
    let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", process.0.id())]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<_> = log.map(Result::unwrap).collect();
    assert_eq!(process.0.wait().unwrap().code(), Some(0), "{rest:#?}");
    assert!(stopping.elapsed() < Duration::from_secs(20), "{rest:#?}");
    assert!(rest.last().unwrap().contains("\"stopped\""), "{rest:#?}");
}
