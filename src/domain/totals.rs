//! What is counted over all processes and for as long as the database lives. The totals are stored with the change that
//! they follow from, so that an acknowledgement at the shell counts like one in a room, and nothing is counted that was
//! not committed.

use super::incident::Incident;
use super::input::Via;
use super::time::between;
use super::timeline::{Entry, Kind};
use std::time::Duration;

/// The upper bounds of the buckets of incidents' durations, in seconds: 10 s … 1 day.
pub const BUCKETS: [u32; 13] = [10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
/// The bucket of what is longer than every bound.
pub const LONGER: &str = "+Inf";

/// The totals, as Prometheus has them, without prefix. The database stores these names.
pub mod names {
    /// Acknowledgements by room list and `via`.
    pub const ACKNOWLEDGEMENTS: &str = "acknowledgements_total";
    /// Acknowledgements of what was over.
    pub const LATE_ACKNOWLEDGEMENTS: &str = "late_acknowledgements_total";
    /// Pages by room list and level.
    pub const PAGES: &str = "pages_total";
    /// Ladders that ran out, by room list.
    pub const UNANSWERED: &str = "unanswered_total";
    /// From opening to the first acknowledgement.
    pub const TIME_TO_ACKNOWLEDGE: &str = "incident_time_to_ack_seconds";
    /// From opening to resolution.
    pub const TIME_TO_RESOLVE: &str = "incident_time_to_resolve_seconds";
}

/// How often something has happened, over all processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// The metric: one of `names`, or one of a newer release.
    pub metric: String,
    /// Its label `room_list`; empty if it has none.
    pub room_list: String,
    /// Its other label, or the bucket of a histogram; empty if it has none.
    pub label: String,
    /// How often.
    pub count: u64,
    /// The sum of what a histogram observed, in seconds.
    pub seconds: f64,
}

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
    /// The metric.
    pub fn metric(&self) -> &'static str {
        match self {
            Self::Acknowledged { .. } => names::ACKNOWLEDGEMENTS,
            Self::AcknowledgedLate => names::LATE_ACKNOWLEDGEMENTS,
            Self::Paged { .. } => names::PAGES,
            Self::Unanswered { .. } => names::UNANSWERED,
            Self::TimeToAcknowledge(_) => names::TIME_TO_ACKNOWLEDGE,
            Self::TimeToResolve(_) => names::TIME_TO_RESOLVE,
        }
    }

    /// The metric's label `room_list`; empty if it has none.
    pub fn room_list(&self) -> &str {
        match self {
            Self::Acknowledged { room_list, .. }
            | Self::Paged { room_list, .. }
            | Self::Unanswered { room_list } => room_list,
            Self::AcknowledgedLate | Self::TimeToAcknowledge(_) | Self::TimeToResolve(_) => "",
        }
    }

    /// The metric's other label, or the bucket of a histogram; empty if it has none.
    pub fn label(&self) -> String {
        match self {
            Self::Acknowledged { via, .. } => via.as_str().to_owned(),
            Self::Paged { level, .. } => level_label(*level),
            Self::TimeToAcknowledge(took) | Self::TimeToResolve(took) => bucket(*took),
            Self::AcknowledgedLate | Self::Unanswered { .. } => String::new(),
        }
    }

    /// What a histogram observed, in seconds; 0 for a counter.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::TimeToAcknowledge(took) | Self::TimeToResolve(took) => took.as_secs_f64(),
            Self::Acknowledged { .. }
            | Self::AcknowledgedLate
            | Self::Paged { .. }
            | Self::Unanswered { .. } => 0.0,
        }
    }

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

/// The label of a level: people count from 1.
pub fn level_label(level: u32) -> String {
    level.saturating_add(1).to_string()
}

/// The bucket of a duration: the smallest bound that it does not exceed.
fn bucket(took: Duration) -> String {
    let bound = BUCKETS.iter().find(|bound| took <= Duration::from_secs(u64::from(**bound)));
    bound.map_or_else(|| LONGER.to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::{Counted, bucket};
    use std::time::Duration;

    #[test]
    fn a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let in_bucket = |millis| bucket(Duration::from_millis(millis));
        assert_eq!(in_bucket(0), "10");
        assert_eq!(in_bucket(10_000), "10");
        assert_eq!(in_bucket(10_001), "30");
        assert_eq!(in_bucket(86_400_001), "+Inf");
        assert_eq!(Counted::TimeToResolve(Duration::from_secs(61)).label(), "120");
    }
}
