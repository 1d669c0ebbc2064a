//! Who is meant by an event.
//!
//! A Matrix user id in the title, the description or the location names its user. Otherwise the operator's map is asked, in
//! this order: the title, the description, the only attendee. Products put the name in a longer title, so these are tried
//! also without what each of them adds.

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest text that is kept, in characters.
const LONGEST: usize = 200;

/// Who is meant by the names in a calendar: mail addresses or names, in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People(BTreeMap<String, OwnedUserId>);

impl FromIterator<(String, OwnedUserId)> for People {
    fn from_iter<I: IntoIterator<Item = (String, OwnedUserId)>>(people: I) -> Self {
        Self(people.into_iter().map(|(name, user)| (folded(&name), user)).collect())
    }
}

/// What an event has in the places where a person may be named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Names {
    /// The name, as people read it.
    pub label: String,
    /// The texts that may name the person, the likeliest first.
    pub texts: Vec<String>,
    /// Of overlapping events, those of the highest rank count: `[L2]` before the name.
    pub rank: i32,
}

impl Names {
    /// The names of an event. `attendees`: addresses, each with a name.
    pub(super) fn of(
        title: &str,
        description: &str,
        location: &str,
        attendees: &[(String, Option<String>)],
    ) -> Self {
        let (rank, title) = ranked(title);
        let mut texts = Vec::new();
        let mut add = |text: &str| {
            let text = clean(text);
            if !text.is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        };
        add(title);
        add(description);
        add(location);
        if let [(address, name)] = attendees {
            let address = address.trim();
            let mail = address.get(.."mailto:".len()).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
            add(mail.and_then(|scheme| address.get(scheme.len()..)).unwrap_or(address));
            add(name.as_deref().unwrap_or_default());
        }
        let title = clean(title);
        let label = bare(&title).unwrap_or(&title).to_owned();
        let label = if label.is_empty() { texts.first().cloned().unwrap_or_default() } else { label };
        Self { label, texts, rank }
    }

    /// The user; `None`: nobody knows.
    pub fn person(&self, people: &People) -> Option<OwnedUserId> {
        let named = self.texts.iter().find_map(|text| user_in(text));
        named.or_else(|| self.texts.iter().find_map(|text| people.find(text)))
    }
}

impl People {
    /// The users.
    pub fn users(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.0.values()
    }

    fn find(&self, text: &str) -> Option<OwnedUserId> {
        let text = folded(text);
        let exactly = |text: &str| self.0.get(text).cloned();
        exactly(&text).or_else(|| bare(&text).and_then(exactly)).or_else(|| {
            // Opsgenie's titles begin with the address.
            let first = text.split_whitespace().next().filter(|first| first.contains('@'))?;
            exactly(first.trim_matches(|c: char| matches!(c, '<' | '>' | ',' | ';' | '(' | ')')))
        })
    }
}

/// A Matrix user id among the words of a text.
fn user_in(text: &str) -> Option<OwnedUserId> {
    let is_mark = |c: char| matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | '.' | '"' | '\'');
    let words = text.split_whitespace().map(|word| word.trim_matches(is_mark));
    let mut users = words.filter(|word| word.starts_with('@') && word.contains(':'));
    users.find_map(|word| UserId::parse(word).ok())
}

/// The rank before a title: `[L1] alice`.
fn ranked(title: &str) -> (i32, &str) {
    let rank = title.trim_start().strip_prefix("[L").or_else(|| title.trim_start().strip_prefix("[l"));
    let Some((number, rest)) = rank.and_then(|rest| rest.split_once(']')) else { return (0, title) };
    number.trim().parse().map_or((0, title), |rank: i32| (rank, rest))
}

/// A title without what products add to a name. `None`: it has nothing of that.
fn bare(title: &str) -> Option<&str> {
    let lower = title.to_lowercase();
    // The same length, so that places in one are places in the other.
    let lower = if lower.len() == title.len() { lower } else { title.to_owned() };
    // PagerDuty: `On Call - NAME - SCHEDULE`.
    if lower.starts_with("on call - ") {
        let rest = title.get("on call - ".len()..)?;
        return Some(rest.rsplit_once(" - ").map_or(rest, |(name, _)| name).trim());
    }
    // GoAlert: `NAME On-Call (APP: SCHEDULE) Begins*`. Opsgenie: `NAME on call`.
    let end = [" on-call (", " on call (", " on-call", " on call"].iter().find_map(|added| {
        let place = lower.find(added)?;
        (added.ends_with('(') || place.saturating_add(added.len()) == lower.len()).then_some(place)
    })?;
    title.get(..end).map(str::trim)
}

/// A text in one line, without the escapes of HTML.
fn clean(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    unescaped(&text).chars().take(LONGEST).collect::<String>().trim().to_owned()
}

fn folded(text: &str) -> String {
    clean(text).to_lowercase()
}

/// `O&#39;Neil` is O'Neil.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(name, after)| Some((character(name)?, after)));
        if let Some((character, after)) = entity {
            out.push(character);
            rest = after;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|character| !character.is_control())
        }
    }
}
