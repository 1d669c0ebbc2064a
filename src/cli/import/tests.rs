//! Once the operator sets the missing values, an imported configuration is valid. It contains no secret that it does
//! not need.

use super::{Old, Predecessor, parse, writing};
use crate::config::{Config, Outside, SCHEMA, load};
use crate::domain::policy::AckScope;
use secrecy::ExposeSecret;
use std::time::Duration;

const OPSDROID: &str = include_str!("../../../tests/fixtures/predecessors/opsdroid.yaml");
const BY_HAND: &str = include_str!("../../../tests/fixtures/predecessors/opsdroid-by-hand.yaml");
const ACK: &str = include_str!("../../../tests/fixtures/predecessors/matrixbot-ack.yaml");
const ACK_FIRST: &str = include_str!("../../../tests/fixtures/predecessors/matrixbot-ack-first.yaml");
const ACK_ADAPTERS: &str = include_str!("../../../tests/fixtures/predecessors/matrixbot-ack-adapters.yaml");

fn old(from: Predecessor, text: &str) -> Old {
    parse(from, text).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The values that an operator sets for missing ones.
fn filled_in(name: &str) -> Option<String> {
    let value = match name {
        "MATRIXBOT_DATABASE_URL" => "postgres://localhost/matrixbot",
        "MATRIXBOT_SERVER_NAME" => "example.org",
        "HOMESERVER" => "https://matrix.example.org",
        "MAIN_ROOM" => "!main:example.org",
        name if name.ends_with("WEBHOOK_TOKEN") => "fresh-token",
        name if name.contains("_ROOM_") => "#filled-in:example.org",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The imported configuration, and how `matrixbot check` reads it with the missing values set.
fn imported(from: Predecessor, text: &str) -> (String, Config) {
    let written = writing::config(&old(from, text), from.name());
    let folder = tempfile::tempdir().unwrap();
    let registration = include_str!("../../../registration.yaml.example").replace("REPLACE_WITH", "made-up");
    std::fs::write(folder.path().join("registration.yaml"), registration).unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, &written).unwrap();
    let outside = Outside { environment: &filled_in, template: &|_, _| Ok(()) };
    let config = load(&file, outside).unwrap_or_else(|problems| panic!("{problems:#?}\n{written}"));
    (written, config)
}

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

#[test]
fn every_imported_configuration_is_valid_and_missing_values_are_listed() {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("schema.json", serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    for (from, text) in [
        (Predecessor::Opsdroid, OPSDROID),
        (Predecessor::Opsdroid, BY_HAND),
        (Predecessor::MatrixbotAck, ACK),
        (Predecessor::MatrixbotAck, ACK_FIRST),
        (Predecessor::MatrixbotAck, ACK_ADAPTERS),
    ] {
        let (written, _) = imported(from, text);
        let value: serde_json::Value = serde_yaml::from_str(&written).unwrap();
        assert!(schemas.validate(&value, index).is_ok(), "{written}");
        // `missing` lists every reference to the environment.
        let missing = writing::missing(&old(from, text)).join("\n");
        for reference in
            written.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
        {
            let listed = missing.contains(&format!("${{{reference}}}"));
            assert!(listed || matches!(reference, "…" | "HOMESERVER"), "{reference} is missing in {missing}");
        }
        assert!(written.lines().all(|line| line.chars().count() <= 120), "{written}");
    }
}

#[test]
fn opsdroid_s_skills_become_room_lists_with_their_rooms_times_and_paths() {
    let (written, config) = imported(Predecessor::Opsdroid, OPSDROID);
    assert_eq!(config.homeserver.url.as_str(), "https://matrix.example.org/");
    assert_eq!(config.homeserver.server_name, "example.org");
    assert_eq!(config.listen.webhook.address.to_string(), "0.0.0.0:8080");
    let [posting, escalating] = &config.room_lists[..] else { panic!("two room lists: {written}") };
    assert_eq!((posting.name.as_str(), escalating.name.as_str()), ("eventmanager", "eventmanagerack"));
    assert_eq!(posting.policy.levels[0].rooms, ["!finance:example.org"]);
    assert_eq!((posting.policy.levels.len(), posting.policy.remind_every), (1, None));
    let rooms: Vec<&str> =
        escalating.policy.levels.iter().flat_map(|level| &level.rooms).map(String::as_str).collect();
    assert_eq!(rooms, ["!finance:example.org", "!managers:example.org", "!board:example.org"]);
    assert!(escalating.policy.levels.iter().all(|level| level.escalate_after == hours(3)));
    assert_eq!(
        (escalating.policy.remind_every, escalating.policy.ack_scope),
        (Some(hours(1)), AckScope::Notified)
    );
    assert_eq!(config.compatibility["/skill/eventmanager/webhook"], "eventmanager");
    assert_eq!(config.compatibility["/skill/eventmanagerack/webhook-ack"], "eventmanagerack");
}

#[test]
fn references_of_opsdroid_to_the_environment_are_kept() {
    let (written, config) = imported(Predecessor::Opsdroid, BY_HAND);
    let list = &config.room_lists[0];
    let rooms: Vec<&str> =
        list.policy.levels.iter().flat_map(|level| &level.rooms).map(String::as_str).collect();
    assert_eq!(rooms, ["!main:example.org", "#second:example.org", "#third:example.org"]);
    assert_eq!(list.policy.levels[0].escalate_after, hours(1));
    assert!(written.contains("url: ${HOMESERVER}") && written.contains("[\"${MAIN_ROOM}\"]"), "{written}");
    assert_eq!(list.webhook_token.as_ref().unwrap().expose_secret(), "hook-secret");
    let left = old(Predecessor::Opsdroid, BY_HAND).left.join("\n");
    assert!(left.contains("the skill hello") && left.contains("the connector shell"), "{left}");
}

#[test]
fn matrixbot_ack_s_rooms_become_levels_for_each_of_its_formats() {
    for (text, window, address) in [(ACK, 3600, "127.0.0.1:8000"), (ACK_ADAPTERS, 900, "0.0.0.0:8000")] {
        let (_, config) = imported(Predecessor::MatrixbotAck, text);
        let policy = &config.room_lists[0].policy;
        assert_eq!(policy.levels.len(), 2);
        assert_eq!(policy.levels[1].rooms, ["!second:example.org"]);
        assert!(policy.levels.iter().all(|level| level.escalate_after == Duration::from_secs(window)));
        assert_eq!(
            (policy.remind_every, policy.ack_scope),
            (Some(Duration::from_secs(window)), AckScope::CurrentLevel)
        );
        assert_eq!(config.compatibility["/webhook-ack"], "alerts");
        assert_eq!(config.listen.webhook.address.to_string(), address);
    }
    // A window below a minute counts as one minute; an invalid address or room counts as missing.
    let (_, config) = imported(Predecessor::MatrixbotAck, ACK_FIRST);
    let levels = &config.room_lists[0].policy.levels;
    assert_eq!(
        (levels[0].escalate_after, levels[1].rooms[0].as_str()),
        (Duration::from_mins(1), "#filled-in:example.org")
    );
    assert_eq!(config.listen.webhook.address.port(), 9010);
    assert!(
        old(Predecessor::MatrixbotAck, ACK_FIRST).left.join("\n").contains("the listener matrixbot:8000")
    );
}

#[test]
fn without_escalation_only_the_first_room_is_imported() {
    let text = ACK.replace("enabled: true", "enabled: false");
    let (_, config) = imported(Predecessor::MatrixbotAck, &text);
    let policy = &config.room_lists[0].policy;
    assert_eq!((policy.levels.len(), policy.remind_every), (1, None));
    assert!(old(Predecessor::MatrixbotAck, &text).left.join("\n").contains("rooms, except the first"));
}

#[test]
fn no_secret_is_listed_and_only_the_webhook_s_token_is_written() {
    for (from, text) in [
        (Predecessor::Opsdroid, OPSDROID),
        (Predecessor::Opsdroid, BY_HAND),
        (Predecessor::MatrixbotAck, ACK),
        (Predecessor::MatrixbotAck, ACK_ADAPTERS),
    ] {
        let old = old(from, text);
        let listed = [old.left.concat(), writing::missing(&old).concat()].concat();
        let written = writing::config(&old, from.name());
        for secret in ["hunter2", "mongo-secret", "pagerduty-secret", "BOT_PASSWORD", "hook-secret"] {
            assert!(!listed.contains(secret), "{listed}");
            assert!(secret == "hook-secret" || !written.contains(secret), "{written}");
        }
    }
    let broken = parse(Predecessor::Opsdroid, "password: hunter2: x\n").unwrap_err();
    assert_eq!(broken, "this is not YAML (line 1)");
}

#[test]
fn another_program_s_configuration_is_rejected_with_the_reason() {
    for (from, text, expected) in [
        (Predecessor::Opsdroid, ACK, "no connector named matrix"),
        (Predecessor::Opsdroid, "connectors: {matrix: {}}\nskills: {hello: {}}\n", "none of its skills"),
        (Predecessor::MatrixbotAck, OPSDROID, "no key `matrix`"),
        (Predecessor::MatrixbotAck, "- a\n", "not a table"),
    ] {
        let problem = parse(from, text).unwrap_err();
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn a_threshold_may_be_a_fraction_of_an_hour_and_an_invalid_one_is_listed() {
    let set = |threshold: &str| {
        OPSDROID.replace("escalation_threshold: 3", &format!("escalation_threshold: {threshold}"))
    };
    for (threshold, minutes) in [("0.5", 30), ("1.5", 90), ("\"2\"", 120), ("3", 180)] {
        let (_, config) = imported(Predecessor::Opsdroid, &set(threshold));
        let after = config.room_lists[1].policy.levels[0].escalate_after;
        assert_eq!(after, Duration::from_secs(minutes * 60), "{threshold}");
    }
    for threshold in ["0", "-1", "soon", "1e9", ".nan", "[]"] {
        let text = set(threshold);
        let left = old(Predecessor::Opsdroid, &text).left.join("\n");
        assert!(left.contains("escalation_threshold of the skill eventmanagerack"), "{threshold}: {left}");
        assert_eq!(
            imported(Predecessor::Opsdroid, &text).1.room_lists[1].policy.levels[0].escalate_after,
            hours(3)
        );
    }
}

#[test]
fn rooms_that_no_skill_posts_to_are_listed() {
    let room = "\"main\": \"!finance:example.org\"\n";
    assert!(OPSDROID.contains(room));
    let more =
        "      lunch: \"#lunch:example.org\"\n      broken: \"nowhere\"\n      again: {alias: $MAIN}\n";
    let left = old(Predecessor::Opsdroid, &OPSDROID.replace(room, &[room, more].concat())).left;
    let rooms: Vec<&String> = left.iter().filter(|line| line.starts_with("the room ")).collect();
    assert_eq!(
        rooms,
        [
            "the room lunch of the connector (#lunch:example.org): no alert skill posts there",
            "the room broken of the connector: no alert skill posts there",
            "the room again of the connector (${MAIN}): no alert skill posts there",
        ]
    );
    for all_used in [OPSDROID, BY_HAND] {
        let left = old(Predecessor::Opsdroid, all_used).left;
        assert!(!left.iter().any(|line| line.starts_with("the room ")), "{left:?}");
    }
}

#[test]
fn escalation_rooms_may_be_a_single_room() {
    let rooms = "escalation_rooms:\n      - \"escalation_room1\": \"!managers:example.org\"\n      - \"escalation_room2\": \"!board:example.org\"";
    assert!(OPSDROID.contains(rooms));
    let text = OPSDROID.replace(rooms, "escalation_rooms: \"!managers:example.org\"");
    let (_, config) = imported(Predecessor::Opsdroid, &text);
    assert_eq!(config.room_lists[1].policy.levels[1].rooms, ["!managers:example.org"]);
}
