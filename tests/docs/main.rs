//! Checks the documents: everything they name exists, and their examples are valid.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic, and a document that cannot be read is a failure"
)]

mod language;
mod pointers;

use matrixbot::domain::command::Verb;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A document and its path in the repository.
struct Document {
    path: PathBuf,
    text: String,
}

/// A block between fences: its language, and the line before it.
struct Block {
    language: String,
    before: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder.
fn every_file(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            every_file(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// Every document of the repository.
fn documents() -> Vec<Document> {
    let mut paths: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "fuzz/README.md", "charts/matrixbot/README.md"]
            .map(PathBuf::from)
            .to_vec();
    let mut found = Vec::new();
    for folder in ["docs", "tests/fixtures"] {
        every_file(&root().join(folder), &mut found);
    }
    found.retain(|path| has_extension(path, "md"));
    paths.extend(found.iter().map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    paths.into_iter().map(|path| Document { text: read(path.to_str().unwrap()), path }).collect()
}

/// Every text between two marks.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inner, _)| inner).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut inside, mut before) = (false, "");
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                blocks.push(Block { language: language.into(), before: before.into(), text: String::new() });
            }
        } else if inside {
            let block = blocks.last_mut().unwrap();
            block.text.push_str(line);
            block.text.push('\n');
        }
        if !inside {
            before = line;
        }
    }
    blocks
}

/// The texts in single backticks, outside blocks.
fn code_spans(text: &str) -> Vec<&str> {
    text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// The cells of a table's rows below the header that begins with `first`.
fn table(text: &str, first: &str) -> Vec<Vec<String>> {
    let start = format!("| {first} |");
    let rows = text.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn every_path_that_a_document_names_exists() {
    const FOLDERS: [&str; 9] =
        ["src/", "tests/", "scripts/", "docs/", "migrations/", "benches/", "charts/", "fuzz/", "packaging/"];
    let (mut count, mut missing) = (0, Vec::new());
    for document in documents() {
        for span in code_spans(&document.text) {
            let path = span.split_whitespace().next().unwrap_or_default().trim_start_matches("./");
            if FOLDERS.iter().any(|folder| path.starts_with(folder)) && !path.contains("YYYY") {
                count += 1;
                if !root().join(path).exists() {
                    missing.push(format!("{}: {path}", document.path.display()));
                }
            }
        }
    }
    assert!(count > 80, "paths were found: {count}");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let (mut count, mut missing) = (0, Vec::new());
    for document in documents() {
        for target in between(&document.text, "](", ")") {
            if target.starts_with("http") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = document.path.parent().unwrap_or(Path::new(""));
            let path = if file.is_empty() { document.path.clone() } else { folder.join(file) };
            let there = root().join(&path);
            let has_anchor = || {
                let text = std::fs::read_to_string(&there).unwrap();
                text.lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor)
            };
            if !there.exists() || !anchor.is_empty() && !has_anchor() {
                missing.push(format!("{}: {target}", document.path.display()));
            }
        }
    }
    assert!(count > 20, "links were found: {count}");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

/// The anchor of a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_yaml_and_json_block_of_a_document_parses() {
    for document in documents() {
        for block in blocks(&document.text) {
            let read = match block.language.as_str() {
                "yaml" => serde_yaml::from_str::<serde_yaml::Value>(&block.text).err().map(|e| e.to_string()),
                "json" => serde_json::from_str::<serde_json::Value>(&block.text).err().map(|e| e.to_string()),
                _ => None,
            };
            assert_eq!(read, None, "{}:\n{}", document.path.display(), block.text);
        }
    }
}

#[test]
fn every_configuration_in_a_document_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let registration = read("registration.yaml.example").replace("REPLACE_WITH", "made-up");
    std::fs::write(folder.path().join("registration.yaml"), registration).unwrap();
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let schema = serde_json::from_str(&read("docs/config.schema.json")).unwrap();
    compiler.add_resource("config.schema.json", schema).unwrap();
    let schema = compiler.compile("config.schema.json", &mut schemas).unwrap();
    let mut count = 0;
    for document in documents() {
        for block in
            blocks(&document.text).iter().filter(|block| block.before == "<!-- a whole configuration -->")
        {
            count += 1;
            let file = folder.path().join("config.yaml");
            std::fs::write(&file, &block.text).unwrap();
            let value: serde_json::Value = serde_yaml::from_str(&block.text).unwrap();
            if let Err(error) = schemas.validate(&value, schema) {
                panic!("{}: {error:#}", document.path.display());
            }
            let outside = matrixbot::config::Outside { environment: &|_| None, template: &|_, _| Ok(()) };
            if let Err(problems) = matrixbot::config::load(&file, outside) {
                panic!("{}: {problems:#?}", document.path.display());
            }
        }
    }
    assert!(count > 0, "README shows a whole configuration");
}

#[test]
fn the_architecture_lists_the_enforced_layers() {
    let document = read("docs/ARCHITECTURE.md");
    let enforced = read("tests/layers.rs");
    let enforced = between(&enforced, "const MAY_IMPORT:", "];")[0];
    // Ignore line breaks.
    let enforced = enforced.split_whitespace().collect::<String>().replace(",)", ")");
    let mut parts = BTreeSet::new();
    for row in table(&document, "Part") {
        let names: Vec<String> =
            code_spans(&row.join(" ")).into_iter().map(|name| format!("\"{name}\"")).collect();
        let (part, imports) = names.split_first().unwrap();
        let entry = format!("({part},&[{}])", imports.join(","));
        assert!(enforced.contains(&entry), "tests/layers.rs has no entry {entry}");
        parts.insert(part.clone());
    }
    assert_eq!(
        parts.len(),
        enforced.matches("(\"").count(),
        "the document lists every part of tests/layers.rs"
    );
}

#[test]
fn the_architecture_lists_the_tables_of_the_schema() {
    let document = read("docs/ARCHITECTURE.md");
    let documented: BTreeSet<String> = table(&document, "Table")
        .iter()
        .flat_map(|row| code_spans(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut migrations = Vec::new();
    every_file(&root().join("migrations"), &mut migrations);
    let mut there = BTreeSet::new();
    for path in migrations {
        let text = std::fs::read_to_string(path).unwrap();
        there.extend(between(&text, "CREATE TABLE ", " ").into_iter().map(str::to_owned));
    }
    assert_eq!(documented, there);
}

#[test]
fn every_metric_that_a_document_names_is_in_the_reference() {
    let registered: BTreeSet<String> =
        table(&read("docs/REFERENCE.md"), "Metric").iter().map(|row| row[0].replace('`', "")).collect();
    let (mut count, mut missing) = (0, Vec::new());
    for document in documents() {
        for span in code_spans(&document.text) {
            let name = span.split('{').next().unwrap_or_default();
            let is_name =
                name.starts_with("matrixbot_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            // The volume of compose.yaml has a name like a metric.
            if is_name && name != "matrixbot_database" {
                count += 1;
                if !registered.contains(name) {
                    missing.push(format!("{}: {name}", document.path.display()));
                }
            }
        }
    }
    assert!(count > 30, "metrics were found: {count}");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn the_reference_lists_the_checks_of_readyz() {
    let readiness = read("src/app/readiness.rs");
    let listed: BTreeSet<String> =
        table(&read("docs/REFERENCE.md"), "Check").iter().map(|row| row[0].replace('`', "\"")).collect();
    let performed: BTreeSet<String> = ["Check::new(", "Check::degrading("]
        .into_iter()
        .flat_map(|begin| between(&readiness, begin, ","))
        .map(|name| name.trim().to_owned())
        .collect();
    assert_eq!(listed, performed);
}

#[test]
fn the_documents_list_the_available_commands() {
    let listed = |path| -> BTreeSet<String> {
        let rows = table(&read(path), "Write");
        rows.iter().flat_map(|row| code_spans(&row[0])).map(str::to_owned).collect()
    };
    let available: BTreeSet<String> =
        Verb::ALL.iter().filter(|verb| verb.is_available()).map(|verb| verb.row().usage.to_owned()).collect();
    assert_eq!(listed("docs/ON-CALL.md"), available);
    let in_short = listed("README.md");
    assert!(in_short.len() > 5 && in_short.is_subset(&available), "{in_short:?}");
}

#[test]
fn the_reference_lists_every_metric_as_registered() {
    let metrics = matrixbot::telemetry::Metrics::new().unwrap();
    metrics.introduce_endpoint("send");
    metrics.introduce_room_list("finance", 1);
    metrics.introduce_alertmanager("main");
    metrics.set_schedules(&[matrixbot::telemetry::ScheduleState {
        name: "primary".to_owned(),
        people: 1,
        unknown_people: 0,
        calendar_age: Some(std::time::Duration::ZERO),
    }]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    metrics.export_totals(Vec::new(), now + jiff::SignedDuration::from_secs(1));
    let text = metrics.render(now).unwrap();
    let registered: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
        .map(|(name, help)| {
            let after =
                |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
            let kind = after(&format!("# TYPE {name} "));
            let series = after(&format!("{name}{{"));
            let labels: Vec<&str> =
                series.split(',').filter_map(|label| label.split_once('=')).map(|(l, _)| l).collect();
            format!("{name} | {kind} | {} | {help}", labels.join(", "))
        })
        .collect();
    let documented: BTreeSet<String> = table(&read("docs/REFERENCE.md"), "Metric")
        .iter()
        .map(|row| row.iter().map(|cell| cell.replace('`', "")).collect::<Vec<_>>().join(" | "))
        .collect();
    assert_eq!(documented, registered);
}

#[test]
fn the_reference_lists_every_log_line_with_its_level() {
    let documented: BTreeSet<String> = table(&read("docs/REFERENCE.md"), "Level")
        .iter()
        .map(|row| format!("{} {}", row[0], code_spans(&row[1]).join(" ")))
        .collect();
    let mut written = BTreeSet::new();
    let mut paths = Vec::new();
    every_file(&root().join("src"), &mut paths);
    for path in paths.iter().filter(|path| !path.ends_with("tests.rs") && !has_extension(path, "png")) {
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for level in ["error", "warn", "info", "debug", "trace"] {
            let pieces: Vec<&str> = text.split(&format!("{level}!(")).collect();
            for pair in pieces.windows(2) {
                let [before, after] = pair else { continue };
                // `tracing::warn!` or an imported `warn!`, not the end of another name.
                if !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                    written.insert(format!("{level} {}", log_line(after)));
                }
            }
        }
    }
    assert!(written.len() > 40, "log lines were found: {}", written.len());
    assert_eq!(documented, written);
}

#[test]
fn the_reference_lists_every_result_of_a_command() {
    let rows = table(&read("docs/REFERENCE.md"), "Result");
    let documented: BTreeSet<String> =
        rows.iter().flat_map(|row| code_spans(&row[0])).map(ToOwned::to_owned).collect();
    let answers = read("src/domain/answer/mod.rs");
    let (_, words) = answers.split_once("fn in_log(&self)").unwrap();
    let (words, _) = words.split_once("\n    }\n").unwrap();
    let mut written: BTreeSet<String> = words.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(written.len() > 15, "{written:?}");
    let mut paths = Vec::new();
    every_file(&root().join("src/appservice/inbox"), &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        let pieces = ["Handled::acted(", "Handled::refused("].map(|call| text.split(call).skip(1));
        for after in pieces.into_iter().flatten() {
            // A result that is built elsewhere has no literal here.
            let line = log_line(after);
            written.extend((!line.is_empty()).then_some(line));
        }
    }
    assert_eq!(documented, written);
}

/// The readable sentence of a log macro: the longest text within its parentheses, with `…` for values.
fn log_line(arguments: &str) -> String {
    let (mut depth, mut texts, mut rest) = (1, Vec::new(), arguments);
    while depth > 0 {
        let mut found = rest.trim_start_matches(|c| !['(', ')', '"'].contains(&c)).chars();
        let mark = found.next().unwrap();
        rest = found.as_str();
        match mark {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {
                let (text, after) = rest.split_once('"').unwrap();
                texts.push(text);
                rest = after;
            }
        }
    }
    let sentence = texts.into_iter().max_by_key(|text| text.len()).unwrap_or_default();
    let mut line = String::new();
    for part in sentence.split('{') {
        line.push_str(part.split_once('}').map_or(part, |(_, after)| after));
        line.push('…');
    }
    line.strip_suffix('…').unwrap().to_owned()
}
