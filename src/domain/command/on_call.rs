//! The arguments of `oncall`.

use super::arguments::Unfit;
use super::{Command, Evidence, Mistake, quotable};
use crate::domain::duration;
use crate::domain::on_call::Window;
use crate::domain::on_call::planning::LONGEST;
use std::time::Duration;

/// What a person asks about who is on call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCall {
    /// Who is on call now.
    Who,
    /// Who is on call next.
    Next,
    /// To be on call for this long.
    Take {
        /// For how long.
        lasting: Duration,
        /// The schedule; `None`: the room's only one.
        schedule: Option<String>,
    },
    /// That somebody else is on call instead.
    Give {
        /// Who, as the person typed it.
        to: String,
        /// For how long.
        lasting: Duration,
        /// The schedule; `None`: the room's only one.
        schedule: Option<String>,
    },
    /// To exchange shifts.
    Swap {
        /// With whom, as the person typed it.
        with: String,
        /// Those of which days.
        days: String,
        /// The schedule; `None`: the room's only one.
        schedule: Option<String>,
    },
    /// To undo the person's last change.
    Undo,
}

impl OnCall {
    /// Whether it names another person.
    pub fn names_a_person(&self) -> bool {
        matches!(self, Self::Give { .. } | Self::Swap { .. })
    }

    /// Whether it changes who is on call.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Who | Self::Next)
    }
}

const USAGE: &str = "Type `oncall`, `oncall next`, `oncall take 4h`, `oncall give @bob 2d`, `oncall swap @bob Mon-Fri` or `oncall undo`.";

/// Parses what follows `oncall`.
pub(super) fn on_call(rest: &str, evidence: Evidence) -> Result<Command, Unfit> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let Some((first, rest)) = words.split_first() else { return Ok(Command::OnCall(OnCall::Who)) };
    let command = match (first.to_lowercase().as_str(), rest) {
        ("now" | "who", []) => Ok(OnCall::Who),
        ("next", []) => Ok(OnCall::Next),
        ("undo", []) => Ok(OnCall::Undo),
        ("take", rest) => take(rest),
        ("give", rest) => give(rest),
        ("swap", rest) => swap(rest),
        // "oncall people, please look" is conversation.
        _ if evidence == Evidence::Bare => {
            return Err(Unfit::TooMuch(Mistake { problem: String::new(), hint: String::new() }));
        }
        _ => Err(format!("Unexpected `{}` after `oncall`.", quotable(&words.join(" ")))),
    };
    command.map(Command::OnCall).map_err(|problem| {
        let mistake = Mistake { problem, hint: USAGE.to_owned() };
        // "oncall take care of it" is conversation as well; "oncall take 4 hrs please" is not.
        let meant =
            rest.iter().any(|word| word.starts_with('@') || word.starts_with(|c: char| c.is_ascii_digit()));
        if meant || rest.is_empty() { Unfit::Wrong(mistake) } else { Unfit::TooMuch(mistake) }
    })
}

fn take(words: &[&str]) -> Result<OnCall, String> {
    let (lasting, schedule) = lasting(words).ok_or_else(|| wrong_length("take", words))?;
    Ok(OnCall::Take { lasting: limited(lasting)?, schedule })
}

fn give(words: &[&str]) -> Result<OnCall, String> {
    let split = (1..words.len()).find_map(|at| {
        let (person, rest) = words.split_at_checked(at)?;
        lasting(rest).map(|(lasting, schedule)| (person.join(" "), lasting, schedule))
    });
    let (to, lasting, schedule) = split.ok_or_else(|| {
        let problem =
            if words.is_empty() { "a person and a time" } else { "a person and then a time such as `2d`" };
        format!("`oncall give` needs {problem}.")
    })?;
    Ok(OnCall::Give { to, lasting: limited(lasting)?, schedule })
}

fn swap(words: &[&str]) -> Result<OnCall, String> {
    let days = words.iter().enumerate().skip(1).find(|(_, word)| Window::of_days(word).is_some());
    let Some((at, days)) = days else {
        return Err("`oncall swap` needs a person and then days such as `Mon-Fri`.".to_owned());
    };
    let (person, rest) = words.split_at_checked(at).unwrap_or((words, &[]));
    let schedule = match rest.get(1..).unwrap_or_default() {
        [] => None,
        [schedule] => Some((*schedule).to_owned()),
        more => return Err(format!("Unexpected `{}` after the days.", quotable(&more.join(" ")))),
    };
    Ok(OnCall::Swap { with: person.join(" "), days: (*days).to_owned(), schedule })
}

/// A length, and the schedule after it: `4h`, `2 days finance-primary`.
fn lasting(words: &[&str]) -> Option<(Duration, Option<String>)> {
    let parse = |words: &[&str]| {
        let text = words.join(" ");
        duration::parse_typed(text.trim_start_matches("for "))
            .ok()
            .filter(|length| *length >= Duration::from_mins(1))
    };
    if let Some(length) = parse(words) {
        return Some((length, None));
    }
    let (schedule, rest) = words.split_last()?;
    parse(rest).map(|length| (length, Some((*schedule).to_owned())))
}

fn limited(length: Duration) -> Result<Duration, String> {
    let longest = duration::format(LONGEST);
    if length > LONGEST { Err(format!("That is longer than {longest}.")) } else { Ok(length) }
}

fn wrong_length(verb: &str, words: &[&str]) -> String {
    match words {
        [] => format!("`oncall {verb}` needs a time such as `4h`."),
        words => format!("`{}` is no time such as `4h`.", quotable(&words.join(" "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::{Context, Parsed, parse};

    fn parsed(text: &str) -> Parsed {
        parse(text, Context::default())
    }

    #[test]
    fn commands_are_read_as_people_type_them() {
        let hours = |hours| Duration::from_hours(hours);
        let named = |name: &str| Some(name.to_owned());
        let take = |lasting, schedule| OnCall::Take { lasting, schedule };
        let give = |to: &str, lasting, schedule| OnCall::Give { to: to.to_owned(), lasting, schedule };
        let swap = |with: &str, days: &str, schedule| OnCall::Swap {
            with: with.to_owned(),
            days: days.to_owned(),
            schedule,
        };
        for (text, expected) in [
            ("oncall", OnCall::Who),
            ("!oncall", OnCall::Who),
            ("on-call", OnCall::Who),
            ("OnCall Next", OnCall::Next),
            ("oncall undo", OnCall::Undo),
            ("oncall take 4h", take(hours(4), None)),
            ("oncall take 4 hours", take(hours(4), None)),
            ("oncall take 1d 12h finance-primary", take(hours(36), named("finance-primary"))),
            ("oncall give @bob 2d", give("@bob", hours(48), None)),
            ("oncall give @bob:example.org 2 days ops", give("@bob:example.org", hours(48), named("ops"))),
            ("oncall give Bob Miller 90m", give("Bob Miller", Duration::from_mins(90), None)),
            ("oncall swap @bob Mon-Fri", swap("@bob", "Mon-Fri", None)),
            ("oncall swap Bob Miller sat ops", swap("Bob Miller", "sat", named("ops"))),
        ] {
            assert_eq!(parsed(text), Parsed::Command(Command::OnCall(expected)), "{text}");
        }
    }

    #[test]
    fn mistakes_get_an_example_and_conversation_gets_nothing() {
        for (text, problem) in [
            ("oncall take", "`oncall take` needs a time such as `4h`."),
            ("oncall take 4x", "`4x` is no time such as `4h`."),
            ("oncall take 90d", "That is longer than 31d."),
            ("oncall give", "`oncall give` needs a person and a time."),
            ("oncall give @bob", "`oncall give` needs a person and then a time such as `2d`."),
            ("oncall swap @bob", "`oncall swap` needs a person and then days such as `Mon-Fri`."),
            ("!oncall tomorrow", "Unexpected `tomorrow` after `oncall`."),
        ] {
            let Parsed::Mistake(mistake) = parsed(text) else { panic!("{text}: {:?}", parsed(text)) };
            assert_eq!(mistake.problem, problem, "{text}");
            assert!(mistake.hint.contains("`oncall give @bob 2d`"), "{}", mistake.hint);
        }
        for text in
            ["oncall people, please look", "oncall take care of it", "oncall next week?", "oncall give up"]
        {
            assert_eq!(parsed(text), Parsed::Chatter, "{text}");
        }
    }
}
