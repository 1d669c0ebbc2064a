//! Everything that documents and comments point to exists: types with their members, modules with their items, files.
//! They must not point to texts outside the repository, because readers cannot follow.

use super::{code_spans, documents, every_file, has_extension, read, root};
use regex::Regex;
use std::collections::BTreeMap;

/// The source of the program and its tests: each file's path and text.
struct Source {
    files: Vec<(String, String)>,
    /// Crates whose items are not checked.
    foreign: Vec<String>,
}

impl Source {
    fn read() -> Self {
        let mut paths = Vec::new();
        for folder in ["src", "tests", "benches"] {
            every_file(&root().join(folder), &mut paths);
        }
        paths.retain(|path| has_extension(path, "rs"));
        let files =
            paths.iter().map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()));
        let files = files.collect();
        let manifest = read("Cargo.toml");
        let dependencies = manifest.lines().filter_map(|line| line.split_once(" = "));
        let mut foreign: Vec<String> = dependencies.map(|(name, _)| name.trim().replace('-', "_")).collect();
        foreign.extend(["std", "core", "clippy", "i64"].map(str::to_owned));
        Self { files, foreign }
    }

    /// Why a pointer to a member of a type or to an item of a module is stale, or `None`.
    fn stale(&self, pointer: &str) -> Option<String> {
        let mut parts: Vec<&str> = pointer.split("::").filter(|part| !part.is_empty()).collect();
        parts.retain(|part| !["crate", "super", "self", "Self", "matrixbot"].contains(part));
        let (&item, owners) = parts.split_last()?;
        let (&owner, _) = owners.split_last()?;
        if self.foreign.iter().any(|name| Some(&name.as_str()) == parts.first()) {
            return None;
        }
        if owner.starts_with(|c: char| c.is_ascii_uppercase()) {
            self.stale_member(owner, item)
        } else {
            self.stale_item(&owners.join("/"), item)
        }
    }

    fn stale_member(&self, owner: &str, member: &str) -> Option<String> {
        let begins = Regex::new(&format!(
            r"(?m)^(\s*)(?:pub(?:\([^)]*\))? )?(?:(?:struct|enum|trait) {owner}\b|(?:unsafe )?impl\b[^{{;]*\b{owner}\b)[^;]*?\{{$"
        ))
        .unwrap();
        let defines = Regex::new(&format!(
            r"(?m)\b(?:fn|const|type) {member}\b|^\s*(?:pub(?:\([^)]*\))? )?{member}(?:[:,({{ ]|$)"
        ))
        .unwrap();
        let word = Regex::new(&format!(r"\b{member}\b")).unwrap();
        let mut found = false;
        for (_, text) in self.files.iter().filter(|(_, text)| text.contains(owner)) {
            for start in begins.captures_iter(text) {
                found = true;
                // An item ends at a brace with the indentation of its start.
                let end = format!("\n{}}}", start[1].trim_start_matches('\n'));
                let rest = text.get(start.get(0).unwrap().end()..).unwrap();
                let body = rest.split(&end).next().unwrap_or(rest);
                // A macro may generate members that the body does not contain.
                if defines.is_match(body) || body.contains("$(") && word.is_match(text) {
                    return None;
                }
            }
        }
        let imported = Regex::new(&format!(r"use (\w+)(?:::[^;]*)?\b{owner}\b")).unwrap();
        let is_foreign = self.files.iter().filter(|(_, text)| text.contains(owner)).any(|(_, text)| {
            imported.captures_iter(text).any(|import| self.foreign.iter().any(|name| *name == import[1]))
        });
        match (found, is_foreign) {
            (true, _) => Some(format!("{owner} has no {member}")),
            (false, true) => None,
            (false, false) => Some(format!("there is no type {owner}")),
        }
    }

    fn stale_item(&self, module: &str, item: &str) -> Option<String> {
        let ends = [format!("{module}.rs"), format!("{module}/mod.rs")];
        let below = format!("{module}/{item}");
        let mut found = false;
        for (path, text) in &self.files {
            if path.contains(&format!("/{below}.rs")) || path.contains(&format!("/{below}/")) {
                return None;
            }
            if ends.iter().any(|end| path.ends_with(&format!("/{end}"))) {
                found = true;
                if defines(text, item) {
                    return None;
                }
            }
        }
        Some(if found { format!("{module} has no {item}") } else { format!("there is no module {module}") })
    }
}

/// Whether a file defines an item or exports one of another module.
fn defines(text: &str, item: &str) -> bool {
    let definition = format!(
        r"(?m)\b(?:fn|struct|enum|trait|const|static|type|mod|macro_rules!) {item}\b|\buse [^;]*\b{item}\b|^\s*(?:pub(?:\([^)]*\))? )?{item}(?:[:,({{ ]|$)"
    );
    Regex::new(&definition).unwrap().is_match(text)
}

fn is_pointer(span: &str) -> bool {
    span.contains("::") && span.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// The comments of the Rust files and of the settings for cargo: place and text.
fn comments() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"] {
        every_file(&root().join(folder), &mut paths);
    }
    let mut comments = Vec::new();
    for path in paths.iter().filter(|path| has_extension(path, "rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let comment =
                line.trim_start().strip_prefix("//").or_else(|| line.split_once(" // ").map(|(_, c)| c));
            if let Some(comment) = comment {
                let place = path.strip_prefix(root()).unwrap().display();
                comments.push((format!("{place}:{}", number + 1), comment.to_owned()));
            }
        }
    }
    for path in ["clippy.toml", "Cargo.toml", "deny.toml"] {
        let text = read(path);
        comments
            .extend(text.lines().enumerate().map(|(n, line)| (format!("{path}:{}", n + 1), line.to_owned())));
    }
    comments
}

#[test]
fn every_type_and_module_that_a_document_or_a_comment_names_has_the_member() {
    let source = Source::read();
    let documents =
        documents().into_iter().map(|document| (document.path.display().to_string(), document.text));
    let mut pointers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, text) in documents.chain(comments()) {
        for span in code_spans(&text).into_iter().filter(|span| is_pointer(span)) {
            pointers.entry(span.to_owned()).or_default().push(place.clone());
        }
    }
    assert!(pointers.len() > 60, "pointers were found: {}", pointers.len());
    let stale = pointers.iter().filter_map(|(pointer, places)| {
        source.stale(pointer).map(|why| format!("{}: {pointer}: {why}", places.join(", ")))
    });
    let stale: Vec<String> = stale.collect();
    assert!(stale.is_empty(), "\n{}", stale.join("\n"));
}

#[test]
fn every_file_that_the_architecture_names_defines_the_item() {
    let document = read("docs/ARCHITECTURE.md");
    let pointers = Regex::new(r"`([A-Za-z_:]+)`\s+(?:\(|in\s+)`(src/[^`]+\.rs)`").unwrap();
    let (mut count, mut stale) = (0, Vec::new());
    for pointer in pointers.captures_iter(&document) {
        let item = pointer[1].rsplit("::").next().unwrap();
        count += 1;
        let path = root().join(&pointer[2]);
        if !std::fs::read_to_string(path).is_ok_and(|text| defines(&text, item)) {
            stale.push(format!("{} has no {}", &pointer[2], &pointer[1]));
        }
    }
    assert!(count > 20, "pointers were found: {count}");
    assert!(stale.is_empty(), "\n{}", stale.join("\n"));
}

#[test]
fn every_file_that_a_comment_names_exists() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "scripts", "docs", "migrations"] {
        every_file(&root().join(folder), &mut files);
    }
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let paths =
        Regex::new(r"\b(?:src|tests|scripts|docs|migrations|benches|charts|packaging)/[\w./-]*\w").unwrap();
    let sources = Regex::new(r"[\w/]*\w\.rs\b").unwrap();
    let mut missing = Vec::new();
    for (place, comment) in comments() {
        let is_file = |name: &str| files.iter().any(|file| file.ends_with(&format!("/{name}")));
        let named = paths.find_iter(&comment).chain(sources.find_iter(&comment)).map(|path| path.as_str());
        let absent = named.filter(|path| !is_file(path) && !root().join(path).exists());
        // A name with a word in capitals is a placeholder.
        let absent = absent.filter(|path| !path.contains("VERSION") && !path.contains("YYYY"));
        missing.extend(absent.map(|path| format!("{place}: {path}")));
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn no_comment_points_outside_the_repository() {
    // Specifications are public. Everything else with sections or chapters must be in the repository.
    let sections = Regex::new(r"§|(?i)\b(?:design|contract|language|style|facts[\w-]*)\.md\b").unwrap();
    let refused: Vec<String> = comments()
        .into_iter()
        .filter(|(_, comment)| sections.is_match(&comment.replace("API §", "")))
        .map(|(place, comment)| format!("{place}: {comment}"))
        .collect();
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn every_document_that_any_file_names_exists() {
    let mut files = Vec::new();
    for folder in ["src", "scripts", "charts", "packaging", "deploy", "tests", ".circleci"] {
        every_file(&root().join(folder), &mut files);
    }
    let at_the_root = ["Dockerfile", "compose.yaml", "Cargo.toml", "config.yaml.example"];
    files.extend(at_the_root.map(|name| root().join(name)));
    let documents = Regex::new(r"\bdocs/[A-Za-z0-9_/-]+\.md\b").unwrap();
    let (mut count, mut missing) = (0, Vec::new());
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for document in documents.find_iter(&text) {
            count += 1;
            if !root().join(document.as_str()).exists() {
                missing.push(format!("{}: {}", path.display(), document.as_str()));
            }
        }
    }
    assert!(count > 20, "documents were found: {count}");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}
