//! Limits the size of messages. Homeservers reject events above 64 KiB; matrixbot stays below 40 KB. Pages are much
//! shorter, so people can read them on a phone. A message names what it omits.

use super::message::Message;

/// The most bytes of one event's content as JSON.
pub const MOST_BYTES: usize = 40_000;
/// The most visible characters of a message about an incident: about four screens of a phone.
pub(super) const MOST_VISIBLE: usize = 4_000;

/// How much of an incident a message contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// How many alerts in full.
    pub(super) alerts: usize,
    /// How many labels of one alert.
    pub(super) labels: usize,
    /// How many characters of descriptions, for all alerts together.
    pub(super) text: usize,
    /// How many characters of one summary, label or other annotation.
    pub(super) value: usize,
    /// Whether each alert has its links.
    pub(super) links: bool,
}

impl Limits {
    /// The widest limits.
    #[cfg(test)]
    pub(super) const FULL: Self = AT_LENGTH;

    /// The same without descriptions.
    pub(super) fn without_descriptions(self) -> Self {
        Self { text: 0, ..self }
    }
}

/// For `show`.
const AT_LENGTH: Limits = Limits { alerts: 15, labels: 20, text: 6000, value: 200, links: true };
/// From the widest limits for a phone down to limits that always fit.
const STEPS: [Limits; 6] = [
    Limits { alerts: 15, labels: 20, text: 1500, value: 200, links: true },
    Limits { alerts: 15, labels: 12, text: 1000, value: 120, links: true },
    Limits { alerts: 10, labels: 8, text: 600, value: 100, links: true },
    Limits { alerts: 10, labels: 5, text: 400, value: 60, links: false },
    Limits { alerts: 5, labels: 3, text: 200, value: 40, links: false },
    Limits { alerts: 2, labels: 2, text: 40, value: 30, links: false },
];

/// Renders with tighter and tighter limits until the message is readable on a phone.
pub(super) fn fit(render: impl Fn(Limits) -> Message) -> Message {
    let readable = |message: &Message| fits(message) && visible_characters(message) <= MOST_VISIBLE;
    first_that(readable, render)
}

/// As `fit`, but limited only by the size of an event.
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
    let mut kept = lines;
    let mut message = render(kept);
    while kept > 0 && !fits(&message) {
        kept /= 2;
        message = render(kept);
    }
    message
}

fn fits(message: &Message) -> bool {
    message.bytes() <= MOST_BYTES
}

/// The number of visible characters, without the URLs of links. An escaped character counts as its escape.
pub(super) fn visible_characters(message: &Message) -> usize {
    let mut in_tag = false;
    let is_text = |character: &char| {
        in_tag = (in_tag && *character != '>') || *character == '<';
        !in_tag && *character != '>'
    };
    message.text.html().chars().filter(is_text).count()
}
