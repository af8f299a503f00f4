//! What is in the topic, and when it came there.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use rand::{Rng, RngExt};
use stream::Lane;
use telecom::{Action, Day, FileName, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};

use crate::upkeep::DAY_MS;
use crate::{LaneProgress, LaneRecord, REPUBLISH_WITHIN_MS, RecordRules, SourcedUsage};

pub(crate) const HOUR_MS: i64 = 60 * 60 * 1000;
/// 2024-01-01
pub(crate) const START_MS: i64 = 1_704_067_200_000;
/// The epoch that the lanes belong to.
pub(crate) const EPOCH: u32 = 2;
/// What ends a day before the counters' own limit: decisions that let rows of a file come again.
const DECIDED_WITHIN_MS: i64 = REPUBLISH_WITHIN_MS - DAY_MS;

/// The records of every lane.
pub(crate) struct Stream {
    pub(crate) lanes: Vec<(Lane, Vec<Published>)>,
    /// A source that the store knows from before.
    pub(crate) inherited: Option<Inherited>,
    /// What an earlier version of the program closed.
    pub(crate) closed_before_ms: Option<i64>,
    /// Whether it spans months, so that entries expire.
    pub(crate) is_long: bool,
    /// Whether the next rules read some records otherwise.
    pub(crate) is_read_otherwise: bool,
    /// The rows of each file that was published to its end.
    pub(crate) complete: HashMap<(SourceId, FileName), u64>,
    /// When it was decided to publish something of a source, and when all of that had been.
    plans: Vec<Plan>,
    /// Sources whose files the lake does not know.
    strangers: Vec<SourceId>,
}

/// A source whose records are all refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherited {
    /// An earlier epoch has counted it.
    OtherEpoch(SourceId),
    /// An earlier version of the program has closed it.
    Closed(SourceId),
}

impl Inherited {
    pub(crate) fn source(self) -> SourceId {
        match self {
            Self::OtherEpoch(source) | Self::Closed(source) => source,
        }
    }
}

/// A record, and when it came into the topic.
pub(crate) struct Published {
    pub(crate) at_ms: i64,
    record: LaneRecord,
    /// What the next rules make of it, if it is something else.
    otherwise: Option<Option<SourcedUsage>>,
}

impl Published {
    pub(crate) fn offset(&self) -> i64 {
        self.record.offset
    }

    /// As it is read by these rules.
    pub(crate) fn read_by(&self, rules: u32) -> LaneRecord {
        match self.otherwise {
            Some(usage) if rules > 1 => LaneRecord { usage, ..self.record },
            _ => self.record,
        }
    }
}

/// The first or the next rules.
pub(crate) fn record_rules(number: u32) -> RecordRules {
    RecordRules { number, zone: "Africa/Johannesburg".to_owned() }
}

struct Plan {
    source: SourceId,
    decided_ms: i64,
    done_ms: i64,
}

impl Stream {
    /// Each file is published in order, perhaps several times, under several names, up to a crash, by several
    /// publishers at once, continued where another had been, grown, or taken back; here and there records without a source,
    /// records that can't be used, and holes.
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        Draft::new(rng).drawn(rng)
    }

    /// Since when everything has been published of a source that was ever to be, as it is at a moment; `None` where something
    /// is on its way.
    pub(crate) fn published_ms(&self, source: SourceId, now_ms: i64) -> Option<i64> {
        if self.strangers.contains(&source) {
            return Some(i64::MIN);
        }
        let decided = self.plans.iter().filter(|plan| plan.source == source && plan.decided_ms <= now_ms);
        let done_ms = decided.map(|plan| plan.done_ms).max().unwrap_or(i64::MIN);
        (done_ms <= now_ms).then_some(done_ms)
    }

    /// How many records a lane has at a moment.
    pub(crate) fn available(&self, index: usize, now_ms: i64) -> usize {
        self.lanes[index].1.partition_point(|published| published.at_ms <= now_ms)
    }

    /// How long each lane's log is at a moment.
    pub(crate) fn ends(&self, now_ms: i64) -> Vec<(Lane, i64)> {
        let end = |(index, (lane, records)): (usize, &(Lane, Vec<Published>))| {
            let available = &records[..self.available(index, now_ms)];
            (lane.clone(), available.last().map_or(0, |last| last.offset() + 1))
        };
        self.lanes.iter().enumerate().map(end).collect()
    }

    /// A day on which a record comes.
    pub(crate) fn a_day(&self, rng: &mut impl Rng) -> i64 {
        let records = &self.lanes[rng.random_range(..self.lanes.len())].1;
        let at_ms = if records.is_empty() { START_MS } else { records[rng.random_range(..records.len())].at_ms };
        (at_ms - START_MS).div_euclid(DAY_MS)
    }

    /// When the next record comes, if there is one.
    pub(crate) fn next_ms(&self, now_ms: i64) -> Option<i64> {
        let next = |(index, (_, records)): (usize, &(Lane, Vec<Published>))| {
            records.get(self.available(index, now_ms)).map(|published| published.at_ms)
        };
        self.lanes.iter().enumerate().filter_map(next).min()
    }

    pub(crate) fn expected_progress(&self, index: usize) -> LaneProgress {
        let records = &self.lanes[index].1;
        LaneProgress {
            next_offset: records.last().map_or(0, |last| last.offset() + 1),
            records: records.len() as u64,
            newest_timestamp_ms: records.iter().map(|published| published.record.timestamp_ms).max(),
        }
    }
}

/// A stream in the making: what is published, by time.
struct Draft {
    stream: Stream,
    keys: u64,
    lines: u64,
    sources: u8,
    events: Vec<Event>,
}

struct Event {
    at_ms: i64,
    lane: usize,
    timestamp_ms: i64,
    usage: Option<SourcedUsage>,
    otherwise: Option<Option<SourcedUsage>>,
}

/// Lines of a file, to be published in order.
#[derive(Clone)]
struct Lines {
    source: u8,
    name: u8,
    lines: RangeInclusive<u64>,
    action: Action,
}

/// One attempt at that.
struct Attempt {
    start_ms: i64,
    /// Nothing is published later.
    until_ms: i64,
    /// A crash: what each lane still got.
    last_lines: Vec<u64>,
}

impl Draft {
    fn new(rng: &mut impl Rng) -> Self {
        let sources = rng.random_range(1..=3);
        let inherited = match rng.random_range(0..10) {
            0 if sources > 1 => Some(Inherited::OtherEpoch(source_id(0))),
            1 if sources > 1 => Some(Inherited::Closed(source_id(0))),
            _ => None,
        };
        let is_closed = matches!(inherited, Some(Inherited::Closed(_))) || rng.random_bool(0.2);
        let lanes = 0..rng.random_range(1..=2);
        let stream = Stream {
            lanes: lanes.map(|partition| (lane(partition), Vec::new())).collect(),
            inherited,
            closed_before_ms: is_closed.then_some(START_MS),
            is_long: rng.random_bool(0.3),
            is_read_otherwise: rng.random_bool(0.25),
            complete: HashMap::new(),
            plans: Vec::new(),
            strangers: Vec::new(),
        };
        let keys = [2, 3, 5][rng.random_range(..3_usize)];
        let lines = [6, 12, 20][rng.random_range(..3_usize)];
        Self { stream, keys, lines, sources, events: Vec::new() }
    }

    fn drawn(mut self, rng: &mut impl Rng) -> Stream {
        for source in 0..self.sources {
            self.publish_source(rng, source);
        }
        self.scatter(rng);
        // What one publisher does has its order; at one moment, that of the drawing.
        self.events.sort_by_key(|event| event.at_ms);
        self.estrange(rng);
        for event in self.events {
            let records = &mut self.stream.lanes[event.lane].1;
            let next = records.last().map_or(0, |last| last.offset() + 1);
            let hole = if rng.random_bool(0.02) { rng.random_range(1..4) } else { 0 };
            let record = LaneRecord { offset: next + hole, timestamp_ms: event.timestamp_ms, usage: event.usage };
            records.push(Published { at_ms: event.at_ms, record, otherwise: event.otherwise });
        }
        self.stream
    }

    /// All that is ever published of a source.
    fn publish_source(&mut self, rng: &mut impl Rng, source: u8) {
        // What was published before may come again as long as that is allowed; other things may begin late.
        let began_ms = match self.is_refused(source) {
            true => START_MS + self.pause_ms(rng).min(DECIDED_WITHIN_MS),
            false if self.stream.is_long && rng.random_bool(0.3) => START_MS + 50 * DAY_MS + self.pause_ms(rng),
            false => START_MS + self.pause_ms(rng),
        };
        let (first_done_ms, mut all_done_ms, last_line) = self.publish_pieces(rng, source, began_ms);
        let limit_ms = first_done_ms + DECIDED_WITHIN_MS;
        if rng.random_bool(0.5) {
            let decided_ms = (began_ms + self.pause_ms(rng)).min(limit_ms);
            let copy = Lines { source, name: 1, lines: 1..=self.lines, action: Action::Count };
            let done_ms = self.publish(rng, &copy, decided_ms);
            self.stream.complete.insert((source_id(source), file_name(source, 1)), self.lines);
            self.publish_again(rng, &copy, done_ms);
            all_done_ms = all_done_ms.max(done_ms);
        }
        if rng.random_bool(0.35) && !self.is_refused(source) && !self.stream.is_read_otherwise {
            // Decided only when all is published: or, as must not be, before; but not before the lines are there.
            let (earliest_ms, last_line) =
                if rng.random_bool(0.15) { (began_ms, self.lines) } else { (all_done_ms, last_line) };
            if earliest_ms <= limit_ms {
                let decided_ms = (earliest_ms + self.pause_ms(rng)).min(limit_ms);
                let to_line = if rng.random_bool(0.3) { rng.random_range(1..=last_line) } else { last_line };
                let name = rng.random_range(0..2);
                let taken_back = Lines { source, name, lines: 1..=to_line, action: Action::Withdraw };
                let done_ms = self.publish(rng, &taken_back, decided_ms);
                self.publish_again(rng, &taken_back, done_ms);
            }
        }
    }

    /// A file that may grow: says when its first piece and when its last one was done, and which line is its last.
    fn publish_pieces(&mut self, rng: &mut impl Rng, source: u8, began_ms: i64) -> (i64, i64, u64) {
        let may_grow = self.stream.is_long && !self.is_refused(source);
        let pieces = if may_grow && rng.random_bool(0.4) { rng.random_range(2..=3) } else { 1 };
        let (mut first_done_ms, mut decided_ms, mut done_ms, mut next) = (None, began_ms, began_ms, 1);
        for _ in 0..pieces {
            let last = if next == 1 { self.lines } else { next + rng.random_range(0..4) };
            let piece = Lines { source, name: 0, lines: next..=last, action: Action::Count };
            done_ms = self.publish(rng, &piece, decided_ms);
            self.publish_again(rng, &piece, done_ms);
            first_done_ms = first_done_ms.or(Some(done_ms));
            next = last + 1;
            let pause_days = [1, 20, rng.random_range(35..45), 60][rng.random_range(..4_usize)];
            decided_ms = done_ms + pause_days * DAY_MS;
        }
        self.stream.complete.insert((source_id(source), file_name(source, 0)), next - 1);
        (first_done_ms.unwrap_or(done_ms), done_ms, next - 1)
    }

    /// Attempts until one has come to its end; says when.
    fn publish(&mut self, rng: &mut impl Rng, lines: &Lines, decided_ms: i64) -> i64 {
        let mut start_ms = decided_ms + self.pause_ms(rng);
        for _ in 0..rng.random_range(0..=2) {
            let crashed = self.crashed(rng, lines);
            let end_ms = self.attempt(rng, lines, &Attempt { start_ms, until_ms: i64::MAX, last_lines: crashed });
            // The next one begins when this has ended, or thinks that it has.
            start_ms =
                if rng.random_bool(0.3) { rng.random_range(start_ms..=end_ms) } else { end_ms + self.pause_ms(rng) };
        }
        let last_lines = vec![*lines.lines.end(); self.stream.lanes.len()];
        let done_ms =
            self.attempt(rng, lines, &Attempt { start_ms, until_ms: i64::MAX, last_lines: last_lines.clone() });
        self.stream.plans.push(Plan { source: source_id(lines.source), decided_ms, done_ms });
        if rng.random_bool(0.3) {
            // A publisher that goes on where that one had been acknowledged, which was at its end.
            let next = rng.random_range(lines.lines.clone());
            let rest = Lines { lines: next..=*lines.lines.end(), ..lines.clone() };
            let until_ms = done_ms + REPUBLISH_WITHIN_MS;
            self.attempt(rng, &rest, &Attempt { start_ms: done_ms, until_ms, last_lines });
        }
        done_ms
    }

    /// Attempts at what was published before, as long as that is allowed.
    fn publish_again(&mut self, rng: &mut impl Rng, lines: &Lines, done_ms: i64) {
        for _ in 0..rng.random_range(0..=2) {
            let decided_ms = done_ms + self.pause_ms(rng).min(DECIDED_WITHIN_MS);
            let last_lines = if rng.random_bool(0.5) {
                self.crashed(rng, lines)
            } else {
                vec![*lines.lines.end(); self.stream.lanes.len()]
            };
            let until_ms = done_ms + REPUBLISH_WITHIN_MS;
            self.attempt(rng, lines, &Attempt { start_ms: decided_ms, until_ms, last_lines });
        }
    }

    fn crashed(&self, rng: &mut impl Rng, lines: &Lines) -> Vec<u64> {
        let last_line = |_| rng.random_range(lines.lines.start() - 1..=*lines.lines.end());
        (0..self.stream.lanes.len()).map(last_line).collect()
    }

    fn attempt(&mut self, rng: &mut impl Rng, lines: &Lines, attempt: &Attempt) -> i64 {
        let skew_ms = skew_ms(rng);
        let file = Some(file_name(lines.source, lines.name));
        let mut at_ms = attempt.start_ms;
        for line in lines.lines.clone() {
            at_ms += rng.random_range(0..1000);
            if self.stream.is_long && rng.random_bool(0.02) {
                at_ms += rng.random_range(0..2 * DAY_MS);
            }
            let key = (u64::from(lines.source) * 7 + line * line) % self.keys;
            let lane = key as usize % self.stream.lanes.len();
            if at_ms > attempt.until_ms || line > attempt.last_lines[lane] {
                continue;
            }
            let source = Some(Source { id: source_id(lines.source), line, file });
            let usage = SourcedUsage { event: event(key, line), source, action: lines.action, tower: None };
            let is_odd = self.stream.is_read_otherwise && line.is_multiple_of(3);
            let otherwise = is_odd.then_some(Some(SourcedUsage { event: event(key + 100, line), ..usage }));
            let timestamp_ms = at_ms - rng.random_range(0..HOUR_MS) + skew_ms;
            self.events.push(Event { at_ms, lane, timestamp_ms, usage: Some(usage), otherwise });
        }
        at_ms
    }

    /// Records without a source, and some that can't be used.
    fn scatter(&mut self, rng: &mut impl Rng) {
        for _ in 0..self.events.len() / 10 {
            let near = &self.events[rng.random_range(..self.events.len())];
            let at_ms = near.at_ms + rng.random_range(0..HOUR_MS);
            let key = rng.random_range(0..self.keys);
            let lane = key as usize % self.stream.lanes.len();
            let unsourced =
                |key| SourcedUsage { event: event(key, 77), source: None, action: Action::Count, tower: None };
            let usage = rng.random_bool(0.7).then_some(unsourced(key));
            let otherwise = self.stream.is_read_otherwise.then_some(match rng.random_range(0..3) {
                0 => None,
                1 => Some(unsourced(key)),
                _ => Some(unsourced(key + 100)),
            });
            self.events.push(Event { at_ms, lane, timestamp_ms: at_ms + skew_ms(rng), usage, otherwise });
        }
    }

    /// Of a file that the lake does not know, nothing comes any more when nothing has come for weeks: only that is known of it.
    fn estrange(&mut self, rng: &mut impl Rng) {
        for source in (0..self.sources).map(source_id) {
            let of_source =
                |event: &&Event| event.usage.and_then(|usage| usage.source).is_some_and(|of| of.id == source);
            let times: Vec<_> = self.events.iter().filter(of_source).map(|event| event.at_ms).collect();
            let pause_ms = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
            if pause_ms <= REPUBLISH_WITHIN_MS && !self.is_inherited(source) && rng.random_bool(0.3) {
                self.stream.strangers.push(source);
            }
        }
    }

    fn is_inherited(&self, source: SourceId) -> bool {
        self.stream.inherited.is_some_and(|inherited| inherited.source() == source)
    }

    fn is_refused(&self, source: u8) -> bool {
        self.is_inherited(source_id(source))
    }

    /// Minutes; or, in a long stream, also days and weeks.
    fn pause_ms(&self, rng: &mut impl Rng) -> i64 {
        match rng.random_range(0..10) {
            0 if self.stream.is_long => rng.random_range(0..40 * DAY_MS),
            1..3 if self.stream.is_long => rng.random_range(0..2 * DAY_MS),
            _ => rng.random_range(0..HOUR_MS / 6),
        }
    }
}

/// How wrong a sender's clock is: not at all, weeks or a year.
fn skew_ms(rng: &mut impl Rng) -> i64 {
    match rng.random_range(0..20) {
        0 => 40 * DAY_MS,
        1 => -40 * DAY_MS,
        2 => -400 * DAY_MS,
        _ => 0,
    }
}

pub(crate) fn lane(partition: i32) -> Lane {
    Lane { epoch: EPOCH, topic: "cdr-data".to_owned(), partition }
}

pub(crate) fn source_id(source: u8) -> SourceId {
    SourceId([0, 0, 0, 0, 0, 0, 0, source])
}

fn file_name(source: u8, name: u8) -> FileName {
    FileName::parse(&format!("cdr_data_20240101_00{source:02}{name:02}.csv")).expect("a file name")
}

fn event(key: u64, amount: u64) -> UsageEvent {
    UsageEvent {
        msisdn: Msisdn::from_u64(27_821_000_000 + key).expect("a subscriber number"),
        day: Day::from_civil(2024, 1, 1).expect("a day"),
        kind: if key.is_multiple_of(2) { UsageKind::DataVideo } else { UsageKind::DataText },
        totals: Totals { up_bytes: amount, down_bytes: 1000 * amount, seconds: 0, events: 1 },
    }
}
