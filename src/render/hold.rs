//! What holds an incident back, in words, and comments as messages quote them.

use super::Context;
use super::rich::Rich;
use super::text::short;
use super::time::instant;
use crate::domain::hold::{HeldBy, Hold};
use std::collections::BTreeSet;

/// How many reasons a sentence lists.
const LISTED: usize = 3;
/// The longest quoted comment.
const LONGEST_COMMENT: usize = 300;
/// The longest name of who made a silence.
const LONGEST_NAME: usize = 80;

/// What holds it, in sentences: "Silenced by alice until 14:05 UTC: “disk swap”. Until then it does not escalate."
pub(super) fn held(hold: &Hold, context: &Context<'_>) -> Rich {
    reasons(&hold.by, "Until then it does not escalate.", context)
}

/// Which silences hold some of its alerts: "Silenced by alice until 14:05 UTC. Its other alerts are not silenced."
pub(super) fn partly(by: &BTreeSet<HeldBy>, context: &Context<'_>) -> Rich {
    reasons(by, "Its other alerts are not silenced.", context)
}

fn reasons(by: &BTreeSet<HeldBy>, last: &'static str, context: &Context<'_>) -> Rich {
    let mut sentences: Vec<Rich> = by.iter().take(LISTED).map(|by| reason(by, context)).collect();
    if by.len() > LISTED {
        sentences.push(Rich::from(format!("So do {} more silences.", by.len().saturating_sub(LISTED))));
    }
    sentences.push(Rich::from(last));
    Rich::join(&sentences, " ")
}

fn reason(by: &HeldBy, context: &Context<'_>) -> Rich {
    match by {
        HeldBy::Silence { created_by, comment, until, .. } => {
            let author = short(created_by, LONGEST_NAME);
            let author = if author.is_empty() { String::new() } else { format!(" by {author}") };
            Rich::from(format!("Silenced{author} until {}", instant(*until, context)))
                .then(&quoted(Some(comment)))
                .text(".")
        }
        HeldBy::Inhibition => Rich::from("Another alert inhibits it in Alertmanager."),
        HeldBy::TimeInterval { name } => {
            Rich::from(format!("Muted by the time interval {} of its route.", short(name, LONGEST_NAME)))
        }
    }
}

/// What is over, as the start of a sentence: "The silence ended".
pub(super) fn over(by: &BTreeSet<HeldBy>) -> &'static str {
    let silences = by.iter().filter(|by| matches!(by, HeldBy::Silence { .. })).count();
    match (silences, by.first()) {
        (1, _) => "The silence ended",
        (2.., _) => "The silences ended",
        (_, Some(HeldBy::TimeInterval { .. })) => "The mute interval ended",
        _ => "No other alert inhibits it any more",
    }
}

/// A comment in quotes; empty if there is none.
pub(super) fn quoted(comment: Option<&str>) -> Rich {
    let comment = short(comment.unwrap_or_default(), LONGEST_COMMENT);
    if comment.is_empty() { Rich::new() } else { Rich::from(": ").em(&format!("“{comment}”")) }
}
