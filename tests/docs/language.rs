//! Messages and documents are in plain English. Each word below has a common word with the same meaning. Add a word
//! if readers stumble over it and it has no ordinary use in messages.

use super::{documents, every_file, has_extension, read, root};
use regex::Regex;

/// Words not to write, and what to write instead.
const BANNED: &[(&str, &str)] = &[
    // A person takes responsibility.
    ("take it", "acknowledge it"),
    ("takes it", "acknowledges it"),
    ("took it", "acknowledged it"),
    ("taken it", "acknowledged it"),
    ("take the incident", "acknowledge the incident"),
    ("take incidents", "acknowledge incidents"),
    ("nobody took", "nobody has acknowledged"),
    ("somebody took", "someone acknowledged"),
    ("had been taken", "acknowledged by"),
    // Rooms and people are notified; commands list, show and print; logs log.
    ("tell", "notify, list, show, print, log"),
    ("tells", "notifies, lists, shows, prints, logs"),
    ("telling", "notifying, listing"),
    ("told", "notified, listed, logged"),
    ("is said", "name who says it"),
    ("was said", "name who says it"),
    ("speaks as", "posts as"),
    ("in so many words", "explicitly"),
    ("put into words", "rendered"),
    ("say otherwise", "configure"),
    ("says otherwise", "is configured"),
    // Inputs are accepted or rejected, valid or invalid.
    ("does not take", "rejects"),
    ("do not take", "reject"),
    ("is odd", "has a problem, is invalid"),
    ("one too many", "cannot be combined"),
    ("more than nothing", "greater than zero"),
    ("broke off", "ended early"),
    ("what is wrong", "the problem, the reason"),
    ("what was wrong", "the problem, the reason"),
    ("takes a restart", "restart to apply it"),
    ("takes no restart", "needs no restart"),
    // Operations fail, time out and are retried.
    ("come to an end", "end"),
    ("came to", "result"),
    ("comes to", "results in"),
    ("begin again", "restart, retry"),
    ("begins again", "restarts, retries"),
    ("anew", "again"),
    ("in vain", "without an answer"),
    ("what is held", "in-flight work"),
    ("what it holds", "in-flight work"),
    ("is looked", "matrixbot checks"),
    ("looked for", "polled, searched"),
    ("brought up to date", "migrated"),
    // Peers are unreachable, unavailable.
    ("is away", "is unreachable"),
    ("are away", "are unreachable"),
    ("was away", "was unreachable"),
    ("is not there", "is missing, is unavailable"),
    // Alerts are firing or resolved.
    ("what fires", "firing alerts"),
    ("whatever fires", "firing alerts"),
    ("burns", "is firing"),
    ("is over", "is resolved, has ended"),
    ("are over", "are resolved, have ended"),
    ("was over", "was resolved, had ended"),
    ("clears itself", "resolves on its own"),
    ("is heard", "updates"),
    ("was heard", "updates"),
    ("heard of", "updates about"),
    ("what is open", "open incidents"),
    ("what is over", "closed incidents"),
    // Common words.
    ("mend", "fix"),
    ("mends", "fixes"),
    ("mended", "fixed"),
    ("hole", "vulnerability"),
    ("holes", "vulnerabilities"),
    ("besides", "also, in addition"),
    (", too", "also"),
    ("whoever", "the caller, the user, anyone who"),
    ("whomever", "the people who"),
    ("is to", "must"),
    ("are to", "must"),
    ("by itself", "on its own, automatically"),
    ("by themselves", "on their own, automatically"),
    ("of itself", "on its own"),
    ("listened to on", "matrixbot listens on"),
    ("vouch", "certificate authority, intermediate certificate"),
    ("vouches", "certificate authority"),
    ("gone through", "repeated"),
    ("climb", "escalate"),
    ("climbs", "escalates"),
];

/// A text that people read, and its place.
struct Text {
    place: String,
    text: String,
}

fn found_in(texts: &[Text]) -> Vec<String> {
    let begins_a_word = |banned: &str| if banned.starts_with(',') { "" } else { r"(?-u:\b)" };
    let words: Vec<String> = BANNED
        .iter()
        .map(|(banned, _)| begins_a_word(banned).to_owned() + &regex::escape(banned).replace(' ', r"\s+"))
        .collect();
    let words = Regex::new(&format!(r"(?i-u)(?:{})\b", words.join("|"))).unwrap();
    let mut found = Vec::new();
    for Text { place, text } in texts {
        for hit in words.find_iter(text) {
            let hit_words = hit.as_str().to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, instead) = BANNED.iter().find(|(banned, _)| *banned == hit_words).unwrap();
            let line = line_of(text, hit.start());
            found.push(format!("{place}:{line}: \"{hit_words}\" (write: {instead})"));
        }
    }
    found
}

/// The number of the line with this byte.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Prose without blocks of code, code in backticks and the targets of links. Keeps line numbers.
fn prose(text: &str) -> String {
    let code = Regex::new(r"(?s)```.*?```|~~~.*?~~~|`[^`\n]*`|\]\([^)]*\)").unwrap();
    let keep_lines =
        |found: &regex::Captures<'_>| format!("`{}", "\n".repeat(found[0].matches('\n').count()));
    code.replace_all(text, keep_lines).into_owned()
}

#[test]
fn documents_are_in_plain_english() {
    let texts: Vec<Text> = documents()
        .into_iter()
        .map(|document| Text { place: document.path.display().to_string(), text: prose(&document.text) })
        .collect();
    let found = found_in(&texts);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_files_that_operators_edit_are_in_plain_english() {
    let mut paths = vec![root().join("config.yaml.example"), root().join("registration.yaml.example")];
    paths.push(root().join("compose.yaml"));
    for folder in ["charts/matrixbot", "deploy", "packaging"] {
        every_file(&root().join(folder), &mut paths);
    }
    paths.retain(|path| !path.ends_with("THIRD-PARTY.md") && !has_extension(path, "png"));
    let texts: Vec<Text> = paths
        .iter()
        .map(|path| Text {
            place: path.strip_prefix(root()).unwrap().display().to_string(),
            text: prose(&std::fs::read_to_string(path).unwrap()),
        })
        .collect();
    let found = found_in(&texts);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn messages_are_in_plain_english() {
    let mut paths = Vec::new();
    every_file(&root().join("src"), &mut paths);
    paths.retain(|path| !has_extension(path, "png"));
    let mut texts = Vec::new();
    for path in paths {
        let place = path.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        if has_extension(&path, "snap") {
            texts.push(Text { place, text: prose(&text) });
            continue;
        }
        if place.contains("/tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        // Help and documents contain the doc comments of these folders.
        let shows_comments = ["src/cli/", "src/config/"].iter().any(|folder| place.starts_with(folder));
        for (line, text) in literals(code, shows_comments) {
            texts.push(Text { place: format!("{place}:{line}"), text });
        }
    }
    assert!(texts.len() > 1000, "messages were found: {}", texts.len());
    let found = found_in(&texts);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The string literals of Rust code with more than one word, except SQL; with `with_docs` also its doc comments. Each
/// with its last line.
fn literals(code: &str, with_docs: bool) -> Vec<(usize, String)> {
    let tokens = Regex::new(
        r##"(?s)(?P<doc>///[^\n]*)|//[^\n]*|r#"(?P<raw>.*?)"#|(?:reason = )(?P<reason>"[^"]*")|b?"(?P<text>(?:\\.|[^"\\])*)"|'(?:\\.[^']*|[^'\\])'"##,
    )
    .unwrap();
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let sql = Regex::new(r"^\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|ALTER|CREATE|DROP|SET)\b").unwrap();
    let mut found = Vec::new();
    for token in tokens.captures_iter(code) {
        let text = token.name("raw").or_else(|| token.name("text")).map(|text| text.as_str());
        let doc = token.name("doc").map(|text| text.as_str()).filter(|_| with_docs);
        let Some(text) = text.or(doc) else { continue };
        if text.trim().contains(' ') && !sql.is_match(text) {
            let line = line_of(code, token.get(0).unwrap().end());
            found.push((line, continued.replace_all(text, "").into_owned()));
        }
    }
    found
}

#[test]
fn words_are_found_whole_and_across_lines() {
    let texts = |text: &str| vec![Text { place: "a.md".into(), text: prose(text) }];
    let find = |text: &str| found_in(&texts(text));
    assert_eq!(
        find("It is\naway, `told` [so](told.md). Untold"),
        ["a.md:1: \"is away\" (write: is unreachable)"]
    );
    assert_eq!(find("```\ntold\n```\nMend it."), ["a.md:4: \"mend\" (write: fix)"]);
    assert_eq!(
        literals(
            "// told\nlet a = 'x'; f(\"two \\\"words\\\"\"); /// A doc.\n\"SELECT a\"; r#\"raw \"text\" \"#",
            true
        ),
        [(2, "two \\\"words\\\"".to_owned()), (2, "/// A doc.".to_owned()), (3, "raw \"text\" ".to_owned())]
    );
    assert!(!BANNED.is_empty() && read("CONTRIBUTING.md").contains("tests/docs/language.rs"));
}
