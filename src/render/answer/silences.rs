//! Answers to commands about silences.

use super::{alerts_are, line};
use crate::domain::silencing::{Failed, Made, SilenceLine, SilenceResult, SilencingAnswer, UnsilenceResult};
use crate::render::Context;
use crate::render::headline::list_name;
use crate::render::hold::quoted;
use crate::render::message::Message;
use crate::render::rich::{Document, Rich};
use crate::render::size::fit_lines;
use crate::render::text::{count, short};
use crate::render::time::instant;

/// How much of an id people see; its beginning is enough for `unsilence`.
const SHOWN_OF_ID: usize = 8;
/// The longest name and the longest reason that an answer quotes.
const LONGEST_NAME: usize = 60;
const LONGEST_WHY: usize = 300;
/// How many Alertmanagers an answer names.
const MOST_NAMED: usize = 10;

/// The answer.
pub(super) fn answer(of: &SilencingAnswer, context: &Context<'_>) -> Message {
    match of {
        SilencingAnswer::Silence { number, name, result } => {
            let title = Rich::new().strong(format!("#{number} {}", short(name, LONGEST_NAME)).trim_end()).text(": ");
            silence(&title, *number, result, context)
        }
        SilencingAnswer::List { room_list, silences, failed } => list(room_list, silences, failed, context),
        SilencingAnswer::Unsilence { id, result, failed } => unsilence(id, result, failed),
        SilencingAnswer::NotConfigured => line(&Rich::new().marked(
            "matrixbot knows no Alertmanager, so it cannot silence anything. The operator has to add `alertmanagers:` \
             to its configuration.",
        )),
    }
}

fn silence(title: &Rich, number: i64, result: &SilenceResult, context: &Context<'_>) -> Message {
    match result {
        SilenceResult::Made { made, failed, held, not_held, changed } => {
            let mut lines = vec![made_line(title, made, *held, *not_held, context)];
            if *not_held > 0 && *held > 0 {
                lines.push(Rich::from(format!(
                    "{} not silenced: no Alertmanager that has it says so.",
                    alerts_are(*not_held)
                )));
            }
            if *changed > 0 {
                lines.push(Rich::from(format!(
                    "{} left out: the labels are too long for matrixbot to know them exactly.",
                    alerts_are(*changed)
                )));
            }
            lines.extend(failures(failed));
            let mut text = Document::default();
            text.paragraph(&lines);
            Message::notice(text)
        }
        SilenceResult::NotListed { asked, failed, foreign } => {
            let has_answered = |name: &&String| !failed.iter().any(|failed| failed.alertmanager == **name);
            let answered: Vec<&str> = asked.iter().filter(has_answered).map(String::as_str).collect();
            let list = if answered.len() == 1 { "lists" } else { "list" };
            let why = if answered.is_empty() {
                "nothing silenced.".to_owned()
            } else {
                let names = names(answered.into_iter());
                format!("nothing silenced: Alertmanager {names} {list} none of its alerts.")
            };
            let hint = " Another program sent them: silence them there.";
            let hint = if *foreign && failed.is_empty() { hint } else { "" };
            let mut lines = vec![title.clone().text(&why).text(hint)];
            lines.extend(failures(failed));
            let mut text = Document::default();
            text.paragraph(&lines);
            Message::notice(text)
        }
        SilenceResult::TooWide { others, names } => {
            let mut text = Document::default();
            let what = count(*others, "other alert");
            text.paragraph(&[title.clone().text(&format!("not silenced: it would silence {what} as well."))]);
            let mut items: Vec<_> =
                names.iter().map(|name| vec![Rich::new().code(&short(name, 200))]).collect();
            if let more @ 1.. = others.saturating_sub(names.len() as u64) {
                items.push(vec![Rich::new().em(&format!("… and {more} more"))]);
            }
            text.list(&items);
            text.paragraph(&[Rich::new().marked(&format!(
                "To silence them all, end the command with `!confirm`: `silence {number} 2h !confirm`."
            ))]);
            Message::notice(text)
        }
        SilenceResult::NothingShared => line(&title.clone().text(
            "not silenced: its alerts share no label, so no silence could hold them all and nothing else.",
        )),
        SilenceResult::Changed => {
            line(&title.clone().text(
                "not silenced: the labels of its alerts are too long for matrixbot to know them exactly.",
            ))
        }
        SilenceResult::Over => line(&title.clone().text("not silenced: it was resolved before.")),
    }
}

fn made_line(title: &Rich, made: &[Made], held: u64, not_held: u64, context: &Context<'_>) -> Rich {
    let Some(until) = made.iter().map(|made| made.until).min() else {
        return title.clone().text("not silenced.");
    };
    let names = names(made.iter().map(|made| made.alertmanager.as_str()));
    let until = instant(until, context);
    if held == 0 {
        return Rich::from("⚠️ ")
            .then(title)
            .text(&format!("the silence in Alertmanager {names} until {until} silenced nothing."));
    }
    let alerts =
        if held == 1 && not_held == 0 { String::new() } else { format!(" ({})", count(held, "alert")) };
    Rich::from("🔇 ").then(title).text(&format!(
        "silenced in Alertmanager {names} until {until}{alerts}. It ends when the incident is resolved."
    ))
}

fn list(room_list: &str, silences: &[SilenceLine], failed: &[Failed], context: &Context<'_>) -> Message {
    let room_list = list_name(room_list);
    if silences.is_empty() {
        let mut lines = vec![Rich::from(format!("{room_list} has no silences."))];
        lines.extend(failures(failed));
        let mut text = Document::default();
        text.paragraph(&lines);
        return Message::notice(text);
    }
    fit_lines(silences.len().min(50), |kept| {
        let mut text = Document::default();
        let headline = Rich::new().strong(&count(silences.len() as u64, "silence"));
        text.paragraph(&[headline.text(&format!(" · {room_list}"))]);
        let items: Vec<_> = silences.iter().take(kept).map(|one| vec![silence_line(one, context)]).collect();
        text.list(&items);
        let mut notes = Vec::new();
        if let more @ 1.. = silences.len().saturating_sub(kept) {
            notes.push(Rich::new().em(&format!("… and {more} more")));
        }
        notes.extend(failures(failed));
        text.paragraph(&notes);
        Message::notice(text)
    })
}

/// `5f0b1d5c · #42 · until 14:05 UTC · alice: “disk swap”`.
fn silence_line(one: &SilenceLine, context: &Context<'_>) -> Rich {
    let at = |time| instant(time, context);
    let numbers: Vec<String> =
        one.incidents.iter().take(MOST_NAMED).map(|number| format!("#{number}")).collect();
    let from = one.from.map(|from| format!("from {} ", at(from))).unwrap_or_default();
    let by = Rich::from(short(&one.created_by, LONGEST_NAME)).then(&quoted(Some(&one.comment)));
    let pieces = [
        Rich::new().code(&short_id(&one.id)),
        numbers.join(" ").into(),
        format!("{from}until {}", at(one.until)).into(),
        short(&one.alertmanager, LONGEST_NAME).into(),
        by,
    ];
    Rich::join(&pieces, " · ")
}

fn unsilence(id: &str, result: &UnsilenceResult, failed: &[Failed]) -> Message {
    let id = Rich::new().code(&short_id(id));
    let first = match result {
        UnsilenceResult::Ended { alertmanager, incidents } => {
            let numbers: Vec<String> =
                incidents.iter().take(MOST_NAMED).map(|number| format!("#{number}")).collect();
            Rich::from("🔔 ").then(&id).text(&format!(
                ": ended in Alertmanager {}. It was for {}.",
                short(alertmanager, LONGEST_NAME),
                numbers.join(", ")
            ))
        }
        UnsilenceResult::Unknown => id
            .text(": no such silence holds alerts of this room. Type ")
            .command("silences")
            .text(" for the ids."),
        UnsilenceResult::Ambiguous => id.text(": several ids begin like this. Type more of it."),
        UnsilenceResult::Failed => id.text(": not ended."),
    };
    let mut lines = vec![first];
    lines.extend(failures(failed));
    let mut text = Document::default();
    text.paragraph(&lines);
    Message::notice(text)
}

fn short_id(id: &str) -> String {
    id.chars().take(SHOWN_OF_ID).collect()
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = all.take(MOST_NAMED).map(|name| short(name, LONGEST_NAME)).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn failures(failed: &[Failed]) -> Vec<Rich> {
    let line = |one: &Failed| {
        let (name, why) = (short(&one.alertmanager, LONGEST_NAME), short(&one.why, LONGEST_WHY));
        Rich::from(format!("⚠️ Alertmanager {name}: {why}"))
    };
    failed.iter().take(MOST_NAMED).map(line).collect()
}
