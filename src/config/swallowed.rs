//! Rooms that YAML swallows for want of quotes: `!room:server` is a tag to it, `#alias:server` a comment.

use super::yaml::{Fault, Position};

/// What to say of a tag, which is a room id without quotes.
pub(super) fn as_tag(tag: &str) -> String {
    // The separator of a flow list sticks to the tag.
    let room = tag.trim_end_matches(',');
    format!("without quotes, YAML takes `{room}` for a tag and loses the value: put it in quotes: \"{room}\"")
}

/// What to say of a comment where a value should be, which is a room alias without quotes.
pub(super) fn as_comment(alias: &str) -> String {
    format!(
        "without quotes, YAML takes `{alias}` for a comment and loses the value: put it in quotes: \"{alias}\""
    )
}

/// The comment in the line of an absent value that looks like a room alias: nothing stands before it but the key
/// or the dash, and no space follows its `#`.
pub(super) fn after<'a>(lines: &[&'a str], at: Position) -> Option<&'a str> {
    let line = lines.get(at.line.checked_sub(1)?)?;
    let (before, comment) = line.split_at_checked(line.find(" #")?)?;
    let before = before.trim();
    if !before.ends_with(':') && !before.ends_with('-') {
        return None;
    }
    alias(comment.trim_start())
}

/// What looks like a room alias without quotes inside the brackets of a list. It swallows the closing bracket, so
/// that the file as a whole cannot be read and the parser's own words do not help.
pub(super) fn in_brackets(lines: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        let Some(start) = opens_alias(line) else { continue };
        let Some((before, rest)) = line.split_at_checked(start) else { continue };
        let Some(alias) = alias(rest) else { continue };
        let at = Position { line: number, column: before.chars().count().saturating_add(1) };
        faults.push(Fault { at, key: String::new(), message: as_comment(alias) });
    }
    faults
}

/// Where a `#` stands as the first thing of a list's item, outside of quotes.
fn opens_alias(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut item_begins = false;
    for (index, character) in line.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') if item_begins => return Some(index),
            (None, '#') => return None,
            _ => {}
        }
        item_begins = quote.is_none() && (matches!(character, '[' | ',') || item_begins && character == ' ');
    }
    None
}

/// The alias at the start of a comment, if it looks like one.
fn alias(comment: &str) -> Option<&str> {
    let end = comment.find(|c: char| c.is_whitespace() || matches!(c, ']' | ','));
    let alias = end.and_then(|end| comment.get(..end)).unwrap_or(comment);
    (alias.len() > 1 && !alias.starts_with("##")).then_some(alias)
}
