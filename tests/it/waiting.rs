//! Waiting for what a process does, on the machine's clock.

use std::time::Duration;

/// What is waited for happens within this time, or never.
pub(crate) const BOUND: Duration = Duration::from_secs(40);

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(BOUND, waiting).await.is_ok(), "in vain: {what}");
}
