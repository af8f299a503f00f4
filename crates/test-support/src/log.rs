//! What a test's process logs.

use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};

/// What has been logged so far.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<u8>>);

impl Log {
    /// All of its lines.
    ///
    /// # Panics
    /// When they are no text.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text")
    }
}

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what this process logs from the first call on, as JSON lines without times. All its tests log into the same.
///
/// # Panics
/// When something else takes the log.
pub fn log() -> &'static Log {
    static LOG: LazyLock<&Log> = LazyLock::new(|| {
        let log: &Log = Box::leak(Box::default());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_target(false).without_time();
        subscriber.with_writer(move || log).init();
        log
    });
    *LOG
}
