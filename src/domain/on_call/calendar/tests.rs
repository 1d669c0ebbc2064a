//! The corpus in tests/fixtures/calendars, and what it leaves out.

use super::*;
use ruma::OwnedUserId;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

fn never() -> bool {
    false
}

fn at(text: &str) -> Timestamp {
    let digits: Vec<&str> = [(0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15)]
        .map(|(from, to)| text.get(from..to).unwrap())
        .to_vec();
    format!("{}-{}-{}T{}:{}:{}Z", digits[0], digits[1], digits[2], digits[3], digits[4], digits[5])
        .parse()
        .unwrap()
}

fn span(bytes: &[u8], from: &str, to: &str) -> Result<Expanded, Unusable> {
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let wanted = Wanted { source_zone: None, schedule_zone: &berlin, from: at(from), to: at(to) };
    expand(bytes, wanted, &never)
}

fn compact(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

/// Shifts as the corpus writes them; the name is the title as it is written.
fn lines(expanded: &Expanded) -> Vec<String> {
    let line = |found: &Found| {
        let name = found.names.texts.first().cloned().unwrap_or_default();
        format!("{} {} {name}", compact(found.starts_at), compact(found.ends_at))
    };
    expanded.shifts.iter().map(line).collect()
}

#[test]
fn every_calendar_of_the_corpus_has_the_expected_shifts() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/calendars");
    let cases: Vec<Json> = serde_json::from_slice(&fs::read(corpus.join("cases.json")).unwrap()).unwrap();
    let files = fs::read_dir(&corpus).unwrap().count();
    assert_eq!(cases.len() + 1, files, "each file has its case");
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let bytes = fs::read(corpus.join(format!("{name}.ics"))).unwrap();
        let expanded = span(&bytes, case["from"].as_str().unwrap(), case["to"].as_str().unwrap());
        let found = expanded.as_ref().map(|expanded| (lines(expanded), &expanded.problems));
        let expected: Vec<Vec<String>> = case["expect"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key == "ok" || case["expect"]["ok"].is_null())
            .map(|(_, shifts)| {
                let texts = shifts.as_array().unwrap().iter().map(|shift| shift.as_str().unwrap());
                texts.map(|text| text.replace("&#39;", "'")).collect()
            })
            .collect();
        let is_right = found.as_ref().is_ok_and(|(lines, problems)| {
            problems.is_empty() && expected.iter().any(|expected| expected == lines)
        });
        if !is_right {
            wrong.push(format!("{name} ({}): {found:#?}\n expected {expected:#?}", case["note"]));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn calendar(event: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//a//b//EN\r\nBEGIN:VEVENT\r\nUID:1\r\n{event}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn november(event: &str) -> Expanded {
    span(calendar(event).as_bytes(), "20261101T000000Z", "20261201T000000Z").unwrap()
}

#[test]
fn a_zone_that_nobody_knows_is_a_problem_and_never_utc() {
    let expanded = november(
        "DTSTART;TZID=Atlantis/Centre:20261102T090000\r\nDTEND;TZID=Atlantis/Centre:20261109T090000\r\nSUMMARY:alice",
    );
    assert_eq!(expanded.shifts, []);
    assert_eq!(expanded.problems, ["`alice` has the time zone `Atlantis/Centre`, which nobody knows"]);
}

#[test]
fn labels_of_outlook_without_a_definition_are_known_by_their_cities() {
    let label = "\"(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna\"";
    let expanded = november(&format!(
        "DTSTART;TZID={label}:20261102T090000\r\nDTEND;TZID={label}:20261109T090000\r\nSUMMARY:alice"
    ));
    assert_eq!(lines(&expanded), ["20261102T080000Z 20261109T080000Z alice"]);
}

#[test]
fn a_series_that_cannot_be_read_is_a_problem_and_no_single_event() {
    for (rule, problem) in [
        ("FREQ=SOMETIMES", "has the rule"),
        ("FREQ=MINUTELY", "repeats more often than every hour"),
        ("FREQ=HOURLY", "repeats more than 200000 times"),
    ] {
        let event =
            format!("DTSTART:19700101T090000Z\r\nDTEND:19700101T093000Z\r\nRRULE:{rule}\r\nSUMMARY:alice");
        let expanded = november(&event);
        assert_eq!(expanded.shifts, [], "{rule}");
        assert!(expanded.problems[0].contains(problem), "{rule}: {:?}", expanded.problems);
    }
}

#[test]
fn the_rules_of_confluence_and_dates_with_an_end_of_their_own_are_read() {
    let rule = "DTSTART:20261102T090000Z\r\nDTEND:20261102T170000Z\r\nRRULE:FREQ=DAILY;UNTIL=20261103T090000Z;COUNT=-1\r\nSUMMARY:alice";
    assert_eq!(november(rule).shifts.len(), 2);
    let period = "DTSTART:20261102T090000Z\r\nDTEND:20261102T170000Z\r\nRDATE;VALUE=PERIOD:20261104T090000Z/20261104T100000Z,20261105T090000Z/PT2H\r\nSUMMARY:alice";
    let ends: Vec<String> = november(period).shifts.iter().map(|found| compact(found.ends_at)).collect();
    assert_eq!(ends, ["20261102T170000Z", "20261104T100000Z", "20261105T110000Z"]);
}

#[test]
fn what_is_no_calendar_is_refused_with_its_beginning() {
    let error = span(b"<!DOCTYPE html><html>Sign in", "20261101T000000Z", "20261201T000000Z").unwrap_err();
    assert!(error.to_string().contains("begins with `<!DOCTYPE html><html`"), "{error}");
    assert!(span(b"", "20261101T000000Z", "20261201T000000Z").is_err());
    let empty =
        span(b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "20261101T000000Z", "20261201T000000Z").unwrap();
    assert_eq!(empty, Expanded::default());
}

#[test]
fn what_was_cut_off_is_no_calendar() {
    let whole = calendar("DTSTART:20261102T090000Z");
    for length in [whole.len() - 4, whole.len() / 2, 20] {
        let cut = span(whole.as_bytes().get(..length).unwrap(), "20261101T000000Z", "20261201T000000Z");
        assert_eq!(cut, Err(Unusable::Cut), "{length}");
    }
    let nonsense = span(b"BEGIN:VCALENDAR\nnonsense", "20261101T000000Z", "20261201T000000Z");
    assert_eq!(nonsense, Err(Unusable::Cut));
}

#[test]
fn too_large_and_too_slow_calendars_are_refused() {
    let bytes = vec![b' '; LARGEST + 1];
    assert_eq!(span(&bytes, "20261101T000000Z", "20261201T000000Z"), Err(Unusable::TooLarge));
    let berlin: Zone = "Europe/Berlin".parse().unwrap();
    let (from, to) = (at("20261101T000000Z"), at("20261201T000000Z"));
    let wanted = Wanted { source_zone: None, schedule_zone: &berlin, from, to };
    let slow = expand(calendar("DTSTART:20261102T090000Z").as_bytes(), wanted, &|| true);
    assert_eq!(slow, Err(Unusable::TooSlow));
}

#[test]
fn each_product_names_the_person_in_its_own_way() {
    let alice: OwnedUserId = "@alice:example.org".try_into().unwrap();
    let people: People = [("alice@example.com", &alice), ("Ann O'Neil, x", &alice), ("Jürgen", &alice)]
        .into_iter()
        .map(|(name, user)| (name.to_owned(), user.clone()))
        .collect();
    let person = |title: &str, attendees: Vec<(String, Option<String>)>| {
        Names::of(title, "", "", &attendees).person(&people)
    };
    for title in [
        "alice@example.com",
        "ALICE@example.com on call",
        "[L2] Alice@Example.com",
        "Ann O&#39;Neil, x On-Call (GoAlert: Sched) Begins*",
        "jürgen",
        "shift of @alice:example.org",
    ] {
        assert_eq!(person(title, vec![]), Some(alice.clone()), "{title}");
    }
    let pagerduty = person("On Call - alice - Primary", vec![("alice@example.com".to_owned(), None)]);
    assert_eq!(pagerduty, Some(alice.clone()));
    let google = person("Primary", vec![("mailto:Alice@example.com".to_owned(), Some("Alice".to_owned()))]);
    assert_eq!(google, Some(alice));
    let two =
        vec![("mailto:alice@example.com".to_owned(), None), ("mailto:bob@example.com".to_owned(), None)];
    assert_eq!(person("Primary", two), None, "two attendees name nobody");
    let names = Names::of("On Call - Bob B - Primary", "", "", &[]);
    assert_eq!((names.person(&people), names.label.as_str(), names.rank), (None, "Bob B", 0));
    assert_eq!(Names::of("[L3] bob", "", "", &[]).rank, 3);
}
