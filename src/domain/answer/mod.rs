//! The answers to commands. The transaction that handles a command stores its answer; the outbox renders it when it
//! sends it.

mod line;

pub use line::IncidentLine;

use super::digest::Member;
use super::incident::PhaseName;
use super::lists::Departed;
use super::on_call::words::OnCallAnswer;
use super::policy::Role;
use super::silencing::SilencingAnswer;
use super::timeline::Entry;
use jiff::Timestamp;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The result for each incident that a person acted on.
    Acted {
        /// One result per incident, in the order they were named.
        results: Vec<Acted>,
        /// What `all` left as it is.
        #[serde(default, skip_serializing_if = "Rest::is_empty")]
        rest: Rest,
    },
    /// `all` matched no incident that this room may act on.
    NothingOpen {
        /// The room list.
        room_list: String,
        /// The open incidents that this room may not act on.
        #[serde(default)]
        elsewhere: Vec<Acted>,
        /// How many more of those there are.
        #[serde(default, skip_serializing_if = "is_zero")]
        more: u64,
        /// How many snoozed ones this room may act on, which `ack all` leaves snoozed.
        #[serde(default, skip_serializing_if = "is_zero")]
        snoozed: u64,
    },
    /// The open incidents that nobody has acknowledged.
    Pending {
        /// The room list.
        room_list: String,
        /// The incidents, most urgent first.
        incidents: Vec<IncidentLine>,
        /// How many more incidents there are.
        more: u64,
    },
    /// The incidents that were escalated.
    Escalated {
        /// The room list.
        room_list: String,
        /// The incidents, most urgent first.
        incidents: Vec<IncidentLine>,
        /// How many more incidents there are.
        more: u64,
    },
    /// A reaction to a digest acknowledged several incidents.
    DigestAcknowledged {
        /// Their numbers.
        numbers: Vec<i64>,
        /// Those that stay as they are, with the reason: a few of them.
        refused: Vec<Acted>,
        /// How many more stay as they are.
        more: u64,
    },
    /// The open incidents of the room's storm.
    Storm {
        /// The room list.
        room_list: String,
        /// The incidents, by number.
        members: Vec<Member>,
    },
    /// The timeline of one incident.
    Timeline {
        /// Its number.
        number: i64,
        /// Its name.
        name: String,
        /// How many levels its run's ladder has.
        levels: u32,
        /// The newest entries, in chronological order.
        entries: Vec<Entry>,
        /// How many older entries there are.
        earlier: u64,
    },
    /// The commands, and which of them the reader may use.
    Help {
        /// The room list.
        room_list: String,
        /// The reader's role for this list.
        role: Role,
        /// The other room lists of the room, and the reader's role for each.
        #[serde(default)]
        others: Vec<(String, Role)>,
    },
    /// The room may not see the incident.
    NotShown {
        /// The number that the person typed.
        number: i64,
        /// Why not.
        why: Hidden,
    },
    /// The room is none of the lists' rooms any more, and the command is not about what was posted there.
    LeftRoom {
        /// The lists that have left it.
        lists: Vec<Departed>,
    },
    /// The command is invalid.
    Mistake {
        /// The problem, as a sentence. It quotes the person's text between backticks.
        #[serde(rename = "said")]
        problem: String,
        /// What to type instead, as a sentence in the same form.
        hint: String,
    },
    /// The person sends too many commands: this one and the following ones are dropped.
    TooManyCommands {
        /// The person.
        user: OwnedUserId,
        /// How long the person must pause until commands are accepted again.
        pause: Duration,
    },
    /// The person lacks a permission.
    NotPermitted {
        /// What the person lacks.
        needs: Need,
    },
    /// What became of a command about silences.
    Silencing {
        /// The answer.
        of: SilencingAnswer,
    },
    /// Who is on call, or what became of a command about it.
    OnCall {
        /// The answer.
        of: OnCallAnswer,
    },
    /// The command exists, but not in this release.
    NotAvailable {
        /// The command's name.
        command: String,
    },
}

/// The open incidents that `all` left as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rest {
    /// Some of those that this room may not act on, with the reason.
    pub elsewhere: Vec<Acted>,
    /// How many more of those there are.
    pub more: u64,
    /// How many this room may act on, beyond what one command changes.
    pub repeat: u64,
    /// How many snoozed ones this room may act on, which `ack all` leaves snoozed.
    #[serde(skip_serializing_if = "is_zero")]
    pub snoozed: u64,
    /// How many numbers of a range were not posted in this room.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
}

impl Rest {
    /// Whether nothing was left.
    pub fn is_empty(&self) -> bool {
        self.elsewhere.is_empty() && [self.more, self.repeat, self.snoozed, self.skipped] == [0; 4]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ActResult {
    /// Whether the incident is now in the state that the person asked for.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Acknowledged { .. }
            | Self::Joined { .. }
            | Self::AlreadyYours
            | Self::GivenBack { .. }
            | Self::Snoozed { .. }
            | Self::SnoozeEnded
            | Self::Escalated { .. }
            | Self::LadderEnded
            | Self::Resolved { .. } => true,
            Self::NotAcknowledged
            | Self::NotSnoozed
            | Self::StalePage
            | Self::TooLate { .. }
            | Self::CoversNothing
            | Self::UnderMaintenance
            | Self::Nothing { .. }
            | Self::Refused { .. }
            | Self::NoRight { .. } => false,
        }
    }

    /// Whether the act changed the incident.
    pub fn changed(&self) -> bool {
        self.is_done() && *self != Self::AlreadyYours
    }

    /// The result as log lines word it.
    pub fn in_log(&self) -> &'static str {
        match self {
            Self::Acknowledged { .. } => "acknowledged",
            Self::Joined { .. } => "also acknowledged",
            Self::AlreadyYours => "already acknowledged",
            Self::GivenBack { .. } => "acknowledgement withdrawn",
            Self::NotAcknowledged => "not acknowledged",
            Self::Snoozed { .. } => "snoozed",
            Self::SnoozeEnded => "snooze ended",
            Self::NotSnoozed => "not snoozed",
            Self::Escalated { .. } => "escalated",
            Self::LadderEnded => "no next level",
            Self::StalePage => "page not current",
            Self::Resolved { .. } => "resolved by hand",
            Self::TooLate { .. } => "too late",
            Self::CoversNothing => "too late for what is firing",
            Self::UnderMaintenance | Self::Nothing { .. } => "nothing to do",
            Self::Refused { why: Hidden::Unknown } => "no such incident",
            Self::Refused { why: Hidden::NotPostedHere } => "not posted here",
            Self::Refused { why: Hidden::HigherLevel } => "at a higher level",
            Self::Refused { why: Hidden::Unreadable } => "unreadable",
            Self::NoRight { .. } => "not permitted",
        }
    }
}

/// The results for several incidents, as log lines word them: `acknowledged #1 #2, too late #3`.
pub fn in_log(results: &[Acted]) -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    for acted in results {
        let (words, number) = (acted.result.in_log(), format!(" #{}", acted.number));
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, numbers)) => numbers.push_str(&number),
            None => groups.push((words, number)),
        }
    }
    groups.iter().map(|(words, numbers)| format!("{words}{numbers}")).collect::<Vec<_>>().join(", ")
}

/// The result for one incident that a person acted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// Its number, as the person typed it.
    pub number: i64,
    /// Its name; `None` if the person must not learn it, or there is no such incident.
    pub name: Option<String>,
    /// The result.
    #[serde(flatten)]
    pub result: ActResult,
}

/// The result of an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ActResult {
    /// The person acknowledged it.
    Acknowledged {
        /// Until when; `None`: until it resolves.
        until: Option<Timestamp>,
    },
    /// The person acknowledged it after other people.
    Joined {
        /// The other people, in the order in which they acknowledged.
        others: Vec<OwnedUserId>,
    },
    /// The person had already acknowledged it.
    AlreadyYours,
    /// The person withdrew the acknowledgement.
    GivenBack {
        /// The time until it pages again.
        pages_in: Duration,
    },
    /// Nobody had acknowledged it, so there is nothing to withdraw.
    NotAcknowledged,
    /// It is snoozed.
    Snoozed {
        /// Until when.
        until: Timestamp,
        /// Whether the snooze is shorter than the person asked for.
        shortened: bool,
    },
    /// The snooze has ended.
    SnoozeEnded,
    /// It was not snoozed.
    NotSnoozed,
    /// The next level is paged.
    Escalated {
        /// That level, counted from 0.
        level: u32,
        /// How many levels there are.
        levels: u32,
    },
    /// There was no next level.
    LadderEnded,
    /// The page that the person reacted to is no longer current.
    StalePage,
    /// It is resolved by hand.
    Resolved {
        /// How many of its alerts are still firing.
        still_firing: u64,
        /// Whether its room list is not configured any more, so that it pages nobody again.
        #[serde(default, skip_serializing_if = "is_false")]
        for_good: bool,
    },
    /// It was already resolved.
    TooLate {
        /// When it was resolved.
        resolved_at: Option<Timestamp>,
    },
    /// The alerts that were firing when the person acted are resolved; others have started since.
    CoversNothing,
    /// Maintenance is active: nobody is paged.
    UnderMaintenance,
    /// Nothing had to change.
    Nothing {
        /// Its phase.
        phase: PhaseName,
    },
    /// This room may not act on it.
    Refused {
        /// Why not.
        why: Hidden,
    },
    /// The person lacks a permission.
    NoRight {
        /// What the person lacks.
        needs: Need,
    },
}

/// Why a room may not see an incident or act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hidden {
    /// There is no such incident.
    Unknown,
    /// It was not posted in this room.
    #[serde(rename = "not_told_here")]
    NotPostedHere,
    /// It has gone to a higher level, and only that level and above may act.
    HigherLevel,
    /// What is stored about it cannot be read.
    Unreadable,
}

/// What a person lacks for an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "need", rename_all = "snake_case")]
pub enum Need {
    /// To be a joined member of the room.
    Membership,
    /// A power level in the room, or the operator's permission.
    PowerLevel {
        /// The act, in words: "snooze for more than 1 h".
        to: String,
        /// The required power level.
        level: i64,
    },
    /// The operator has forbidden this person to act.
    Forbidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_has_each_outcome_once_with_its_incidents() {
        let acted = |number, result| Acted { number, name: None, result };
        let results = [
            acted(1, ActResult::AlreadyYours),
            acted(99, ActResult::Refused { why: Hidden::Unknown }),
            acted(2, ActResult::AlreadyYours),
        ];
        assert_eq!(in_log(&results), "already acknowledged #1 #2, no such incident #99");
    }
}
