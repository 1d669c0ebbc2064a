//! `help`: what can be said, and what the reader may do.

use crate::domain::policy::Role;
use crate::matrix::render::Context;
use crate::matrix::render::message::Message;
use crate::matrix::render::rich::{Document, Rich};

/// The commands, each with what it does and the least role that may say it.
const COMMANDS: [(&str, &str, Role); 7] = [
    ("ack 42 [comment]", "take the incident; escalation stops", Role::Respond),
    ("unack 42", "give it back; it pages again", Role::Respond),
    ("pending", "what is open", Role::None),
    ("escalated", "what has gone beyond the first level", Role::None),
    ("show 42", "everything about one incident", Role::None),
    ("timeline 42", "what happened to it, and who did what", Role::None),
    ("help", "this", Role::None),
];

/// The commands of this release.
pub(super) fn help(room_list: &str, role: Role, context: &Context<'_>) -> Message {
    let mut text = Document::default();
    text.paragraph(&[Rich::new().strong("What you can say here").text(&format!(" · {room_list}"))]);
    let items: Vec<_> = COMMANDS
        .iter()
        .map(|(command, does, least)| {
            let line = Rich::new().code(command).text(&format!(": {does}"));
            vec![if role < *least { line.em(" (not yours to do)") } else { line }]
        })
        .collect();
    text.list(&items);
    text.paragraph(&[
        Rich::from(
            format!(
                "React {} to a page to acknowledge, and remove the reaction to give it back.",
                context.ack_reaction
            )
            .as_str(),
        ),
        Rich::from("In a reply to a page or in its thread the number can be left out. ")
            .command("ack 42 43")
            .text(" and ")
            .command("ack all")
            .text(" take several."),
        Rich::from(rights(role)),
    ]);
    Message::notice(text)
}

fn rights(role: Role) -> &'static str {
    match role {
        Role::None => "You may look, but not acknowledge.",
        Role::Respond => "You may acknowledge and give back.",
        Role::Moderate => "You may do everything.",
    }
}
