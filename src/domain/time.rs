//! Arithmetic on instants that cannot fail.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// `at` and `by` later, or the last instant there is.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// `at` and `by` earlier, or the first instant there is.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

/// How long it is from `start` to `end`; zero if `end` comes first.
pub fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or(Duration::ZERO)
}
