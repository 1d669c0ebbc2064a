//! What people write who believe that it is a command: other words for a verb, a reaction as a text, a command in the
//! middle of a sentence. What is clear is a command, what a person may expect an effect of is answered, and the rest is
//! chatter.

use super::arguments::{self, select};
use super::{Act, Command, Context, Evidence, Mistake, Parsed, Verb, Which, quotable, split_word};
use crate::domain::reaction::normalize;

/// Other words for a verb. They begin ordinary sentences, so they are commands only without other text.
const WORDS: [(&str, Verb); 3] =
    [("acked", Verb::Acknowledge), ("acknowledged", Verb::Acknowledge), ("close", Verb::Resolve)];
/// What ends a word or a number before a comment.
const SEPARATORS: [char; 7] = [',', ':', ';', '.', '!', '-', '–'];

/// The verb that another word stands for. Case and trailing punctuation do not matter.
pub(super) fn verb(word: &str) -> Option<Verb> {
    let word = word.trim_end_matches(SEPARATORS).to_lowercase();
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, verb)| *verb)
}

/// Parses a text that starts with another word for a verb, is not addressed, and has this after the word.
pub(super) fn read(verb: Verb, word: &str, rest: &str, evidence: Evidence, context: Context<'_>) -> Parsed {
    let accepted = || arguments::read(verb, rest, evidence, context);
    let Ok(selected) = select(rest) else { return accepted() };
    let is_separated = |before: &str, after: &str| {
        after.is_empty() || before.trim_end().ends_with(SEPARATORS) || after.starts_with(SEPARATORS)
    };
    let is_firm = verb.row().unmistakable;
    if selected.which.is_some() {
        let names = rest.strip_suffix(selected.rest).unwrap_or_default();
        return if is_separated(names, selected.rest) { accepted() } else { unclear(verb, names) };
    }
    match evidence {
        Evidence::InThread if rest.is_empty() => accepted(),
        Evidence::InThread if is_firm && is_separated(word, rest) => accepted(),
        // "Acknowledged by Bob", "acked yet?"
        Evidence::InThread if is_firm && !rest.ends_with('?') && !is_word(rest, "by") => unclear(verb, ""),
        Evidence::Bare if is_firm && rest.is_empty() => accepted(),
        Evidence::InThread | Evidence::Bare | Evidence::Addressed => Parsed::Chatter,
    }
}

/// A reaction that acknowledges, as the text of a reply.
pub(super) fn reaction(text: &str, acks: &[String]) -> Option<Parsed> {
    let (first, rest) = split_word(text);
    let text = normalize(first);
    let is_ack = acks.iter().any(|ack| {
        let ack = normalize(ack);
        !ack.is_empty() && !text.is_empty() && text.replace(&ack, "").is_empty()
    });
    match (is_ack, rest) {
        (false, _) => None,
        (true, "") => {
            Some(Parsed::Command(Command::Act { act: Act::Acknowledge, which: Which::This, comment: None }))
        }
        (true, rest) if rest.ends_with('?') => None,
        (true, _) => Some(unclear(Verb::Acknowledge, "")),
    }
}

/// Parses a text that is no command, but mentions the virtual user: "please ack 42".
pub(super) fn named(text: &str, context: Context<'_>) -> Parsed {
    let (word, rest) = super::split_verb(text);
    if let Some(verb) = Verb::from_word(word) {
        return arguments::read(verb, rest, Evidence::Addressed, context);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let command = words.windows(2).find_map(|pair| match pair {
        [word, number] => {
            let verb = Verb::from_word(word).or_else(|| verb(word)).filter(|verb| verb.row().unmistakable)?;
            select(number).ok().and_then(|selected| selected.which).map(|_| (verb, *number))
        }
        _ => None,
    });
    match command {
        Some((verb, number)) => unclear(verb, number.trim_end_matches(SEPARATORS)),
        None => Parsed::Chatter,
    }
}

fn is_word(text: &str, word: &str) -> bool {
    split_word(text).0.eq_ignore_ascii_case(word)
}

/// The error for a text that may be meant as a command.
fn unclear(verb: Verb, names: &str) -> Parsed {
    let typed = format!("{} {}", verb.word(), names.trim());
    Parsed::Mistake(Mistake {
        problem: "If this is meant as a command, it is not understood.".to_owned(),
        hint: format!("Type `{}`.", quotable(typed.trim())),
    })
}

#[cfg(test)]
mod tests {
    use crate::domain::command::Context;
    use crate::domain::command::tests::{BARE, THREAD, check};

    const NOT_UNDERSTOOD: &str = "! If this is meant as a command, it is not understood.";

    #[test]
    fn other_words_are_commands_if_nothing_else_can_be_meant() {
        check(
            BARE,
            &[
                ("Acknowledged 42", "ack 42"),
                ("acked 42, #43", "ack 42,43"),
                ("acked 40-45", "ack 40-45"),
                ("acked42", "ack 42"),
                ("Acked 42: on it", "ack 42 (on it)"),
                ("acknowledged 42 - looking", "ack 42 (looking)"),
                ("acked", "! `ack` needs an incident number."),
                ("acked 42 alerts yesterday", NOT_UNDERSTOOD),
                ("acked, on it", "-"),
                ("acknowledged by Bob", "-"),
                ("Acked all", "ack all"),
                ("close 42", "resolve 42"),
                ("close #42, replaced the disk", "resolve 42 (replaced the disk)"),
                ("close 42 tickets", NOT_UNDERSTOOD),
                ("close", "-"),
                ("close the door", "-"),
                ("closed 42", "-"),
            ],
        );
        check(
            THREAD,
            &[
                ("acked", "ack this"),
                ("Acknowledged!", "ack this"),
                ("Acknowledged, looking", "ack this (looking)"),
                ("acked - on it", "ack this (on it)"),
                ("acked 43", "ack 43"),
                ("acknowledged by Bob an hour ago", "-"),
                ("acked yet?", "-"),
                ("acknowledged the mail of the vendor", NOT_UNDERSTOOD),
                ("close", "resolve this"),
                ("close 43", "resolve 43"),
                ("close, but not there yet", "-"),
                ("close enough", "-"),
                ("!acked looking", "ack this (looking)"),
            ],
        );
    }

    #[test]
    fn a_noun_before_the_number_changes_nothing() {
        check(
            BARE,
            &[
                ("ack incident 42", "ack 42"),
                ("ack Incident #42 on it", "ack 42 (on it)"),
                ("acknowledge alert no. 42", "ack 42"),
                ("ack incidents 40-42", "ack 40-42"),
                ("resolve incident 42", "resolve 42"),
                ("snooze incident 42 2h", "snooze 42 7200s"),
                ("show incident 42", "show 42"),
                ("ack incident", "-"),
                ("ack incident reports are late", "-"),
            ],
        );
        check(THREAD, &[("ack incident review at five", "ack this (incident review at five)")]);
    }

    #[test]
    fn a_reaction_as_the_text_of_a_reply_acknowledges() {
        let acks = ["✅".to_owned(), "👀".to_owned()];
        let reply = Context { acks: &acks, ..THREAD };
        let expected = "ack this";
        check(reply, &[("✅", expected), (" ✅\u{fe0f} ", expected), ("👀", expected), ("✅✅", expected)]);
        check(reply, &[("✅ on it", NOT_UNDERSTOOD), ("👀 what is this?", "-"), ("🎉", "-"), ("💤", "-")]);
        check(THREAD, &[("✅", "-")]);
        check(Context { acks: &acks, ..BARE }, &[("✅", "-")]);
        check(Context { acks: &[String::new()], ..THREAD }, &[("✅", "-"), ("", "-")]);
    }

    #[test]
    fn a_sentence_that_names_the_virtual_user_is_answered_if_it_asks_for_something() {
        let named = Context { named: true, ..BARE };
        check(
            named,
            &[
                ("ack 42", "ack 42"),
                ("please ack 42.", NOT_UNDERSTOOD),
                ("could you ack #42 for me?", NOT_UNDERSTOOD),
                ("ack the disk", "! `the` is not an incident number."),
                ("I think it is broken", "-"),
                ("who will show 42 the door", "-"),
            ],
        );
        check(Context { named: true, ..THREAD }, &[("looks like the disk again", "-")]);
        check(BARE, &[("please ack 42.", "-")]);
    }

    #[test]
    fn what_was_meant_as_a_number_is_never_left_without_an_answer() {
        check(
            BARE,
            &[
                ("ack 5-3", "! `5-3` is not an incident number."),
                ("ack -5", "! `-5` is not an incident number."),
                ("ack 1-999999x", "! `1-999999x` is not an incident number."),
                ("ack 42x please", "! `42x` is not an incident number."),
                ("ack 3-", "! `3-` is not an incident number."),
                ("ack 3 -", "ack 3"),
                ("ack 3 - 5", "! `3 - 5` is not an incident number."),
                ("ack 3- 5", "! `3- 5` is not an incident number."),
                ("ack 3 -5", "! `3 -5` is not an incident number."),
                ("ack 42 - 3 disks are gone", "ack 42 (3 disks are gone)"),
                ("ack 3- looking", "ack 3 (looking)"),
                ("show 5-3", "! `5-3` is not an incident number."),
                ("resolve 3-", "! `3-` is not an incident number."),
                ("resolve -5", "! `-5` is not an incident number."),
                ("resolve 5-3 of them", "-"),
                ("unsilence zzz", "! `zzz` is not the id of a silence."),
                ("unsilence", "! `unsilence` needs the id of a silence."),
                ("unsilence the lambs now", "-"),
            ],
        );
        check(
            THREAD,
            &[("ack 3rd reboot", "ack this (3rd reboot)"), ("ack 3-", "! `3-` is not an incident number.")],
        );
    }
}
