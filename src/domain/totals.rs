//! What is counted over all processes and for as long as the database lives. The totals are stored with the change that
//! they follow from, so that an acknowledgement at the shell counts like one in a room, and nothing is counted that was
//! not committed.

use super::incident::Incident;
use super::input::Via;
use super::time::between;
use super::timeline::{Entry, Kind};
use std::time::Duration;

/// One thing that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// A person acknowledged an incident, or joined an acknowledgement.
    Acknowledged {
        /// The incident's room list.
        room_list: String,
        /// How it was said.
        via: Via,
    },
    /// A person acknowledged an incident that was over.
    AcknowledgedLate,
    /// A page is in its room.
    Paged {
        /// The incident's room list.
        room_list: String,
        /// The level, the first being 0.
        level: u32,
    },
    /// A ladder ran out.
    Unanswered {
        /// The incident's room list.
        room_list: String,
    },
    /// Nobody had acknowledged the incident before; so long after it opened.
    TimeToAcknowledge(Duration),
    /// An incident resolved, so long after it opened.
    TimeToResolve(Duration),
}

impl Counted {
    /// What counts of a timeline's entry. `before`: the incident before it.
    pub fn of(entry: &Entry, room_list: &str, before: &Incident) -> Vec<Self> {
        let acknowledged = |via: Via| Self::Acknowledged { room_list: room_list.to_owned(), via };
        match &entry.kind {
            Kind::Acknowledged { via, .. } if before.ackers.is_empty() => {
                vec![acknowledged(*via), Self::TimeToAcknowledge(between(before.opened_at, entry.at))]
            }
            Kind::Acknowledged { via, .. } | Kind::JoinedAck { via, .. } => vec![acknowledged(*via)],
            Kind::LateAck { .. } => vec![Self::AcknowledgedLate],
            Kind::Unanswered => vec![Self::Unanswered { room_list: room_list.to_owned() }],
            Kind::Resolved { lasted, .. } => vec![Self::TimeToResolve(*lasted)],
            Kind::RunStarted { .. }
            | Kind::AlertsChanged { .. }
            | Kind::Paged { .. }
            | Kind::Told { .. }
            | Kind::Undeliverable { .. }
            | Kind::Reminded { .. }
            | Kind::AckEndsSoon { .. }
            | Kind::Snoozed { .. }
            | Kind::EscalationAsked { .. }
            | Kind::RefiredAcknowledged
            | Kind::HoldEnded
            | Kind::Suppressed
            | Kind::Closed => Vec::new(),
        }
    }
}
