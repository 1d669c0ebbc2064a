//! Which act a reaction to one of our messages asks for.

use super::command::{Act, Verb, VerbEffect};
use super::policy::Role;
use super::rights::{Allowed, allowed};

/// The verb whose row lists a reaction.
pub fn verb(key: &str) -> Option<Verb> {
    let key = normalize(key);
    Verb::ALL.iter().copied().find(|verb| verb.row().reactions.iter().any(|own| normalize(own) == key))
}

/// The reaction that acknowledges and that matrixbot adds to pages, unless the operator configures others.
pub fn default_ack() -> &'static str {
    Verb::Acknowledge.row().reactions.first().copied().unwrap_or_default()
}

/// The reactions that acknowledge, unless the operator configures others.
pub fn default_acks() -> Vec<String> {
    Verb::Acknowledge.row().reactions.iter().map(|reaction| (*reaction).to_owned()).collect()
}

/// The act that a reaction asks for; `None`: nothing. The operator's `ack_reactions` replace those of the table.
pub fn act(key: &str, ack_reactions: &[String]) -> Option<Act> {
    let key = normalize(key);
    if ack_reactions.iter().any(|own| normalize(own) == key) {
        return Some(Act::Acknowledge);
    }
    let verb = verb(&key).filter(|verb| *verb != Verb::Acknowledge)?;
    match verb.row().effect {
        VerbEffect::Act(act) | VerbEffect::ActWithComment(act) => Some(act),
        // A reaction has no argument, so it uses the longest length that a responder may use.
        VerbEffect::ActFor(act) => match allowed(verb, Role::Respond) {
            Allowed::UpTo(length) => Some(act(length)),
            Allowed::No | Allowed::Yes => None,
        },
        VerbEffect::Show(_)
        | VerbEffect::Query(_)
        | VerbEffect::Silence
        | VerbEffect::Unsilence
        | VerbEffect::OnCall
        | VerbEffect::NotAvailable(_) => None,
    }
}

/// Whether a reaction silences the alerts of its incident. The operator's `ack_reactions` come first.
pub fn silences(key: &str, ack_reactions: &[String]) -> bool {
    act(key, ack_reactions).is_none() && verb(key) == Some(Verb::Silence)
}

/// A reaction's key without the parts that differ between clients: variation selectors (U+FE0E, U+FE0F), skin tones
/// (U+1F3FB to U+1F3FF), surrounding white space.
pub fn normalize(key: &str) -> String {
    let is_variant = |c: char| matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    key.trim().chars().filter(|c| !is_variant(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::{act, normalize, silences, verb};
    use crate::domain::command::{Act, Verb};
    use std::time::Duration;

    #[test]
    fn the_default_set_is_the_documented_one() {
        assert_eq!(verb("✅"), Some(Verb::Acknowledge));
        assert_eq!(verb("👀"), Some(Verb::Acknowledge));
        assert_eq!(act("💤", &[]), Some(Act::Snooze(Duration::from_hours(1))));
        assert_eq!(act("⏫", &[]), Some(Act::Escalate(None)));
        assert_eq!(act("🎉", &[]), None);
        assert_eq!(act("", &[]), None);
    }

    #[test]
    fn the_operator_s_reactions_acknowledge_instead_of_the_default_ones() {
        let own = ["👍\u{fe0f}".to_owned()];
        assert_eq!(act("✅", &own), None);
        for key in ["👍", "👍\u{fe0f}", "👍🏿", " 👍 "] {
            assert_eq!(act(key, &own), Some(Act::Acknowledge), "{key:?}");
        }
    }

    #[test]
    fn variation_selectors_and_skin_tones_do_not_matter() {
        assert_eq!(normalize("✅\u{fe0f}"), "✅");
        assert_eq!(normalize("👍🏽"), "👍");
        assert_eq!(verb(" ✅\u{fe0f}"), Some(Verb::Acknowledge));
    }

    #[test]
    fn every_reaction_of_the_table_stands_for_one_verb() {
        for known in Verb::ALL {
            for key in known.row().reactions {
                assert_eq!(verb(key), Some(*known));
                let own = [(*key).to_owned()];
                let own = if *known == Verb::Acknowledge { own.as_slice() } else { &[] };
                let acts = act(key, own).map(Act::verb);
                let silences = silences(key, own).then_some(Verb::Silence);
                assert_eq!(acts.or(silences), Some(*known), "{key}");
            }
        }
    }
}
