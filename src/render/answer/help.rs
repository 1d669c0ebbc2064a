//! `help`: what can be said, and what the reader may do.

use crate::domain::command::Verb;
use crate::domain::policy::Role;
use crate::render::Context;
use crate::render::headline::list_name;
use crate::render::message::Message;
use crate::render::rich::{Document, Rich};

/// The commands of this release, each with what it does. `lists`: the room's, each with what the reader may do with its
/// incidents.
pub(super) fn help(lists: &[(&str, Role)], context: &Context<'_>) -> Message {
    let best = lists.iter().map(|(_, role)| *role).max().unwrap_or(Role::None);
    let names: Vec<_> = lists.iter().map(|(name, _)| list_name(name)).collect();
    let mut text = Document::default();
    text.paragraph(&[Rich::new().strong("What you can say here").text(&format!(" · {}", names.join(", ")))]);
    let verbs = Verb::ALL.into_iter().filter(|verb| verb.is_available());
    let items: Vec<_> = verbs.map(|verb| vec![verb_line(verb, best)]).collect();
    text.list(&items);
    let mut notes = vec![
        Rich::from(format!(
            "React {} to a page to acknowledge; remove the reaction to give it back.",
            context.ack_reaction
        )),
        Rich::new().marked(
            "In a reply to a page or in its thread, leave the number out. `ack 42 43` and `ack all` take several.",
        ),
    ];
    if lists.len() > 1 {
        notes.push(Rich::from(
            "A command is answered once, by the list it concerns. Mention one of them to mean it alone.",
        ));
    }
    if lists.iter().all(|(_, role)| *role == best) {
        notes.push(Rich::from(rights(best)));
    } else {
        notes.extend(
            lists.iter().map(|(name, role)| Rich::from(format!("{}: {}", list_name(name), rights(*role)))),
        );
    }
    text.paragraph(&notes);
    Message::notice(text)
}

fn verb_line(verb: Verb, role: Role) -> Rich {
    let line = Rich::new().code(verb.usage()).text(&format!(": {}", verb.purpose()));
    if role < least_role(verb) { line.em(" (not for you)") } else { line }
}

/// The least role that may say it; a longer snooze takes more.
fn least_role(verb: Verb) -> Role {
    match verb {
        Verb::Pending
        | Verb::Escalated
        | Verb::Show
        | Verb::Timeline
        | Verb::Silences
        | Verb::OnCall
        | Verb::Stats
        | Verb::Help => Role::None,
        Verb::Acknowledge | Verb::Unacknowledge | Verb::Snooze | Verb::Unsnooze | Verb::Escalate => {
            Role::Respond
        }
        Verb::Resolve | Verb::Silence | Verb::Unsilence | Verb::Maintenance => Role::Moderate,
    }
}

fn rights(role: Role) -> &'static str {
    match role {
        Role::None => "You may look, but not act.",
        Role::Respond => "You may acknowledge, give back, escalate, and snooze for up to an hour.",
        Role::Moderate => "You may do everything.",
    }
}
