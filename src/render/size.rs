//! How much a message may hold. An event is refused above 64 KiB; ours stay under 40 KB. What wakes people is bounded
//! by what they can read on a phone, far below that. What was left out is said in the message.

use super::message::Message;

/// The most bytes that the content of one event takes as JSON.
pub const MOST_BYTES: usize = 40_000;
/// The most characters that a client shows of a message about an incident: about four screens of a phone.
pub(super) const MOST_SHOWN: usize = 4_000;

/// How much of an incident is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// How many alerts are shown in full.
    pub(super) alerts: usize,
    /// How many labels of one alert.
    pub(super) labels: usize,
    /// How many characters of descriptions, shared by the alerts that are shown.
    pub(super) text: usize,
    /// How many characters of one summary, label or other annotation.
    pub(super) value: usize,
    /// Whether single alerts have their links.
    pub(super) links: bool,
}

impl Limits {
    /// What is shown where there is room.
    #[cfg(test)]
    pub(super) const FULL: Self = AT_LENGTH;

    /// The same without descriptions.
    pub(super) fn without_descriptions(self) -> Self {
        Self { text: 0, ..self }
    }
}

/// For somebody who asked.
const AT_LENGTH: Limits = Limits { alerts: 15, labels: 20, text: 6000, value: 200, links: true };
/// From what reads well on a phone down to what always fits.
const STEPS: [Limits; 6] = [
    Limits { alerts: 15, labels: 20, text: 1500, value: 200, links: true },
    Limits { alerts: 15, labels: 12, text: 1000, value: 120, links: true },
    Limits { alerts: 10, labels: 8, text: 600, value: 100, links: true },
    Limits { alerts: 10, labels: 5, text: 400, value: 60, links: false },
    Limits { alerts: 5, labels: 3, text: 200, value: 40, links: false },
    Limits { alerts: 2, labels: 2, text: 40, value: 30, links: false },
];

/// The first of the messages that `render` makes of ever tighter limits that can be read on a phone.
pub(super) fn fit(render: impl Fn(Limits) -> Message) -> Message {
    let readable = |message: &Message| fits(message) && shown(message) <= MOST_SHOWN;
    first_that(readable, render)
}

/// As `fit`, but as much as fits into an event.
pub(super) fn fit_at_length(render: impl Fn(Limits) -> Message) -> Message {
    let at_length = render(AT_LENGTH);
    if fits(&at_length) { at_length } else { first_that(fits, render) }
}

fn first_that(good: impl Fn(&Message) -> bool, render: impl Fn(Limits) -> Message) -> Message {
    let [first, rest @ ..] = STEPS;
    let mut message = render(first);
    for limits in rest {
        if good(&message) {
            break;
        }
        message = render(limits);
    }
    message
}

/// As `fit`, for a list: halves the number of its lines until it fits.
pub(super) fn fit_lines(lines: usize, render: impl Fn(usize) -> Message) -> Message {
    let mut shown = lines;
    let mut message = render(shown);
    while shown > 0 && !fits(&message) {
        shown /= 2;
        message = render(shown);
    }
    message
}

fn fits(message: &Message) -> bool {
    message.bytes() <= MOST_BYTES
}

/// How many characters a client shows: not the addresses of links, which have names there. What is escaped counts as
/// its escape.
pub(super) fn shown(message: &Message) -> usize {
    let mut in_tag = false;
    let is_text = |character: &char| {
        in_tag = (in_tag && *character != '>') || *character == '<';
        !in_tag && *character != '>'
    };
    message.text.html().chars().filter(is_text).count()
}
