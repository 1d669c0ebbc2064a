//! Cleans foreign text for messages: no control characters, no change of direction, limited length.

use unicode_segmentation::UnicodeSegmentation as _;

/// `text` without control characters and without characters that change the direction of text. Line breaks become `\n`;
/// at most two in a row remain.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut breaks = 0_u8;
    let mut previous = '\0';
    for character in text.chars() {
        // "\r\n" is one break; it is written at the "\r".
        let second_half = character == '\n' && previous == '\r';
        previous = character;
        if second_half {
            continue;
        }
        match character {
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                breaks = breaks.saturating_add(1);
                if breaks <= 2 {
                    cleaned.push('\n');
                }
                continue;
            }
            '\t' => cleaned.push(' '),
            _ if is_hidden(character) => continue,
            _ => cleaned.push(character),
        }
        breaks = 0;
    }
    cleaned
}

/// `text` cleaned, on one line, with single spaces and none at its ends.
pub(super) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` cleaned, on one line of at most `most` characters. Reads only the start of a long text.
pub(crate) fn short(text: &str, most: usize) -> String {
    let head: String = text.chars().take(most.saturating_mul(4)).collect();
    let line = one_line(&head);
    if head.len() < text.len() && line.chars().nth(most).is_none() {
        return clip(&format!("{line}…"), most);
    }
    clip(&line, most)
}

/// At most `most` characters of `text`, with `…` at the end if it was cut.
pub(super) fn clip(text: &str, most: usize) -> String {
    match kept(text, most) {
        Some(kept) => format!("{kept}…"),
        None => text.to_owned(),
    }
}

/// At most `most` characters of `text`; a cut text ends with the number of missing characters.
pub(super) fn clip_with_count(text: &str, most: usize) -> String {
    let Some(kept) = kept(text, most) else { return text.to_owned() };
    let missing = text.chars().count().saturating_sub(kept.chars().count());
    format!("{kept}… ({})", count(missing as u64, "more character"))
}

/// The start of `text` that has at most `most` characters including a `…`; `None` if `text` is short enough. Does not
/// cut inside a visible character, such as an accented letter or a flag.
fn kept(text: &str, most: usize) -> Option<&str> {
    text.chars().nth(most)?;
    let (mut characters, mut end) = (0_usize, 0_usize);
    for grapheme in text.graphemes(true) {
        characters = characters.saturating_add(grapheme.chars().count());
        if characters >= most {
            break;
        }
        end = end.saturating_add(grapheme.len());
    }
    text.get(..end).map(str::trim_end)
}

/// The first lines of a text, with the number of those that are cut.
pub(super) fn first_lines(text: &str, most: usize) -> String {
    let cut = text.lines().count().saturating_sub(most);
    if cut == 0 {
        return text.to_owned();
    }
    let kept: Vec<&str> = text.lines().take(most).collect();
    format!("{}\n… ({cut} more lines)", kept.join("\n"))
}

/// `text` with its first letter in upper case.
pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// A level or round, counted from 1.
pub(super) fn from_one(index: u32) -> u64 {
    u64::from(index).saturating_add(1)
}

/// "1 alert", "2 alerts".
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Whether `clean` removes a character: it is invisible, or changes the direction of the text around it.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Bidirectional embeddings, overrides and isolates, which can disguise text.
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
            // Invisible operators, deprecated format characters, byte order mark, interlinear annotation.
            | '\u{2060}'..='\u{2064}' | '\u{206A}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            // No characters at all.
            | '\u{FFFE}' | '\u{FFFF}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_overrides_are_left_out() {
        assert_eq!(clean("a\0b\u{7}c\u{202E}d\u{2066}e\u{FEFF}f\tg"), "abcdef g");
    }

    #[test]
    fn every_kind_of_line_break_becomes_one_and_a_run_of_them_at_most_two() {
        assert_eq!(clean("a\r\nb\rc\u{2028}d"), "a\nb\nc\nd");
        assert_eq!(clean("a\n\n\n\n\nb"), "a\n\nb");
        assert_eq!(clean("a\r\n\r\n\r\nb"), "a\n\nb");
    }

    #[test]
    fn one_line_has_single_spaces() {
        assert_eq!(one_line("  disk \n\n is\tfull  "), "disk is full");
    }

    #[test]
    fn clipping_counts_characters_not_bytes() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äö…");
        assert_eq!(clip("äö", 0), "…");
        assert_eq!(clip_with_count("äöüß", 3), "äö… (2 more characters)");
    }

    #[test]
    fn a_visible_character_is_not_cut_in_two() {
        assert_eq!(clip("ae\u{301}bcd", 3), "a…", "the accent belongs to the e");
        assert_eq!(clip("a👍🏽bcd", 3), "a…", "so does the tone of skin");
        assert_eq!(clip("a👩\u{200D}🚒bcd", 4), "a…", "joined emoji are one");
        assert_eq!(clip("🇩🇪🇫🇷ab", 4), "🇩🇪…", "a flag is two");
        assert_eq!(clip(&"\u{301}".repeat(9), 5), "…");
        assert_eq!(clip_with_count("ae\u{301}bcd", 3), "a… (5 more characters)");
    }

    #[test]
    fn short_returns_one_line_and_marks_a_cut() {
        assert_eq!(short(" a\nb ", 3), "a b");
        assert_eq!(short("abcd", 3), "ab…");
        assert_eq!(short(&format!("a{}b", " ".repeat(100)), 3), "a…");
        assert_eq!(short(&"\0".repeat(100), 3), "…");
    }

    #[test]
    fn count_uses_the_plural_except_for_one() {
        assert_eq!(count(1, "alert"), "1 alert");
        assert_eq!(count(0, "alert"), "0 alerts");
    }
}
