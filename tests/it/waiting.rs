//! Waits for real processes, on the machine's clock.

use std::time::Duration;

/// The longest time to wait for a condition.
pub(crate) const BOUND: Duration = Duration::from_secs(40);

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, waiting).await.is_ok(), "timed out: {what}");
}
