use super::interpret;
use crate::domain::incoming::{Happening, Incoming, Membership, Message, MessageKind, RoomEvent};
use proptest::prelude::*;
use ruma::UserId;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

fn event(value: &serde_json::Value) -> Incoming {
    interpret(&to_raw_value(value).unwrap())
}

fn base(event_type: &str, content: &serde_json::Value) -> serde_json::Value {
    json!({
        "type": event_type,
        "event_id": "$event",
        "room_id": "!room",
        "sender": "@alice:example.org",
        "origin_server_ts": 1_795_492_081_258_u64,
        "content": content,
    })
}

fn what(value: &serde_json::Value) -> Happening {
    match event(value) {
        Incoming::Event(event) => event.what,
        Incoming::Malformed { why } => panic!("malformed: {why}"),
    }
}

fn message(content: &serde_json::Value) -> Message {
    match what(&base("m.room.message", content)) {
        Happening::Message(message) => message,
        other => panic!("no message: {other:?}"),
    }
}

fn state(event_type: &str, state_key: &str, content: &serde_json::Value) -> serde_json::Value {
    let mut value = base(event_type, content);
    value["state_key"] = json!(state_key);
    value
}

fn why(value: &serde_json::Value) -> String {
    match event(value) {
        Incoming::Malformed { why } => why,
        Incoming::Event(event) => panic!("not malformed: {event:?}"),
    }
}

/// The events of a transaction as Synapse sent it.
fn fixture(json: &str) -> Vec<RoomEvent> {
    #[derive(serde::Deserialize)]
    struct Transaction {
        events: Vec<Box<RawValue>>,
    }
    let Transaction { events } = serde_json::from_str(json).unwrap();
    events
        .iter()
        .map(|raw| match interpret(raw) {
            Incoming::Event(event) => event,
            Incoming::Malformed { why } => panic!("malformed: {why}"),
        })
        .collect()
}

#[test]
fn transactions_of_a_real_synapse_are_parsed() {
    let invite = fixture(include_str!("../../../tests/fixtures/appservice/invite.json"));
    assert_eq!(invite[0].sender, "@alice:lab.test");
    assert_eq!(invite[0].room, "!Dy4kpoRTAvI5JXpTBz2HtgQga44VUK1VvDSIcC8dpis");
    assert_eq!(invite[0].at.to_string(), "2026-11-24T03:47:59.037Z");
    let Happening::Membership { user, membership: Membership::Invite } = &invite[0].what else { panic!() };
    assert_eq!(user, "@alertbot:lab.test");
    let join = fixture(include_str!("../../../tests/fixtures/appservice/join.json"));
    assert!(matches!(join[0].what, Happening::Membership { membership: Membership::Join, .. }));
    let echo = fixture(include_str!("../../../tests/fixtures/appservice/message.json"));
    assert!(matches!(&echo[0].what, Happening::Message(m) if m.text == "HighCPU firing" && m.may_command()));
    let reaction = fixture(include_str!("../../../tests/fixtures/appservice/reaction.json"));
    assert!(matches!(&reaction[0].what, Happening::Reaction { target, key }
        if target == "$neWGN0tHcLyxA5ckG0Fg1m7id7p4KNLjWGzaMXqdB64" && key == "👍"));
    let command = fixture(include_str!("../../../tests/fixtures/appservice/command.json"));
    assert!(matches!(&command[0].what, Happening::Message(m) if m.text == "!silence 2h"));
}

#[test]
fn the_quotation_of_older_clients_is_removed_from_a_reply() {
    let reply = message(&json!({
        "msgtype": "m.text",
        "body": "> <@_alerts_finance:example.org> HighCPU\n> is firing\n\nack looking",
        "m.relates_to": {"m.in_reply_to": {"event_id": "$root"}},
    }));
    assert_eq!(reply.text, "ack looking");
    assert_eq!(reply.reply_to.unwrap(), "$root");
    assert_eq!(reply.thread_root, None);
    let quotation = message(&json!({"msgtype": "m.text", "body": "> <a> b\nack"}));
    assert_eq!(quotation.text, "> <a> b\nack", "it is no reply");
}

#[test]
fn a_message_in_a_thread_is_a_reply_only_without_is_falling_back() {
    let thread = |falling_back: bool| {
        message(&json!({
            "msgtype": "m.text",
            "body": "ack",
            "m.relates_to": {
                "rel_type": "m.thread",
                "event_id": "$root",
                "is_falling_back": falling_back,
                "m.in_reply_to": {"event_id": "$last"},
            },
        }))
    };
    assert_eq!(thread(true).thread_root.unwrap(), "$root");
    assert_eq!(thread(true).reply_to, None);
    assert_eq!(thread(false).thread_root.unwrap(), "$root");
    assert_eq!(thread(false).reply_to.unwrap(), "$last");
}

#[test]
fn an_edit_has_its_new_text() {
    let edit = message(&json!({
        "msgtype": "m.text",
        "body": "* ack 42",
        "m.new_content": {"msgtype": "m.text", "body": "ack 42"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$earlier"},
    }));
    assert_eq!((edit.edits.as_deref().unwrap().as_str(), edit.text.as_str()), ("$earlier", "ack 42"));
    let of_nothing = message(&json!({
        "msgtype": "m.text",
        "body": "* ack 42",
        "m.new_content": {"msgtype": "m.text", "body": "ack 42"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": format!("${}", "x".repeat(300))},
    }));
    assert!(!of_nothing.may_command());
}

#[test]
fn notices_and_pictures_give_no_commands() {
    let notice = message(&json!({"msgtype": "m.notice", "body": "ack 42"}));
    assert_eq!(notice.kind, MessageKind::Notice);
    assert!(!notice.may_command());
    for content in [
        json!({"msgtype": "m.image", "body": "ack 42", "url": "mxc://example.org/abc"}),
        json!({"msgtype": "m.emote", "body": "ack 42"}),
        json!({"msgtype": "org.example.custom", "body": "ack 42"}),
    ] {
        assert_eq!(message(&content).kind, MessageKind::Other);
    }
}

#[test]
fn a_command_is_accepted_if_other_fields_of_its_message_are_invalid() {
    for (key, value) in [
        ("m.mentions", json!("everybody")),
        ("m.mentions", json!({"user_ids": ["nonsense"]})),
        ("format", json!(7)),
        ("formatted_body", json!(["ack"])),
    ] {
        let mut content = json!({
            "msgtype": "m.text",
            "body": "ack",
            "m.relates_to": {"m.in_reply_to": {"event_id": "$page"}},
        });
        content[key] = value;
        let command = message(&content);
        assert_eq!((command.text.as_str(), command.may_command()), ("ack", true), "{key}");
        assert_eq!(command.reply_to.unwrap(), "$page");
    }
}

#[test]
fn a_mention_of_our_user_at_the_start_addresses_us() {
    let mentioning = message(&json!({
        "msgtype": "m.text",
        "body": "Finance alerts: ack 42",
        "format": "org.matrix.custom.html",
        "formatted_body": "<a href=\"https://matrix.to/#/@_alerts_finance:example.org\">Finance alerts</a>: ack 42",
        "m.mentions": {"user_ids": ["@_alerts_finance:example.org"]},
    }));
    let is_ours = |user: &UserId| user.localpart().starts_with("_alerts_");
    let addressed = mentioning.addressed(is_ours, |_| None);
    assert_eq!(
        (addressed.user.unwrap().as_str(), addressed.text),
        ("@_alerts_finance:example.org", "ack 42")
    );
    assert_eq!(mentioning.mentions, ["@_alerts_finance:example.org"]);
    let addressed = mentioning.addressed(|_| false, |_| None);
    assert_eq!((addressed.user, addressed.text, addressed.named), (None, "Finance alerts: ack 42", false));
}

#[test]
fn a_name_at_the_start_addresses_us_if_the_message_mentions_us() {
    let is_ours = |user: &UserId| user.localpart().starts_with("_alerts_");
    let called = |_: &UserId| Some("Finance alerts".to_owned());
    let mut content = json!({"msgtype": "m.text", "body": "Finance alerts: ack 42"});
    assert_eq!(message(&content).addressed(is_ours, called).user, None, "it mentions nobody");
    content["m.mentions"] = json!({"user_ids": ["@bob:example.org", "@_alerts_finance:example.org"]});
    for text in ["Finance alerts: ack 42", "@_alerts_finance:example.org ack 42", "_alerts_finance, ack 42"] {
        content["body"] = json!(text);
        let message = message(&content);
        let addressed = message.addressed(is_ours, called);
        assert_eq!(
            (addressed.user.is_some(), addressed.text, addressed.named),
            (true, "ack 42", false),
            "{text}"
        );
    }
    content["body"] = json!("please ack 42");
    assert!(message(&content).addressed(is_ours, called).named);
    content["m.relates_to"] = json!({"m.in_reply_to": {"event_id": "$page"}});
    assert!(
        !message(&content).addressed(is_ours, called).named,
        "clients mention the author of the original"
    );
}

#[test]
fn the_variation_selector_that_clients_add_to_a_reaction_is_ignored() {
    let content =
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$page", "key": "✅\u{fe0f}"}});
    let expected = Happening::Reaction { target: "$page".try_into().unwrap(), key: "✅".to_owned() };
    assert_eq!(what(&base("m.reaction", &content)), expected);
}

#[test]
fn the_target_of_a_redaction_may_be_in_its_content_or_at_the_top_level() {
    let expected = Happening::Redaction { redacts: "$gone".try_into().unwrap() };
    assert_eq!(what(&base("m.room.redaction", &json!({"redacts": "$gone"}))), expected);
    let mut old = base("m.room.redaction", &json!({"reason": "typo"}));
    old["redacts"] = json!("$gone");
    assert_eq!(what(&old), expected);
    assert_eq!(why(&base("m.room.redaction", &json!({}))), "it redacts nothing");
}

#[test]
fn only_an_event_with_a_state_key_is_a_state_event() {
    let tombstone = json!({"body": "moved", "replacement_room": "!new:example.org"});
    assert_eq!(
        what(&state("m.room.tombstone", "", &tombstone)),
        Happening::Tombstone { replacement: "!new:example.org".try_into().unwrap() }
    );
    assert_eq!(what(&base("m.room.tombstone", &tombstone)), Happening::Other);
    assert_eq!(
        what(&state("m.room.message", "", &json!({"msgtype": "m.text", "body": "ack"}))),
        Happening::Other
    );
    assert_eq!(what(&state("m.room.power_levels", "", &json!({"users": "?"}))), Happening::PowerLevels);
    assert_eq!(what(&state("m.room.encryption", "", &json!({}))), Happening::Encryption);
    assert_eq!(what(&base("m.room.encrypted", &json!({}))), Happening::Encrypted);
    for (sent, membership) in
        [("leave", Membership::Leave), ("ban", Membership::Ban), ("knock", Membership::Knock)]
    {
        let member =
            state("m.room.member", "@bob:example.org", &json!({"membership": sent, "displayname": 7}));
        assert_eq!(
            what(&member),
            Happening::Membership { user: "@bob:example.org".try_into().unwrap(), membership }
        );
    }
    let unknown = state("m.room.member", "@bob:example.org", &json!({"membership": "haunt"}));
    assert_eq!(what(&unknown), Happening::Other);
}

#[test]
fn a_redacted_event_is_ignored() {
    let mut gone = base("m.room.message", &json!({}));
    gone["unsigned"] = json!({"redacted_because": {"type": "m.room.redaction"}});
    assert_eq!(what(&gone), Happening::Other);
}

#[test]
fn a_malformed_event_names_the_problem_and_quotes_nothing() {
    assert_eq!(why(&json!(7)), "it is not a JSON object");
    assert_eq!(why(&json!({})), "it has no origin_server_ts");
    let secret = json!({"msgtype": "m.text", "body": ["s3cret"]});
    assert_eq!(why(&base("m.room.message", &secret)), "its content does not fit m.room.message");
    for field in ["type", "event_id", "room_id", "sender", "content"] {
        let mut lacking = base("m.room.message", &json!({"msgtype": "m.text", "body": "x"}));
        lacking.as_object_mut().unwrap().remove(field);
        assert_eq!(why(&lacking), format!("it has no {field}"));
    }
    let mut invalid = base("m.room.message", &json!({"msgtype": "m.text", "body": "x"}));
    invalid["sender"] = json!("alice");
    assert_eq!(why(&invalid), "it has no usable sender");
}

#[test]
fn a_time_out_of_range_becomes_the_latest_timestamp() {
    let mut late = base("m.room.message", &json!({"msgtype": "m.text", "body": "x"}));
    late["origin_server_ts"] = json!(9_007_199_254_740_991_u64);
    let Incoming::Event(event) = event(&late) else { panic!("malformed") };
    assert_eq!(event.at, jiff::Timestamp::MAX);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i64>().prop_map(|n| json!(n)),
        ".*".prop_map(|s| json!(s)),
        proptest::sample::select(vec![
            "$event",
            "!room:a.b",
            "@alice:a.b",
            "m.text",
            "m.thread",
            "m.replace",
            "ack 42"
        ])
        .prop_map(|s| json!(s)),
    ];
    let key = prop_oneof![
        ".{0,4}",
        proptest::sample::select(
            [
                "body",
                "msgtype",
                "m.relates_to",
                "m.in_reply_to",
                "event_id",
                "rel_type",
                "key",
                "redacts",
                "membership",
                "m.mentions",
                "user_ids",
                "formatted_body",
                "m.new_content",
                "unsigned",
                "state_key",
                "content"
            ]
            .map(str::to_owned)
            .to_vec()
        ),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|values| json!(values)),
            proptest::collection::btree_map(key.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        event(&value);
    }

    #[test]
    fn no_content_makes_it_panic(
        event_type in proptest::sample::select(vec!["m.room.message", "m.reaction", "m.room.redaction", "m.room.member", "m.room.tombstone"]),
        state_key in proptest::option::of(proptest::sample::select(vec!["", "@bob:example.org", "bob"])),
        content in any_json(),
    ) {
        let mut value = base(event_type, &content);
        if let Some(state_key) = state_key {
            value["state_key"] = json!(state_key);
        }
        event(&value);
    }

    #[test]
    fn no_message_makes_it_panic(body in ".*", html in "(<p>|<a href=\"|https://matrix.to/#/|@a:b.c|\">|</a>|</mx-reply>|&amp;|.)*") {
        event(&base("m.room.message", &json!({
            "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html,
        })));
    }
}
