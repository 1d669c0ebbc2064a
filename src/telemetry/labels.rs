//! The values of metric labels. Each is a closed set, so every series exists from start-up.

use strum::{IntoStaticStr, VariantArray};

/// The state of an outbox message that is not sent or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OutboxState {
    /// It waits to be sent.
    Pending,
    /// A worker has claimed it.
    Leased,
    /// It was given up.
    Undeliverable,
}

impl OutboxState {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The outcome of one attempt to deliver an outbox message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The homeserver accepted it.
    Sent,
    /// The attempt failed, and a worker will retry it.
    Retried,
    /// The homeserver answered 429; the attempt does not count.
    RateLimited,
    /// It is given up.
    Undeliverable,
    /// The lease was lost before the worker recorded the outcome.
    LeaseLost,
}

impl DeliveryOutcome {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a poll of Alertmanager changed in an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Finding {
    /// Alerts fire that no webhook has brought.
    Fires,
    /// Alerts have ended without a webhook.
    Ended,
    /// A silence, an inhibition or a time interval holds the incident back.
    HeldBack,
    /// Nothing holds it back any more.
    Released,
}

impl Finding {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What happened to silences that people asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum SilenceEvent {
    /// Made or prolonged, in one Alertmanager.
    Made,
    /// A command was answered that an Alertmanager had failed.
    Failed,
    /// Made again, because Alertmanager had lost it.
    MadeAgain,
    /// Ended, by a command or with its incident.
    Ended,
    /// Somebody ended it in Alertmanager.
    EndedElsewhere,
    /// An attempt to end it failed: it still holds its alerts.
    EndFailed,
}

impl SilenceEvent {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The end of a silence, or a failed attempt.
    pub fn of_end(ended: bool) -> Self {
        if ended { Self::Ended } else { Self::EndFailed }
    }
}

/// What became of our own heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum OwnBeat {
    /// The URL was called.
    Sent,
    /// The call failed.
    Failed,
    /// The audit finds something, or the homeserver does not answer: the URL was not called.
    Withheld,
}

impl OwnBeat {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The result of a transaction of the homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum TransactionResult {
    /// Committed.
    Accepted,
    /// Rejected: the token is missing or wrong.
    Unauthorized,
    /// Rejected: its body cannot be read.
    Unreadable,
    /// Not accepted: the database is unavailable; the homeserver retries.
    Unavailable,
}

impl TransactionResult {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The result of one event of the homeserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum EventResult {
    /// Stored in the inbox.
    Accepted,
    /// Already stored.
    Duplicate,
    /// A command or a reaction that was carried out.
    Acted,
    /// A command or a reaction that was refused; the answer in the room has the reason.
    Refused,
    /// An event that does not concern matrixbot.
    Ignored,
    /// It cannot be read.
    Malformed,
    /// Handling it failed.
    Failed,
    /// It failed so often that later events of its room no longer wait for it.
    SetAside,
    /// A command of somebody who floods a room with them.
    Dropped,
}

impl EventResult {
    /// Every value.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The homeserver's status codes with a series of their own; any other code counts as `other`, no answer as `none`.
pub(super) const HOMESERVER_CODES: &[&str] =
    &["200", "400", "401", "403", "404", "413", "429", "500", "502", "503", "504", "other", "none"];

/// The webhook's status codes with a series of their own; any other code counts as `other`.
pub(super) const WEBHOOK_CODES: &[&str] =
    &["200", "400", "401", "404", "408", "413", "415", "500", "503", "other"];

/// The label value of a status code: one of `known`.
pub(super) fn code_label(known: &[&'static str], code: Option<u16>) -> &'static str {
    let Some(code) = code else { return "none" };
    let code = code.to_string();
    known.iter().find(|known| **known == code).copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::{HOMESERVER_CODES, WEBHOOK_CODES, code_label};

    #[test]
    fn a_status_code_is_one_of_the_known_values() {
        assert_eq!(code_label(HOMESERVER_CODES, Some(429)), "429");
        assert_eq!(code_label(HOMESERVER_CODES, Some(418)), "other");
        assert_eq!(code_label(HOMESERVER_CODES, None), "none");
        assert_eq!(code_label(WEBHOOK_CODES, Some(503)), "503");
    }
}
