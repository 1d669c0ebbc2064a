//! Totals over all processes, for the lifetime of the database. The transaction of a change also stores its totals. So
//! an acknowledgement on the command line counts like one in a room, and a change that was not committed does not
//! count.

use super::incident::Incident;
use super::input::Via;
use super::time::between;
use super::timeline::{Entry, Kind};
use std::time::Duration;

/// The upper bounds of the histogram buckets for incident durations, in seconds: 10 s … 1 day.
pub const BUCKETS: [u32; 13] = [10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
/// The bucket of durations above every bound.
pub const LONGER: &str = "+Inf";

/// The names of the totals in Prometheus, without prefix. The database stores these names.
pub mod names {
    /// Acknowledgements by room list and `via`.
    pub const ACKNOWLEDGEMENTS: &str = "acknowledgements_total";
    /// Acknowledgements of resolved or closed incidents.
    pub const LATE_ACKNOWLEDGEMENTS: &str = "late_acknowledgements_total";
    /// Pages by room list and level.
    pub const PAGES: &str = "pages_total";
    /// Incidents that became unanswered, by room list.
    pub const UNANSWERED: &str = "unanswered_total";
    /// Time from the opening to the first acknowledgement.
    pub const TIME_TO_ACKNOWLEDGE: &str = "incident_time_to_ack_seconds";
    /// Time from the opening to the resolution.
    pub const TIME_TO_RESOLVE: &str = "incident_time_to_resolve_seconds";
}

/// A total over all processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// The metric: one of `names`, or one of a newer release.
    pub metric: String,
    /// Its label `room_list`; empty if it has none.
    pub room_list: String,
    /// Its other label, or the bucket of a histogram; empty if it has none.
    pub label: String,
    /// The number of events.
    pub count: u64,
    /// The sum of a histogram's observations, in seconds.
    pub seconds: f64,
}

/// One event that increases a total.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// A person acknowledged an incident, alone or after other people.
    Acknowledged {
        /// The incident's room list.
        room_list: String,
        /// How the person acknowledged.
        via: Via,
    },
    /// A person acknowledged a resolved or closed incident.
    AcknowledgedLate,
    /// A page was sent.
    Paged {
        /// The incident's room list.
        room_list: String,
        /// The level, counted from 0.
        level: u32,
    },
    /// An incident became unanswered.
    Unanswered {
        /// The incident's room list.
        room_list: String,
    },
    /// The first acknowledgement of an incident came this long after it opened.
    TimeToAcknowledge(Duration),
    /// An incident was resolved this long after it opened.
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

    /// A histogram's observation, in seconds; 0 for a counter.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::TimeToAcknowledge(took) | Self::TimeToResolve(took) => took.as_secs_f64(),
            Self::Acknowledged { .. }
            | Self::AcknowledgedLate
            | Self::Paged { .. }
            | Self::Unanswered { .. } => 0.0,
        }
    }

    /// What a timeline entry adds to the totals. `before`: the incident before the entry.
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
            | Kind::AlertsChanged(_)
            | Kind::Paged { .. }
            | Kind::PageSent { .. }
            | Kind::Undeliverable { .. }
            | Kind::Reminded { .. }
            | Kind::AckEndsSoon { .. }
            | Kind::Snoozed { .. }
            | Kind::EscalationAsked { .. }
            | Kind::RefiredAcknowledged
            | Kind::HoldEnded
            | Kind::HeldBack { .. }
            | Kind::Released { .. }
            | Kind::PartlySilenced { .. }
            | Kind::SilencedAgain { .. }
            | Kind::Suppressed
            | Kind::Closed => Vec::new(),
        }
    }
}

/// The label of a level, which counts from 1.
pub fn level_label(level: u32) -> String {
    level.saturating_add(1).to_string()
}

/// The bucket of a duration: the smallest bound that is not below it.
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
