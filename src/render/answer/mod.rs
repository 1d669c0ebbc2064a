//! Answers to commands: notices that say what changed, by number and name, or exactly why nothing did.

mod acted;
mod help;
mod lines;
mod listing;
mod show;

pub use listing::timeline;
pub use show::show;

use super::Context;
use super::message::{Message, Relation};
use super::rich::{Document, Rich};
use super::text::short;
use crate::domain::answer::{Answer, Hidden};
use ruma::{EventId, OwnedEventId};

/// The answer to a command. Where it is sent is the caller's: see [`reply`].
pub fn answer(answer: &Answer, context: &Context<'_>) -> Message {
    match answer {
        Answer::Acted { results } => acted::acted(results, context),
        Answer::NothingOpen { room_list, elsewhere } => acted::nothing(room_list, elsewhere, context),
        Answer::Pending { room_list, incidents, more } => {
            listing::incidents("pending", room_list, incidents, *more, context)
        }
        Answer::Escalated { room_list, incidents, more } => {
            listing::incidents("escalated", room_list, incidents, *more, context)
        }
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
        Answer::Mistake { said, hint } => {
            let sentence = |text: &str| Rich::new().marked(&short(text, 500));
            line(&Rich::join(&[sentence(said), sentence(hint)], " "))
        }
        Answer::NotAvailable { command } => line(
            &Rich::new()
                .command(&short(command, 100))
                .text(" is not available in this release. Say ")
                .command("help")
                .text(" for what is."),
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

/// Says in a room that it takes the place of another one of the room list.
pub fn room_moved(room_list: &str, from: &str) -> Message {
    let words = Rich::from(format!("{room_list} is paged here from now on: this room replaces ").as_str());
    line(&words.code(&short(from, 100)).text("."))
}

/// Says in another room of the room list that this one cannot be reached.
pub fn room_unreachable(room_list: &str, room: &str, why: &str) -> Message {
    let words = Rich::from(format!("⚠️ {room_list} cannot reach ").as_str()).code(&short(room, 100));
    line(&words.text(format!(": nobody is paged there. The homeserver says: {}", short(why, 500)).as_str()))
}

/// Says in another room of the room list that this one can be reached again.
pub fn room_reachable(room_list: &str, room: &str) -> Message {
    line(&Rich::from(format!("{room_list} can reach ").as_str()).code(&short(room, 100)).text(" again."))
}

/// Why an incident is not for this room, as the end of a sentence about it.
fn hidden(why: Hidden) -> &'static str {
    match why {
        Hidden::Unknown => "there is no such incident.",
        Hidden::NotToldHere => "this room has not been told of it yet, so that it cannot be handled here.",
        Hidden::HigherLevel => {
            "it has gone to a higher level; only the rooms of that level and above can take it."
        }
    }
}

fn line(text: &Rich) -> Message {
    Message::notice(Document::line(text))
}
