//! The arguments after the verb: incidents, a duration, a comment.

use super::verb::Arguments;
use super::{
    Command, Context, Evidence, Mistake, Parsed, Query, Verb, VerbEffect, View, Which, quotable, ranges,
    split_word,
};
use super::{on_call, silencing, times};
use crate::domain::duration;
use std::time::Duration;

/// The maximum length of a comment, in characters. The rest is cut off.
const LONGEST_COMMENT: usize = 1000;
/// The maximum number of incidents in one command.
const MOST_INCIDENTS: usize = 100;

/// The incidents that a text names, and the rest of the text.
pub(super) struct Selected<'a> {
    pub(super) which: Option<Which>,
    pub(super) rest: &'a str,
}

/// Why the arguments are invalid.
pub(super) enum Unfit {
    /// The incident is missing.
    NoIncident,
    /// The text in the place of the incident is not an incident number.
    NotAnIncident(Mistake),
    /// The incident is valid, another argument is not.
    Wrong(Mistake),
    /// There are too many arguments.
    TooMuch(Mistake),
}

/// Parses the text after the verb. In a reply or thread, the incident may be omitted.
pub(super) fn read(verb: Verb, rest: &str, evidence: Evidence, context: Context<'_>) -> Parsed {
    let unfit = match command(verb, rest, evidence, context) {
        Ok(command) => return Parsed::Command(command),
        Err(unfit) => unfit,
    };
    match (unfit, evidence) {
        // "ack" alone is meant as a command; "acknowledge that we are late" is not.
        (Unfit::NoIncident, Evidence::Bare)
            if !rest.is_empty() && read_duration(rest).is_none() && times::until(rest, context).is_none() =>
        {
            Parsed::Chatter
        }
        (Unfit::NoIncident, _) => Parsed::Mistake(Mistake {
            problem: format!("`{}` needs an incident number.", verb.word()),
            hint: format!("Type `{}`, or reply to the page.", verb.row().usage),
        }),
        (Unfit::TooMuch(_) | Unfit::NotAnIncident(_), Evidence::Bare) => Parsed::Chatter,
        (Unfit::TooMuch(_) | Unfit::NotAnIncident(_), Evidence::InThread) if !verb.row().unmistakable => {
            Parsed::Chatter
        }
        (Unfit::TooMuch(mistake) | Unfit::NotAnIncident(mistake) | Unfit::Wrong(mistake), _) => {
            Parsed::Mistake(mistake)
        }
    }
}

fn command(verb: Verb, rest: &str, evidence: Evidence, context: Context<'_>) -> Result<Command, Unfit> {
    let here = context.reply_or_thread;
    match verb.row().effect {
        VerbEffect::Act(act) => {
            Ok(Command::Act { act, which: without_comment(verb, rest, here)?, comment: None })
        }
        VerbEffect::ActWithComment(act) => {
            let (which, comment) = with_comment(verb, rest, evidence, here)?;
            Ok(Command::Act { act, which, comment })
        }
        VerbEffect::ActFor(act) => {
            let (which, length, comment) = with_duration(verb, rest, context)?;
            Ok(Command::Act { act: act(length), which, comment })
        }
        VerbEffect::Show(View::Incident) if rest.eq_ignore_ascii_case("storm") => {
            Ok(Command::Query(Query::Storm))
        }
        VerbEffect::Show(view) => {
            Ok(Command::Show { view, which: ranges::none(verb, without_comment(verb, rest, here)?)? })
        }
        VerbEffect::Query(query) if rest.is_empty() => Ok(Command::Query(query)),
        VerbEffect::Silence => silencing::silence(verb, rest, context),
        VerbEffect::Unsilence => silencing::unsilence(verb, rest, evidence),
        VerbEffect::OnCall => on_call::on_call(rest, evidence),
        VerbEffect::NotAvailable(arguments)
            if evidence == Evidence::Addressed || looks_meant(arguments, rest) =>
        {
            Ok(Command::NotAvailable(verb))
        }
        VerbEffect::Query(_) | VerbEffect::NotAvailable(_) => Err(Unfit::TooMuch(too_much(verb, rest))),
    }
}

/// Parses incidents, without a comment after them.
fn without_comment(verb: Verb, rest: &str, here: bool) -> Result<Which, Unfit> {
    let selected = select(rest)?;
    if selected.which.is_none() && !here && split_word(rest).1.is_empty() && resembles_number(rest) {
        return Err(Unfit::Wrong(no_numbers(verb, rest)));
    }
    let which = named(verb, &selected, here)?;
    if selected.rest.is_empty() { Ok(which) } else { Err(Unfit::TooMuch(too_much(verb, selected.rest))) }
}

/// Parses incidents, and the comment after them.
fn with_comment(
    verb: Verb,
    rest: &str,
    evidence: Evidence,
    here: bool,
) -> Result<(Which, Option<String>), Unfit> {
    let selected = select(rest)?;
    // "ack all good" must not acknowledge every incident.
    if selected.which == Some(Which::All) && !selected.rest.is_empty() {
        return match evidence {
            Evidence::InThread => Ok((Which::This, comment(rest))),
            Evidence::Addressed | Evidence::Bare => Err(all_and_more(verb, selected.rest)),
        };
    }
    if matches!(selected.which, Some(Which::Ranges(_))) && !selected.rest.is_empty() {
        // In a thread, "ack 3-5 minutes more" is a comment.
        if here {
            return Ok((Which::This, comment(rest)));
        }
        // "resolve 3-5 of them" is conversation.
        if evidence == Evidence::Bare && !verb.row().unmistakable {
            return Err(Unfit::TooMuch(too_much(verb, selected.rest)));
        }
    }
    // "ack 5-3" is almost certainly meant as a command, so its sender must get an answer.
    let (word, after) = split_word(selected.rest);
    let is_alone = verb.row().unmistakable || after.is_empty();
    if selected.which.is_none() && !here && is_alone && resembles_number(word) {
        return Err(Unfit::Wrong(no_numbers(verb, word)));
    }
    // Addressed, not in a thread, and there is a word in the place of the number.
    if selected.which.is_none() && !here && evidence == Evidence::Addressed && !selected.rest.is_empty() {
        return Err(Unfit::NotAnIncident(not_an_incident(split_word(selected.rest).0)));
    }
    let which = named(verb, &selected, here)?;
    Ok((which, comment(selected.rest)))
}

/// Parses incidents, a duration and a comment. A number may belong to the duration ("snooze 42 2 hours"), so the
/// incidents are the longest list of numbers that a duration follows.
pub(super) fn with_duration(
    verb: Verb,
    rest: &str,
    context: Context<'_>,
) -> Result<(Which, Duration, Option<String>), Unfit> {
    let here = context.reply_or_thread;
    let selected = select(rest)?;
    for tail in
        tails(rest).filter(|tail| tail.len() >= selected.rest.len()).collect::<Vec<_>>().into_iter().rev()
    {
        let found = leading_duration(tail).or_else(|| times::until(tail, context));
        let Some((how_long, after)) = found else { continue };
        let numbers = rest.strip_suffix(tail).unwrap_or_default().trim();
        let selected = select(numbers)?;
        if !selected.rest.is_empty() {
            continue;
        }
        let which = match selected.which {
            Some(which) => which,
            None if here => Which::This,
            None => return Err(Unfit::NoIncident),
        };
        return Ok((which, how_long, comment(after)));
    }
    let mistake = |problem: String| Mistake {
        problem,
        hint: format!(
            "Type for example `{word} 42 2h` or `{word} 42 until 09:00`. Durations are `90s`, `15m`, `1h30m`, `2d`.",
            word = verb.word()
        ),
    };
    match selected.rest {
        "" if selected.which.is_none() && !here => Err(Unfit::NoIncident),
        "" => Err(Unfit::Wrong(mistake(format!("`{}` needs a duration.", verb.word())))),
        text => {
            let (word, after) = split_word(text);
            if selected.which.is_some() && word.eq_ignore_ascii_case("until") {
                return Err(Unfit::Wrong(times::unclear(verb, after)));
            }
            let mut unclear = mistake(format!("`{}` is not a duration.", quotable(word)));
            if let Some(valid) = duration::nearest(word) {
                unclear.hint = format!("Did you mean `{valid}`? {}", unclear.hint);
            }
            Err(if selected.which.is_some() { Unfit::Wrong(unclear) } else { Unfit::NotAnIncident(unclear) })
        }
    }
}

/// `text`, then `text` without its first word, and so on, for as many words as a list of incidents may have.
fn tails(text: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(text), |tail| Some(split_word(tail).1).filter(|tail| !tail.is_empty()))
        .take(MOST_INCIDENTS.saturating_mul(2))
}

/// The longest duration at the start of `text`, of at most four words ("1 hour 30 minutes"), and the rest.
fn leading_duration(text: &str) -> Option<(Duration, &str)> {
    let ends = tails(text).skip(1).chain([""]).take(4).collect::<Vec<_>>();
    ends.into_iter().rev().find_map(|after| {
        let words = text.strip_suffix(after)?;
        read_duration(words.trim()).map(|how_long| (how_long, after))
    })
}

/// Whether the arguments of a command that is not available yet are valid.
fn looks_meant(arguments: Arguments, rest: &str) -> bool {
    let first = split_word(rest).0;
    match arguments {
        Arguments::Nothing => rest.is_empty(),
        Arguments::MaybeDuration => rest.is_empty() || read_duration(rest).is_some(),
        Arguments::DurationOrEnd => read_duration(first).is_some() || rest.eq_ignore_ascii_case("end"),
    }
}

/// The named incidents, or the incident of the reply or thread.
pub(super) fn named(verb: Verb, selected: &Selected<'_>, here: bool) -> Result<Which, Unfit> {
    match &selected.which {
        Some(which) => Ok(which.clone()),
        None if here => Ok(Which::This),
        None if selected.rest.is_empty() => Err(Unfit::NoIncident),
        None if matches!(verb.row().effect, VerbEffect::ActWithComment(_)) => Err(Unfit::NoIncident),
        None if read_duration(selected.rest).is_some() => Err(Unfit::NoIncident),
        None => Err(Unfit::NotAnIncident(not_an_incident(split_word(selected.rest).0))),
    }
}

/// Parses `all`, or numbers (`42`, `#42`, `42, 43`, `42 and 43`), at the start of `text`. A colon or a dash ends the
/// list: `ack 42: 3 disks are gone`.
pub(super) fn select(text: &str) -> Result<Selected<'_>, Unfit> {
    let text = without_noun(text);
    if let Some(word) = ranges::unfinished(text) {
        return Err(Unfit::Wrong(no_numbers(Verb::Acknowledge, word)));
    }
    if let Some(selected) = ranges::select(text)? {
        return Ok(selected);
    }
    let mut numbers: Vec<i64> = Vec::new();
    let mut rest = text;
    loop {
        let (word, after) = split_word(rest);
        let bare = word.trim_end_matches([',', ';', ':', '.', '!', '-']);
        if numbers.is_empty() && bare.eq_ignore_ascii_case("all") {
            return Ok(Selected { which: Some(Which::All), rest: after });
        }
        if numbers.is_empty() && looks_like_uuid(bare.trim_start_matches('#')) {
            return Err(Unfit::Wrong(Mistake {
                problem: format!(
                    "`{}` is an id of another bot. Incidents have numbers here.",
                    quotable(bare)
                ),
                hint: "Type `pending` for the numbers.".to_owned(),
            }));
        }
        let joined = matches!(word, "and" | "&" | ",") && !numbers.is_empty();
        if joined && starts_with_number(after) {
            rest = after;
            continue;
        }
        let Some(more) = read_numbers(bare)? else { break };
        for number in more {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        if numbers.len() > MOST_INCIDENTS {
            return Err(Unfit::Wrong(Mistake {
                problem: format!("One command can name at most {MOST_INCIDENTS} incidents."),
                hint: "Name fewer, or type `all`.".to_owned(),
            }));
        }
        rest = after;
        if word.ends_with([':', '.', '!', '-', ';']) {
            break;
        }
    }
    Ok(Selected { which: (!numbers.is_empty()).then_some(Which::Numbers(numbers)), rest })
}

/// The text without the noun before its number: `incident 42`, `alert no. 42`.
fn without_noun(text: &str) -> &str {
    const NOUNS: [&str; 7] = ["incident", "incidents", "alert", "alerts", "number", "no", "nr"];
    let mut rest = text;
    for _ in 0..2 {
        let (word, after) = split_word(rest);
        let noun = word.trim_end_matches(['.', ':']).to_lowercase();
        if !NOUNS.contains(&noun.as_str()) {
            break;
        }
        rest = after;
    }
    if starts_with_number(rest) || ranges::starts(rest) { rest } else { text }
}

/// Parses `42`, `#42` or `42,43`; `None` for any other word.
fn read_numbers(word: &str) -> Result<Option<Vec<i64>>, Unfit> {
    let parts: Vec<&str> = word.split(',').map(|part| part.strip_prefix('#').unwrap_or(part)).collect();
    if parts.iter().any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit())) {
        return Ok(None);
    }
    let numbers = parts.iter().map(|part| part.parse::<i64>().ok().filter(|number| *number > 0));
    numbers.collect::<Option<Vec<i64>>>().map(Some).ok_or_else(|| Unfit::Wrong(not_an_incident(word)))
}

fn starts_with_number(text: &str) -> bool {
    let (word, _) = split_word(text);
    matches!(read_numbers(word.trim_end_matches([',', ';', ':', '.', '!', '-'])), Ok(Some(_)))
}

/// A duration of at least a second.
fn read_duration(text: &str) -> Option<Duration> {
    let text = text.trim_end_matches(['.', '!', ',']);
    duration::parse_typed(text).ok().filter(|duration| *duration >= Duration::from_secs(1))
}

/// Whether a word looks like a UUID, with or without dashes.
fn looks_like_uuid(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = word.bytes().filter(|b| *b == b'-').count();
    digits == 32 && (dashes == 0 || dashes == 4) && digits.saturating_add(dashes) == word.len()
}

/// The comment of a command: verbatim, of limited length, without the punctuation before it.
fn comment(rest: &str) -> Option<String> {
    let rest = rest
        .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ',' | '-' | '–' | '—' | ';'));
    let comment: String = rest.chars().take(LONGEST_COMMENT).collect();
    (!comment.trim().is_empty()).then(|| comment.trim().to_owned())
}

/// The error for text after `all`: it is unclear whether all incidents are meant. If the verb is unmistakable, the
/// sender expects an effect and gets an answer.
fn all_and_more(verb: Verb, rest: &str) -> Unfit {
    let mistake = Mistake {
        problem: format!("Unexpected `{}` after `{} all`.", quotable(rest), verb.word()),
        hint: format!("Type only `{} all`, or name the incidents: `{}`.", verb.word(), verb.row().usage),
    };
    if verb.row().unmistakable { Unfit::Wrong(mistake) } else { Unfit::TooMuch(mistake) }
}

/// Whether a word was meant as a number or a range: `5-3`, `-5`, `1-99x`. A duration is none.
fn resembles_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['#', '-', '–', '.']);
    digits.starts_with(|c: char| c.is_ascii_digit()) && read_duration(word).is_none()
}

/// The error for numbers or a range that nobody can read.
pub(super) fn no_numbers(verb: Verb, word: &str) -> Mistake {
    Mistake {
        problem: format!("`{}` is not an incident number.", quotable(word)),
        hint: format!("Type for example `{} 42 43` or `{} 40-95`.", verb.word(), verb.word()),
    }
}

fn not_an_incident(word: &str) -> Mistake {
    Mistake {
        problem: format!("`{}` is not an incident number.", quotable(word)),
        hint: "Type `pending` for the numbers.".to_owned(),
    }
}

pub(super) fn too_much(verb: Verb, rest: &str) -> Mistake {
    Mistake {
        problem: format!("Unexpected `{}` after `{}`.", quotable(rest), verb.word()),
        hint: format!("Type `{}`.", verb.row().usage),
    }
}
