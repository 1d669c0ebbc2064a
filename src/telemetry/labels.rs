//! The values that metric labels take. Each is a closed set, so that every series exists from start-up.

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
    /// Where an outbox message stands, as far as somebody still has to care for it.
    OutboxState {
        /// It waits for its turn.
        Pending = "pending",
        /// A worker holds it.
        Leased = "leased",
        /// It could not be delivered, and is given up.
        Undeliverable = "undeliverable",
    }
}

label_values! {
    /// What became of one attempt to deliver an outbox message.
    DeliveryOutcome {
        /// The homeserver took it.
        Sent = "sent",
        /// It is tried again later.
        Retried = "retried",
        /// The homeserver asked to wait; the attempt does not count.
        RateLimited = "rate_limited",
        /// It is given up.
        Undeliverable = "undeliverable",
        /// Its lease had passed to another worker before its outcome was recorded.
        LeaseLost = "lease_lost",
    }
}

label_values! {
    /// What a transaction of the homeserver was answered.
    TransactionResult {
        /// Taken and committed.
        Accepted = "accepted",
        /// Refused: no token, or a wrong one.
        Unauthorized = "unauthorized",
        /// Refused: its body cannot be read.
        Unreadable = "unreadable",
        /// Not taken: the database is away; the homeserver tries again.
        Unavailable = "unavailable",
    }
}

label_values! {
    /// What became of one event of the homeserver.
    EventResult {
        /// Kept in the inbox.
        Accepted = "accepted",
        /// Known already.
        Duplicate = "duplicate",
        /// A command or a reaction that was carried out.
        Acted = "acted",
        /// A command or a reaction that was refused, and the room was told why.
        Refused = "refused",
        /// Nothing that concerns us.
        Ignored = "ignored",
        /// It cannot be read.
        Malformed = "malformed",
        /// It could not be handled, and is tried again.
        Failed = "failed",
    }
}

/// The status codes that have a series of their own; any other counts as `other`, no answer at all as `none`.
pub(super) const HOMESERVER_CODES: &[&str] =
    &["200", "400", "401", "403", "404", "413", "429", "500", "502", "503", "504", "other", "none"];

/// The status codes of the webhook's answers.
pub(super) const WEBHOOK_CODES: &[&str] =
    &["200", "400", "401", "404", "408", "413", "415", "500", "503", "other"];

/// The label's value for a status code: one of `known`.
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
