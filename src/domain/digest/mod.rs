//! Digests: one message for a storm of pages in one room. Whether one carries a page is decided when it is sent;
//! each incident keeps its ladder, its timeline and its number.

use super::incident::{PhaseName, Rung};
use super::outgoing::{Outgoing, OutgoingKind};
use super::policy::{DigestRule, Mention, Severity};
use super::time::{earlier, later};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strum::{EnumString, IntoStaticStr};

/// The most incidents of one digest: they are locked together when it is sent.
pub const MOST_MEMBERS: usize = 500;
/// A digest is edited at most once within this time.
pub const EDIT_PAUSE: Duration = Duration::from_secs(3);

/// Which pages a digest carries. A room may have one digest of each class at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// First pages of incidents.
    First,
    /// Pages of later levels and repetitions.
    Escalation,
    /// Notices for a fallback room that nobody acknowledged.
    Fallback,
}

impl Class {
    /// The class of a message; `None`: no digest carries it.
    pub fn of(payload: &Outgoing, rung: Option<Rung>) -> Option<Self> {
        let queue = (payload.kind(), payload.priority(rung));
        [Self::First, Self::Escalation, Self::Fallback].into_iter().find(|class| class.queue() == queue)
    }

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The kind and the priority of its pages in the outbox.
    pub fn queue(self) -> (OutgoingKind, i16) {
        match self {
            Self::First => (OutgoingKind::Page, 0),
            Self::Escalation => (OutgoingKind::Page, 1),
            Self::Fallback => (OutgoingKind::Fallback, Outgoing::Fallback.priority(None)),
        }
    }

    /// The phases in which its pages are still sent.
    pub fn phases(self) -> &'static [PhaseName] {
        match self {
            Self::First | Self::Escalation => &[PhaseName::Firing, PhaseName::Unanswered],
            Self::Fallback => &[PhaseName::Unanswered],
        }
    }
}

/// An incident in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Where it is: values of its labels.
    pub place: String,
    /// Its phase.
    pub phase: PhaseName,
    /// The highest severity of its firing alerts, or of all if none is firing.
    pub severity: Option<Severity>,
    /// Who has acknowledged or snoozed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ackers: Vec<String>,
    /// Whether a later level than that of its page in the digest has been paged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalated: bool,
    /// Whom its page mentions.
    #[serde(skip)]
    pub mentions: Vec<Mention>,
}

impl Member {
    /// Whether it still wants somebody to acknowledge it.
    pub fn calls(&self) -> bool {
        matches!(self.phase, PhaseName::Firing | PhaseName::Unanswered)
    }

    fn rank(&self) -> i32 {
        self.severity.as_ref().map_or(0, |severity| severity.rank)
    }
}

/// A digest that more pages may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was last sent or edited.
    pub edited_at: Timestamp,
    /// The incidents that it shows.
    pub members: Vec<Member>,
}

/// How a page that is due is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// By itself.
    Alone,
    /// In a new digest, with all others that are due.
    New,
    /// In an edit of the room's digest, with all others that are due.
    Join,
    /// As `Join`, but not before this time.
    JoinAt(Timestamp),
}

/// Whether there is a storm: `due` pages wait in the room, and `lately` others were posted there within the rule's time.
pub fn is_storm(rule: DigestRule, due: usize, lately: usize) -> bool {
    due.saturating_add(lately) > usize::try_from(rule.above).unwrap_or(usize::MAX)
}

/// How the pages that are due in a storm, `coming`, are sent. `open`: the room's newest digest of their class.
///
/// An edit wakes nobody. So they join a digest only while those whom it woke are surely at it: it is young, somebody must
/// still answer it, it mentioned everybody whom they mention, and none of them is more severe.
pub fn plan(rule: DigestRule, open: Option<&Open>, coming: &[Member], now: Timestamp) -> Plan {
    let Some(open) = open else { return Plan::New };
    let is_young = open.sent_at > earlier(now, rule.within);
    let has_room = open.members.len().saturating_add(coming.len()) <= MOST_MEMBERS;
    if !is_young || !has_room || !covers(&open.members, coming) {
        return Plan::New;
    }
    match later(open.edited_at, EDIT_PAUSE) {
        at if at > now => Plan::JoinAt(at),
        _ => Plan::Join,
    }
}

fn covers(members: &[Member], coming: &[Member]) -> bool {
    let worst = members.iter().filter(|member| member.calls()).map(Member::rank).max();
    let mentioned = |mention| members.iter().any(|member| member.mentions.contains(mention));
    worst.is_some_and(|worst| coming.iter().all(|member| member.rank() <= worst))
        && coming.iter().flat_map(|member| &member.mentions).all(mentioned)
}

/// Whom a digest mentions: everybody whom a page of an incident that still calls would, each once.
pub fn mentions(members: &[Member]) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = Vec::new();
    for mention in members.iter().filter(|member| member.calls()).flat_map(|member| &member.mentions) {
        if !mentions.contains(mention) {
            mentions.push(mention.clone());
        }
    }
    mentions
}

/// Numbers as ranges, in ascending order.
pub fn ranges(numbers: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
    let mut numbers: Vec<i64> = numbers.into_iter().collect();
    numbers.sort_unstable();
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number <= last.saturating_add(1) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
