//! The words that begin a command.

/// What a command begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`purpose` says it")]
pub enum Verb {
    Acknowledge,
    Unacknowledge,
    Snooze,
    Unsnooze,
    Escalate,
    Resolve,
    Pending,
    Escalated,
    Show,
    Timeline,
    Silence,
    Silences,
    Unsilence,
    OnCall,
    Stats,
    Maintenance,
    Help,
}

impl Verb {
    /// Every verb, in the order in which `help` lists them.
    pub const ALL: [Self; 17] = [
        Self::Acknowledge,
        Self::Unacknowledge,
        Self::Snooze,
        Self::Unsnooze,
        Self::Escalate,
        Self::Resolve,
        Self::Pending,
        Self::Escalated,
        Self::Show,
        Self::Timeline,
        Self::Silence,
        Self::Silences,
        Self::Unsilence,
        Self::OnCall,
        Self::Stats,
        Self::Maintenance,
        Self::Help,
    ];

    /// The words for it, the shortest first.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Acknowledge => &["ack", "acknowledge"],
            Self::Unacknowledge => &["unack", "unacknowledge"],
            Self::Snooze => &["snooze"],
            Self::Unsnooze => &["unsnooze"],
            Self::Escalate => &["escalate"],
            Self::Resolve => &["resolve"],
            Self::Pending => &["pending"],
            Self::Escalated => &["escalated"],
            Self::Show => &["show"],
            Self::Timeline => &["timeline"],
            Self::Silence => &["silence"],
            Self::Silences => &["silences"],
            Self::Unsilence => &["unsilence"],
            Self::OnCall => &["oncall"],
            Self::Stats => &["stats"],
            Self::Maintenance => &["maintenance"],
            Self::Help => &["help"],
        }
    }

    /// The word for it in answers.
    pub fn word(self) -> &'static str {
        self.words().first().copied().unwrap_or_default()
    }

    /// How it is said.
    pub fn usage(self) -> &'static str {
        match self {
            Self::Acknowledge => "ack 42 [comment]",
            Self::Unacknowledge => "unack 42",
            Self::Snooze => "snooze 42 2h [comment]",
            Self::Unsnooze => "unsnooze 42",
            Self::Escalate => "escalate 42",
            Self::Resolve => "resolve 42 [comment]",
            Self::Pending => "pending",
            Self::Escalated => "escalated",
            Self::Show => "show 42",
            Self::Timeline => "timeline 42",
            Self::Silence => "silence 42 2h [comment]",
            Self::Silences => "silences",
            Self::Unsilence => "unsilence ID",
            Self::OnCall => "oncall",
            Self::Stats => "stats [7d]",
            Self::Maintenance => "maintenance 2h",
            Self::Help => "help",
        }
    }

    /// What it does.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Acknowledge => "take the incident; escalation stops",
            Self::Unacknowledge => "give it back; it pages again",
            Self::Snooze => "acknowledge until later",
            Self::Unsnooze => "end the snooze; it pages again",
            Self::Escalate => "page the next level now",
            Self::Resolve => "close it by hand",
            Self::Pending => "list what nobody took",
            Self::Escalated => "list what went beyond its first level",
            Self::Show => "show the incident and its alerts",
            Self::Timeline => "tell what happened to it, by whom, when",
            Self::Silence => "silence its alerts in Alertmanager",
            Self::Silences => "list the silences",
            Self::Unsilence => "end a silence",
            Self::OnCall => "say who is on call",
            Self::Stats => "show figures",
            Self::Maintenance => "hold pages back for a while",
            Self::Help => "list the commands",
        }
    }

    /// Whether this release can do it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Acknowledge
            | Self::Unacknowledge
            | Self::Snooze
            | Self::Unsnooze
            | Self::Escalate
            | Self::Resolve
            | Self::Pending
            | Self::Escalated
            | Self::Show
            | Self::Timeline
            | Self::Help => true,
            Self::Silence
            | Self::Silences
            | Self::Unsilence
            | Self::OnCall
            | Self::Stats
            | Self::Maintenance => false,
        }
    }

    /// The verb that a word stands for. Case and a colon or comma after it do not matter.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let word = word.trim_end_matches([':', ',', '.', '!']).to_lowercase();
        Self::ALL.into_iter().find(|verb| verb.words().contains(&word.as_str()))
    }

    /// The verb that a word is a slip of: one letter wrong, missing, too many, or two swapped.
    pub(super) fn nearest(word: &str) -> Option<Self> {
        let word: Vec<char> = word.to_lowercase().chars().take(16).collect();
        Self::ALL
            .into_iter()
            .find(|verb| verb.words().iter().any(|known| is_slip(&word, &known.chars().collect::<Vec<_>>())))
    }

    /// Whether no ordinary sentence begins with it, so that in a thread it can only be meant for us.
    pub(super) fn is_jargon(self) -> bool {
        matches!(self, Self::Acknowledge | Self::Unacknowledge | Self::Snooze | Self::Unsnooze)
    }
}

fn is_slip(a: &[char], b: &[char]) -> bool {
    let alike = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(alike..).unwrap_or_default(), b.get(alike..).unwrap_or_default());
    match (a, b) {
        ([], [_] | []) | ([_], []) => true,
        ([a1, a2, a_rest @ ..], [b1, b2, b_rest @ ..]) if a1 == b2 && a2 == b1 && a_rest == b_rest => true,
        ([_, a_rest @ ..], [_, b_rest @ ..]) => a_rest == b_rest || a_rest == b || a == b_rest,
        ([], _) | (_, []) => false,
    }
}
