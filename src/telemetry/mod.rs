//! Logs and metrics.

mod checks;
pub mod labels;
pub mod logs;
pub mod metrics;
mod on_call;
mod polls;
mod totals;

pub use labels::{
    DeliveryOutcome, EventResult, Finding, OutboxState, OwnBeat, SilenceEvent, TransactionResult,
};
pub use metrics::{Metrics, MetricsError};
pub use on_call::ScheduleState;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build, if `MATRIXBOT_COMMIT` named it when it was built.
pub const COMMIT: &str = match option_env!("MATRIXBOT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
