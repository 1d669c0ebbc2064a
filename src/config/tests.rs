//! The configuration as a whole: what is read, and that every problem is found at once.

use super::load::load;
use super::{AlertmanagerAuth, Config, Outside};
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
    let config = Folder::with(include_str!("../../config.yaml.example")).load().unwrap();
    let minimal = Folder::with(MINIMAL).load().unwrap();
    assert_eq!(config.listen, minimal.listen);
    assert_eq!(config.retention, minimal.retention);
    let (shown, default) = (&config.room_lists[0], &minimal.room_lists[0]);
    assert_eq!(
        (&shown.ack_reactions, shown.place_reaction),
        (&default.ack_reactions, default.place_reaction)
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
    for line in include_str!("../../config.yaml.example").lines() {
        let key = line.trim_start();
        // A secret is given in its file instead.
        if without.iter().any(|k| key.starts_with(k)) && !key.starts_with("url: http")
            || key.starts_with("#basic_auth")
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
        .write("ca.crt", &certificate.cert.pem())
        .write("tls.crt", &certificate.cert.pem())
        .write("tls.key", &certificate.signing_key.serialize_pem())
        .load()
        .unwrap();
    assert_eq!(config.database.url.expose_secret(), "postgres://u:p@localhost/matrixbot");
    assert_eq!(config.room_lists[0].webhook_token.as_ref().unwrap().expose_secret(), "finance-token");
    assert!(config.listen.webhook.tls.is_some());
    assert!(config.room_lists[0].avatar.is_some());
    assert!(
        matches!(&config.alertmanagers[0].auth, AlertmanagerAuth::Bearer(t) if t.expose_secret() == "am-token")
    );
}

#[test]
fn every_rule_of_a_room_list_is_read() {
    let config = Folder::with(include_str!("../../config.yaml.example")).load().unwrap();
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
        assert!(with(line)[0].contains("write none if you mean never"), "{line}");
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
    assert!(found[0].contains("longer than 255 bytes"), "{found:?}");
    let config = MINIMAL.replace("webhook_token: s3cret", "webhook_token_file: blank");
    let found = Folder::with(&config).write("blank", "  \n").load().unwrap_err();
    assert!(found[0].ends_with("blank is empty"), "{found:?}");
}

#[test]
fn secrets_do_not_show_when_the_configuration_is_printed() {
    let printed = format!("{:?}", Folder::with(MINIMAL).load().unwrap());
    for secret in ["s3cret", "as-secret", "hs-secret", "postgres://"] {
        assert!(!printed.contains(secret), "{secret} shows in {printed}");
    }
}

#[test]
fn all_problems_are_told_at_once_each_with_its_place_and_key() {
    let found = problems(
        "\
homeserver:
  url: ftp://example.org
  servername: example.org
registration: absent.yaml
user_prefix: 'Not Good'
database:
  url: mysql://u:p@h/d
  max_connections: many
  migrate: yes
listen:
  webhook: nowhere
  admin: {tls: {certificate: absent.crt}}
room_lists:
  - name: Finance
    levels: []
    ack_timeout: 5 bananas
  - name: ops
    webhook_token: a
    webhook_token: b
    receivers: [pager, pager]
    levels:
      - rooms: [!managers:example.org]
        mention: [primary, '@room', alice]
      - rooms:
          - #ops:example.org
        escalate_after: 15
  - name: ops
    webhook_token: 12345
    levels: [{rooms: [ops], escalate: 5m}]
    on_new_alert: maybe
compatibility:
  /webhook-ack: nobody
  /other: ops
retention: 30d
",
    );
    let expected = [
        "config.yaml:2:3: homeserver.server_name: is missing",
        "config.yaml:2:8: homeserver.url: must begin with http:// or https://",
        "config.yaml:3:3: homeserver.servername: this key is unknown; did you mean server_name?",
        "config.yaml:4:15: registration: the file absent.yaml cannot be read",
        "config.yaml:5:14: user_prefix: may hold only",
        "config.yaml:7:8: database.url: must be a URL such as postgres://",
        "config.yaml:8:20: database.max_connections: must be a whole number from 2 to 1000, not `many`",
        "config.yaml:9:12: database.migrate: must be true or false, not `yes`",
        "config.yaml:11:12: listen.webhook: must be ADDRESS:PORT",
        "config.yaml:12:10: listen.admin.address: is missing",
        "config.yaml:12:16: listen.admin.tls.key: is missing",
        "config.yaml:12:30: listen.admin.tls.certificate: the file absent.crt cannot be read",
        "config.yaml:14:5: room_lists[0].webhook_token: is missing, and so is webhook_token_file",
        "config.yaml:14:11: room_lists[0].name: may hold only",
        "config.yaml:15:13: room_lists[0].levels: must hold at least one level",
        "config.yaml:16:18: room_lists[0].ack_timeout: must be a duration such as",
        "config.yaml:19:5: room_lists[1].webhook_token: the key is given twice; first in line 18",
        "config.yaml:20:24: room_lists[1].receivers[1]: names `pager` a second time",
        "config.yaml:22:17: room_lists[1].levels[0].rooms[0]: without quotes, YAML takes `!managers:example.org`",
        "config.yaml:23:19: room_lists[1].levels[0].mention[0]: must be a user",
        "config.yaml:23:37: room_lists[1].levels[0].mention[2]: must be a user",
        "config.yaml:25:29: room_lists[1].levels[1].rooms[0]: without quotes, YAML takes `#ops:example.org`",
        "config.yaml:26:25: room_lists[1].levels[1].escalate_after: must be a duration such as",
        "config.yaml:27:11: room_lists[2].name: names `ops` a second time",
        "config.yaml:28:20: room_lists[2].webhook_token: must be text, and this is a number to YAML",
        "config.yaml:29:23: room_lists[2].levels[0].rooms[0]: must be a room id",
        "config.yaml:29:29: room_lists[2].levels[0].escalate: this key is unknown",
        "config.yaml:30:19: room_lists[2].on_new_alert: must be reopen or sticky, not `maybe`",
        "config.yaml:32:17: compatibility./webhook-ack: there is no room list named `nobody`",
        "config.yaml:33:11: compatibility./other: the key must be a predecessor's path: /webhook-ack,",
        "config.yaml:34:12: retention: must be a table",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "expected {expected}\nfound {found}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn no_problem_repeats_a_secret() {
    for config in [
        MINIMAL.replace("postgres://localhost", "mysql://u:top-secret@localhost"),
        MINIMAL.replace("s3cret", "[top-secret]"),
        MINIMAL.replace("s3cret", "{a: top-secret}"),
        MINIMAL.replace("s3cret", "7777"),
    ] {
        let found = problems(&config);
        assert!(
            !found.iter().any(|problem| problem.contains("top-secret") || problem.contains("7777")),
            "{found:?}"
        );
    }
}

#[test]
fn a_file_that_is_absent_or_empty_or_no_yaml_is_told() {
    let nothing = load(std::path::Path::new("/nonexistent/config.yaml"), NOTHING).unwrap_err();
    assert_eq!(nothing.len(), 1);
    assert!(nothing[0].to_string().starts_with("/nonexistent/config.yaml: cannot be read"));
    let missing = problems("# nothing yet\n");
    for key in ["homeserver", "registration", "database", "room_lists"] {
        assert!(missing.iter().any(|p| p.contains(&format!(" {key}: is missing"))), "{missing:?}");
    }
    assert!(problems("- a\n- b\n")[0].contains("must be a table"));
    assert!(problems("a: b: c\n")[0].starts_with("config.yaml:1:5: this is not YAML"));
}

#[test]
fn a_prefix_outside_of_the_registration_s_namespace_is_told() {
    let found = problems(&("user_prefix: other_\n".to_owned() + MINIMAL));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .starts_with("config.yaml:1:14: user_prefix: with it, `@other_finance:example.org` lies outside")
    );
    let found = problems_after("server_name: example.org", "server_name: example.com");
    assert!(found[0].contains("`@_alerts_finance:example.com` lies outside"), "{found:?}");
}

#[test]
fn what_is_wrong_with_the_registration_is_told_in_its_own_place() {
    let registration = REGISTRATION
        .replace("as-secret", "hs-secret")
        .replace("id: matrixbot\n", "")
        .replace("regex: '@_alerts_.*:example\\.org$'", "regex: '@_alerts_('");
    let found = Folder::with(MINIMAL).write("registration.yaml", &registration).load().unwrap_err();
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("registration.yaml:1:1: id: is missing"), "{found:?}");
    assert!(found[1].starts_with("registration.yaml:3:11: hs_token: must differ from as_token"), "{found:?}");
    assert!(found[2].contains("namespaces.users[0].regex: is not a regular expression"), "{found:?}");

    let shared = REGISTRATION.replace("exclusive: true", "exclusive: false");
    let found = Folder::with(MINIMAL).write("registration.yaml", &shared).load().unwrap_err();
    assert!(found[0].contains("lies outside of the registration's exclusive user namespaces"), "{found:?}");

    let taken = REGISTRATION.replace("sender_localpart: matrixbot", "sender_localpart: _alerts_finance");
    let found = Folder::with(MINIMAL).write("registration.yaml", &taken).load().unwrap_err();
    assert!(found[0].contains("sender_localpart"), "{found:?}");
}

#[test]
fn a_webhook_is_open_only_in_so_many_words() {
    let open = MINIMAL.replace("webhook_token: s3cret", "webhook_auth: none");
    assert!(Folder::with(&open).load().unwrap().room_lists[0].webhook_token.is_none());
    let found = problems_after("webhook_token: s3cret", "webhook_auth: token");
    assert!(found[0].contains("needs `webhook_auth: none`"), "{found:?}");
    let found = problems_after("webhook_token: s3cret", "webhook_auth: none\n    webhook_token: s3cret");
    assert!(found[0].contains("give one of them"), "{found:?}");
    let found = problems_after("webhook_token: s3cret", "webhook_token: ''");
    assert!(found[0].contains("must not be empty"), "{found:?}");
    let found = problems_after("webhook_token: s3cret", "webhook_token: ${ABSENT}");
    assert!(found[0].contains("the environment variable ABSENT is not set"), "{found:?}");
}

#[test]
fn listeners_may_share_an_address_but_then_everything() {
    let shared = MINIMAL.to_owned() + "listen: {appservice: '127.0.0.1:9010', admin: 'localhost:9010'}\n";
    let listen = Folder::with(&shared).load().unwrap().listen;
    assert_eq!(listen.appservice, listen.webhook);
    assert_eq!(listen.admin, listen.webhook);

    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let half = MINIMAL.to_owned()
        + "listen: {appservice: '127.0.0.1:9010', webhook: {address: '127.0.0.1:9010', tls: {certificate: c, key: k}}}\n";
    let found = Folder::with(&half)
        .write("c", &certificate.cert.pem())
        .write("k", &certificate.signing_key.serialize_pem())
        .load()
        .unwrap_err();
    assert!(found[0].contains("listen.webhook: shares its address with appservice"), "{found:?}");
    let found = Folder::with(&half).write("c", "not PEM").write("k", "not PEM").load().unwrap_err();
    assert!(found[0].contains("holds no certificate"), "{found:?}");
    assert!(found[1].contains("holds no private key"), "{found:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn a_key_that_is_missing_doubled_or_moved_is_told_and_nothing_panics(line in 0_usize..400, how in 0..3) {
        let mut lines: Vec<&str> = include_str!("../../config.yaml.example").lines().collect();
        let line = line % lines.len();
        let changed = lines[line];
        let indented = format!(" {changed}");
        match how {
            0 => drop(lines.remove(line)),
            1 => lines.insert(line, changed),
            _ => lines[line] = &indented,
        }
        let result = Folder::with(&lines.join("\n")).load();
        let is_key = changed.trim_start().split_once(':').is_some_and(|(key, _)| !key.contains(['#', '-', ' ']));
        if how == 1 && is_key {
            let problems = result.expect_err("a key is given twice");
            proptest::prop_assert!(problems.iter().any(|p| p.contains("given twice")), "{changed}: {problems:?}");
        }
    }
}

#[test]
fn a_level_has_time_to_answer() {
    let problems =
        problems_after("levels:\n      - rooms", "levels:\n      - escalate_after: 0s\n        rooms");
    let expected = "config.yaml:8:25: room_lists[0].levels[0].escalate_after: must be longer than nothing";
    assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:#?}");
}

#[test]
fn a_registration_that_lets_us_be_held_back_is_warned_of() {
    assert_eq!(Folder::with(MINIMAL).load().unwrap().warnings, []);
    for limited in ["rate_limited: true\n", ""] {
        let registration = REGISTRATION.replace("rate_limited: false\n", limited);
        let config = Folder::with(MINIMAL).write("registration.yaml", &registration).load().unwrap();
        assert!(config.registration.rate_limited);
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains("registration.yaml: rate_limited: is not false"),
            "{warnings:?}"
        );
    }
}

#[test]
fn where_it_listens_is_read_whatever_else_is_wrong() {
    let folder = Folder::with("database: 7\nlisten: {admin: 127.0.0.1:1234}\nlevels: none\n");
    let read = || super::load::load_listen(&folder.0.path().join("config.yaml"), NOTHING);
    let listen = read().unwrap();
    assert_eq!((listen.admin.address.port(), listen.webhook.address.port()), (1234, 9010));
    std::fs::write(folder.0.path().join("config.yaml"), "listen: {admin: 7, webhooks: x}").unwrap();
    let problems: Vec<String> = read().unwrap_err().into_iter().map(|problem| problem.key).collect();
    assert_eq!(problems, ["listen.admin", "listen.webhooks"]);
}
