use anyhow::ensure;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use telecom::RecordType;

use crate::callers::{Callers, Turn};
use crate::draws::{Draws, Purpose};
use crate::options::{MAX_LINES_PER_FILE, Options};
use crate::population::{NUMBERS, Population};

/// Options that make sense, and everything that follows from them: which files there are, their names and their rows.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) faults: f64,
    pub(crate) population: Population,
    callers: Callers,
    start: DateTime,
    seconds: u64,
    lines_per_second: u32,
    lines_per_file: u32,
}

/// Which time a second delivery has in its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Just after the first delivery's, where that second is free.
    Soon,
    /// After the end of the run.
    Late,
}

/// Days that the pipeline counts: 1970-01-01 to 2100-12-31.
const FIRST_DAY: Date = Date::constant(1970, 1, 1);
const LAST_DAY: Date = Date::constant(2100, 12, 31);

/// The longest run: as long as the days above, so that no arithmetic on seconds can overflow.
const MAX_SECONDS: u64 = 131 * 366 * 86_400;

impl Plan {
    /// # Errors
    /// One line that names the option and says what it may be.
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let Options { seed, seconds, lines_per_second, lines_per_file, subscribers, start, faults, .. } = *options;
        ensure!(seconds >= 1, "--seconds is 0: there would be nothing to generate");
        ensure!(lines_per_second >= 1, "--lines-per-second is 0: there would be nothing to generate");
        ensure!(
            (1..=MAX_LINES_PER_FILE).contains(&lines_per_file),
            "--lines-per-file {lines_per_file}: give 1 to {MAX_LINES_PER_FILE}"
        );
        ensure!(
            lines_per_second <= lines_per_file,
            "--lines-per-second {lines_per_second} would give two files one name: a file has {lines_per_file} lines \
             and its name says only the second it begins in, so at most {lines_per_file}"
        );
        ensure!(
            (1..=NUMBERS).contains(&subscribers),
            "--subscribers {subscribers}: give 1 to {NUMBERS}, as there are no more mobile numbers"
        );
        ensure!(
            lines_per_second <= subscribers,
            "--lines-per-second {lines_per_second} with --subscribers {subscribers}: nobody begins two calls in one \
             second, so give at least as many subscribers"
        );
        ensure!((0.0..=1.0).contains(&faults), "--faults {faults}: give a probability from 0 to 1");
        ensure!(start.subsec_nanosecond() == 0, "--start {start}: give whole seconds");
        let population = Population::new(seed, subscribers);
        let callers = Callers::new(seed, subscribers, lines_per_second);
        let plan = Self { seed, faults, population, callers, start, seconds, lines_per_second, lines_per_file };
        let last = (seconds <= MAX_SECONDS).then(|| plan.last_name_second()).and_then(|last| plan.checked_time(last));
        ensure!(
            start.date() >= FIRST_DAY && last.is_some_and(|last| last.date() <= LAST_DAY),
            "--start {start} and --seconds {seconds}: the records must lie between {FIRST_DAY} and {LAST_DAY}"
        );
        Ok(plan)
    }

    /// Records of one type.
    pub(crate) fn rows(&self) -> u64 {
        self.seconds * u64::from(self.lines_per_second)
    }

    /// When the run ends, and another may go on.
    pub(crate) fn end(&self) -> DateTime {
        self.start.saturating_add(i64::try_from(self.seconds).unwrap_or(i64::MAX).seconds())
    }

    /// File sets: a set is one file of each type, and what faults make of them.
    pub(crate) fn sets(&self) -> u64 {
        self.rows().div_ceil(self.lines_per_file.into())
    }

    /// Rows of each file of a set: as many as a file has, fewer only in the last one.
    pub(crate) fn rows_in(&self, set: u64) -> u32 {
        let left = self.rows() - self.rows_before(set);
        u32::try_from(left).map_or(self.lines_per_file, |left| left.min(self.lines_per_file))
    }

    /// Records of one type in all sets before this one.
    pub(crate) fn rows_before(&self, set: u64) -> u64 {
        self.rows().min(set * u64::from(self.lines_per_file))
    }

    /// When a row of a set happened, in seconds since the start.
    pub(crate) fn second_of(&self, set: u64, row: u32) -> u64 {
        (self.rows_before(set) + u64::from(row)) / u64::from(self.lines_per_second)
    }

    /// A set's choices of one purpose. They are its time's, not its number's: a run that begins where another ended
    /// has other rows.
    pub(crate) fn draws(&self, purpose: Purpose, set: u64) -> Draws {
        Draws::new(self.seed, purpose, self.first_second() + self.second_of(set, 0))
    }

    /// Who makes a set's calls, row by row.
    pub(crate) fn turns(&self, set: u64) -> impl Iterator<Item = Turn> {
        let first = self.rows_before(set);
        self.callers.turns(self.first_second(), first..first + u64::from(self.rows_in(set)))
    }

    /// The start in seconds since 1970, on the wall clock.
    fn first_second(&self) -> u64 {
        let since = self.start.duration_since(FIRST_DAY.at(0, 0, 0, 0));
        u64::try_from(since.as_secs()).unwrap_or_default()
    }

    /// The name of a set's file of one type, without a compression's suffix: the time of its first row.
    pub(crate) fn name(&self, record_type: RecordType, set: u64) -> String {
        self.name_at(record_type, self.second_of(set, 0))
    }

    /// The name under which a set's file is delivered once more, at a time that no other name has: a second after the
    /// first name, or after the end of the run (also where the next second belongs to the next file).
    pub(crate) fn second_name(&self, record_type: RecordType, set: u64, again: Again) -> String {
        let next = self.second_of(set, 0) + 1;
        let is_free = set + 1 == self.sets() || next < self.second_of(set + 1, 0);
        let second = if is_free && again == Again::Soon { next } else { self.seconds + 1 + set };
        self.name_at(record_type, second)
    }

    /// A clock for the records of this plan.
    pub(crate) fn clock(&self) -> Clock {
        let time = self.start.time();
        let second_of_day = time.hour() as u64 * 3_600 + time.minute() as u64 * 60 + time.second() as u64;
        Clock { start: self.start.date(), second_of_day, day: None, text: *b"0000-00-00 00:00:00" }
    }

    fn name_at(&self, record_type: RecordType, second: u64) -> String {
        let mut clock = self.clock();
        let [year @ .., _, m1, m2, _, d1, d2, _, h1, h2, _, i1, i2, _, s1, s2] = *clock.at(second);
        let digits = [&year[..], &[m1, m2, d1, d2, b'_', h1, h2, i1, i2, s1, s2]].concat();
        format!("cdr_{}_{}.csv", record_type.as_str(), String::from_utf8_lossy(&digits))
    }

    fn last_name_second(&self) -> u64 {
        if self.faults > 0.0 { self.seconds + self.sets() } else { self.seconds }
    }

    fn checked_time(&self, second: u64) -> Option<DateTime> {
        self.start.checked_add(i64::try_from(second).ok()?.seconds()).ok()
    }
}

/// Writes times as the files have them, `2024-01-01 10:15:30`, without a calendar computation for each.
pub(crate) struct Clock {
    start: Date,
    second_of_day: u64,
    day: Option<u64>,
    text: [u8; 19],
}

impl Clock {
    /// The time so many seconds after the start; the plan has checked that it exists.
    pub(crate) fn at(&mut self, second: u64) -> &[u8; 19] {
        let second = self.second_of_day + second;
        let (day, rest) = (second / 86_400, second % 86_400);
        if self.day != Some(day) {
            self.day = Some(day);
            let days = i32::try_from(day).unwrap_or(i32::MAX);
            let date = self.start.saturating_add(days.days());
            self.text[..10].copy_from_slice(date.to_string().as_bytes());
        }
        for (at, two) in [(11, rest / 3_600), (14, rest / 60 % 60), (17, rest % 60)] {
            self.text[at] = b'0' + (two / 10) as u8;
            self.text[at + 1] = b'0' + (two % 10) as u8;
        }
        &self.text
    }
}
