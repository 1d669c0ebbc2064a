//! The configuration as a whole: what is read, and that every problem is found at once.

mod documents;
mod doubtful;
mod keys;
mod on_call;
mod problems;
mod published;
mod registration;
mod schema;

use super::{Config, Outside, load};
use crate::domain::policy::{AckScope, Mention, OnNewAlert, Policy, Role};
use secrecy::ExposeSecret;
use std::time::Duration;

const REGISTRATION: &str = "\
id: matrixbot
url: http://127.0.0.1:9009
as_token: as-secret
hs_token: hs-secret
sender_localpart: matrixbot
rate_limited: false
namespaces:
  users:
    - {exclusive: true, regex: '@_alerts_.*:example\\.org$'}
  rooms: []
  aliases: []
";

pub(super) const MINIMAL: &str = "\
homeserver: {url: 'http://127.0.0.1:8008/', server_name: example.org}
registration: registration.yaml
database: {url: 'postgres://localhost/matrixbot'}
room_lists:
  - name: finance
    webhook_token: s3cret
    levels:
      - rooms: ['#finance:example.org']
";

const NOTHING: Outside<'_> = Outside { environment: &|_| None, template: &|_, _| Ok(()) };

/// A folder with a configuration and a registration.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("config.yaml", config).write("registration.yaml", REGISTRATION)
    }

    fn write(self, name: &str, content: &str) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    pub(super) fn load(&self) -> Result<Config, Vec<String>> {
        let environment = |name: &str| (name == "TOKEN").then(|| "from-env".to_owned());
        let template = |name: &str, text: &str| {
            if name == "page_text" { Ok(()) } else { Err(format!("there is no template {name} for {text}")) }
        };
        let outside = Outside { environment: &environment, template: &template };
        load(&self.0.path().join("config.yaml"), outside).map_err(|problems| {
            let folder = format!("{}/", self.0.path().display());
            problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
        })
    }
}

/// What is wrong with a configuration.
fn problems(config: &str) -> Vec<String> {
    Folder::with(config).load().expect_err("the configuration has problems")
}

/// What is wrong with the minimal configuration after a change.
fn problems_after(from: &str, to: &str) -> Vec<String> {
    assert!(MINIMAL.contains(from), "{from} is part of the minimal configuration");
    problems(&MINIMAL.replace(from, to))
}

#[test]
fn a_minimal_configuration_has_every_documented_default() {
    let config = Folder::with(MINIMAL).load().unwrap();
    assert_eq!(config.homeserver.url.as_str(), "http://127.0.0.1:8008/");
    assert_eq!(config.user_prefix, "_alerts_");
    assert_eq!(config.database.max_connections, 10);
    assert!(config.database.migrate);
    assert_eq!(config.listen.appservice.address.to_string(), "127.0.0.1:9009");
    assert_eq!(config.listen.webhook.address.to_string(), "127.0.0.1:9010");
    assert_eq!(config.listen.admin.address.to_string(), "127.0.0.1:9011");
    assert_eq!(config.retention.incidents, Some(Duration::from_hours(24 * 365)));
    let list = &config.room_lists[0];
    assert_eq!(list.display_name, "finance alerts");
    assert_eq!(list.ack_reactions, ["✅", "👀"]);
    assert_eq!(list.policy.levels[0].escalate_after, Duration::from_mins(15));
    let defaults = Policy {
        severities: list.policy.severities.clone(),
        ..Policy::with_levels(list.policy.levels.clone())
    };
    assert_eq!(list.policy, defaults);
    assert!(list.policy.severity(Some("critical")).rank > list.policy.severity(Some("warning")).rank);
}

#[test]
fn the_example_is_a_configuration_and_shows_the_defaults() {
    let config = Folder::with(include_str!("../../../config.yaml.example")).load().unwrap();
    let minimal = Folder::with(MINIMAL).load().unwrap();
    assert_eq!(config.listen, minimal.listen);
    assert_eq!(config.retention, minimal.retention);
    let (shown, default) = (&config.room_lists[0], &minimal.room_lists[0]);
    assert_eq!(
        (&shown.ack_reactions, shown.place_reaction, shown.follow_aliases),
        (&default.ack_reactions, default.place_reaction, default.follow_aliases)
    );
    let defaults = Policy {
        levels: shown.policy.levels.clone(),
        fallback_rooms: shown.policy.fallback_rooms.clone(),
        severities: shown.policy.severities.clone(),
        permissions: shown.policy.permissions.clone(),
        ..default.policy.clone()
    };
    assert_eq!(shown.policy, defaults);
}

#[test]
fn what_the_example_comments_out_can_be_used() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let without = ["url:", "bearer_token:", "webhook_token:"];
    let mut config = String::new();
    for line in include_str!("../../../config.yaml.example").lines() {
        let key = line.trim_start();
        // A secret is given in its file instead, an Alertmanager has `urls`, and a schedule has turns.
        if without.iter().any(|k| key.starts_with(k))
            && (!key.starts_with("url: http") || key.ends_with(":9093"))
            || ["#basic_auth", "#calendar", "#shifts"].iter().any(|other| key.starts_with(other))
        {
            continue;
        }
        let used = key.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        config += &line.replacen(key, used.unwrap_or(key), 1);
        config.push('\n');
    }
    let config = Folder::with(&config)
        .write("database-url", "postgres://u:p@localhost/matrixbot\n")
        .write("alertmanager-token", "am-token\n")
        .write("alertmanager-password", "am-password\n")
        .write("finance-webhook-token", "finance-token\n")
        .write("heartbeat-url", "https://hc-ping.com/5f0b1d5c\n")
        .write("ca.crt", &certificate.cert.pem())
        .write("tls.crt", &certificate.cert.pem())
        .write("tls.key", &certificate.signing_key.serialize_pem())
        .load()
        .unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://u:p@localhost/matrixbot");
    assert_eq!(config.room_lists[0].webhook_token.as_ref().unwrap().expose_secret(), "finance-token");
    assert!(config.listen.webhook.tls.is_some());
    assert!(config.room_lists[0].avatar.is_some());
    assert_eq!(config.alertmanagers[0].bearer_token.as_ref().unwrap().expose_secret(), "am-token");
}

#[test]
fn every_rule_of_a_room_list_is_read() {
    let config = Folder::with(include_str!("../../../config.yaml.example")).load().unwrap();
    let list = &config.room_lists[0];
    assert_eq!(list.name, "finance");
    assert!(list.receivers.contains("finance-pager"));
    assert_eq!(list.policy.levels.len(), 2);
    assert_eq!(list.policy.levels[0].mention, [Mention::User("@alice:example.org".try_into().unwrap())]);
    assert_eq!(list.policy.levels[1].mention, [Mention::Room]);
    assert_eq!(list.policy.levels[1].rooms, ["!managers:example.org"]);
    assert_eq!(list.policy.fallback_rooms, ["#ops:example.org"]);
    assert!(!list.policy.severities["info"].escalate);
    assert_eq!(list.policy.severities["info"].mention, Some(Vec::new()));
    assert_eq!(list.policy.permissions.users.values().collect::<Vec<_>>(), [&Role::Moderate]);
    assert_eq!(config.compatibility["/webhook-ack"], "finance");

    let other = MINIMAL.to_owned()
        + "    on_new_alert: sticky\n    ack_scope: current_level\n    ack_timeout: 4h\n    stale_after: none\n"
        + "    remind_every: none\n    repeat: 2\n    place_reaction: false\n";
    let policy = Folder::with(&other).load().unwrap().room_lists.remove(0).policy;
    assert_eq!((policy.on_new_alert, policy.ack_scope), (OnNewAlert::Sticky, AckScope::CurrentLevel));
    assert_eq!((policy.ack_timeout, policy.stale_after), (Some(Duration::from_hours(4)), None));
    assert_eq!((policy.remind_every, policy.repeat), (None, 2));
}

#[test]
fn a_template_that_is_wrong_is_told_in_its_place() {
    let with = |name: &str| format!("{MINIMAL}    templates:\n      {name}: 'Look: {{{{ name }}}}'\n");
    let list = Folder::with(&with("page_text")).load().unwrap().room_lists.remove(0);
    assert_eq!(list.templates["page_text"], "Look: {{ name }}");
    let found = problems(&with("page_html"));
    assert_eq!(
        found,
        [
            "config.yaml:10:18: room_lists[0].templates.page_html: there is no template page_html for Look: {{ name }}"
        ]
    );
    let found = problems(&with("pages"));
    assert!(found[0].contains("templates.pages: the key must be page, edit, thread"), "{found:?}");
}

#[test]
fn values_come_from_the_environment_and_secrets_from_files() {
    let config = MINIMAL
        .replace("webhook_token: s3cret", "webhook_token: ${TOKEN}")
        .replace("url: 'postgres://localhost/matrixbot'", "url_file: secret, max_connections: '${N:-20}'");
    let config = Folder::with(&config).write("secret", "postgres://u:p@h/d\n").load().unwrap();
    assert_eq!(config.room_lists[0].webhook_token.as_ref().unwrap().expose_secret(), "from-env");
    assert_eq!(config.database.url.expose_secret(), "postgres://u:p@h/d");
    assert_eq!(config.database.max_connections, 20);
}

#[test]
fn what_would_mean_something_else_than_it_seems_is_told() {
    let with = |line: &str| problems(&format!("{MINIMAL}    {line}\n"));
    for line in ["ack_timeout: 0", "stale_after: 0s", "remind_every: 0m"] {
        assert!(with(line)[0].contains("must be greater than zero; use `none`"), "{line}");
    }
    let other = "receivers: [ops]\n  - {name: ops, webhook_auth: none, receivers: [ops], levels: [{rooms: ['#a:b']}]}";
    let found = with(other);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("room_lists[0].receivers[0]: `ops` is the name of another room list"),
        "{found:?}"
    );
    let found = problems_after("http://127.0.0.1:8008/", "http://u:hidden@127.0.0.1:8008/");
    assert!(found[0].contains("must not hold a user") && !found[0].contains("hidden"), "{found:?}");
    let long = "f".repeat(240);
    let found = problems_after("name: finance", &format!("name: {long}"));
    assert!(found[0].contains("room_lists[0].name: is too long: at most 234 characters"), "{found:?}");
    let config = MINIMAL.replace("webhook_token: s3cret", "webhook_token_file: blank");
    let found = Folder::with(&config).write("blank", "  \n").load().unwrap_err();
    assert!(found[0].ends_with("blank is empty"), "{found:?}");
}

#[test]
fn lists_with_the_same_alias_follow_it_alike() {
    let another = |room: &str, follows: &str| {
        format!(
            "{MINIMAL}  - {{name: ops, webhook_auth: none, {follows} levels: [{{rooms: ['#ops:example.org']}}], \
             fallback_rooms: ['{room}']}}\n"
        )
    };
    let found = problems(&another("#finance:example.org", "follow_aliases: never,"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(
            "room_lists[1].follow_aliases: never differs from when_member of the room list `finance`"
        ),
        "{found:?}"
    );
    for (room, follows) in [
        ("#finance:example.org", ""),
        ("#finance:example.org", "follow_aliases: when_member,"),
        ("#other:example.org", "follow_aliases: always,"),
        ("!finance:example.org", "follow_aliases: never,"),
    ] {
        Folder::with(&another(room, follows)).load().unwrap();
    }
}

#[test]
fn the_files_that_others_must_not_read_are_known() {
    let of = |config: &str| {
        let config = Folder::with(config).write("token", "t").load().unwrap();
        let name = |file: &std::path::PathBuf| file.file_name().unwrap().to_str().unwrap().to_owned();
        config.secret_files.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(of(MINIMAL), ["config.yaml", "registration.yaml"]);
    let elsewhere = MINIMAL.replace("webhook_token: s3cret", "webhook_token_file: token");
    assert_eq!(of(&elsewhere), ["registration.yaml", "token"]);
    let from_outside = MINIMAL.replace("s3cret", "${TOKEN}");
    assert_eq!(of(&from_outside), ["registration.yaml"]);
    for url in ["postgres://u:p@localhost/m", "postgres:///m?user=u&password=p"] {
        assert_eq!(of(&from_outside.replace("postgres://localhost/matrixbot", url)).len(), 2, "{url}");
    }
    for url in ["postgres://u@[::1]:5432/m", "postgres://u@/m", "postgres://localhost:5432/m"] {
        assert_eq!(of(&from_outside.replace("postgres://localhost/matrixbot", url)).len(), 1, "{url}");
    }
}

#[test]
fn secrets_do_not_show_when_the_configuration_is_printed() {
    let printed = format!("{:?}", Folder::with(MINIMAL).load().unwrap());
    for secret in ["s3cret", "as-secret", "hs-secret", "postgres://"] {
        assert!(!printed.contains(secret), "{secret} shows in {printed}");
    }
}
