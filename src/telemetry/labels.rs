//! The values of metric labels. Each is a closed set, so every series exists from start-up.

/// Defines a closed set of label values.
macro_rules! label_values {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the type.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

label_values! {
    /// The state of an outbox message that is not sent or cancelled.
    OutboxState {
        /// It waits to be sent.
        Pending = "pending",
        /// A worker has claimed it.
        Leased = "leased",
        /// It was given up.
        Undeliverable = "undeliverable",
    }
}

label_values! {
    /// The outcome of one attempt to deliver an outbox message.
    DeliveryOutcome {
        /// The homeserver accepted it.
        Sent = "sent",
        /// The attempt failed, and a worker will retry it.
        Retried = "retried",
        /// The homeserver answered 429; the attempt does not count.
        RateLimited = "rate_limited",
        /// It is given up.
        Undeliverable = "undeliverable",
        /// The lease was lost before the worker recorded the outcome.
        LeaseLost = "lease_lost",
    }
}

label_values! {
    /// The result of a transaction of the homeserver.
    TransactionResult {
        /// Committed.
        Accepted = "accepted",
        /// Rejected: the token is missing or wrong.
        Unauthorized = "unauthorized",
        /// Rejected: its body cannot be read.
        Unreadable = "unreadable",
        /// Not accepted: the database is unavailable; the homeserver retries.
        Unavailable = "unavailable",
    }
}

label_values! {
    /// The result of one event of the homeserver.
    EventResult {
        /// Stored in the inbox.
        Accepted = "accepted",
        /// Already stored.
        Duplicate = "duplicate",
        /// A command or a reaction that was carried out.
        Acted = "acted",
        /// A command or a reaction that was refused; the answer in the room has the reason.
        Refused = "refused",
        /// An event that does not concern matrixbot.
        Ignored = "ignored",
        /// It cannot be read.
        Malformed = "malformed",
        /// Handling it failed.
        Failed = "failed",
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
