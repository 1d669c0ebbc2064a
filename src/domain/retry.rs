//! When an event whose handling failed is tried again. It blocks the later events of its room for about half a minute; then
//! it is set aside, so that they go on without it.

use super::time::{between, later};
use jiff::Timestamp;
use std::time::Duration;

/// From this failure on, an event is set aside.
pub const SET_ASIDE_AFTER: u32 = 5;
/// How often an event that is set aside is retried.
const SET_ASIDE_EVERY: Duration = Duration::from_mins(5);
/// How long an event is retried after it arrived: a command must not surprise anybody a day later.
const LONGEST: Duration = Duration::from_hours(24);

/// What follows the failure of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It stays in its place, and is retried then.
    Wait(Timestamp),
    /// It leaves the queue of its room, and is retried then.
    SetAside(Timestamp),
    /// It is not retried any more.
    GiveUp,
}

/// Decides on an event that arrived at `received` and has now failed for the `failures`th time: after 2 s, 4 s, 8 s and
/// 16 s in its place, then every 5 minutes beside the queue, for a day.
pub fn after_failure(failures: u32, received: Timestamp, now: Timestamp) -> Retry {
    if failures < SET_ASIDE_AFTER {
        return Retry::Wait(later(now, Duration::from_secs(1_u64.checked_shl(failures).unwrap_or(u64::MAX))));
    }
    if between(received, now) >= LONGEST {
        return Retry::GiveUp;
    }
    Retry::SetAside(later(now, SET_ASIDE_EVERY))
}

#[cfg(test)]
mod tests {
    use super::{Retry, after_failure};
    use crate::domain::time::later;
    use jiff::Timestamp;
    use std::time::Duration;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: u64) -> Timestamp {
        later(START, Duration::from_secs(seconds))
    }

    #[test]
    fn an_event_waits_longer_and_longer_is_then_set_aside_and_given_up_after_a_day() {
        assert_eq!(after_failure(1, START, START), Retry::Wait(at(2)));
        assert_eq!(after_failure(2, START, at(2)), Retry::Wait(at(6)));
        assert_eq!(after_failure(4, START, at(14)), Retry::Wait(at(30)));
        assert_eq!(after_failure(5, START, at(30)), Retry::SetAside(at(330)));
        assert_eq!(after_failure(200, START, at(24 * 3600 - 1)), Retry::SetAside(at(24 * 3600 + 299)));
        assert_eq!(after_failure(200, START, at(24 * 3600)), Retry::GiveUp);
        assert_eq!(
            after_failure(1, START, at(48 * 3600)),
            Retry::Wait(at(48 * 3600 + 2)),
            "it has just begun"
        );
    }
}
