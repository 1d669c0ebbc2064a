//! Periodic workers, one file each. `app::workers` (`src/app/workers.rs`) registers them.

mod attendance;
mod audit;
mod calendars;
mod clock;
mod gauges;
mod hand_overs;
mod ladder;
mod liveness;
mod own_heartbeat;
mod polling;
mod reconcile;
mod retention;
mod silencing;
mod staleness;
mod storms;
mod totals;

pub use attendance::Attendance;
pub use audit::Audit;
pub use calendars::Calendars;
pub use clock::{ClockCheck, DatabaseClock, difference};
pub use gauges::Gauges;
pub use hand_overs::HandOvers;
pub use ladder::Ladder;
pub use liveness::Liveness;
pub use own_heartbeat::OwnHeartbeat;
pub use polling::{Asking, Polling};
pub use reconcile::{Reconcile, ReconcileError};
pub use retention::Retention;
pub use silencing::{Attempt, Silencer, Silencing};
pub use staleness::Staleness;
pub use storms::Storms;
pub use totals::Totals;
