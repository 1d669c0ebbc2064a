//! What `check` says of settings that are valid but hardly meant, and of mistakes that are easy to make.

use super::{Folder, MINIMAL, problems, problems_after};

const FALLBACK: &str = "    fallback_rooms: ['#last:example.org']\n";

/// The warnings about a configuration.
fn warnings(config: &str) -> Vec<String> {
    Folder::with(config).load().unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    let whole = format!("{MINIMAL}{FALLBACK}");
    assert_eq!(warnings(&whole), [""; 0]);
    let one = |config: &str| {
        let found = warnings(config);
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    let found = one(&whole.replace("webhook_token: s3cret", "webhook_token: Replace-me"));
    assert!(
        found.contains("config.yaml:6:20: room_lists[0].webhook_token: is a placeholder, which is public"),
        "{found}"
    );
    let found = one(MINIMAL);
    assert!(
        found.contains("config.yaml:5:5: room_lists[0].fallback_rooms: is missing: if nobody"),
        "{found}"
    );
    let found = one(&format!("{whole}    stale_after: 1m\n"));
    assert!(found.contains(" room_lists[0].stale_after: 1m is short: Alertmanager repeats"), "{found}");
    assert_eq!(warnings(&format!("{whole}    stale_after: none\n")), [""; 0]);
    let another =
        "  - {name: ops, webhook_token: s3cret, levels: [{rooms: ['#a:b']}], fallback_rooms: ['#a:b']}\n";
    let found = one(&format!("{whole}{another}"));
    let expected =
        " room_lists[1].webhook_token: is also the token of `finance`: its holder can post to both";
    assert!(found.contains(expected) && !found.contains("s3cret"), "{found}");
}

#[test]
fn the_webhook_and_the_probes_on_one_port_are_warned_of() {
    for webhook in ["127.0.0.1:9011", "0.0.0.0:9011", "[::]:9011"] {
        let listen = format!("listen: {{webhook: '{webhook}', admin: '127.0.0.1:9011'}}");
        let found = warnings(&format!("{listen}\n{MINIMAL}{FALLBACK}"));
        assert!(
            found.len() == 1 && found[0].contains("listen.admin: shares its port with webhook"),
            "{found:?}"
        );
    }
}

#[test]
fn a_mistake_is_answered_with_what_was_meant() {
    let time = |text: &str| {
        problems_after(
            "levels:\n      - rooms",
            &format!("levels:\n      - escalate_after: {text}\n        rooms"),
        )
    };
    for (text, meant) in [("900", "15m"), ("300", "5m"), ("90", "1h30m"), ("15", "15m")] {
        let expected = format!("`{text}` is not a duration; did you mean {meant}?");
        assert!(time(text)[0].contains(&expected), "{:?}", time(text));
    }
    let found = problems(&format!("listen: {{webhook: 9010}}\n{MINIMAL}"));
    let expected = "listen.webhook: must be ADDRESS:PORT such as 127.0.0.1:9010 or [::]:9010, not `9010`";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    let found = problems_after("registration: registration.yaml", "registration: mine.yaml");
    let expected = "`matrixbot registration --url URL --server-name NAME --output mine.yaml` writes it";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}
