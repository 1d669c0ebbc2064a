//! The notices in the thread below a page.

use super::Context;
use super::headline::title;
use super::message::{Message, Place};
use super::rich::{Document, Rich};
use super::story::Wording;
use super::text::short;
use super::time::instant;
use crate::domain::timeline::{Entry, Kind, RunReason};
use crate::domain::view::IncidentView;
use jiff::Timestamp;
use ruma::EventId;
use ruma::events::Mentions;

/// The notice of an entry in the thread of `root`; `None` for entries without a notice.
pub fn notice(root: &EventId, view: &IncidentView, entry: &Entry, context: &Context<'_>) -> Option<Message> {
    let wording = Wording::of(view, context);
    let number = Rich::new().strong(&format!("#{}", view.number)).text(" ");
    is_posted(&entry.kind)
        .then(|| Message::notice(Document::line(&number.then(&wording.sentence(entry)))).at(in_thread(root)))
}

/// The notice of an entry for another room than the page's, `room`, which does not let matrixbot write; `None` for entries
/// without a notice.
pub fn elsewhere(room: &str, view: &IncidentView, entry: &Entry, context: &Context<'_>) -> Option<Message> {
    let words = Rich::new().strong(&title(view)).text(": ").then(&Wording::of(view, context).sentence(entry));
    let words =
        words.text(" It was paged in ").code(&short(room, 200)).text(", where matrixbot may not write.");
    is_posted(&entry.kind).then(|| Message::notice(Document::line(&words)))
}

/// Reminds the ackers in the thread that their acknowledgement ends soon. Notifies them.
pub fn ack_reminder(root: &EventId, view: &IncidentView, until: Timestamp, context: &Context<'_>) -> Message {
    let ackers = &view.incident.ackers;
    let line = Rich::from("⏰ ")
        .strong(&title(view))
        .text(&format!(
            ": the acknowledgement ends at {}. Then it pages again. To extend it, type ",
            instant(until, context)
        ))
        .command("snooze 1h")
        .text(". ")
        .users(ackers.iter().map(AsRef::as_ref));
    Message::text(Document::line(&line), Mentions::with_user_ids(ackers.iter().cloned())).at(in_thread(root))
}

/// The place in the thread that starts from `root`.
fn in_thread(root: &EventId) -> Place {
    Place::Thread { root: root.to_owned(), reply_to: None }
}

/// Whether an entry gets a notice in the thread. The first page, from which the thread starts, and internal entries do
/// not.
fn is_posted(kind: &Kind) -> bool {
    match kind {
        Kind::RunStarted { why: RunReason::Fired, suppressed: false, .. }
        | Kind::Paged { loop_no: 0, level: 0 }
        | Kind::PageSent { .. }
        | Kind::Closed => false,
        Kind::RunStarted { .. }
        | Kind::AlertsChanged(_)
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
        | Kind::HeldBack { .. }
        | Kind::Released { .. }
        | Kind::PartlySilenced { .. }
        | Kind::SilencedAgain { .. }
        | Kind::Suppressed => true,
    }
}
