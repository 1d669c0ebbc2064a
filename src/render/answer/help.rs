//! `help`: the commands, and which of them the reader may use.

use crate::domain::command::Verb;
use crate::domain::policy::Role;
use crate::domain::rights::{Allowed, allowed};
use crate::render::Context;
use crate::render::headline::list_name;
use crate::render::message::Message;
use crate::render::rich::{Document, Rich};
use crate::render::time::lasting;

/// The commands of this release and their effects. `lists`: the room lists of the room, each with the reader's role.
pub(super) fn help(lists: &[(&str, Role)], context: &Context<'_>) -> Message {
    let best = lists.iter().map(|(_, role)| *role).max().unwrap_or(Role::None);
    let names: Vec<_> = lists.iter().map(|(name, _)| list_name(name)).collect();
    let mut text = Document::default();
    text.paragraph(&[Rich::new().strong("Commands in this room").text(&format!(" · {}", names.join(", ")))]);
    let verbs = Verb::ALL.iter().copied().filter(|verb| verb.is_available());
    let items: Vec<_> = verbs.map(|verb| vec![verb_line(verb, best)]).collect();
    text.list(&items);
    let mut notes = vec![
        Rich::from(format!(
            "React to a page with {} to acknowledge. Remove the reaction to withdraw.",
            context.ack_reaction
        )),
        Rich::new().marked(
            "In a reply to a page or in its thread, you can omit the number. For several incidents: `ack 42 43`, `ack 40-95` or `ack all`.",
        ),
    ];
    if lists.len() > 1 {
        notes.push(Rich::from(
            "Only the list that a command is about answers it. To address one list, mention its user.",
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
    let row = verb.row();
    let line = Rich::new().code(row.usage).text(&format!(": {}", row.purpose));
    match allowed(verb, role) {
        Allowed::No => line.em(" (not allowed for you)"),
        Allowed::UpTo(longest) => line.em(&format!(" (up to {})", lasting(longest))),
        Allowed::Yes => line,
    }
}

/// What a role may do, in a sentence.
fn rights(role: Role) -> String {
    let acts = Verb::ALL.iter().copied().filter(|verb| verb.is_available() && verb.is_act());
    let (mut may, mut everything) = (Vec::new(), true);
    for verb in acts {
        let allowed = allowed(verb, role);
        everything &= allowed == Allowed::Yes;
        match allowed {
            Allowed::No => {}
            Allowed::UpTo(longest) => may.push(format!("{} for up to {}", verb.word(), lasting(longest))),
            Allowed::Yes => may.push(verb.word().to_owned()),
        }
    }
    match may.split_last() {
        None => "You may only view incidents.".to_owned(),
        Some(_) if everything => "You may use all commands.".to_owned(),
        Some((last, [])) => format!("You may {last}."),
        Some((last, others)) => format!("You may {} and {last}.", others.join(", ")),
    }
}
