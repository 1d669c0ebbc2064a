//! What is wrong is told at once, each with its place and key, and what is doubtful is warned of.

use super::{Folder, MINIMAL, NOTHING, problems, problems_after};
use crate::config::load;
use std::time::Duration;

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
        "config.yaml:23:19: room_lists[1].levels[0].mention[0]: there is no schedule named `primary` in on_call",
        "config.yaml:23:37: room_lists[1].levels[0].mention[2]: there is no schedule named `alice` in on_call",
        "config.yaml:25:29: room_lists[1].levels[1].rooms[0]: without quotes, YAML takes `#ops:example.org`",
        "config.yaml:26:25: room_lists[1].levels[1].escalate_after: `15` is not a duration; did you mean 15m?",
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
fn a_name_is_one_segment_of_a_path() {
    for name in [".", "..", "...", "a/b", "Finance", "a b", "é", "a%2e"] {
        let found = problems_after("name: finance", &format!("name: '{name}'"));
        assert!(found[0].contains("room_lists[0].name: may hold only"), "{name}: {found:?}");
    }
    for name in ["a.b", "..a", "-", "_", "a..", "0=1"] {
        let config = MINIMAL.replace("name: finance", &format!("name: '{name}'"));
        assert_eq!(Folder::with(&config).load().unwrap().room_lists[0].name, name);
    }
}

#[test]
fn a_room_stands_once_on_a_level_and_may_stand_on_several() {
    let found =
        problems_after("['#finance:example.org']", "['#finance:example.org', '#finance:example.org']");
    let expected =
        "config.yaml:8:41: room_lists[0].levels[0].rooms[1]: names `#finance:example.org` a second time";
    assert_eq!(found, [expected]);
    let again = MINIMAL.to_owned() + "      - rooms: ['#finance:example.org']\n        mention: ['@room']\n";
    assert_eq!(Folder::with(&again).load().unwrap().room_lists[0].policy.levels.len(), 2);
}

#[test]
fn a_reaction_that_means_something_else_does_not_acknowledge() {
    for (reaction, meaning) in [("💤", "snoozes"), ("⏫", "escalates"), ("⏫\u{fe0f}", "escalates")] {
        let reactions = format!("webhook_token: s3cret\n    ack_reactions: [✅, '{reaction}']");
        let found = problems_after("webhook_token: s3cret", &reactions);
        let expected = format!("config.yaml:7:24: room_lists[0].ack_reactions[1]: `{reaction}` {meaning}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
    }
    let own = MINIMAL.to_owned() + "    ack_reactions: [👍, 🙋]\n";
    assert_eq!(Folder::with(&own).load().unwrap().room_lists[0].ack_reactions, ["👍", "🙋"]);
}

#[test]
fn a_room_is_not_a_link() {
    for room in ["!ops:example.org?via=example.org", "!ops:example.org ", "#o ps:example.org"] {
        let found = problems_after("#finance:example.org", room);
        assert!(found.iter().any(|problem| problem.contains("without spaces and `?via=…`")), "{found:?}");
    }
}

#[test]
fn a_webhooks_token_can_be_shown_in_a_header() {
    for token in ["' s3cret'", "'s3 cret'", "s3crét"] {
        let found = problems(&MINIMAL.replace("s3cret", token));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("config.yaml:6:20: room_lists[0].webhook_token: may hold only"),
            "{found:?}"
        );
        assert!(!found[0].contains("cr"), "{found:?}");
    }
    assert!(Folder::with(&MINIMAL.replace("s3cret", "'a\"b$e${F}`g'")).load().is_err(), "F is not set");
    Folder::with(&MINIMAL.replace("s3cret", "'a\"b$e`g~'")).load().unwrap();
}

#[test]
fn an_acker_can_be_reminded_before_the_acknowledgement_ends() {
    for (lines, place) in [
        ("ack_timeout: 30m\n    ack_reminder: 30m", "config.yaml:10:19"),
        ("ack_timeout: 30m\n    ack_reminder: 1h", "config.yaml:10:19"),
    ] {
        let found = problems(&format!("{MINIMAL}    {lines}\n"));
        let expected = format!("{place}: room_lists[0].ack_reminder: ");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        assert!(found[0].contains("is not shorter than the ack_timeout of"), "{found:?}");
    }
    for lines in
        ["ack_timeout: 30m", "ack_timeout: 5m", "ack_reminder: 2d", "ack_timeout: none\n    ack_reminder: 1h"]
    {
        Folder::with(&format!("{MINIMAL}    {lines}\n")).load().unwrap();
    }
    let short = Folder::with(&format!("{MINIMAL}    ack_timeout: 5m\n")).load().unwrap();
    assert_eq!(short.room_lists[0].policy.ack_reminder, Duration::from_secs(150));
}

#[test]
fn an_address_ends_before_our_own_paths() {
    for (url, expected) in [
        ("http://h:8008/_matrix", "must end before /_matrix, which is put after it: `http://h:8008`"),
        ("https://h/a/_matrix/client/v3/", "must end before /_matrix, which is put after it: `https://h/a`"),
        ("https://h/?a=b", "must not have a query (`?…`) or a fragment (`#…`)"),
        ("https://h/#a", "must not have a query (`?…`) or a fragment (`#…`)"),
    ] {
        let found = problems_after("http://127.0.0.1:8008/", url);
        assert!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
    }
    for (url, read) in [("https://h/a/b//", "https://h/a/b"), ("http://h", "http://h/")] {
        let config = MINIMAL.replace("http://127.0.0.1:8008/", url);
        assert_eq!(Folder::with(&config).load().unwrap().homeserver.url.as_str(), read);
    }
    let alertmanager =
        MINIMAL.to_owned() + "alertmanagers: [{name: main, url: 'http://h:9093/am/api/v2/status'}]\n";
    assert!(
        problems(&alertmanager)[0]
            .ends_with("must end before /api/v2, which is put after it: `http://h:9093/am`")
    );
}

#[test]
fn an_alertmanager_has_one_url_or_the_urls_of_its_peers() {
    let with = |urls: &str| format!("{MINIMAL}alertmanagers: [{{name: main, {urls}}}]\n");
    let peers = |urls: &str| {
        let config = Folder::with(&with(urls)).load().unwrap();
        config.alertmanagers[0].peers().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(peers("url: 'http://a:9093/am/'"), ["http://a:9093/am"]);
    assert_eq!(peers("urls: ['http://a:9093', 'http://b:9093']"), ["http://a:9093/", "http://b:9093/"]);
    let many: Vec<String> = (0..17).map(|n| format!("'http://am-{n}'")).collect();
    for (urls, problem) in [
        ("ca: registration.yaml", "alertmanagers[0].url: is missing, and so is urls"),
        ("url: 'http://a', urls: ['http://b']", "urls: cannot be combined with url: give one of them"),
        ("urls: ['http://a', 'http://b', 'http://a/']", "urls[2]: names `http://a/` a second time"),
        ("urls: []", "urls: "),
        ("urls: ['http://a/api/v2']", "must end before /api/v2, which is put after it: `http://a`"),
        (&format!("urls: [{}]", many.join(", ")), "urls: has more than 16 URLs"),
    ] {
        let found = problems(&with(urls));
        assert!(found.len() == 1 && found[0].contains(problem), "{urls}: {found:?}");
    }
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
    let shared = MINIMAL.to_owned() + "listen: {appservice: 'localhost:9010'}\n";
    let listen = Folder::with(&shared).load().unwrap().listen;
    assert_eq!(listen.appservice, listen.webhook);

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
        let mut lines: Vec<&str> = include_str!("../../../config.yaml.example").lines().collect();
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
    let expected = "config.yaml:8:25: room_lists[0].levels[0].escalate_after: must be greater than zero";
    assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:#?}");
}

#[test]
fn where_it_listens_is_read_whatever_else_is_wrong() {
    let folder = Folder::with("database: 7\nlisten: {admin: 127.0.0.1:1234}\nlevels: none\n");
    let read = || crate::config::load_listen(&folder.0.path().join("config.yaml"), NOTHING);
    let listen = read().unwrap();
    assert_eq!((listen.admin.address.port(), listen.webhook.address.port()), (1234, 9010));
    std::fs::write(folder.0.path().join("config.yaml"), "listen: {admin: 7, webhooks: x}").unwrap();
    let problems: Vec<String> = read().unwrap_err().into_iter().map(|problem| problem.key).collect();
    assert_eq!(problems, ["listen.admin", "listen.webhooks"]);
}
