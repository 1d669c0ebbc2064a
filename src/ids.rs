//! New ids. No other code makes ids.

use uuid::Uuid;

/// A globally unique id that sorts by its creation time. It serves as the id of an outbox message, which is also its
/// Matrix transaction id, and as the id of a lease owner.
#[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
pub fn unique() -> Uuid {
    Uuid::now_v7()
}
