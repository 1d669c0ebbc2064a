//! Decides what a failed attempt means for its message and its room. Pure.

use crate::domain::time::later;
use crate::matrix::Failure;
use jiff::Timestamp;
use std::time::Duration;

/// The first pause of a room after a temporary failure; it doubles: 1 s, 2 s, 4 s, … 2 min, each spread over its
/// upper half.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// The pause after a rate limit without a time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);
/// The longest pause that a homeserver's rate limit can cause.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// The consequence of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Retry the same message. The room's other messages wait.
    Retry {
        /// The earliest time of the retry.
        at: Timestamp,
        /// Whether the attempt counts as a failure.
        counts: bool,
    },
    /// Retry the same message. The messages of its room list wait until its virtual user can send again.
    Hold,
    /// Give the message up.
    GiveUp,
}

/// Decides after a failed attempt. `failures`: the room's previous failures in a row; `roll` in 0..1 spreads retries.
pub(super) fn verdict(failure: Failure, failures: u32, now: Timestamp, roll: f64) -> Verdict {
    match failure {
        Failure::RateLimited { retry_after } => {
            let wait = retry_after.unwrap_or(DEFAULT_RETRY_AFTER).min(LONGEST_RETRY_AFTER);
            Verdict::Retry { at: later(now, wait), counts: false }
        }
        // Without a valid token every send fails until an operator acts. If the message waits, no page is lost.
        Failure::Temporary | Failure::UnknownToken => {
            Verdict::Retry { at: later(now, pause(failures, roll)), counts: true }
        }
        // No room can change that, so that no message of the list is given up for it.
        Failure::UserNotRegistered | Failure::UnknownDevice | Failure::UserBlocked => Verdict::Hold,
        Failure::Forbidden | Failure::Muted | Failure::NotFound | Failure::TooLarge | Failure::BadRequest => {
            Verdict::GiveUp
        }
    }
}

/// The room's pause after its failure number `failures + 1` in a row.
pub(super) fn pause(failures: u32, roll: f64) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1_u32 << failures.min(16)).min(LONGEST_PAUSE);
    full.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_rate_limit_waits_as_long_as_asked_and_does_not_count() {
        let failure = Failure::RateLimited { retry_after: Some(Duration::from_secs(7)) };
        let at = later(NOW, Duration::from_secs(7));
        assert_eq!(verdict(failure, 3, NOW, 0.3), Verdict::Retry { at, counts: false });
    }

    #[test]
    fn a_rate_limit_is_bounded() {
        let failure = Failure::RateLimited { retry_after: Some(Duration::from_hours(24)) };
        let at = later(NOW, LONGEST_RETRY_AFTER);
        assert_eq!(verdict(failure, 0, NOW, 0.0), Verdict::Retry { at, counts: false });
    }

    #[test]
    fn pauses_grow_to_two_minutes() {
        let pauses: Vec<u64> = (0..9).map(|failures| pause(failures, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }

    #[test]
    fn a_message_whose_retry_cannot_succeed_is_given_up() {
        for failure in
            [Failure::Forbidden, Failure::Muted, Failure::NotFound, Failure::TooLarge, Failure::BadRequest]
        {
            assert_eq!(verdict(failure, 0, NOW, 0.5), Verdict::GiveUp);
        }
    }

    #[test]
    fn a_user_that_cannot_send_loses_no_message() {
        for failure in [Failure::UserBlocked, Failure::UserNotRegistered, Failure::UnknownDevice] {
            assert_eq!(verdict(failure, 9, NOW, 0.5), Verdict::Hold);
        }
    }
}
