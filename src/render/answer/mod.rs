//! Answers to commands: notices that name each incident and its change, or the exact reason why nothing changed.

mod help;
mod lists;
pub mod on_call;
mod silences;

pub use lists::timeline;

use super::Context;
use super::digest;
use super::headline::list_name;
use super::message::{Message, Place};
use super::rich::{Document, Rich};
use super::size::fit_lines;
use super::text::{count, from_one, short};
use super::time::{instant, lasting};
use crate::domain::answer::{ActResult, Acted, Answer, Hidden, Need, Rest};
use crate::domain::incident::PhaseName;
use crate::domain::lists::Departed;
use ruma::{EventId, OwnedEventId};

/// The answer to a command, for another room than the command's, which does not let matrixbot write.
pub fn elsewhere(room: &str, of: &Answer, context: &Context<'_>) -> Message {
    let message = answer(of, context);
    let place = Rich::from("Answer to a command in ").code(&short(room, 200));
    let place = Document::line(&place.text(", where matrixbot may not write:"));
    let plain = format!("{}\n{}", place.plain(), message.text.plain());
    let html = format!("{}<br>{}", place.html(), message.text.html());
    Message { text: Document::from_parts(plain, html), ..message }
}

/// The answer to a command. The caller sets its place, see [`reply`].
pub fn answer(answer: &Answer, context: &Context<'_>) -> Message {
    match answer {
        Answer::Acted { results, rest } => acted(results, rest, context),
        Answer::NothingOpen { room_list, elsewhere, more, snoozed } => {
            nothing(room_list, (elsewhere, *more), *snoozed, context)
        }
        Answer::Pending { room_list, incidents, more } => {
            lists::incidents("pending", room_list, incidents, *more, context)
        }
        Answer::Escalated { room_list, incidents, more } => {
            lists::incidents("escalated", room_list, incidents, *more, context)
        }
        Answer::DigestAcknowledged { numbers, refused, more } => {
            acknowledged(numbers, refused, *more, context)
        }
        Answer::Storm { room_list, members } => lists::storm(room_list, members, context.policy),
        Answer::Timeline { number, name, levels, entries, earlier } => {
            timeline(*number, name, *levels, entries, *earlier, context)
        }
        Answer::Help { room_list, role, others } => {
            let others = others.iter().map(|(name, role)| (name.as_str(), *role));
            let lists: Vec<_> = std::iter::once((room_list.as_str(), *role)).chain(others).collect();
            help::help(&lists, context)
        }
        Answer::NotShown { number, why } => {
            line(&Rich::new().strong(&format!("#{number}")).text(": ").text(hidden(*why)))
        }
        Answer::LeftRoom { lists } => left_room(lists),
        Answer::Mistake { problem, hint } => {
            let sentence = |text: &str| Rich::new().marked(&short(text, 500));
            line(&Rich::join(&[sentence(problem), sentence(hint)], " "))
        }
        Answer::TooManyCommands { user, pause } => {
            let rest = format!(
                ": too many commands. This one and the following ones are dropped until you have paused for {}. \
                 Reactions still count.",
                lasting(*pause)
            );
            line(&Rich::from("✋ ").users(std::iter::once(&**user)).text(&rest))
        }
        Answer::NotPermitted { needs } => line(&Rich::from("⛔ ").then(&no_right(needs))),
        Answer::Silencing { of } => silences::answer(of, context),
        Answer::OnCall { of } => on_call::answer(of, context),
        Answer::NotAvailable { command } => line(
            &Rich::new()
                .command(&short(command, 100))
                .text(" is not available in this release. Type ")
                .command("help")
                .text(" for the list of commands."),
        ),
    }
}

/// The place of an answer: a reply to the command `to`, in `thread` if the command was sent in one.
pub fn reply(to: &EventId, thread: Option<OwnedEventId>) -> Place {
    match thread {
        Some(root) => Place::Thread { root, reply_to: Some(to.to_owned()) },
        None => Place::Reply { to: to.to_owned() },
    }
}

/// One line for one incident, a list for several, and what `all` left as it is.
fn acted(results: &[Acted], rest: &Rest, context: &Context<'_>) -> Message {
    if let ([only], true) = (results, rest.is_empty()) {
        return Message::notice(Document::line(&result_line(only, context)));
    }
    fit_lines(results.len().min(100), |kept| {
        let mut text = Document::default();
        let items: Vec<_> =
            results.iter().take(kept).map(|acted| vec![result_line(acted, context)]).collect();
        text.list(&items);
        and_more(&mut text, results.len().saturating_sub(kept) as u64);
        if rest.repeat > 0 {
            let others = count(rest.repeat, "more incident");
            text.paragraph(&[Rich::from(format!(
                "{others} of this room: too many for one command. Send it again to continue."
            ))]);
        }
        stay_snoozed(&mut text, rest.snoozed);
        if rest.skipped > 0 {
            let (numbers, were) = match rest.skipped {
                1 => ("1 number".to_owned(), "was"),
                numbers => (format!("{numbers} numbers"), "were"),
            };
            text.paragraph(&[Rich::from(format!("{numbers} of the range {were} not posted in this room."))]);
        }
        if !rest.elsewhere.is_empty() || rest.more > 0 {
            text.paragraph(&["Not changed, because this room cannot act on it:".into()]);
            left(&mut text, &rest.elsewhere, rest.more, context);
        }
        Message::notice(text)
    })
}

/// The answer to a reaction to a digest. `refused`: some of those that stay as they are, and how many others.
fn acknowledged(numbers: &[i64], refused: &[Acted], more: u64, context: &Context<'_>) -> Message {
    let mut text = Document::default();
    let incidents = count(numbers.len() as u64, "incident");
    let lead = Rich::from("👀 ").strong(&format!("{incidents} acknowledged")).text(". ");
    text.paragraph(&[lead.then(&digest::numbers(numbers.iter().copied()))]);
    if !refused.is_empty() || more > 0 {
        text.paragraph(&["Not changed:".into()]);
        left(&mut text, refused, more, context);
    }
    Message::notice(text)
}

/// The most incidents of other rooms that an answer names.
const NAMED: usize = 5;

/// The answer if `all` selected no incident that this room may act on. `elsewhere`: some of those it selected, and how
/// many others. `snoozed`: how many `ack all` leaves snoozed.
fn nothing(
    room_list: &str,
    (elsewhere, more): (&[Acted], u64),
    snoozed: u64,
    context: &Context<'_>,
) -> Message {
    let room_list = list_name(room_list);
    let mut text = Document::default();
    if elsewhere.is_empty() && more == 0 {
        let line = Rich::from(format!("{room_list} has no open incidents this applies to."));
        if snoozed == 0 {
            return Message::notice(Document::line(&line));
        }
        text.paragraph(&[line]);
        stay_snoozed(&mut text, snoozed);
        return Message::notice(text);
    }
    text.paragraph(&[Rich::from(format!("{room_list} has no open incidents that this room can act on."))]);
    stay_snoozed(&mut text, snoozed);
    left(&mut text, elsewhere, more, context);
    Message::notice(text)
}

fn stay_snoozed(text: &mut Document, snoozed: u64) {
    let line = match snoozed {
        0 => return,
        1 => "1 snoozed incident of this room stays snoozed: name it to acknowledge it.".to_owned(),
        more => format!("{more} snoozed incidents of this room stay snoozed: name them to acknowledge them."),
    };
    text.paragraph(&[Rich::from(line)]);
}

/// The answer in a room that these lists have left.
fn left_room(lists: &[Departed]) -> Message {
    let mut text = Document::default();
    for Departed { room_list, posts_in } in lists {
        let name = list_name(room_list);
        text.paragraph(&[match posts_in {
            Some(room) => Rich::from(format!("Alerts of {name} are posted in "))
                .code(&short(room, 200))
                .text(" now, no longer in this room."),
            None => Rich::from(format!("Alerts of {name} are no longer posted in this room.")),
        }]);
    }
    text.paragraph(&[Rich::from(
        "Here you can only act on what was posted here: by its number, or in a reply to it.",
    )]);
    Message::notice(text)
}

/// Some incidents with the reason why they are as before, and how many more there are.
fn left(text: &mut Document, elsewhere: &[Acted], more: u64, context: &Context<'_>) {
    let items: Vec<_> = elsewhere.iter().take(NAMED).map(|acted| vec![result_line(acted, context)]).collect();
    text.list(&items);
    and_more(text, (elsewhere.len().saturating_sub(NAMED) as u64).saturating_add(more));
}

fn and_more(text: &mut Document, more: u64) {
    if more > 0 {
        text.paragraph(&[Rich::new().em(&format!("… and {more} more"))]);
    }
}

fn result_line(acted: &Acted, context: &Context<'_>) -> Rich {
    let (mark, words) = words(&acted.result, context);
    let name = acted.name.as_deref().map(|name| format!(" {}", short(name, 60))).unwrap_or_default();
    let title = Rich::new().strong(&format!("#{}{name}", acted.number)).text(": ");
    let mark = if mark.is_empty() { Rich::new() } else { Rich::from(format!("{mark} ")) };
    mark.then(&title).then(&words)
}

fn words(result: &ActResult, context: &Context<'_>) -> (&'static str, Rich) {
    let at = |instant_: jiff::Timestamp| instant(instant_, context);
    match result {
        ActResult::Acknowledged { until: None } => {
            ("👀", "acknowledged. Escalation stops until it is resolved or a new alert fires.".into())
        }
        ActResult::Acknowledged { until: Some(until) } => {
            ("👀", format!("acknowledged until {}. Escalation stops until then.", at(*until)).into())
        }
        ActResult::Joined { others } => (
            "👀",
            Rich::from("acknowledged. ")
                .users(others.iter().take(10).map(AsRef::as_ref))
                .text(" acknowledged before you."),
        ),
        ActResult::AlreadyYours => ("👀", "you have already acknowledged it.".into()),
        ActResult::GivenBack { pages_in } => {
            ("↩️", format!("acknowledgement withdrawn. It pages again in {}.", lasting(*pages_in)).into())
        }
        ActResult::NotAcknowledged => {
            ("", "nobody has acknowledged it, so there is nothing to withdraw.".into())
        }
        ActResult::Snoozed { until, shortened: false } => {
            ("💤", format!("snoozed until {}. Then it pages again.", at(*until)).into())
        }
        ActResult::Snoozed { until, shortened: true } => {
            ("💤", format!("snoozed until {}, the maximum. Then it pages again.", at(*until)).into())
        }
        ActResult::SnoozeEnded => ("🔁", "snooze ended. It pages again.".into()),
        ActResult::NotSnoozed => ("", "it is not snoozed.".into()),
        ActResult::Escalated { level, levels } => {
            ("⏫", format!("escalated. Now paging level {} of {levels}.", from_one(*level)).into())
        }
        ActResult::LadderEnded if context.policy.fallback_rooms.is_empty() => {
            ("🚨", "there is no next level and no fallback room.".into())
        }
        ActResult::LadderEnded => ("🚨", "there is no next level. The fallback rooms are notified.".into()),
        ActResult::StalePage => ("", "that page is no longer current; nothing was escalated.".into()),
        ActResult::Resolved { still_firing: 0, .. } => ("🟢", "resolved.".into()),
        ActResult::Resolved { still_firing, for_good: false } => (
            "🟢",
            format!(
                "resolved by hand. {} still firing. It pages again if an alert is new or gets worse.",
                alerts_are(*still_firing)
            )
            .into(),
        ),
        ActResult::Resolved { still_firing, for_good: true } => (
            "🟢",
            format!(
                "resolved by hand. {} still firing, but its room list is not configured any more: it pages nobody again.",
                alerts_are(*still_firing)
            )
            .into(),
        ),
        ActResult::TooLate { resolved_at: Some(since) } => {
            ("", format!("too late: it was resolved at {}.", at(*since)).into())
        }
        ActResult::TooLate { resolved_at: None } => ("", "too late: it is already resolved.".into()),
        ActResult::CoversNothing => {
            ("", "too late: what is firing now started later.".into())
        }
        ActResult::UnderMaintenance => ("🔧", "maintenance is active. Nobody is paged.".into()),
        ActResult::Nothing { phase } => ("", format!("nothing to do: it is {}.", standing(*phase)).into()),
        ActResult::Refused { why } => ("", hidden(*why).into()),
        ActResult::NoRight { needs } => ("⛔", no_right(needs)),
    }
}

fn alerts_are(number: u64) -> String {
    if number == 1 { "1 alert is".to_owned() } else { format!("{number} alerts are") }
}

fn no_right(needs: &Need) -> Rich {
    match needs {
        Need::Membership => "only members of this room may do this.".into(),
        Need::PowerLevel { to, level } => Rich::from(format!(
            "to {}, you need power level {level} in this room or the operator's permission.",
            short(to, 100)
        )),
        Need::Forbidden => "the operator does not allow you to do this.".into(),
    }
}

fn standing(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Firing => "firing",
        PhaseName::Acknowledged => "acknowledged",
        PhaseName::Snoozed => "snoozed",
        PhaseName::Unanswered => "unanswered",
        PhaseName::Suppressed => "under maintenance",
        PhaseName::Resolved => "resolved",
        PhaseName::Closed => "closed",
    }
}

/// Why this room cannot act on an incident, as the end of a sentence.
fn hidden(why: Hidden) -> &'static str {
    match why {
        Hidden::Unknown => "there is no such incident.",
        Hidden::NotPostedHere => "it has not been posted in this room yet, so you cannot act on it here.",
        Hidden::Unreadable => "matrixbot cannot read what it has stored about it. See its log.",
        Hidden::HigherLevel => "it was escalated. Only the rooms of its level and above can act on it.",
    }
}

fn line(text: &Rich) -> Message {
    Message::notice(Document::line(text))
}
