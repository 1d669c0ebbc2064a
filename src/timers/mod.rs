//! In: time passing. Each worker is a `step()`.

mod attendance;
mod gauges;
mod ladder;
mod retention;
mod staleness;

pub use attendance::Attendance;
pub use gauges::Gauges;
pub use ladder::Ladder;
pub use retention::Retention;
pub use staleness::Staleness;
