//! The story of an incident, told in the thread below its page.

use super::Context;
use super::headline::title;
use super::message::{Message, Place};
use super::rich::{Document, Rich};
use super::story::Wording;
use super::time::instant;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::EventId;
use ruma::events::Mentions;

/// What the thread of `root` is told of an entry; `None` for what the room sees anyway.
pub fn notice(root: &EventId, view: &IncidentView, entry: &Entry, context: &Context<'_>) -> Option<Message> {
    let wording = Wording::of(view, context);
    let number = Rich::new().strong(&format!("#{}", view.number)).text(" ");
    is_told(&entry.kind)
        .then(|| Message::notice(Document::line(&number.then(&wording.sentence(entry)))).at(in_thread(root)))
}

/// Tells the ackers, in the thread, that their acknowledgement ends soon. Notifies them.
pub fn ack_reminder(root: &EventId, view: &IncidentView, until: Timestamp, context: &Context<'_>) -> Message {
    let ackers = &view.incident.ackers;
    let line = Rich::from("⏰ ")
        .strong(&title(view))
        .text(&format!(
            ": the acknowledgement ends at {}, and it pages again. Say ",
            instant(until, context.now)
        ))
        .command("snooze 1h")
        .text(" to put that off. ")
        .users(ackers.iter().map(AsRef::as_ref));
    Message::text(Document::line(&line), Mentions::with_user_ids(ackers.iter().cloned())).at(in_thread(root))
}

/// In the thread that begins from `root`.
fn in_thread(root: &EventId) -> Place {
    Place::Thread { root: root.to_owned(), reply_to: None }
}

/// Whether the thread is told of an entry: not of the first page, which it hangs from, nor of our own bookkeeping.
fn is_told(kind: &Kind) -> bool {
    match kind {
        Kind::RunStarted { why: RunReason::Fired, suppressed: false, .. }
        | Kind::Paged { loop_no: 0, level: 0 }
        | Kind::Told { .. }
        | Kind::Closed => false,
        Kind::RunStarted { .. }
        | Kind::AlertsChanged { .. }
        | Kind::Paged { .. }
        | Kind::Undeliverable { .. }
        | Kind::Unanswered
        | Kind::Reminded { .. }
        | Kind::Acknowledged { .. }
        | Kind::JoinedAck { .. }
        | Kind::LateAck { .. }
        | Kind::AckEndsSoon { .. }
        | Kind::Snoozed { .. }
        | Kind::EscalationAsked { .. }
        | Kind::Resolved { .. }
        | Kind::RefiredAcknowledged
        | Kind::HoldEnded
        | Kind::Suppressed => true,
    }
}
