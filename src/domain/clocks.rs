//! Another machine's clock, compared with ours.

use super::time;
use jiff::Timestamp;
use std::time::Duration;

/// Clocks that differ by less count as equal: an answer takes some seconds itself.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// How far another clock is ahead of ours, or behind it.
#[derive(Debug, Clone, Copy)]
pub struct Ahead(Duration, Duration);

impl Ahead {
    /// Of a clock that showed `clock` when ours showed `now`.
    pub fn of(clock: Timestamp, now: Timestamp) -> Self {
        let significant = |skew: Duration| if skew < CLOCK_SKEW { Duration::ZERO } else { skew };
        Self(significant(time::between(now, clock)), significant(time::between(clock, now)))
    }

    /// What our clock shows when the other one shows `at`.
    pub fn on_our_clock(self, at: Timestamp) -> Timestamp {
        let Self(ahead, behind) = self;
        time::later(time::earlier(at, ahead), behind)
    }
}
