//! What became of each incident that a person acted on, one line each.

use super::hidden;
use crate::domain::answer::{ActResult, Acted, Need};
use crate::domain::incident::PhaseName;
use crate::render::Context;
use crate::render::headline::list_name;
use crate::render::message::Message;
use crate::render::page::human;
use crate::render::rich::{Document, Rich};
use crate::render::size::fit_lines;
use crate::render::text::{count, short};
use crate::render::time::{instant, lasting};

/// One line for one incident, a list for several.
pub(super) fn acted(results: &[Acted], context: &Context<'_>) -> Message {
    if let [only] = results {
        return Message::notice(Document::line(&result_line(only, context)));
    }
    fit_lines(results.len().min(100), |shown| {
        let mut text = Document::default();
        let items: Vec<_> =
            results.iter().take(shown).map(|acted| vec![result_line(acted, context)]).collect();
        text.list(&items);
        if let more @ 1.. = results.len().saturating_sub(shown) {
            text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
        }
        Message::notice(text)
    })
}

/// How many incidents are named that are open elsewhere.
const NAMED: usize = 5;

/// `all` named nothing that this room may act on; `elsewhere` is what it named.
pub(super) fn nothing(room_list: &str, elsewhere: &[Acted], context: &Context<'_>) -> Message {
    let room_list = list_name(room_list);
    let mut text = Document::default();
    if elsewhere.is_empty() {
        let line = Rich::from(format!("Nothing of {room_list} is open that this could concern."));
        return Message::notice(Document::line(&line));
    }
    text.paragraph(&[Rich::from(format!("Nothing of {room_list} is open that this room can act on."))]);
    let items: Vec<_> = elsewhere.iter().take(NAMED).map(|acted| vec![result_line(acted, context)]).collect();
    text.list(&items);
    if let more @ 1.. = elsewhere.len().saturating_sub(NAMED) {
        text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
    }
    Message::notice(text)
}

fn result_line(acted: &Acted, context: &Context<'_>) -> Rich {
    let (mark, words) = words(&acted.result, context);
    let name = acted.name.as_deref().map(|name| format!(" {}", short(name, 60))).unwrap_or_default();
    let title = Rich::new().strong(&format!("#{}{name}", acted.number)).text(": ");
    let mark = if mark.is_empty() { Rich::new() } else { Rich::from(format!("{mark} ")) };
    mark.then(&title).then(&words)
}

fn words(result: &ActResult, context: &Context<'_>) -> (&'static str, Rich) {
    let at = |instant_: jiff::Timestamp| instant(instant_, context.now);
    match result {
        ActResult::Acknowledged { until: None } => {
            ("👀", "acknowledged; escalation has stopped until it resolves or something new fires.".into())
        }
        ActResult::Acknowledged { until: Some(until) } => {
            ("👀", format!("acknowledged until {}; escalation has stopped.", at(*until)).into())
        }
        ActResult::Joined { others } => (
            "👀",
            Rich::from("you joined ")
                .users(others.iter().take(10).map(AsRef::as_ref))
                .text(", who took it before."),
        ),
        ActResult::AlreadyYours => ("👀", "you have it already.".into()),
        ActResult::GivenBack { pages_in } => {
            ("↩️", format!("given back; it pages again in {}.", lasting(*pages_in)).into())
        }
        ActResult::NotAcknowledged => {
            ("", "nobody has taken it, so that there is nothing to give back.".into())
        }
        ActResult::Snoozed { until, shortened: false } => {
            ("💤", format!("snoozed until {}; then it pages again.", at(*until)).into())
        }
        ActResult::Snoozed { until, shortened: true } => {
            ("💤", format!("snoozed until {}, the longest there is; then it pages again.", at(*until)).into())
        }
        ActResult::SnoozeEnded => ("🔁", "the snooze has ended; it pages again.".into()),
        ActResult::NotSnoozed => ("", "it is not snoozed.".into()),
        ActResult::Escalated { level, levels } => {
            ("⏫", format!("paging level {} of {levels} now.", human(*level)).into())
        }
        ActResult::LadderEnded if context.policy.fallback_rooms.is_empty() => {
            ("🚨", "there is no further level, and no fallback room to tell.".into())
        }
        ActResult::LadderEnded => ("🚨", "there is no further level; it goes to the fallback rooms.".into()),
        ActResult::StalePage => {
            ("", "that page is no longer the last one, so that nothing was escalated.".into())
        }
        ActResult::Resolved { still_firing: 0 } => ("🟢", "resolved.".into()),
        ActResult::Resolved { still_firing } => (
            "🟢",
            format!(
                "resolved by hand, though {} still fire; something new will page again.",
                count(*still_firing, "alert")
            )
            .replace("1 alert still fire", "1 alert still fires")
            .into(),
        ),
        ActResult::TooLate { resolved_at: Some(since) } => {
            ("", format!("too late, it resolved at {}.", at(*since)).into())
        }
        ActResult::TooLate { resolved_at: None } => ("", "too late, it is over.".into()),
        ActResult::UnderMaintenance => ("🔧", "maintenance holds it back; nobody is paged.".into()),
        ActResult::Nothing { phase } => ("", format!("nothing to do, it is {}.", standing(*phase)).into()),
        ActResult::Refused { why } => ("", hidden(*why).into()),
        ActResult::NoRight { needs } => ("⛔", no_right(needs)),
    }
}

fn no_right(needs: &Need) -> Rich {
    match needs {
        Need::Membership => "only members of the room can do this.".into(),
        Need::PowerLevel { to, level } => Rich::from(format!(
            "to {} takes power level {level} in this room, or the operator's permission.",
            short(to, 100)
        )),
        Need::Forbidden => "the operator has not given you the right to do this.".into(),
    }
}

fn standing(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Firing => "firing",
        PhaseName::Acknowledged => "acknowledged",
        PhaseName::Snoozed => "snoozed",
        PhaseName::Unanswered => "unanswered",
        PhaseName::Suppressed => "held back by maintenance",
        PhaseName::Resolved => "resolved",
        PhaseName::Closed => "closed",
    }
}
