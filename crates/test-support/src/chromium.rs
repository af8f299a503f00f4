//! A browser, as people have it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use embedded::TemporaryFolder;
use tokio::process::Command;
use tokio::time::timeout;

/// It takes half a second, and several on two cores that build something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Chromium printed.
#[derive(Clone, Debug)]
pub struct Chromium {
    /// The page as it was in the end, with `--dump-dom`.
    pub dom: String,
    /// The lines of the page's console: errors, and what a policy refused.
    pub console: Vec<String>,
}

impl Chromium {
    pub(crate) async fn run(arguments: &[&str], url: &str) -> anyhow::Result<Self> {
        let profile = TemporaryFolder::create()?;
        let mut command = Command::new("chromium");
        command
            // Its sandbox is not for root, which tests in containers are. The pages are our own.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--disable-sync", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .arg(url)
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("Chromium did not end within {PATIENCE:?}"))?;
        let output = output.context("Chromium can't be started: install Debian's package chromium")?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "Chromium ended with {}:\n{log}", output.status);
        let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        Ok(Self { dom: String::from_utf8(output.stdout)?, console })
    }
}
