//! A digest: one message for the incidents of a storm, each of which keeps its own ladder.

use super::Context;
use super::answer::lines::incident_line;
use super::headline::list_name;
use super::message::{Mentions, Message};
use super::rich::{Document, Rich};
use super::size::fit_lines;
use super::text::count;
use crate::domain::answer::IncidentLine;
use crate::domain::policy::Mention;

/// Tells a room of further incidents of `room_list` at once. Notifies `called`.
pub fn digest(
    room_list: &str,
    incidents: &[IncidentLine],
    called: &[Mention],
    context: &Context<'_>,
) -> Message {
    let number = incidents.len() as u64;
    fit_lines(incidents.len().min(50), |shown| {
        let mut text = Document::default();
        let headline = format!("STORM: {}", count_further(number));
        text.paragraph(&[
            Rich::from("🌩️ ").strong(&headline).text(&format!(" · {}", list_name(room_list))),
            Rich::from("Each is paged on its own ladder; acknowledge them one by one or together."),
        ]);
        let items: Vec<_> =
            incidents.iter().take(shown).map(|incident| vec![incident_line(incident, context.now)]).collect();
        text.list(&items);
        let hidden = number.saturating_sub(shown as u64);
        let numbers: Vec<_> = incidents.iter().take(3).map(|incident| incident.number.to_string()).collect();
        let hint = Rich::from("To acknowledge: say ")
            .command(&format!("ack {}", numbers.join(" ")))
            .text(" or ")
            .command("ack all")
            .text(".");
        let cut = if hidden > 0 { Rich::new().em(&format!("… and {hidden} more")) } else { Rich::new() };
        text.paragraph(&[cut, hint]);
        Message::text(text, Mentions::from(called))
    })
}

fn count_further(number: u64) -> String {
    count(number, "further incident")
}
