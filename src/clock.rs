//! Where time comes from. Nobody else reads it.

use jiff::Timestamp;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// A source of the present instant.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present instant, to the microsecond (what Postgres keeps).
    fn now(&self) -> Timestamp;
}

/// The clock as the program holds it.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
    fn now(&self) -> Timestamp {
        to_microseconds(Timestamp::now())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(to_microseconds(start)))
    }

    /// Moves the clock forward and returns what it shows then.
    pub fn advance(&self, by: std::time::Duration) -> Timestamp {
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

fn to_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
