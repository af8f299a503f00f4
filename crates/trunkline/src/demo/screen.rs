//! Progress for people: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figures::grouped;
use crate::follow::Progress;

/// How often a log file gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

pub(super) struct Screen {
    bars: MultiProgress,
    pub(super) generated: ProgressBar,
    files: ProgressBar,
    rows: ProgressBar,
    is_terminal: bool,
    last_line: Option<Instant>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let bar = |what: &'static str| bars.add(ProgressBar::new(0).with_style(style()).with_prefix(what));
        let (generated, files, rows) = (bar("rows generated"), bar("files read"), bar("rows counted"));
        Self { bars, generated, files, rows, is_terminal, last_line: None }
    }

    /// Shows how far the pipeline is.
    pub(super) fn show(&mut self, progress: Progress) {
        self.files.set_length(progress.files);
        self.files.set_position(progress.files_read);
        self.rows.set_length(progress.accepted);
        self.rows.set_position(progress.accounted);
        let is_due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if !self.is_terminal && is_due && !progress.is_counted() {
            self.last_line = Some(Instant::now());
            println!(
                "  files read {} of {}, rows counted {} of {} so far",
                grouped(progress.files_read),
                grouped(progress.files),
                grouped(progress.accounted),
                grouped(progress.accepted),
            );
        }
    }

    pub(super) fn done(self) {
        self.generated.finish_and_clear();
        self.files.finish_and_clear();
        self.rows.finish_and_clear();
        drop(self.bars);
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:<15} {bar:30} {human_pos:>9} of {human_len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
