//! The wish to end: Ctrl-C, or the signal that service managers send.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("can't wait for SIGTERM")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("can't wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
