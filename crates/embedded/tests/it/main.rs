//! The services against their real clients.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod services;
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

/// When the tests run as root, PostgreSQL has a user of its own, who must get through to its data.
fn make_passable(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let passable = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(folder, passable).expect("the permissions of a folder of our own");
}
