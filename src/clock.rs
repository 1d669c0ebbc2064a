//! The clock. No other code reads the time.

use crate::domain::time::{between, later};
use jiff::{SignedDuration, Timestamp};
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A source of the current time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time in microseconds, the precision of Postgres.
    fn now(&self) -> Timestamp;

    /// How long it has run. Unlike `now`, nobody can set this; a machine that is suspended does not count the time.
    fn running(&self) -> Duration;
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

    fn running(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
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
        *now = later(*now, by);
        *now
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Duration {
        between(Timestamp::UNIX_EPOCH, self.now())
    }
}

/// A clock that is compared with the database's. While the two agree it shows its own time. Once they are further apart
/// than [`MOST_APART`], or its own time has jumped that far since they were compared, it follows the database's clock, by
/// what the last comparison found: what is stored meanwhile has a time that the other processes share.
#[derive(Debug)]
pub struct ComparedClock {
    own: SharedClock,
    compared: Mutex<Option<Comparison>>,
    jumped: Arc<Notify>,
}

/// How far a clock and the database's may be apart.
pub const MOST_APART: Duration = Duration::from_secs(30);

/// What a clock shows, and how long it has run.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Timestamp,
    running: Duration,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    reading: Reading,
    ahead: SignedDuration,
}

impl Comparison {
    /// How far the clock has jumped since then: how much more time it shows than has passed.
    fn jump(&self, now: Reading) -> SignedDuration {
        now.at.duration_since(later(self.reading.at, now.running.saturating_sub(self.reading.running)))
    }

    /// The database's time, if its clock goes on as it did.
    fn database(&self, running: Duration) -> Timestamp {
        let then = self.reading.at.checked_sub(self.ahead).unwrap_or(self.reading.at);
        later(then, running.saturating_sub(self.reading.running))
    }
}

impl ComparedClock {
    /// A clock that is not compared yet.
    pub fn new(own: SharedClock) -> Self {
        Self { own, compared: Mutex::new(None), jumped: Arc::default() }
    }

    /// What the clock itself shows.
    pub fn read(&self) -> Reading {
        Reading { at: self.own.now(), running: self.own.running() }
    }

    /// The database's clock showed `database` at some instant between the reading `before` of this clock itself and now.
    /// Returns how far this one is ahead: not more than is certain.
    pub fn compare(&self, before: Reading, database: Timestamp) -> SignedDuration {
        // The time that has passed counts, not what the clock shows now: it may have been set during the comparison.
        let after = later(before.at, self.own.running().saturating_sub(before.running));
        let ahead = if database < before.at {
            before.at.duration_since(database)
        } else if database > after {
            after.duration_since(database)
        } else {
            SignedDuration::ZERO
        };
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Comparison { reading: before, ahead });
        ahead
    }

    fn compared(&self) -> Option<Comparison> {
        *self.compared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the clock is ahead of the database's, negative if it is behind, according to the last comparison.
    pub fn ahead(&self) -> Option<SignedDuration> {
        self.compared().map(|compared| compared.ahead)
    }

    /// How far the clock has jumped since the last comparison, if that is too far. Somebody has set it, or the machine was
    /// suspended: only another comparison finds out, and [`ComparedClock::jumps`] requests it.
    pub fn jump(&self) -> Option<SignedDuration> {
        let jump = self.compared()?.jump(self.read());
        if agrees(jump) {
            return None;
        }
        self.jumped.notify_one();
        Some(jump)
    }

    /// Notified while the clock has jumped: the next comparison is due at once.
    pub fn jumps(&self) -> &Arc<Notify> {
        &self.jumped
    }

    /// Whether the clocks agreed in the last comparison, and this one has not jumped since.
    pub fn is_right(&self) -> bool {
        let jumped = self.jump().is_some();
        !jumped && self.ahead().is_some_and(agrees)
    }
}

impl Clock for ComparedClock {
    fn now(&self) -> Timestamp {
        match self.compared() {
            Some(compared) if !self.is_right() => compared.database(self.own.running()),
            Some(_) | None => self.own.now(),
        }
    }

    fn running(&self) -> Duration {
        self.own.running()
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
    use super::{Clock, ComparedClock};
    use futures_util::FutureExt as _;
    use jiff::{SignedDuration, Timestamp};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    /// A clock that the test sets.
    #[derive(Debug, Default)]
    struct Machine(Mutex<(Timestamp, Duration)>);

    impl Machine {
        fn set(&self, shows: SignedDuration, running: u64) {
            *self.0.lock().unwrap() = (Timestamp::UNIX_EPOCH + shows, Duration::from_secs(running));
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().0
        }

        fn running(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }

    fn machine() -> (Arc<Machine>, ComparedClock) {
        let machine = Arc::new(Machine::default());
        (Arc::clone(&machine), ComparedClock::new(machine))
    }

    #[test]
    fn a_clock_that_is_far_from_the_databases_follows_it() {
        let now = Timestamp::UNIX_EPOCH;
        let (machine, clock) = machine();
        assert!(!clock.is_right(), "nobody has compared it");
        assert_eq!(clock.now(), now);

        assert_eq!(clock.compare(clock.read(), now - SECOND * 30), SECOND * 30);
        assert!(clock.is_right());
        assert_eq!(clock.now(), now);

        assert_eq!(clock.compare(clock.read(), now - SECOND * 31), SECOND * 31);
        assert!(!clock.is_right());
        assert_eq!(clock.now(), now - SECOND * 31);

        assert_eq!(clock.compare(clock.read(), now + SECOND * 32_400), -SECOND * 32_400);
        machine.set(SECOND * 5, 5);
        assert_eq!(clock.now(), now + SECOND * 32_405);
    }

    #[test]
    fn a_slow_answer_is_no_difference() {
        let now = Timestamp::UNIX_EPOCH;
        let (machine, clock) = machine();
        let before = clock.read();
        machine.set(SECOND * 60, 60);
        assert_eq!(clock.compare(before, now + SECOND * 40), SignedDuration::ZERO);
        assert_eq!(clock.compare(before, now + SECOND * 61), -SECOND);
    }

    #[test]
    fn a_clock_that_jumps_is_wrong_at_once_and_shows_the_time_that_has_passed() {
        let now = Timestamp::UNIX_EPOCH;
        let (machine, clock) = machine();
        clock.compare(clock.read(), now);
        for (shows, running, jump) in [
            (SECOND * 35, 5, None),
            (SECOND * 36, 5, Some(SECOND * 31)),
            (SECOND * 32_405, 5, Some(SECOND * 32_400)),
            (-SECOND * 26, 5, Some(-SECOND * 31)),
            (SECOND * 5, 5, None),
        ] {
            machine.set(shows, running);
            assert_eq!(clock.jump(), jump);
            assert_eq!(clock.is_right(), jump.is_none());
            let expected = if jump.is_some() { SECOND * 5 } else { shows };
            assert_eq!(clock.now(), now + expected);
            assert_eq!(clock.jumps().notified().now_or_never().is_some(), jump.is_some());
        }
    }

    #[test]
    fn a_clock_that_is_set_during_the_comparison_is_compared_again() {
        let (machine, clock) = machine();
        let before = clock.read();
        machine.set(SECOND * 32_400, 1);
        assert_eq!(clock.compare(before, Timestamp::UNIX_EPOCH + SECOND), SignedDuration::ZERO);
        assert_eq!(clock.jump(), Some(SECOND * 32_399));
        assert_eq!(clock.compare(clock.read(), Timestamp::UNIX_EPOCH + SECOND), SECOND * 32_399);
        assert_eq!(clock.jump(), None);
    }
}
