//! Ranges of incident numbers: `40-95`, `#40–#95`, alone or beside single numbers.

use super::arguments::{Selected, Unfit};
use super::{Mistake, Verb, Which, quotable, split_word};

/// The most numbers that the ranges of one command may have.
const MOST_NUMBERS: i64 = 2_000;
/// The most ranges and numbers of one command that has a range.
const MOST_RANGES: usize = 100;

/// The ranges and numbers at the start of `text`, if one of them is a range. A colon or a dash ends them.
pub(super) fn select(text: &str) -> Result<Option<Selected<'_>>, Unfit> {
    let (mut ranges, mut rest) = (Vec::new(), text);
    while ranges.len() < MOST_RANGES {
        let (word, after) = split_word(rest);
        let bare = word.trim_end_matches([',', ';', ':', '.', '!', '-']);
        if matches!(word, "and" | "&" | ",") && !ranges.is_empty() && read(split_word(after).0).is_some() {
            rest = after;
            continue;
        }
        let Some(more) = read(bare) else { break };
        ranges.extend(more);
        rest = after;
        if word.ends_with([':', '.', '!', '-', ';']) {
            break;
        }
    }
    if ranges.iter().all(|(first, last)| first == last) {
        return Ok(None);
    }
    let numbers = ranges
        .iter()
        .fold(0_i64, |numbers, (first, last)| numbers.saturating_add(last.saturating_sub(*first)));
    if numbers > MOST_NUMBERS {
        return Err(Unfit::Wrong(Mistake {
            problem: format!("`{}` has more than {MOST_NUMBERS} numbers.", quotable(split_word(text).0)),
            hint: "Name a shorter range, or type `all`.".to_owned(),
        }));
    }
    Ok(Some(Selected { which: Some(Which::Ranges(ranges)), rest }))
}

/// Whether a text starts with a range or number.
pub(super) fn starts(text: &str) -> bool {
    read(split_word(text).0.trim_end_matches([',', ';', ':', '.', '!'])).is_some()
}

/// A range at the start of `text` whose other end is missing or stands apart: `3-`, `3 - 5`. Anything else after the dash
/// is a comment: `3 - looking`.
pub(super) fn unfinished(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let (word, after) = split_word(text);
    let dashes = ['-', '–'];
    let first = word.trim_end_matches(dashes);
    number(first)?;
    let (dash, last) = if first.len() < word.len() { (true, after) } else { split_dash(after, dashes) };
    let is_cut = last.is_empty() && first.len() < word.len();
    (dash && (is_cut || number(last).is_some())).then_some(text)
}

/// Whether a text starts with a dash that stands alone or before a number, and the text after it.
fn split_dash(text: &str, dashes: [char; 2]) -> (bool, &str) {
    match text.strip_prefix(dashes) {
        Some(after) => (true, after.trim_start()),
        None => (false, text),
    }
}

/// `40-95,97`
fn read(word: &str) -> Option<Vec<(i64, i64)>> {
    word.trim_end_matches(',').split(',').map(range).collect()
}

fn range(part: &str) -> Option<(i64, i64)> {
    let ends = ["..", "-", "–"].iter().find_map(|dash| part.split_once(dash));
    let (first, last) = ends.unwrap_or((part, part));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}

/// Incidents without a range: for a verb that takes only numbers.
pub(super) fn none(verb: Verb, which: Which) -> Result<Which, Unfit> {
    if !matches!(which, Which::Ranges(_)) {
        return Ok(which);
    }
    Err(Unfit::Wrong(Mistake {
        problem: format!("`{}` takes no range.", verb.word()),
        hint: format!("Type `{}`.", verb.row().usage),
    }))
}
