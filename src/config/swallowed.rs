//! Rooms that YAML swallows for want of quotes: `!room:server` is a tag to it, `#alias:server` a comment.

use super::yaml::{Fault, Position};
use regex::Regex;

/// The problem of a room id that is a tag. The comma after it in a list in brackets is a part of the tag.
pub(super) fn as_tag(tag: &str) -> String {
    problem(tag.trim_end_matches(','), "a tag")
}

/// The problem of a room alias in the line of an absent value: after its key or dash, without a space after the `#`.
pub(super) fn as_comment(line: &str) -> Option<String> {
    let (before, comment) = line.split_once(" #")?;
    let alias = comment.split(|c: char| c.is_whitespace() || matches!(c, ']' | ',')).next()?;
    let is_alias = before.trim_end().ends_with([':', '-']) && !alias.is_empty() && !alias.starts_with('#');
    is_alias.then(|| problem(&format!("#{alias}"), "a comment"))
}

fn problem(room: &str, kind: &str) -> String {
    format!(
        "without quotes, YAML takes `{room}` for {kind} and loses the value: put it in quotes: \"{room}\""
    )
}

/// Finds room aliases as the items of a list in brackets, and puts them in quotes. An alias swallows the closing bracket,
/// so the parser cannot read the file, and its own error does not help.
pub(super) fn in_brackets(text: &str) -> (String, Vec<Fault>) {
    let (mut repaired, mut faults) = (String::with_capacity(text.len()), Vec::new());
    // Neither quotes nor a comment begin before the alias.
    let item = Regex::new(r#"^((?:[^"'#]|"[^"]*"|'[^']*')*[\[,] *)(#[^\s\],#][^\s\],]*)"#);
    for (line, number) in text.lines().zip(1..) {
        let mut line = line.to_owned();
        let quotes_added = (0..).step_by(2);
        for added in quotes_added {
            let found = item.as_ref().ok().and_then(|item| item.captures(&line));
            let Some((whole, [before, alias])) = found.map(|found| found.extract()) else { break };
            let column = before.chars().count().saturating_add(1).saturating_sub(added);
            let at = Position { line: number, column };
            faults.push(Fault { at, key: String::new(), message: problem(alias, "a comment") });
            let after = line.strip_prefix(whole).unwrap_or_default();
            line = format!("{before}\"{alias}\"{after}");
        }
        repaired += &line;
        repaired.push('\n');
    }
    (repaired, faults)
}
