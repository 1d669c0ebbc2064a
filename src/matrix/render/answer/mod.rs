//! Answers to commands: notices that say what changed, by number and name, or exactly why nothing did.

pub(super) mod lines;

mod acted;
mod help;
mod listing;
mod show;

pub use listing::timeline;
pub use show::show;

use super::Context;
use super::message::{Message, Relation};
use super::rich::{Document, Rich};
use super::text::{clip, one_line};
use crate::domain::answer::{Answer, Hidden};
use ruma::{EventId, OwnedEventId};

/// The answer to a command. Where it is sent is the caller's: see [`reply`].
pub fn answer(answer: &Answer, context: &Context<'_>) -> Message {
    match answer {
        Answer::Acted { results } => acted::acted(results, context),
        Answer::NothingOpen { room_list } => {
            line(&Rich::from(format!("Nothing of {room_list} is open that this could concern.").as_str()))
        }
        Answer::Pending { room_list, incidents, more } => {
            listing::pending(room_list, incidents, *more, context)
        }
        Answer::Escalated { room_list, incidents, more } => {
            listing::escalated(room_list, incidents, *more, context)
        }
        Answer::Timeline { number, name, levels, entries, earlier } => {
            timeline(*number, name, *levels, entries, *earlier, context)
        }
        Answer::Help { room_list, role } => help::help(room_list, *role, context),
        Answer::NotShown { number, why } => {
            line(&Rich::new().strong(&format!("#{number}")).text(": ").text(hidden(*why)))
        }
        Answer::Mistake { problem, hint } => mistake(problem, hint.as_deref()),
        Answer::NotAvailable { command } => line(
            &Rich::from("This release does not know ")
                .command(&short(command))
                .text(" yet. Say ")
                .command("help")
                .text(" for what it knows."),
        ),
    }
}

/// An answer's place: a reply to the command `to`, in the thread `thread` if the command was said in one.
pub fn reply(to: &EventId, thread: Option<OwnedEventId>) -> Relation {
    match thread {
        Some(root) => Relation::Thread { root, reply_to: Some(to.to_owned()) },
        None => Relation::Reply { to: to.to_owned() },
    }
}

fn mistake(problem: &str, hint: Option<&str>) -> Message {
    let mut text = Rich::from(clip(&one_line(problem), 500).as_str());
    if let Some(hint) = hint {
        text = text.text(" Try ").command(&short(hint)).text(".");
    }
    line(&text)
}

/// Why an incident is not for this room, as the end of a sentence about it.
fn hidden(why: Hidden) -> &'static str {
    match why {
        Hidden::Unknown => "there is no such incident.",
        Hidden::NotToldHere => "this room was not told of it, so that it cannot be handled here.",
        Hidden::HigherLevel => {
            "it has gone to a higher level; only the rooms of that level and above can take it."
        }
    }
}

fn line(text: &Rich) -> Message {
    Message::notice(Document::line(text))
}

fn short(text: &str) -> String {
    clip(&one_line(text), 100)
}
