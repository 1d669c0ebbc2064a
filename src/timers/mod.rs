//! In: time passing. Each worker is a `step()`.

mod gauges;
mod ladder;
mod retention;
mod staleness;

pub use gauges::Gauges;
pub use ladder::Ladder;
pub use retention::Retention;
pub use staleness::Staleness;
