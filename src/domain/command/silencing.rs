//! The arguments of the commands about silences.

use super::arguments::{Unfit, named, select, too_much, with_duration};
use super::{Command, Context, Evidence, Mistake, Verb, quotable, ranges, split_word};
use crate::domain::silencing::{DEFAULT_LENGTH, LONGEST, SHORTEST};

/// The last word of a command that may hold other alerts as well.
const CONFIRM: &str = "!confirm";

/// Parses incidents, a duration, a comment and `!confirm`. Only a command without a comment may omit the duration.
pub(super) fn silence(verb: Verb, rest: &str, context: Context<'_>) -> Result<Command, Unfit> {
    let (rest, confirmed) = match rest.strip_suffix(CONFIRM) {
        Some(before) if before.is_empty() || before.ends_with(char::is_whitespace) => {
            (before.trim_end(), true)
        }
        _ => (rest, false),
    };
    let selected = select(rest)?;
    let (which, lasting, comment) = if selected.rest.is_empty() {
        (named(verb, &selected, context.reply_or_thread)?, DEFAULT_LENGTH, None)
    } else {
        with_duration(verb, rest, context)?
    };
    if lasting < SHORTEST || lasting > LONGEST {
        return Err(Unfit::Wrong(Mistake {
            problem: "A silence lasts at least `1m` and at most `30d`.".to_owned(),
            hint: format!("Type for example `{} 42 2h`.", verb.word()),
        }));
    }
    let which = ranges::none(verb, which)?;
    Ok(Command::Silence { which, lasting, comment, confirmed })
}

/// Parses an id or the beginning of one. A word without a digit is no id, unless the command is addressed.
pub(super) fn unsilence(verb: Verb, rest: &str, evidence: Evidence) -> Result<Command, Unfit> {
    let (id, more) = split_word(rest);
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_id
        && more.is_empty()
        && (evidence == Evidence::Addressed || id.contains(|c: char| c.is_ascii_digit()))
    {
        return Ok(Command::Unsilence { id: id.to_owned() });
    }
    if !more.is_empty() {
        return Err(Unfit::TooMuch(too_much(verb, rest)));
    }
    let problem = match id {
        "" => format!("`{}` needs the id of a silence.", verb.word()),
        id => format!("`{}` is not the id of a silence.", quotable(id)),
    };
    Err(Unfit::Wrong(Mistake { problem, hint: "Type `silences` for the ids.".to_owned() }))
}
