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

/// What looks like a room alias without quotes inside the brackets of a list, and the text with these quotes. It
/// swallows the closing bracket, so that the file as a whole cannot be read and the parser's own words do not help.
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

/// The first thing in `rest` that looks like an alias, with what stands before and after it. `before` has been read.
fn first_alias<'a>(before: &str, rest: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
    let start = opens_alias(before, rest)?;
    let (head, comment) = rest.split_at_checked(start)?;
    let found = alias(comment)?;
    Some((head, found, comment.strip_prefix(found)?))
}

/// Where in `rest` a `#` stands as the first thing of a list's item, outside of quotes.
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
