//! A digest: many incidents in one message. It has counts, each name with how often and where, the worst first, and the
//! numbers as people type them.

use super::headline::{list_name, phase_mark, severity_mark};
use super::message::{Message, MsgType, Place, mentions, names_of};
use super::rich::{Document, Rich};
use super::size::fit_lines;
use super::text::{count, short};
use crate::domain::digest::{Class, Member, ranges};
use crate::domain::incident::PhaseName;
use crate::domain::on_call::Called;
use crate::domain::policy::{Policy, Severity};
use ruma::events::Mentions;
use ruma::{EventId, UserId};

/// The most names of a digest.
const MOST_NAMES: usize = 20;
/// The most places of one name.
const MOST_PLACES: usize = 3;
/// The most people who have acknowledged some of it.
const MOST_ACKERS: usize = 5;
/// The most ranges of numbers.
const MOST_RANGES: usize = 40;

/// What a digest says apart from its incidents.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// The room list.
    pub room_list: &'a str,
    /// Which pages it carries.
    pub class: Class,
    /// Whether the storm is over.
    pub is_over: bool,
    /// The reaction that acknowledges.
    pub ack_reaction: &'a str,
    /// The policy of the list.
    pub policy: &'a Policy,
}

/// The message that notifies `called`.
pub fn digest(members: &[Member], called: &Called, words: &Words<'_>) -> Message {
    let groups = Group::of(members);
    fit_lines(groups.len().min(MOST_NAMES), |kept| {
        Message::text(document(members, &groups, kept, called, words), mentions(&called.mentions))
    })
}

/// The new text of the digest `root`. It notifies nobody, and looks quiet once nobody has to acknowledge.
pub fn edit(root: &EventId, members: &[Member], words: &Words<'_>) -> Message {
    let groups = Group::of(members);
    let fallback = Document::line(&headline(members, words));
    let msgtype = if members.iter().any(Member::calls) { MsgType::Text } else { MsgType::Notice };
    fit_lines(groups.len().min(MOST_NAMES), |kept| {
        let text = document(members, &groups, kept, &Called::default(), words);
        Message { msgtype, ..Message::text(text, Mentions::new()) }
            .at(Place::Edit { of: root.to_owned(), fallback: fallback.clone() })
    })
}

/// The incidents of one name and severity.
struct Group<'a> {
    name: &'a str,
    severity: Option<&'a Severity>,
    /// Those that call come first.
    members: Vec<&'a Member>,
    calling: usize,
}

impl<'a> Group<'a> {
    /// The worst first; of these, those with the most incidents.
    fn of(members: &'a [Member]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for member in members {
            let severity = member.severity.as_ref();
            let same = |group: &&mut Self| group.name == member.name && group.severity == severity;
            match groups.iter_mut().find(same) {
                Some(group) => group.members.push(member),
                None => groups.push(Self { name: &member.name, severity, members: vec![member], calling: 0 }),
            }
        }
        for group in &mut groups {
            group.members.sort_by_key(|member| !member.calls());
            group.calling = group.members.iter().filter(|member| member.calls()).count();
        }
        groups.sort_by_key(|group| {
            let rank = group.severity.map_or(0, |severity| severity.rank);
            std::cmp::Reverse((group.calling > 0, rank, group.calling, group.members.len()))
        });
        groups
    }

    /// `🔴 HighLoad ×120 · critical · instance=db-1, db-2, db-3 and 117 more · 3 acknowledged or over`
    fn line(&self, policy: &Policy) -> Rich {
        let mark = match self.members.first() {
            Some(first) => phase_mark(first.phase, self.severity, policy),
            None => "",
        };
        let name = match short(self.name, 48) {
            name if name.is_empty() => "unnamed".to_owned(),
            name => name,
        };
        let times = match self.members.len() {
            1 => String::new(),
            times => format!(" ×{times}"),
        };
        let severity = self.severity.and_then(|severity| severity.name.as_deref()).unwrap_or_default();
        let quiet = match self.members.len().saturating_sub(self.calling) {
            0 => String::new(),
            quiet if self.calling > 0 => format!("{quiet} of them acknowledged or over"),
            _ => String::new(),
        };
        let numbers = match self.members.as_slice() {
            [only] => format!("#{}", only.number),
            _ => String::new(),
        };
        let lead = Rich::from(format!("{mark} ")).strong(&format!("{name}{times}"));
        let pieces = [lead, short(severity, 20).into(), self.places().into(), quiet.into(), numbers.into()];
        Rich::join(&pieces, " · ")
    }

    fn places(&self) -> String {
        let mut places: Vec<&str> = Vec::new();
        // The most precise value alone.
        let precise = |member: &&'a Member| member.place.split(", ").next().unwrap_or_default();
        for place in self.members.iter().map(precise) {
            if !place.is_empty() && !places.contains(&place) {
                places.push(place);
            }
        }
        let mut label = "";
        let named: Vec<String> = places
            .iter()
            .take(MOST_PLACES)
            .map(|place| match place.split_once('=') {
                // The label of the one before.
                Some((of, value)) if of == label => short(value, 40),
                Some((of, _)) => {
                    label = of;
                    short(place, 40)
                }
                None => short(place, 40),
            })
            .collect();
        match places.len().saturating_sub(MOST_PLACES) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

fn document(
    members: &[Member],
    groups: &[Group<'_>],
    kept: usize,
    called: &Called,
    words: &Words<'_>,
) -> Document {
    let mut document = Document::default();
    document.paragraph(&[headline(members, words), severities(members), ackers(members)]);
    let lines: Vec<_> = groups.iter().take(kept).map(|group| vec![group.line(words.policy)]).collect();
    document.list(&lines);
    if let more @ 1.. = groups.len().saturating_sub(kept) {
        document.paragraph(&[Rich::new().em(&format!("… and {}", count(more as u64, "more name")))]);
    }
    document.paragraph(&[numbers(members.iter().map(|member| member.number))]);
    document.paragraph(&[last(members, called, words)]);
    document
}

/// `🔴 STORM: 120 incidents · finance · 80 firing, 30 acknowledged, 10 resolved`
fn headline(members: &[Member], words: &Words<'_>) -> Rich {
    let calling: Vec<&Member> = members.iter().filter(|member| member.calls()).collect();
    let is_open = |member: &&Member| member.phase.is_open();
    let open = members.iter().filter(is_open).count();
    let snoozed = members.iter().filter(|member| member.phase == PhaseName::Snoozed).count();
    let worst = calling.iter().max_by_key(|member| member.severity.as_ref().map_or(0, |worst| worst.rank));
    let mark = match (worst, open) {
        (Some(worst), _) => severity_mark(worst.severity.as_ref(), words.policy),
        (None, 1..) if snoozed == open => "💤",
        (None, 1..) => "👀",
        (None, 0) => "🟢",
    };
    let state = match (words.class, calling.len(), open) {
        (_, 0, 0) => "RESOLVED".to_owned(),
        (_, 0, _) if snoozed == open => "SNOOZED".to_owned(),
        (_, 0, _) => "ACKNOWLEDGED".to_owned(),
        (Class::First, ..) => "FIRING".to_owned(),
        (Class::Escalation, ..) => "⏫ ESCALATED".to_owned(),
        (Class::Fallback, ..) => "🚨 UNANSWERED".to_owned(),
    };
    let incidents = count(members.len() as u64, "incident");
    let lead = Rich::from(format!("{mark} ")).strong(&format!("{state}: {incidents}"));
    let quiet = open.saturating_sub(calling.len()).saturating_sub(snoozed);
    let over = members.len().saturating_sub(open);
    let part = |number: usize, word: &str| {
        if number == 0 || number == members.len() { String::new() } else { format!("{number} {word}") }
    };
    let unanswered = if words.class == Class::First { "firing" } else { "unanswered" };
    let escalated = match calling.iter().filter(|member| member.escalated).count() {
        0 => String::new(),
        escalated => format!("{escalated} escalated"),
    };
    let parts = [
        part(calling.len(), unanswered),
        escalated,
        part(quiet, "acknowledged"),
        part(snoozed, "snoozed"),
        part(over, "resolved"),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Rich::join(&[lead, list_name(words.room_list).into(), parts.join(", ").into()], " · ")
}

/// `Acknowledged by @alice:example.org (12) and @bob:example.org (3).` Who has most of the open incidents comes first.
fn ackers(members: &[Member]) -> Rich {
    let mut people: Vec<(&str, usize)> = Vec::new();
    for acker in members.iter().filter(|member| member.phase.is_open()).flat_map(|member| &member.ackers) {
        match people.iter_mut().find(|(known, _)| known == acker) {
            Some((_, incidents)) => *incidents = incidents.saturating_add(1),
            None => people.push((acker, 1)),
        }
    }
    people.sort_by_key(|(person, incidents)| (std::cmp::Reverse(*incidents), *person));
    let named: Vec<Rich> = people
        .iter()
        .take(MOST_ACKERS)
        .map(|(person, incidents)| {
            let name = <&UserId>::try_from(*person)
                .map_or_else(|_| Rich::from(short(person, 60)), |user| Rich::new().user(user));
            name.text(&format!(" ({incidents})"))
        })
        .collect();
    if named.is_empty() {
        return Rich::new();
    }
    let more = match people.len().saturating_sub(MOST_ACKERS) {
        0 => String::new(),
        more => format!(" and {}", count(more as u64, "other")),
    };
    Rich::from("Acknowledged by ").then(&Rich::join(&named, ", ")).text(&more).text(".")
}

/// `40 critical · 160 warning`, of the incidents that call.
fn severities(members: &[Member]) -> Rich {
    let mut counts: Vec<(Option<&Severity>, usize)> = Vec::new();
    for severity in members.iter().filter(|member| member.calls()).map(|member| member.severity.as_ref()) {
        match counts.iter_mut().find(|(known, _)| *known == severity) {
            Some((_, number)) => *number = number.saturating_add(1),
            None => counts.push((severity, 1)),
        }
    }
    counts.sort_by_key(|(severity, number)| {
        std::cmp::Reverse((severity.map_or(0, |severity| severity.rank), *number))
    });
    let pieces: Vec<Rich> = counts
        .iter()
        .take(6)
        .map(|(severity, number)| {
            let name = severity.and_then(|severity| severity.name.as_deref()).map(|name| short(name, 20));
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "without severity".to_owned());
            Rich::from(format!("{number} {name}"))
        })
        .collect();
    Rich::join(&pieces, " · ")
}

/// `Numbers: 40-95, 97`, as people type them.
pub(super) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Rich {
    let ranges = ranges(numbers);
    let named: Vec<String> = ranges
        .iter()
        .take(MOST_RANGES)
        .map(|(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") })
        .collect();
    let more = match ranges.len().saturating_sub(MOST_RANGES) {
        0 => Rich::new(),
        more => Rich::new().em(&format!(" … and {}", count(more as u64, "more range"))),
    };
    let word = if ranges.iter().map(|(first, last)| last - first).sum::<i64>() == 0 && ranges.len() == 1 {
        "Number: "
    } else {
        "Numbers: "
    };
    Rich::from(word).text(&named.join(", ")).then(&more)
}

/// Whom it calls, and how to acknowledge.
fn last(members: &[Member], called: &Called, words: &Words<'_>) -> Rich {
    if words.is_over {
        return Rich::from(
            "The storm has ended. Each incident that was still open has a page of its own below.",
        );
    }
    let calling: Vec<i64> =
        members.iter().filter(|member| member.calls()).map(|member| member.number).collect();
    if calling.is_empty() {
        return Rich::new();
    }
    let people = names_of(called);
    let example = match ranges(calling.iter().copied()).first() {
        Some((first, last)) if first < last => format!("ack {first}-{last}"),
        Some((first, _)) => format!("ack {first}"),
        None => String::new(),
    };
    let how = Rich::from(format!(
        "To acknowledge all that this shows: react with {} or reply ",
        words.ack_reaction
    ))
    .command("ack")
    .text(". Some of it: ")
    .command(&example)
    .text(". Everything open: ")
    .command("ack all")
    .text(". ")
    .command("show storm")
    .text(" lists it.");
    Rich::join(&[people, how], " ")
}
