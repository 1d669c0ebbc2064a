//! What a reaction to one of our messages means.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a reaction asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReactionMeaning {
    /// Take the incident.
    Acknowledge,
    /// Put it off for so long.
    Snooze(Duration),
    /// Page the next level now.
    Escalate,
}

/// The reactions that mean something, by their normalized key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reactions(BTreeMap<String, ReactionMeaning>);

impl Default for Reactions {
    /// ✅ and 👀 acknowledge, 💤 snoozes for an hour, ⏫ escalates.
    fn default() -> Self {
        Self::new([
            ("✅", ReactionMeaning::Acknowledge),
            ("👀", ReactionMeaning::Acknowledge),
            ("💤", ReactionMeaning::Snooze(Duration::from_hours(1))),
            ("⏫", ReactionMeaning::Escalate),
        ])
    }
}

impl Reactions {
    /// The set in which each key has its meaning; of two keys that look alike, the later one counts.
    pub fn new<K: AsRef<str>>(meanings: impl IntoIterator<Item = (K, ReactionMeaning)>) -> Self {
        Self(meanings.into_iter().map(|(key, meaning)| (normalize(key.as_ref()), meaning)).collect())
    }

    /// What a reaction with `key` asks for; `None`: nothing.
    pub fn meaning(&self, key: &str) -> Option<ReactionMeaning> {
        self.0.get(&normalize(key)).copied()
    }
}

/// A reaction's key without what clients add or leave out at will: variation selectors (U+FE0E, U+FE0F), skin
/// tones (U+1F3FB to U+1F3FF), white space around it.
pub fn normalize(key: &str) -> String {
    let is_variant = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    key.trim().chars().filter(|c| !is_variant(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::{ReactionMeaning, Reactions, normalize};
    use std::time::Duration;

    #[test]
    fn the_default_set_is_the_documented_one() {
        let reactions = Reactions::default();
        assert_eq!(reactions.meaning("✅"), Some(ReactionMeaning::Acknowledge));
        assert_eq!(reactions.meaning("👀"), Some(ReactionMeaning::Acknowledge));
        assert_eq!(reactions.meaning("💤"), Some(ReactionMeaning::Snooze(Duration::from_hours(1))));
        assert_eq!(reactions.meaning("⏫"), Some(ReactionMeaning::Escalate));
        assert_eq!(reactions.meaning("🎉"), None);
        assert_eq!(reactions.meaning(""), None);
    }

    #[test]
    fn variation_selectors_and_skin_tones_do_not_matter() {
        assert_eq!(normalize("✅\u{fe0f}"), "✅");
        assert_eq!(normalize("👍🏽"), "👍");
        let reactions = Reactions::new([("👍\u{fe0f}", ReactionMeaning::Acknowledge)]);
        for key in ["👍", "👍\u{fe0f}", "👍🏿", " 👍 "] {
            assert_eq!(reactions.meaning(key), Some(ReactionMeaning::Acknowledge), "{key:?}");
        }
    }
}
