//! The grammar of commands in rooms.
//!
//! matrixbot reads a text as a command if it is addressed to the virtual user (it starts with `!` or a mention), if it
//! replies to one of our messages or is in a thread of ours, or if it is exactly a command. Every other text is chatter
//! and gets no answer, because people discuss alerts in the same rooms and threads.
//!
//! Each command is a row of the table in `verb`. To add one, see "Recipes" in docs/ARCHITECTURE.md.

mod arguments;
mod loose;
mod on_call;
#[cfg(test)]
mod properties;
mod ranges;
mod silencing;
#[cfg(test)]
mod tests;
mod times;
mod verb;

pub use on_call::OnCall;
pub use verb::{Act, Query, Verb, VerbEffect, View};

use super::zone::Zone;
use jiff::Timestamp;
use std::time::Duration;

/// The context of a text that helps to decide whether it is a command, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// It replies to one of our messages about an incident, or is in that message's thread.
    pub reply_or_thread: bool,
    /// It started with a mention of the virtual user. The text no longer contains the mention.
    pub mentioned: bool,
    /// It mentions the virtual user, but not at its start, and not because it replies to one of its messages.
    pub named: bool,
    /// The reactions that acknowledge, if they do so as the text of this message.
    pub acks: &'a [String],
    /// When it was written.
    pub at: Timestamp,
    /// When it is read, at or after `at`.
    pub now: Timestamp,
    /// The zone of times of day in it; `None`: UTC.
    pub zone: Option<&'a Zone>,
}

/// The result of parsing a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not meant for matrixbot. It gets no answer.
    Chatter,
    /// A command.
    Command(Command),
    /// Meant as a command, but invalid.
    Mistake(Mistake),
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Change incidents.
    Act {
        /// The change.
        act: Act,
        /// The incidents.
        which: Which,
        /// The person's comment.
        comment: Option<String>,
    },
    /// Show incidents.
    Show {
        /// What to show of them.
        view: View,
        /// The incidents.
        which: Which,
    },
    /// Silence the alerts of incidents in Alertmanager.
    Silence {
        /// The incidents.
        which: Which,
        /// For how long.
        lasting: Duration,
        /// The person's comment.
        comment: Option<String>,
        /// Whether it may hold other alerts as well.
        confirmed: bool,
    },
    /// End a silence in Alertmanager.
    Unsilence {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// Ask or change who is on call.
    OnCall(OnCall),
    /// Answer a question.
    Query(Query),
    /// A command that this release recognizes and cannot execute.
    NotAvailable(Verb),
}

/// Which incidents a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those with these numbers: at least one, without duplicates, in the order in which the person typed them.
    Numbers(Vec<i64>),
    /// Those of these ranges of numbers that were posted in the room; each from its first to its last number.
    Ranges(Vec<(i64, i64)>),
    /// All incidents of the room list that the command can apply to.
    All,
    /// The incident of the reply or thread.
    This,
}

/// Why a command is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The problem, as a sentence.
    pub problem: String,
    /// What to type instead, as a sentence.
    pub hint: String,
}

/// How likely a text is meant as a command. This decides whether matrixbot answers a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It is addressed to the virtual user: every text that is not a command is a mistake.
    Addressed,
    /// It replies to one of our messages or is in a thread of ours, so it needs no incident number.
    InThread,
    /// Any other text in the room: it must be exactly a command.
    Bare,
}

/// Parses a text.
pub fn parse(text: &str, context: Context<'_>) -> Parsed {
    let text = unmarked(text.trim());
    let exclaimed =
        text.strip_prefix('!').map(str::trim_start).filter(|rest| rest.starts_with(char::is_alphabetic));
    let (text, evidence) = match exclaimed {
        Some(rest) => (rest, Evidence::Addressed),
        None if context.mentioned => (text, Evidence::Addressed),
        None if context.reply_or_thread => (text, Evidence::InThread),
        None => (text, Evidence::Bare),
    };
    if text.is_empty() {
        // Someone who only mentions the virtual user probably needs help.
        return if context.mentioned {
            Parsed::Command(Command::Query(Query::Help))
        } else {
            Parsed::Chatter
        };
    }
    let parsed = of_text(text, evidence, context);
    // It names the virtual user, so its author expects an effect.
    if parsed == Parsed::Chatter && context.named { loose::named(text, context) } else { parsed }
}

fn of_text(text: &str, evidence: Evidence, context: Context<'_>) -> Parsed {
    if evidence == Evidence::InThread
        && let Some(parsed) = loose::reaction(text, context.acks)
    {
        return parsed;
    }
    let (word, rest) = split_verb(text);
    match (Verb::from_word(word), loose::verb(word)) {
        (Some(verb), _) => arguments::read(verb, rest, evidence, context),
        (None, Some(verb)) if evidence == Evidence::Addressed => {
            arguments::read(verb, rest, evidence, context)
        }
        (None, Some(verb)) => loose::read(verb, word, rest, evidence, context),
        (None, None) if evidence == Evidence::Addressed => Parsed::Mistake(unknown(word)),
        (None, None) => Parsed::Chatter,
    }
}

fn unknown(word: &str) -> Mistake {
    let hint = match Verb::nearest(word) {
        Some(verb) => format!("Did you mean `{}`? Type `help` for the list of commands.", verb.row().usage),
        None => "Type `help` for the list of commands.".to_owned(),
    };
    Mistake { problem: format!("Unknown command `{}`.", quotable(word)), hint }
}

/// The first word and the rest, without the white space between them.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

/// The verb and the rest. `ack42` and `ack#42` need no space.
fn split_verb(text: &str) -> (&str, &str) {
    let number = text.find(|c: char| c == '#' || c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at_checked(number) {
        Some((word, rest))
            if Verb::from_word(word).or(loose::verb(word)).is_some_and(|verb| verb.row().unmistakable) =>
        {
            (word, rest)
        }
        _ => split_word(text),
    }
}

/// The text without Markdown marks that make all of it bold, italic or code.
fn unmarked(text: &str) -> &str {
    let mark = |c| matches!(c, '*' | '_' | '`');
    let inner = text.trim_start_matches(mark);
    let marks = text.strip_suffix(inner).unwrap_or_default();
    let closing: String = marks.chars().rev().collect();
    inner.strip_suffix(&closing).unwrap_or(text).trim()
}

/// A short form of a text that fits between one pair of backticks.
fn quotable(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut quoted: String =
        text.chars().map(|c| if c == '`' || c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        quoted.push('…');
    }
    quoted
}
