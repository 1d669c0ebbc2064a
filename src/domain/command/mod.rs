//! What people say to the virtual user in a room: the grammar of commands.
//!
//! A text is read as a command when it is addressed to us (`!` or a mention comes first), when it is said in a
//! reply or a thread of ours, or when it is exactly a command. Everything else is chatter, which gets no answer:
//! people talk about alerts in the very rooms and threads where the alerts are shown.
//!
//! A command is a row of the table in `verb`. How to add one: "Recipes" in docs/ARCHITECTURE.md.

mod arguments;
#[cfg(test)]
mod tests;
mod verb;

pub use verb::{Act, Query, Verb, VerbEffect, View};

/// Where a text was said, as far as it decides whether it is a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// It is a reply to, or in the thread of, a message of ours that shows an incident.
    pub reply_or_thread: bool,
    /// It began with a mention of the virtual user, which is no longer part of the text.
    pub mentioned: bool,
}

/// What a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not meant for us. It gets no answer.
    Chatter,
    /// A command.
    Command(Command),
    /// Meant as a command, but it is none.
    Mistake(Mistake),
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Change incidents.
    Act {
        /// How.
        act: Act,
        /// Which.
        which: Which,
        /// The comment given with it.
        comment: Option<String>,
    },
    /// Show incidents.
    Show {
        /// How.
        view: View,
        /// Which.
        which: Which,
    },
    /// Answer a question.
    Query(Query),
    /// A command that this release recognizes and cannot execute.
    NotAvailable(Verb),
}

/// Which incidents a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those with these numbers: at least one, each once, in the order they were said.
    Numbers(Vec<i64>),
    /// All of the room list that the command can apply to.
    All,
    /// The one that the reply or thread is about.
    This,
}

/// A command that went wrong before anything was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, as a sentence.
    pub said: String,
    /// What to say instead, as a sentence.
    pub hint: String,
}

/// How sure it is that a text is meant as a command. Mistakes are answered accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It is addressed to us: whatever is not a command is a mistake.
    Addressed,
    /// It is said in a reply or thread of ours: it names an incident without a number.
    InThread,
    /// It is only a text in the room: it must be exactly a command.
    Bare,
}

/// What `text` is.
pub fn parse(text: &str, context: Context) -> Parsed {
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
        // A mention and nothing else: somebody looks for a way in.
        return if context.mentioned {
            Parsed::Command(Command::Query(Query::Help))
        } else {
            Parsed::Chatter
        };
    }
    let (word, rest) = split_verb(text);
    match Verb::from_word(word) {
        Some(verb) => arguments::read(verb, rest, evidence, context.reply_or_thread),
        None if evidence == Evidence::Addressed => Parsed::Mistake(unknown(word)),
        None => Parsed::Chatter,
    }
}

fn unknown(word: &str) -> Mistake {
    let hint = match Verb::nearest(word) {
        Some(verb) => format!("Did you mean `{}`? Type `help` for the list of commands.", verb.row().usage),
        None => "Type `help` for the list of commands.".to_owned(),
    };
    Mistake { said: format!("Unknown command `{}`.", quotable(word)), hint }
}

/// The first word and what follows it, verbatim but for white space around it.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

/// The verb and what follows it. `ack42` and `ack#42` lack a space.
fn split_verb(text: &str) -> (&str, &str) {
    let number = text.find(|c: char| c == '#' || c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at_checked(number) {
        Some((word, rest)) if Verb::from_word(word).is_some_and(|verb| verb.row().unmistakable) => {
            (word, rest)
        }
        _ => split_word(text),
    }
}

/// The text within marks that make all of it bold, slanted or code.
fn unmarked(text: &str) -> &str {
    let mark = |c| matches!(c, '*' | '_' | '`');
    let inner = text.trim_start_matches(mark);
    let marks = text.strip_suffix(inner).unwrap_or_default();
    let closing: String = marks.chars().rev().collect();
    inner.strip_suffix(&closing).unwrap_or(text).trim()
}

/// A short form of something said that stays within one pair of backticks.
fn quotable(said: &str) -> String {
    const LONGEST: usize = 40;
    let mut quoted: String =
        said.chars().map(|c| if c == '`' || c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if said.chars().nth(LONGEST).is_some() {
        quoted.push('…');
    }
    quoted
}
