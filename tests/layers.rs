//! Enforces the layers of `docs/ARCHITECTURE.md` in `src/`. Tests may import anything.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test may panic, and slices where it searched"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each part may import in addition to itself. A part that is not listed may import no other part.
#[rustfmt::skip] // One line for each part.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // The core.
    ("domain", &[]),
    ("store", &["domain"]),
    ("rooms", &["domain", "store", "matrix", "ids"]),
    ("engine", &["domain", "store", "clock", "ids", "telemetry"]),
    // In.
    ("alertmanager", &["domain", "engine", "http", "clock", "telemetry"]),
    ("appservice", &["domain", "store", "engine", "rooms", "matrix", "http", "worker", "clock", "ids", "telemetry"]),
    ("calendars", &["domain", "clock"]),
    ("timers", &["domain", "alertmanager", "calendars", "store", "engine", "rooms", "matrix", "health", "worker", "clock", "ids", "telemetry"]),
    // Out.
    ("render", &["domain"]),
    ("matrix", &["domain"]),
    ("outbox", &["domain", "store", "engine", "rooms", "render", "matrix", "worker", "clock", "ids", "telemetry"]),
    // Plumbing.
    ("health", &[]),
    ("http", &["domain"]),
    ("telemetry", &["domain"]),
    ("config", &["domain"]),
    ("clock", &["domain"]),
    ("ids", &[]),
    ("worker", &["telemetry"]),
];

/// The parts that compose the others and may import everything.
const MAY_IMPORT_ALL: &[&str] = &["app", "cli", "lib", "main"];

/// Where a crate may be named, so replacing it changes one place.
const NAMED_ONLY_IN: &[(&str, &[&str])] = &[
    ("actix_web", &["app/", "http/", "alertmanager/", "appservice/"]),
    ("clap", &["cli/", "main.rs"]),
    ("ical", &["domain/on_call/calendar/"]),
    ("minijinja", &["render/template.rs"]),
    (
        "prometheus",
        &[
            "telemetry/metrics.rs",
            "telemetry/checks.rs",
            "telemetry/on_call.rs",
            "telemetry/polls.rs",
            "telemetry/totals.rs",
        ],
    ),
    ("reqwest", &["matrix/", "alertmanager/", "calendars/", "timers/own_heartbeat.rs", "cli/local.rs"]),
    ("ruma::api", &["matrix/", "appservice/"]),
    ("saphyr_parser", &["config/"]),
    ("sqlx", &["store/"]),
];

/// Folders without circular imports.
const NO_CIRCLES: &[&str] = &["render"];

/// The only file that sends a request, so one place decides how.
const CALLED_ONLY_IN: &[(&str, &str)] = &[(".send_event(", "outbox/sending.rs")];

/// The most lines a file may have, apart from its tests and empty lines.
const LONGEST: usize = 400;

/// The rules that a file breaks. `path` is relative to `src/`.
fn broken(path: &str, source: &str) -> Vec<String> {
    let code = code(path, source);
    let layer = path.split(['/', '.']).next().unwrap_or_default();
    let mut broken = Vec::new();
    if !MAY_IMPORT_ALL.contains(&layer) {
        let allowed =
            MAY_IMPORT.iter().find(|(name, _)| *name == layer).map_or(&[][..], |(_, allowed)| allowed);
        for import in imports(&code) {
            if import != layer && !allowed.contains(&import.as_str()) {
                broken.push(format!("{path}: {layer} may not import {import}"));
            }
        }
    }
    for (name, places) in NAMED_ONLY_IN {
        if names(&code, name) && !places.iter().any(|place| path.starts_with(place)) {
            broken.push(format!("{path}: {name} may only be named in {}", places.join(", ")));
        }
    }
    for (call, place) in CALLED_ONLY_IN {
        if code.contains(call) && path != *place {
            broken.push(format!("{path}: {call} may only be called in {place}"));
        }
    }
    for line in code.lines().filter(|line| line.contains("tracing::")) {
        if line.contains("%message,") && !line.contains("= %message,") || line.contains("(message = ") {
            broken
                .push(format!("{path}: a field called message takes the place of the sentence in JSON logs"));
        }
    }
    let lines = source.lines().take(code.lines().count()).filter(|line| !line.trim().is_empty()).count();
    if lines > LONGEST {
        broken.push(format!("{path}: {lines} lines without tests; at most {LONGEST}"));
    }
    broken
}

/// The code without tests and comments. Lines of comments stay as empty lines.
fn code(path: &str, source: &str) -> String {
    let for_tests = |part: &str| matches!(part, "tests" | "tests.rs" | "sample.rs");
    if path.split('/').any(for_tests) {
        return String::new();
    }
    let end = source
        .find("#[cfg(test)]\nmod ")
        .or_else(|| source.find("#[cfg(test)]\npub"))
        .unwrap_or(source.len());
    source[..end].lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Our own parts that code imports: the names after `crate::`, in `use` or anywhere else.
fn imports(code: &str) -> Vec<String> {
    let mut imports: Vec<String> = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => imports.extend(first_words(group)),
            None => imports.push(word(after)),
        }
    }
    imports.sort();
    imports.dedup();
    imports
}

/// The parts of `folder` that a file in it imports: the names after `crate::<folder>::`, and after `super::` in files
/// whose parent is the folder itself. `path` is relative to the folder.
fn siblings(folder: &str, path: &str, code: &str) -> Vec<String> {
    let own = path.split(['/', '.']).next().unwrap_or_default();
    let mut prefixes = vec![format!("crate::{folder}::")];
    if !path.contains('/') || path.ends_with("/mod.rs") {
        prefixes.push("super::".to_owned());
    }
    let mut siblings: Vec<String> = Vec::new();
    for prefix in prefixes {
        for after in code.split(prefix.as_str()).skip(1) {
            match after.strip_prefix('{') {
                Some(group) => siblings.extend(first_words(group)),
                None => siblings.push(word(after)),
            }
        }
    }
    siblings.retain(|sibling| sibling != own);
    siblings
}

/// A circular import, such as `a, b, a`.
fn circle(imports: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    fn visit(
        imports: &BTreeMap<String, Vec<String>>,
        trail: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        let Some(part) = trail.last().cloned() else { return false };
        for next in imports.get(&part).into_iter().flatten() {
            if done.contains(next) {
                continue;
            }
            let closes = trail.contains(next);
            trail.push(next.clone());
            if closes || visit(imports, trail, done) {
                return true;
            }
            trail.pop();
        }
        done.insert(part);
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|part| {
        let mut trail = vec![part.clone()];
        visit(imports, &mut trail, &mut done).then_some(trail)
    })
}

/// The first word of each member of a group, `a::b, c::{d, e}}…`, up to its closing brace.
fn first_words(group: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut begins) = (0_usize, true);
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            character if begins && !character.is_whitespace() => {
                words.push(word(&group[index..]));
                begins = false;
            }
            _ => {}
        }
    }
    words
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Whether code names a crate: `name::…` or `use name`, but not at the end of a longer word or path.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(index, _)| {
        let before = code[..index].chars().next_back();
        let whole = before.is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '"' | '`'));
        let path = !code[..index].ends_with("::");
        whole && path && code[index + name.len()..].starts_with("::")
    })
}

fn every_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            every_file(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path);
        }
    }
}

#[test]
fn the_source_keeps_to_its_layers() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut found) = (0, Vec::new());
    every_file(&src, &mut |path| {
        files += 1;
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        found.extend(broken(&name, &std::fs::read_to_string(path).unwrap()));
    });
    assert!(files > 50, "the source was found");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_folder_has_circular_imports() {
    for folder in NO_CIRCLES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
        let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
        every_file(&root, &mut |path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if name != "mod.rs" {
                let part = name.split(['/', '.']).next().unwrap_or_default().to_owned();
                let code = code(&name, &std::fs::read_to_string(path).unwrap());
                imports.entry(part).or_default().extend(siblings(folder, &name, &code));
            }
        });
        assert!(imports.len() > 5, "the parts of {folder} were found");
        assert_eq!(circle(&imports), None, "{folder}");
    }
}

#[test]
fn a_circular_import_is_found_in_every_notation() {
    let parts = |files: &[(&str, &str)]| {
        let mut imports: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, code) in files {
            let part = path.split(['/', '.']).next().unwrap_or_default().to_owned();
            imports.entry(part).or_default().extend(siblings("render", path, code));
        }
        circle(&imports)
    };
    let page = ("page.rs", "use super::{Context, story};");
    assert_eq!(parts(&[page, ("story.rs", "use super::page::from_one;")]).unwrap().len(), 3);
    let lists = ("answer/lists.rs", "use super::page;\nuse crate::render::story::Wording;");
    assert_eq!(parts(&[page, lists, ("story.rs", "use super::text;")]), None);
    assert!(parts(&[lists, ("story.rs", "use crate::render::answer::reply;")]).is_some());
}

#[test]
fn a_forbidden_import_is_found_in_every_notation() {
    for import in [
        "use crate::store::Store;",
        "use crate::{domain::policy, store};",
        "use crate::{\n    domain::{policy, time},\n    store::{Store, Tx},\n};",
        "fn f() { crate::store::commit(); }",
        "pub(crate) use crate::store as kept;",
    ] {
        assert_eq!(
            broken("domain/view.rs", import).first().unwrap(),
            "domain/view.rs: domain may not import store",
            "{import}"
        );
        assert_eq!(broken("engine/mod.rs", import), Vec::<String>::new(), "{import}");
    }
    assert_eq!(broken("engine/change.rs", "use crate::outbox::Outbox;").len(), 1);
    assert_eq!(broken("unheard_of/mod.rs", "use crate::domain::time;").len(), 1);
}

#[test]
fn a_crate_outside_of_its_place_is_found() {
    for (path, code) in [
        ("engine/mod.rs", "Unavailable(#[source] sqlx::Error),"),
        ("app.rs", "use prometheus::Registry;"),
        ("telemetry/labels.rs", "fn f() -> prometheus::Result<()> {}"),
        ("outbox/sending.rs", "use ruma::api::client::message::send_message_event;"),
    ] {
        assert_eq!(broken(path, code).len(), 1, "{code}");
    }
    for (path, code) in [
        ("telemetry/metrics.rs", "use prometheus::Registry;"),
        ("store/post.rs", "sqlx::query!()"),
        ("outbox/sending.rs", "use ruma::OwnedRoomId;"),
        ("cli/mod.rs", "/// such as sqlx::query=info\nconst A: &str = \"sqlx=info\";"),
        ("store/time.rs", "use jiff_sqlx::Timestamp;"),
    ] {
        assert_eq!(broken(path, code), Vec::<String>::new(), "{code}");
    }
}

#[test]
fn a_message_sent_without_the_outbox_is_found() {
    let code = "fn f() { client.send_event(identity, room, kind, id, content) }";
    assert_eq!(broken("timers/ladder.rs", code).len(), 1);
    assert_eq!(broken("outbox/sending.rs", code), Vec::<String>::new());
    assert_eq!(broken("matrix/sending.rs", "pub async fn send_event(&self) {}"), Vec::<String>::new());
}

#[test]
fn a_field_that_hides_the_sentence_of_a_log_line_is_found() {
    for (code, count) in [
        ("tracing::info!(%message, room, \"{message} is in {room}\");", 1),
        ("tracing::warn!(message = %head.id, \"{} waits\", head.id);", 1),
        ("tracing::info!(outbox_message = %message, room, \"{message} is in {room}\");", 0),
    ] {
        assert_eq!(broken("outbox/settling.rs", code).len(), count, "{code}");
    }
}

#[test]
fn tests_and_comments_may_name_anything() {
    let source =
        "/// See `crate::store`.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n";
    assert_eq!(broken("domain/view.rs", source), Vec::<String>::new());
    assert_eq!(broken("domain/transition/tests/world.rs", "use crate::store::Store;"), Vec::<String>::new());
}

#[test]
fn a_file_that_is_too_long_is_found() {
    assert_eq!(broken("domain/view.rs", &"fn f() {}\n".repeat(LONGEST + 1)).len(), 1);
}
