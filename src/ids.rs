//! Where fresh identifiers come from.

use uuid::Uuid;

/// A globally unique id that sorts by its time of making: an outbox message's id and its Matrix transaction id, a
/// worker's name as lease owner.
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn unique() -> Uuid {
    Uuid::now_v7()
}
