//! Problems of the registration, each in its own place.

use super::{Folder, MINIMAL, REGISTRATION, problems, problems_after};

#[test]
fn a_prefix_outside_of_the_registration_s_namespace_is_told() {
    let found = problems(&("user_prefix: other_\n".to_owned() + MINIMAL));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .starts_with("config.yaml:1:14: user_prefix: with it, `@other_finance:example.org` lies outside")
    );
}

#[test]
fn another_server_s_name_is_told_where_it_stands() {
    let found = problems_after("server_name: example.org", "server_name: example.com");
    let expected =
        "config.yaml:1:58: homeserver.server_name: with it, `@_alerts_finance:example.com` lies outside";
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    for regex in ["@_(?:alerts|pager)_.*:example\\.org$", "@_alerts_[^:]+:example.org(:8448)?"] {
        let other = MINIMAL.replace("server_name: example.org", "server_name: example.com");
        let registration = REGISTRATION.replace("@_alerts_.*:example\\.org$", regex);
        let found = Folder::with(&other).write("registration.yaml", &registration).load().unwrap_err();
        assert!(found[0].contains(" homeserver.server_name: "), "{found:?}");
    }
}

#[test]
fn the_placeholders_of_the_example_are_no_tokens() {
    let example = include_str!("../../../registration.yaml.example");
    let found = Folder::with(MINIMAL).write("registration.yaml", example).load().unwrap_err();
    let [shown_by_us, shown_to_us] = found.as_slice() else { panic!("two problems: {found:?}") };
    assert!(
        shown_by_us.starts_with("registration.yaml:7:11: as_token: is still `REPLACE_WITH_A_RANDOM_TOKEN`")
    );
    assert!(shown_to_us.starts_with("registration.yaml:8:11: hs_token: is still `REPLACE_WITH_ANOTHER_ONE`"));
    assert!(found.iter().all(|problem| problem.contains("`matrixbot registration` writes")), "{found:?}");
    let of_the_deployment = include_str!("../../../deploy/registration.yaml");
    let found = Folder::with(MINIMAL).write("registration.yaml", of_the_deployment).load().unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_registration_leads_to_where_a_homeserver_can_call() {
    let with = |url: &str| {
        let registration = REGISTRATION.replace("http://127.0.0.1:9009", url);
        Folder::with(MINIMAL).write("registration.yaml", &registration).load()
    };
    for url in ["http://127.0.0.1:9009", "https://bot.example.org/below/"] {
        assert!(with(url).is_ok(), "{url}: {:?}", with(url).err());
    }
    let unreachable = ["http://0.0.0.0:9009", "http://[::]:9009", "http://h:9009/_matrix/app"];
    for url in ["127.0.0.1:9009", "localhost:9009", "ftp://x", "http://x?y=1"].into_iter().chain(unreachable)
    {
        let found = with(url).unwrap_err();
        assert!(found.len() == 1 && found[0].starts_with("registration.yaml:2:6: url: must "), "{found:?}");
    }
    let found = with("null").unwrap_err();
    assert!(
        found.len() == 1 && found[0].contains("url: is null: the homeserver would push no events"),
        "{found:?}"
    );
}

#[test]
fn a_registration_that_cannot_work_is_refused() {
    let with = |from: &str, to: &str| {
        let registration = REGISTRATION.replace(from, to);
        assert_ne!(registration, REGISTRATION);
        Folder::with(MINIMAL).write("registration.yaml", &registration).load().unwrap_err()
    };
    for localpart in ["'@matrixbot:example.org'", "matrix=bot"] {
        let found = with("sender_localpart: matrixbot", &format!("sender_localpart: {localpart}"));
        assert!(found.len() == 1 && found[0].contains("sender_localpart: must be a localpart"), "{found:?}");
    }
    for regex in ["@..*", "@.*:example\\.org", "@_?a.*:example\\.org"] {
        let found = with("@_alerts_.*:example\\.org$", regex);
        assert!(
            found.len() == 1 && found[0].contains("claims other people's accounts"),
            "{regex}: {found:?}"
        );
    }
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
    assert!(
        found[0].contains("lies outside of the registration's exclusive user namespaces (there is none with"),
        "{found:?}"
    );

    let taken = REGISTRATION.replace("sender_localpart: matrixbot", "sender_localpart: _alerts_finance");
    let found = Folder::with(MINIMAL).write("registration.yaml", &taken).load().unwrap_err();
    assert!(found[0].contains("sender_localpart"), "{found:?}");
}

#[test]
fn a_registration_that_lets_us_be_held_back_is_warned_of() {
    let whole = &format!("{MINIMAL}    fallback_rooms: ['#last:example.org']\n");
    assert_eq!(Folder::with(whole).load().unwrap().warnings, []);
    for limited in ["rate_limited: true\n", ""] {
        let registration = REGISTRATION.replace("rate_limited: false\n", limited);
        let config = Folder::with(whole).write("registration.yaml", &registration).load().unwrap();
        assert!(config.registration.rate_limited);
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains("registration.yaml: rate_limited: is not false"),
            "{warnings:?}"
        );
    }
}
