//! The table of verbs. The grammar, `help`, the command line and the permissions read a command's row only.

use crate::domain::incident::{PhaseName, Rung};
use crate::domain::rights::Right;
use std::time::Duration;

/// A verb's row of the table.
#[derive(Debug)]
pub struct Row {
    /// The words for it, shortest first.
    pub words: &'static [&'static str],
    /// An example of a command.
    pub usage: &'static str,
    /// The description that `help` prints.
    pub purpose: &'static str,
    /// The reactions to a page with the same effect.
    pub reactions: &'static [&'static str],
    /// Whether no ordinary sentence starts with it. In a thread, such a word is always meant as a command.
    pub unmistakable: bool,
    /// Its arguments and its effect.
    pub effect: VerbEffect,
    /// The phases of the incidents that it lists, or that `all` stands for.
    pub phases: &'static [PhaseName],
    /// The right that it requires.
    pub right: Right,
}

/// The arguments and the effect of a verb.
#[derive(Debug, Clone, Copy)]
pub enum VerbEffect {
    /// Changes incidents. Arguments: incidents.
    Act(Act),
    /// Changes incidents. Arguments: incidents and an optional comment.
    ActWithComment(Act),
    /// Changes incidents. Arguments: incidents, a duration and an optional comment.
    ActFor(fn(Duration) -> Act),
    /// Shows incidents. Arguments: incidents.
    Show(View),
    /// Answers a question. No arguments.
    Query(Query),
    /// Silences alerts in Alertmanager. Arguments: incidents, an optional duration, an optional comment, `!confirm`.
    Silence,
    /// Ends a silence in Alertmanager. Arguments: an id, or the beginning of one.
    Unsilence,
    /// Asks or changes who is on call.
    OnCall,
    /// This release recognizes the command by its arguments, but cannot execute it.
    NotAvailable(Arguments),
}

/// An act of a person on an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Acknowledge it.
    Acknowledge,
    /// Withdraw the acknowledgement. The redaction of the acknowledging reaction does the same.
    Unacknowledge,
    /// Snooze it for this long.
    Snooze(Duration),
    /// End its snooze.
    Unsnooze,
    /// Page its next level now. `Some`: only if this is still its current page.
    Escalate(Option<Rung>),
    /// Resolve it by hand.
    Resolve,
}

/// What to show of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Its current state, with its alerts.
    Incident,
    /// Its history.
    Timeline,
}

/// A question about the whole room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// The incidents that nobody has acknowledged.
    Pending,
    /// The incidents that were escalated beyond their first level.
    Escalated,
    /// The incidents of the room's storm.
    Storm,
    /// The silences in Alertmanager that concern the room's lists.
    Silences,
    /// The commands.
    Help,
}

/// The arguments of a command that is not available yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// None.
    Nothing,
    /// An optional duration.
    MaybeDuration,
    /// A duration, or `end`.
    DurationOrEnd,
}

macro_rules! verbs {
    ($($verb:ident => $row:expr,)*) => {
        /// The first word of a command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the rows explain them")]
        pub enum Verb {
            $($verb,)*
        }

        impl Verb {
            /// Every verb, in the order of the table and of `help`.
            pub const ALL: &[Self] = &[$(Self::$verb,)*];

            /// The verb's row of the table.
            pub fn row(self) -> &'static Row {
                match self {
                    $(Self::$verb => {
                        static ROW: Row = $row;
                        &ROW
                    })*
                }
            }
        }
    };
}

verbs! {
    Acknowledge => Row {
        words: &["ack", "acknowledge"],
        usage: "ack 42 [comment]",
        purpose: "acknowledge; escalation stops",
        reactions: &["✅", "👀"],
        unmistakable: true,
        effect: VerbEffect::ActWithComment(Act::Acknowledge),
        phases: &[PhaseName::Firing, PhaseName::Snoozed, PhaseName::Unanswered, PhaseName::Suppressed],
        right: Right::Respond,
    },
    Unacknowledge => Row {
        words: &["unack", "unacknowledge"],
        usage: "unack 42",
        purpose: "withdraw the acknowledgement; it pages again",
        reactions: &[],
        unmistakable: true,
        effect: VerbEffect::Act(Act::Unacknowledge),
        phases: &[PhaseName::Acknowledged],
        right: Right::Respond,
    },
    Snooze => Row {
        words: &["snooze"],
        usage: "snooze 42 2h [comment]",
        purpose: "stop paging for this time; then it pages again",
        reactions: &["💤"],
        unmistakable: true,
        effect: VerbEffect::ActFor(Act::Snooze),
        phases: OPEN,
        right: Right::RespondUpTo(Duration::from_hours(1)),
    },
    Unsnooze => Row {
        words: &["unsnooze"],
        usage: "unsnooze 42",
        purpose: "end the snooze; it pages again",
        reactions: &[],
        unmistakable: true,
        effect: VerbEffect::Act(Act::Unsnooze),
        phases: &[PhaseName::Snoozed],
        right: Right::Respond,
    },
    Escalate => Row {
        words: &["escalate"],
        usage: "escalate 42",
        purpose: "page the next level now; the first one again, if it is acknowledged or snoozed",
        reactions: &["⏫"],
        unmistakable: false,
        effect: VerbEffect::Act(Act::Escalate(None)),
        phases: &[PhaseName::Firing],
        right: Right::Respond,
    },
    Resolve => Row {
        words: &["resolve"],
        usage: "resolve 42 [comment]",
        purpose: "resolve by hand",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::ActWithComment(Act::Resolve),
        phases: OPEN,
        right: Right::Moderate,
    },
    Pending => Row {
        words: &["pending"],
        usage: "pending",
        purpose: "list unacknowledged incidents",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Query(Query::Pending),
        phases: &[PhaseName::Firing, PhaseName::Unanswered],
        right: Right::Look,
    },
    Escalated => Row {
        words: &["escalated"],
        usage: "escalated",
        purpose: "list incidents that were escalated",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Query(Query::Escalated),
        phases: &[PhaseName::Firing, PhaseName::Acknowledged, PhaseName::Snoozed, PhaseName::Unanswered],
        right: Right::Look,
    },
    Show => Row {
        words: &["show"],
        usage: "show 42",
        purpose: "show the incident and its alerts; show storm: those of a storm",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Show(View::Incident),
        phases: OPEN,
        right: Right::Look,
    },
    Timeline => Row {
        words: &["timeline"],
        usage: "timeline 42",
        purpose: "show what happened, when, and who did it",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Show(View::Timeline),
        phases: OPEN,
        right: Right::Look,
    },
    Silence => Row {
        words: &["silence"],
        usage: "silence 42 2h [comment]",
        purpose: "silence its alerts in Alertmanager, for 2h if you name no time",
        reactions: &["🔇"],
        unmistakable: false,
        effect: VerbEffect::Silence,
        phases: OPEN,
        right: Right::Moderate,
    },
    Silences => Row {
        words: &["silences"],
        usage: "silences",
        purpose: "list the silences that hold alerts of this room, or were made here",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Query(Query::Silences),
        phases: &[],
        right: Right::Look,
    },
    Unsilence => Row {
        words: &["unsilence"],
        usage: "unsilence ID",
        purpose: "end one of these silences",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Unsilence,
        phases: &[],
        right: Right::Moderate,
    },
    OnCall => Row {
        words: &["oncall", "on-call"],
        usage: "oncall [next]",
        purpose: "show who is on call; oncall take 4h, give @bob 2d, swap @bob Mon-Fri, undo: change it",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::OnCall,
        phases: &[],
        right: Right::Look,
    },
    Stats => Row {
        words: &["stats"],
        usage: "stats [7d]",
        purpose: "show statistics",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::NotAvailable(Arguments::MaybeDuration),
        phases: &[],
        right: Right::Look,
    },
    Maintenance => Row {
        words: &["maintenance"],
        usage: "maintenance 2h",
        purpose: "pause paging for a while",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::NotAvailable(Arguments::DurationOrEnd),
        phases: &[],
        right: Right::Moderate,
    },
    Help => Row {
        words: &["help"],
        usage: "help",
        purpose: "list the commands",
        reactions: &[],
        unmistakable: false,
        effect: VerbEffect::Query(Query::Help),
        phases: &[],
        right: Right::Look,
    },
}

/// The phases of open incidents.
const OPEN: &[PhaseName] = &[
    PhaseName::Firing,
    PhaseName::Acknowledged,
    PhaseName::Snoozed,
    PhaseName::Unanswered,
    PhaseName::Suppressed,
];

impl Verb {
    /// The word for it in answers.
    pub fn word(self) -> &'static str {
        self.row().words.first().copied().unwrap_or_default()
    }

    /// The phases of the incidents that it changes with `all`. `ack all` leaves snoozed ones out, which are to page again.
    pub fn phases_of_all(self) -> impl Iterator<Item = PhaseName> {
        let leaves_out = move |phase: PhaseName| self == Self::Acknowledge && phase == PhaseName::Snoozed;
        self.row().phases.iter().copied().filter(move |phase| !leaves_out(*phase))
    }

    /// Whether this release can execute it.
    pub fn is_available(self) -> bool {
        !matches!(self.row().effect, VerbEffect::NotAvailable(_))
    }

    /// Whether it changes incidents.
    pub fn is_act(self) -> bool {
        match self.row().effect {
            VerbEffect::Act(_) | VerbEffect::ActWithComment(_) | VerbEffect::ActFor(_) => true,
            VerbEffect::Show(_)
            | VerbEffect::Query(_)
            | VerbEffect::Silence
            | VerbEffect::Unsilence
            | VerbEffect::OnCall
            | VerbEffect::NotAvailable(_) => false,
        }
    }

    /// The verb that a word stands for. Case and trailing punctuation do not matter.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let word = word.trim_end_matches([':', ',', '.', '!']).to_lowercase();
        Self::ALL.iter().copied().find(|verb| verb.row().words.contains(&word.as_str()))
    }

    /// The verb that a word probably misspells: one letter is wrong, missing or extra, or two are swapped.
    pub(super) fn nearest(word: &str) -> Option<Self> {
        let word: String = word.to_lowercase().chars().take(16).collect();
        Self::ALL
            .iter()
            .copied()
            .find(|verb| verb.row().words.iter().any(|known| strsim::osa_distance(&word, known) <= 1))
    }
}

impl Act {
    /// The command that asks for it.
    pub fn verb(self) -> Verb {
        match self {
            Self::Acknowledge => Verb::Acknowledge,
            Self::Unacknowledge => Verb::Unacknowledge,
            Self::Snooze(_) => Verb::Snooze,
            Self::Unsnooze => Verb::Unsnooze,
            Self::Escalate(_) => Verb::Escalate,
            Self::Resolve => Verb::Resolve,
        }
    }

    /// Its length, if it has one.
    pub fn length(self) -> Option<Duration> {
        match self {
            Self::Snooze(length) => Some(length),
            Self::Acknowledge | Self::Unacknowledge | Self::Unsnooze | Self::Escalate(_) | Self::Resolve => {
                None
            }
        }
    }
}
