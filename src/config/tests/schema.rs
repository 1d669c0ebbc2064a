//! Every key is documented; and the schema accepts what the reader accepts, and no typo.

use super::documents::{example, in_a_line};
use super::keys::{Need, meaning, need};
use super::published::schema;
use super::{Folder, MINIMAL};
use crate::config::forms::{FORMS, Form};
use crate::config::shape::{CONFIG, Key, Kind, REGISTRATION, keys};
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

/// The schema as a real validator has it.
struct Checker(Schemas, SchemaIndex);

impl Checker {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("config.schema.json", schema()).unwrap();
        let index = compiler.compile("config.schema.json", &mut schemas).unwrap();
        Self(schemas, index)
    }

    /// Whether the schema takes this configuration, or what it says against it.
    fn takes(&self, config: &str) -> Result<(), String> {
        let config: Value = serde_yaml::from_str(config).unwrap();
        self.0.validate(&config, self.1).map_err(|error| format!("{error:#}"))
    }
}

/// Every key, also of tables within tables.
fn all_keys(schema: &Value) -> Vec<Key<'_>> {
    match Kind::of(schema) {
        Kind::Table => keys(schema).flat_map(|key| all_keys(key.schema).into_iter().chain([key])).collect(),
        Kind::List(inner) | Kind::Map(_, inner) => all_keys(inner),
        _ => Vec::new(),
    }
}

#[test]
fn every_key_has_a_meaning_in_full_sentences() {
    let keys = all_keys(&CONFIG);
    assert!(keys.len() > 60, "keys were found: {}", keys.len());
    for key in &keys {
        let meaning = meaning(key);
        assert!(meaning.ends_with('.') && meaning.len() > 8, "{}: {meaning}", key.name);
        assert!(!meaning.contains('|'), "{}: a table in Markdown ends there", key.name);
    }
}

#[test]
fn every_form_that_a_type_names_is_known_and_used() {
    fn named(schema: &Value) -> Vec<&str> {
        let parts = ["items", "additionalProperties", "propertyNames"];
        let parts = parts.into_iter().filter_map(|part| schema.get(part));
        let properties = schema["properties"].as_object().into_iter().flat_map(|keys| keys.values());
        let is_text = matches!(Kind::of(schema), Kind::Text(_));
        let own = schema["format"].as_str().filter(|_| is_text);
        parts.chain(properties).flat_map(named).chain(own).collect()
    }
    let named = [named(&CONFIG), named(&REGISTRATION)].concat();
    let known: Vec<&str> = FORMS.iter().map(|form| form.name).collect();
    assert_eq!(named.iter().find(|name| !known.contains(name)), None);
    assert_eq!(known.iter().find(|name| !named.contains(name)), None);
    let is_lax = |form: &&Form| form.pattern.is_none() && !form.expected.is_empty();
    assert_eq!(FORMS.iter().find(is_lax).map(|form| form.name), None, "its pattern is no regular expression");
}

#[test]
fn a_default_is_what_the_reader_reads_it_as() {
    let checker = Checker::new();
    let room_list = &CONFIG["properties"]["room_lists"]["items"];
    let mut count = 0;
    for key in keys(room_list) {
        if let Need::Default(default) = need(&key)
            && key.name != "webhook_auth"
        {
            count += 1;
            let config = format!("{MINIMAL}    {}: {}\n", key.name, in_a_line(&default));
            let with_it = Folder::with(&config).load().unwrap_or_else(|problems| panic!("{problems:?}"));
            let without = Folder::with(MINIMAL).load().unwrap();
            assert_eq!(with_it.room_lists[0].policy, without.room_lists[0].policy, "{}", key.name);
            assert_eq!(with_it.room_lists[0].ack_reactions, without.room_lists[0].ack_reactions);
            assert_eq!(checker.takes(&config), Ok(()));
        }
    }
    assert!(count > 15, "defaults were found: {count}");
}

#[test]
fn the_schema_takes_the_examples() {
    let checker = Checker::new();
    for config in [
        include_str!("../../../config.yaml.example"),
        include_str!("../../../packaging/debian/config.yaml"),
        include_str!("../../../deploy/compose/config.yaml"),
        MINIMAL,
        &MINIMAL.replace("webhook_token: s3cret", "webhook_auth: none"),
        &MINIMAL.replace("webhook_token: s3cret", "webhook_token_file: ${TOKEN_FILE}"),
        &MINIMAL.replace("webhook_token: s3cret", "webhook_auth: ${HOW}"),
        &MINIMAL.replace("url: 'postgres://localhost/matrixbot'", "url_file: u, max_connections: '${N:-20}'"),
        &(MINIMAL.to_owned() + "listen: {webhook: {address: '[::]:9010', tls: {certificate: c, key: k}}}\n"),
        &(MINIMAL.to_owned()
            + "listen: {webhook: '${A}:9010', admin: localhost:9011}\nretention:\nalertmanagers:\n"),
        &(MINIMAL.to_owned() + "    escalate: &x 1h 30m\n").replace("escalate:", "reopen_window:"),
        &(MINIMAL.to_owned()
            + "    initial_delay: 0\n    remind_every: none\n    stale_after: '${S:-none}'\n"),
    ] {
        assert_eq!(checker.takes(config), Ok(()), "{config}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses_for_its_form() {
    let checker = Checker::new();
    for (from, to) in [
        ("server_name", "servername"),
        ("example.org}", "example.org, port: 8008}"),
        ("http://127", "ftp://127"),
        ("webhook_token: s3cret", "webhook_auth: token"),
        ("webhook_token: s3cret", "webhook_auth: nobody"),
        ("webhook_token: s3cret", "webhook_token: 12345"),
        ("webhook_token: s3cret", "webhook_token: a\n    webhook_token_file: b"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    ack_timeout: 5 bananas"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    repeat: 1000"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    severities: {info: {hold_until: 9:00}}"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    severities: {info: {delay_multiplier: 0}}"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    place_reaction: 'true'"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    on_new_alert: maybe"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    follow_aliases: sometimes"),
        ("webhook_token: s3cret", "webhook_token: s3cret\n    templates: {pages: x}"),
        ("['#finance:example.org']", "[]"),
        ("['#finance:example.org']", "[finance]"),
        ("['#finance:example.org']", "['#finance:example.org']\n        mention: [al ice]"),
        ("name: finance", "name: Finance"),
        ("registration: registration.yaml\n", ""),
        ("database: {url", "database: {uri"),
        ("database: {url: 'postgres://localhost/matrixbot'}", "database:"),
        ("registration:", "compatibility: {/webhook: finance}\nregistration:"),
        ("registration:", "listen: {admin: {tls: {certificate: c, key: k}}}\nregistration:"),
        ("registration:", "alertmanagers: [{name: a}]\nregistration:"),
        ("registration:", "alertmanagers: [{name: a, urls: []}]\nregistration:"),
        ("registration:", "alertmanagers: [{name: a, url: 'http://a', urls: ['http://b']}]\nregistration:"),
        ("registration:", "listen: {admin: 9011}\nregistration:"),
        (
            "registration:",
            "on_call: [{name: a, rotation: [{people: ['@a:b'], starting: 2026-11-30, hand_off: Mon}]}]\nregistration:",
        ),
        ("registration:", "on_call: [{name: a, calendar: {}}]\nregistration:"),
    ] {
        assert!(MINIMAL.contains(from), "{from}");
        let config = MINIMAL.replacen(from, to, 1);
        Folder::with(&config).load().expect_err(&config);
        assert!(checker.takes(&config).is_err(), "{config}");
    }
}

#[test]
fn every_key_of_the_example_is_refused_with_a_letter_more() {
    let checker = Checker::new();
    let example = example();
    let mut count = 0;
    for (number, line) in example.lines().enumerate() {
        let Some((before, after)) = line.split_once(':') else { continue };
        let key = before.trim_start().trim_start_matches("- ");
        // What the operator calls their own may be anything.
        if key.starts_with(['#', '/', '"']) || matches!(key, "critical" | "warning" | "info" | "none") {
            continue;
        }
        count += 1;
        let changed: Vec<String> = example
            .lines()
            .enumerate()
            .map(|(at, other)| if at == number { format!("{before}x:{after}") } else { other.to_owned() })
            .collect();
        let config = changed.join("\n");
        Folder::with(&config).load().expect_err(line);
        assert!(checker.takes(&config).is_err(), "{line}");
    }
    assert!(count > 40, "keys were found: {count}");
}

#[test]
fn whatever_the_reader_takes_in_place_of_a_value_the_schema_takes() {
    let candidates = [
        "",
        "~",
        "true",
        "'true'",
        "0",
        "5",
        "'5'",
        "-3",
        "1.5",
        "15m",
        "'2d 3h'",
        "none",
        "text",
        "''",
        "'#a:b'",
        "'@a:b'",
        "[]",
        "['#a:example.org']",
        "['@room']",
        "{}",
        "{a: b}",
        "'${TOKEN}'",
        "'${N:-5}'",
        "'${F:-true}'",
        "'$${x}'",
        "127.0.0.1:1",
        "{address: '127.0.0.1:1'}",
        "http://a/",
        "HTTP://a",
        "registration.yaml",
        "critical",
        "{critical: {rank: 1}}",
        "{page_text: x}",
        "{/skill/a.b-c/webhook: finance}",
        "{'@a:example.org': respond}",
    ];
    let checker = Checker::new();
    let example = example();
    let lines: Vec<&str> = example.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let (mut taken, mut refused) = (0, 0);
    for (number, line) in lines.iter().enumerate() {
        let Some((before, value)) = line.split_once(": ") else { continue };
        if value.is_empty() {
            continue;
        }
        for candidate in candidates {
            let mut changed = lines.clone();
            let line = format!("{before}: {candidate}");
            changed[number] = &line;
            let config = changed.join("\n");
            if Folder::with(&config).load().is_err() {
                refused += 1;
                continue;
            }
            taken += 1;
            assert_eq!(checker.takes(&config), Ok(()), "{line}");
        }
    }
    assert!(taken > 150 && refused > 500, "{taken} were taken, {refused} refused");
}
