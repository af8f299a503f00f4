//! Where log lines go. Functions log JSON lines; what the command line says itself is text for people.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use jiff::Timestamp;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::rotating::Rotating;

/// The driver tells every node and connection at `info`.
const DRIVER_FILTER: &str = "scylla=warn";

/// Errors, but for the driver's, which come before the one that is told.
const ERRORS: &str = "error,scylla=off";

/// A day of the demo's, about; with the file before it, twice as much.
const LOG_BYTES_MAX: u64 = 32 << 20;

/// What is logged where `RUST_LOG` says nothing else.
const INFO: &str = "info";

/// `RUST_LOG`, or without it `level`; in any case quieter about the services that the demo embeds, and the usage store's driver.
fn filter(level: &str) -> EnvFilter {
    let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    if level == ERRORS {
        return asked;
    }
    let quieter = embedded::LOG_FILTER.split(',').chain([DRIVER_FILTER]).filter_map(|directive| directive.parse().ok());
    quieter.fold(asked, EnvFilter::add_directive)
}

/// JSON lines to standard error, so that standard output stays the command's own.
pub(crate) fn to_stderr() {
    as_json(INFO, std::io::stderr);
}

/// The same of errors alone, for a command that says itself what is wrong.
pub(crate) fn errors_to_stderr() {
    as_json(ERRORS, std::io::stderr);
}

/// JSON lines to a file, for a command that has a screen to keep tidy.
pub(crate) fn to_file(path: &Path) -> anyhow::Result<()> {
    let file =
        Rotating::open(path, LOG_BYTES_MAX).with_context(|| format!("can't write the log {}", path.display()))?;
    as_json(INFO, Mutex::new(file));
    Ok(())
}

/// Lines for people, as the generator has always written them: `2024-12-07 10:00:00 - INFO - …`, in UTC.
pub(crate) fn as_text() {
    tracing_subscriber::fmt()
        // Colours are for people, not for files.
        .with_ansi(std::io::stderr().is_terminal())
        .event_format(Text)
        .with_env_filter(filter(INFO))
        .with_writer(std::io::stderr)
        .init();
}

fn as_json<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(level: &str, writer: W) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter(level))
        .with_target(false)
        .with_writer(writer)
        .init();
}

struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S");
        write!(line, "{now} - {} - ", event.metadata().level())?;
        context.field_format().format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}
