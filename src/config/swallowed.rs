//! Detects rooms without quotes, which YAML drops: it reads `!room:server` as a tag and `#alias:server` as a comment.

use super::yaml::{Fault, Position};

/// The message for a tag, which is a room id without quotes.
pub(super) fn as_tag(tag: &str) -> String {
    // In a flow list, the parser adds the separator to the tag.
    let room = tag.trim_end_matches(',');
    format!("without quotes, YAML takes `{room}` for a tag and loses the value: put it in quotes: \"{room}\"")
}

/// The message for a comment in place of a value, which is a room alias without quotes.
pub(super) fn as_comment(alias: &str) -> String {
    format!(
        "without quotes, YAML takes `{alias}` for a comment and loses the value: put it in quotes: \"{alias}\""
    )
}

/// The room alias that looks like a comment in the line of a missing value: only the key or the dash is before it, and
/// no space follows its `#`.
pub(super) fn after<'a>(lines: &[&'a str], at: Position) -> Option<&'a str> {
    let line = lines.get(at.line.checked_sub(1)?)?;
    let (before, comment) = line.split_at_checked(line.find(" #")?)?;
    let before = before.trim();
    if !before.ends_with(':') && !before.ends_with('-') {
        return None;
    }
    alias(comment.trim_start())
}

/// Adds quotes to everything that looks like a room alias inside the brackets of a list. Returns the repaired text, and
/// a fault for each alias. Without quotes, such a comment hides the closing bracket, and the parser's own error does
/// not help.
pub(super) fn in_brackets(text: &str) -> (String, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut repaired = String::with_capacity(text.len());
    for (line, number) in text.lines().zip(1..) {
        let mut rest = line;
        let mut before = String::new();
        let mut column = 1_usize;
        while let Some((head, found, tail)) = first_alias(&before, rest) {
            column = column.saturating_add(head.chars().count());
            let at = Position { line: number, column };
            faults.push(Fault { at, key: String::new(), message: as_comment(found) });
            column = column.saturating_add(found.chars().count());
            before += &[head, "\"", found, "\""].concat();
            rest = tail;
        }
        repaired += &[&before, rest, "\n"].concat();
    }
    (repaired, faults)
}

/// The first text in `rest` that looks like an alias, with the text before and after it. `before`: the line up to
/// `rest`.
fn first_alias<'a>(before: &str, rest: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    let start = opens_alias(before, rest)?;
    let (head, comment) = rest.split_at_checked(start)?;
    let found = alias(comment)?;
    Some((head, found, comment.strip_prefix(found)?))
}

/// The position in `rest` of the first `#` that starts an item of a list, outside quotes.
fn opens_alias(before: &str, rest: &str) -> Option<usize> {
    let mut quote = None;
    let mut item_begins = false;
    let offset = before.len();
    let read = before.char_indices();
    for (index, character) in
        read.chain(rest.char_indices().map(|(index, c)| (index.saturating_add(offset), c)))
    {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '#') if item_begins => return index.checked_sub(offset),
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
