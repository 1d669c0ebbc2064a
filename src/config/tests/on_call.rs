//! Schedules: what is read, and each mistake with its reason.

use super::{Folder, MINIMAL, problems};
use crate::domain::on_call::Known;
use crate::domain::policy::Mention;
use jiff::Timestamp;

/// A configuration with these schedules, and a list that mentions `finance-primary`.
fn with(on_call: &str) -> String {
    let mention =
        "['#finance:example.org']\n        mention: [finance-primary, '@boss:example.org', '@room']";
    format!("{}\non_call:\n{on_call}", MINIMAL.replacen("['#finance:example.org']", mention, 1))
}

const PRIMARY: &str = "  - name: finance-primary
    time_zone: Europe/Berlin
    rotation:
      - {people: ['@alice:example.org', '@bob:example.org'], every: 1w, hand_off: Mon 09:00, starting: 2026-11-30}
      - {people: ['@carol:example.org'], shifts: ['08:00', '20:00'], starting: 2026-11-30, only: Mon-Fri 20:00-08:00}
    announce: ['#finance:example.org']
";

#[test]
fn a_schedule_is_read_and_mentioned_by_its_name() {
    let config = Folder::with(&with(PRIMARY)).load().unwrap();
    let mention = &config.room_lists[0].policy.levels[0].mention;
    let boss = Mention::User("@boss:example.org".try_into().unwrap());
    assert_eq!(*mention, [Mention::OnCall("finance-primary".to_owned()), boss, Mention::Room]);
    let schedule = config.on_call[0].schedule();
    let serving = |at: &str| {
        let at: Timestamp = at.parse().unwrap();
        schedule.serving(&Known::default(), at).people.first().map(|user| user.localpart().to_owned())
    };
    assert_eq!(serving("2026-11-30T07:59:00Z"), None);
    assert_eq!(serving("2026-11-30T08:00:00Z").as_deref(), Some("alice"));
    assert_eq!(serving("2026-11-30T20:00:00Z").as_deref(), Some("carol"));
    assert_eq!(serving("2026-12-07T08:00:00Z").as_deref(), Some("bob"));
    assert_eq!(schedule.fallback, [Mention::Room]);
}

#[test]
fn each_mistake_has_its_reason() {
    let layer = |keys: &str| {
        format!(
            "  - name: finance-primary\n    rotation: [{{people: ['@alice:example.org'], starting: 2026-11-30, {keys}}}]\n"
        )
    };
    for (on_call, key, reason) in [
        (layer("hand_off: Monday"), "rotation[0].hand_off", "must be a day and a time such as Mon 09:00"),
        (layer("every: 1w"), "rotation[0].hand_off", "is missing, and so are shifts"),
        (layer("every: 12h, hand_off: 09:00"), "rotation[0].every", "must be whole days or weeks"),
        (
            layer("every: 10d, hand_off: Mon 09:00"),
            "rotation[0].hand_off",
            "names a day, so every must be whole weeks",
        ),
        (layer("every: 1d, shifts: ['08:00']"), "rotation[0].every", "cannot be combined with shifts"),
        (layer("shifts: ['8']"), "rotation[0].shifts[0]", "must be a time of day"),
        (layer("hand_off: 09:00, only: office hours"), "rotation[0].only", "must be a part of the week"),
        (PRIMARY.replace("Europe/Berlin", "Europe/Berlni"), "time_zone", "did you mean `Europe/Berlin`?"),
        (PRIMARY.replace("2026-11-30", "2026-02-30"), "rotation[0].starting", "must be a date such as"),
        (PRIMARY.replace("'@bob:example.org'", "bob"), "rotation[0].people[1]", "must be a user"),
        (
            PRIMARY.replace("['#finance:example.org']", "['#other:example.org']"),
            "announce[0]",
            "is no room of a room list",
        ),
        ("  - name: finance-primary\n".to_owned(), "", "needs a rotation or a calendar"),
        (PRIMARY.replace("name: finance-primary", "name: room"), "name", "could be taken for @room"),
        (
            format!("{PRIMARY}    calendar: {{url: 'https://example.org/a.ics'}}\n"),
            "calendar",
            "cannot be combined with rotation",
        ),
        (format!("{PRIMARY}{PRIMARY}"), "name", "names `finance-primary` a second time"),
        (calendar("refresh: 15m"), "calendar.url", "is missing, and so are url_file and file"),
        (calendar("url: 'ftp://example.org/s3cret'"), "calendar.url", "must be an https, http or webcal URL"),
        (calendar("url: 'https://example.org/', refresh: 5s"), "calendar.refresh", "must be at least 1m"),
        (calendar("file: absent.ics"), "calendar.file", "absent.ics cannot be read"),
        (
            calendar("url: 'webcal://example.org/a', people: {a@example.com: alice}"),
            "calendar.people.a@example.com",
            "must be a user",
        ),
    ] {
        let found = problems(&with(&on_call));
        let is_found = found.iter().any(|problem| problem.contains(key) && problem.contains(reason));
        assert!(is_found, "{on_call}\nexpected {key}: {reason}\nfound {found:#?}");
        assert!(
            !found.iter().any(|problem| problem.contains("s3cret/") || problem.contains("org/s3cret")),
            "{found:#?}"
        );
    }
}

fn calendar(keys: &str) -> String {
    format!("  - name: finance-primary\n    calendar: {{{keys}}}\n")
}

#[test]
fn a_mention_of_an_unknown_schedule_names_the_nearest() {
    let found = problems(&with(&PRIMARY.replace("name: finance-primary", "name: finance-primari")));
    let expected = "there is no schedule named `finance-primary` in on_call; did you mean finance-primari?";
    assert!(found.iter().any(|problem| problem.contains(expected)), "{found:#?}");
}
