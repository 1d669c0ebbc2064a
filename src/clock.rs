//! The clock. No other code reads the time.

use jiff::{SignedDuration, Timestamp};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A source of the current time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time in microseconds, the precision of Postgres.
    fn now(&self) -> Timestamp;
}

/// A clock that several parts of the program share.
pub type SharedClock = Arc<dyn Clock>;

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
    fn now(&self) -> Timestamp {
        to_microseconds(Timestamp::now())
    }
}

/// A clock that only `advance` moves.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(to_microseconds(start)))
    }

    /// Moves the clock forward and returns the new time.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = crate::domain::time::later(*now, by);
        *now
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that is compared with the database's. While the two agree it shows its own time. Once they are further apart
/// than [`MOST_APART`], it follows the database's clock, by what the last comparison found: what is stored meanwhile has
/// a time that the other processes share.
#[derive(Debug)]
pub struct ComparedClock {
    own: SharedClock,
    ahead: Mutex<Option<SignedDuration>>,
}

/// How far a clock and the database's may be apart.
pub const MOST_APART: Duration = Duration::from_secs(30);

impl ComparedClock {
    /// A clock that is not compared yet.
    pub fn new(own: SharedClock) -> Self {
        Self { own, ahead: Mutex::new(None) }
    }

    /// What the clock itself shows.
    pub fn own(&self) -> Timestamp {
        self.own.now()
    }

    /// The database's clock showed `database` at some instant between `before` and `after` of this clock itself. Returns
    /// how far this one is ahead: not more than is certain.
    pub fn compare(&self, before: Timestamp, database: Timestamp, after: Timestamp) -> SignedDuration {
        let ahead = if database < before {
            before.duration_since(database)
        } else if database > after {
            after.duration_since(database)
        } else {
            SignedDuration::ZERO
        };
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        ahead
    }

    /// How far the clock is ahead of the database's, negative if it is behind, according to the last comparison.
    pub fn ahead(&self) -> Option<SignedDuration> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the clocks agreed in the last comparison.
    pub fn is_right(&self) -> bool {
        self.ahead().is_some_and(agrees)
    }
}

impl Clock for ComparedClock {
    fn now(&self) -> Timestamp {
        let now = self.own.now();
        match self.ahead().filter(|ahead| !agrees(*ahead)) {
            Some(ahead) => now.checked_sub(ahead).unwrap_or(now),
            None => now,
        }
    }
}

/// Whether two clocks that are so far apart agree.
pub fn agrees(ahead: SignedDuration) -> bool {
    ahead.unsigned_abs() <= MOST_APART
}

fn to_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::{Clock as _, ComparedClock, ManualClock};
    use jiff::{SignedDuration, Timestamp};
    use std::sync::Arc;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    #[test]
    fn a_clock_that_is_far_from_the_databases_follows_it() {
        let now = Timestamp::UNIX_EPOCH;
        let clock = ComparedClock::new(Arc::new(ManualClock::new(now)));
        assert!(!clock.is_right(), "nobody has compared it");
        assert_eq!(clock.now(), now);

        assert_eq!(clock.compare(now, now - SECOND * 30, now), SECOND * 30);
        assert!(clock.is_right());
        assert_eq!(clock.now(), now);

        assert_eq!(clock.compare(now, now - SECOND * 31, now), SECOND * 31);
        assert!(!clock.is_right());
        assert_eq!(clock.now(), now - SECOND * 31);

        assert_eq!(clock.compare(now, now + SECOND * 32_400, now), -SECOND * 32_400);
        assert_eq!(clock.now(), now + SECOND * 32_400);
    }

    #[test]
    fn a_slow_answer_is_no_difference() {
        let now = Timestamp::UNIX_EPOCH;
        let clock = ComparedClock::new(Arc::new(ManualClock::new(now)));
        assert_eq!(clock.compare(now, now + SECOND * 40, now + SECOND * 60), SignedDuration::ZERO);
        assert_eq!(clock.compare(now, now + SECOND * 61, now + SECOND * 60), -SECOND);
    }
}
