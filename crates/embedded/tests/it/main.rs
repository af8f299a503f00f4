//! The services against their real clients.

#[cfg(all(test, feature = "broker"))]
mod broker;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod survivors;

use std::time::Duration;

/// Polls until `condition` holds; panics after `patience`.
async fn eventually(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = tokio::time::Instant::now();
    while !condition().await {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
