//! What is in the topic, and what a plain fold makes of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::{Rng, RngExt};
use telecom::{Day, FileName, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};

use crate::store::FileAccount;
use crate::{Buckets, Lane, LaneProgress, LaneRecord, REPUBLISH_WITHIN_MS, RowKey, SourcedUsage};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2024-01-01
const START_MS: i64 = 1_704_067_200_000;
/// The epoch that the lanes belong to.
pub(crate) const EPOCH: u32 = 2;

/// The records of every lane.
pub(crate) struct Stream {
    pub(crate) lanes: Vec<(Lane, Vec<LaneRecord>)>,
    /// A source that another epoch has counted.
    pub(crate) foreign: Option<SourceId>,
    /// Whether its time spans more than entries live.
    pub(crate) is_long: bool,
    /// The rows of each file that was published to its end.
    complete: HashMap<(SourceId, FileName), u64>,
}

/// What has to come out.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) usage: BTreeMap<RowKey, Totals>,
    pub(crate) accounts: Vec<FileAccount>,
    pub(crate) refused: HashSet<(Lane, i64)>,
}

/// One publication of a file: all its lines in order, or a part of them.
struct Publication {
    source: u8,
    file: FileName,
    next: u64,
    lines: u64,
    /// A crash: what each lane still got.
    last_line: Vec<u64>,
    /// It goes on where this other publication had been acknowledged.
    continues: Option<usize>,
}

impl Stream {
    /// Each file is published in order, perhaps several times, under several names, up to a crash, by several
    /// publishers at once, or continued where another had been; here and there records without a source, records that
    /// can't be used, and holes.
    pub(crate) fn draw(rng: &mut impl Rng) -> Self {
        let lanes: usize = rng.random_range(1..=2);
        let keys = [2, 3, 5][rng.random_range(..3_usize)];
        let sources = rng.random_range(1..=3);
        let lines = [6, 12, 20][rng.random_range(..3_usize)];
        let mut publications = Vec::new();
        let mut complete = HashMap::new();
        for source in 0..sources {
            for name in 0..rng.random_range(1..=2) {
                let file = file_name(source, name);
                for _ in 0..rng.random_range(0..=2) {
                    let crashed = rng.random_bool(0.7);
                    let last_line =
                        (0..lanes).map(|_| if crashed { rng.random_range(0..=lines) } else { lines }).collect();
                    publications.push(Publication { source, file, next: 1, lines, last_line, continues: None });
                }
                publications.push(Publication {
                    source,
                    file,
                    next: 1,
                    lines,
                    last_line: vec![lines; lanes],
                    continues: None,
                });
                complete.insert((source_id(source), file), lines);
                if rng.random_bool(0.3) {
                    publications.push(Publication {
                        source,
                        file,
                        next: rng.random_range(1..=lines),
                        lines,
                        last_line: vec![lines; lanes],
                        continues: Some(publications.len() - 1),
                    });
                }
            }
        }
        let is_long = rng.random_bool(0.2);
        let foreign = (sources > 1 && rng.random_bool(0.1)).then(|| source_id(0));
        let mut stream = Self {
            lanes: (0..lanes).map(|partition| (lane(partition as i32), Vec::new())).collect(),
            foreign,
            is_long,
            complete,
        };
        let mut clock_ms = START_MS;
        stream.publish(rng, publications, keys, &mut clock_ms);
        if is_long {
            stream.publish_later(rng, keys, lines, &mut clock_ms);
        }
        stream
    }

    fn publish(&mut self, rng: &mut impl Rng, mut publications: Vec<Publication>, keys: u64, clock_ms: &mut i64) {
        loop {
            let ready: Vec<_> = (0..publications.len()).filter(|&index| is_ready(&publications, index)).collect();
            if ready.is_empty() {
                return;
            }
            let publication = &mut publications[ready[rng.random_range(..ready.len())]];
            let line = publication.next;
            publication.next += 1;
            let source = Source { id: source_id(publication.source), line, file: Some(publication.file) };
            let key = (u64::from(publication.source) * 7 + line * line) % keys;
            let index = key as usize % self.lanes.len();
            if line <= publication.last_line[index] {
                self.push(rng, index, Some(SourcedUsage { event: event(key, line), source: Some(source) }), clock_ms);
            }
            if rng.random_bool(0.06) {
                let key = rng.random_range(0..keys);
                let index = key as usize % self.lanes.len();
                self.push(rng, index, Some(SourcedUsage { event: event(key, 77), source: None }), clock_ms);
            }
            if rng.random_bool(0.03) {
                let index = rng.random_range(..self.lanes.len());
                self.push(rng, index, None, clock_ms);
            }
        }
    }

    /// A file is published again while that is allowed; then, after entries have expired, again.
    fn publish_later(&mut self, rng: &mut impl Rng, keys: u64, lines: u64, clock_ms: &mut i64) {
        for days in [10, 30] {
            *clock_ms += days * DAY_MS;
            let last_line = vec![lines; self.lanes.len()];
            let again = Publication { source: 0, file: file_name(0, 0), next: 1, lines, last_line, continues: None };
            let others = (days == 30).then(|| Publication {
                source: 9,
                file: file_name(9, 0),
                next: 1,
                lines,
                last_line: vec![lines; self.lanes.len()],
                continues: None,
            });
            if others.is_some() {
                self.complete.insert((source_id(9), file_name(9, 0)), lines);
            }
            // The others' records make the lane's time pass before the file comes again.
            for publication in others.into_iter().chain([again]) {
                self.publish(rng, vec![publication], keys, clock_ms);
            }
        }
    }

    fn push(&mut self, rng: &mut impl Rng, index: usize, usage: Option<SourcedUsage>, clock_ms: &mut i64) {
        *clock_ms += rng.random_range(0..1000);
        let records = &mut self.lanes[index].1;
        let next = records.last().map_or(0, |record| record.offset + 1);
        let hole = if rng.random_bool(0.02) { rng.random_range(1..4) } else { 0 };
        let timestamp_ms = *clock_ms - rng.random_range(0..HOUR_MS);
        records.push(LaneRecord { offset: next + hole, timestamp_ms, usage });
    }

    /// One pass over the distinct records, by identity.
    pub(crate) fn expected(&self, buckets: Buckets) -> Expected {
        let mut expected = Expected::default();
        let mut counted = HashSet::new();
        let mut seen = HashSet::new();
        let mut accounts = BTreeMap::new();
        let first_timestamps_ms = self.first_timestamps_ms();
        for (lane, records) in &self.lanes {
            for record in records {
                let Some(usage) = record.usage else { continue };
                if let Some(source) = usage.source {
                    if self.foreign == Some(source.id)
                        || record.timestamp_ms > first_timestamps_ms[&source.id] + REPUBLISH_WITHIN_MS
                    {
                        expected.refused.insert((lane.clone(), record.offset));
                        continue;
                    }
                    let account = accounts.entry((source.file, source.id)).or_insert(FileAccount {
                        file: source.file,
                        source_id: source.id,
                        counted: 0,
                        duplicates: 0,
                        repeats: 0,
                    });
                    if !seen.insert((source.id, source.file, source.line)) {
                        account.repeats += 1;
                        continue;
                    }
                    if !counted.insert((source.id, source.line)) {
                        account.duplicates += 1;
                        continue;
                    }
                    account.counted += 1;
                }
                let event = usage.event;
                let totals: &mut Totals =
                    expected.usage.entry(buckets.key(event.msisdn, event.day, event.kind)).or_default();
                totals.add_event(&event).expect("a small sum");
            }
        }
        expected.accounts = accounts.into_values().collect();
        expected
    }

    pub(crate) fn expected_progress(&self, index: usize) -> LaneProgress {
        let records = &self.lanes[index].1;
        LaneProgress {
            next_offset: records.last().map_or(0, |record| record.offset + 1),
            records: records.len() as u64,
            newest_timestamp_ms: records.iter().map(|record| record.timestamp_ms).max(),
        }
    }

    /// The second conservation law: a file's rows are counted or duplicates, each once.
    pub(crate) fn check_conservation(&self, accounts: &[FileAccount]) -> Result<(), String> {
        for account in accounts {
            let rows = account.file.and_then(|file| self.complete.get(&(account.source_id, file)));
            if rows.is_some_and(|rows| *rows != account.counted + account.duplicates) {
                return Err(format!("{account:?} of a file of {rows:?} rows"));
            }
        }
        Ok(())
    }

    fn first_timestamps_ms(&self) -> HashMap<SourceId, i64> {
        let mut first = HashMap::new();
        for record in self.lanes.iter().flat_map(|(_, records)| records) {
            if let Some(source) = record.usage.and_then(|usage| usage.source) {
                let first = first.entry(source.id).or_insert(i64::MAX);
                *first = record.timestamp_ms.min(*first);
            }
        }
        first
    }
}

/// Whether a publication has another line, and may publish it.
fn is_ready(publications: &[Publication], index: usize) -> bool {
    let publication = &publications[index];
    let has_line = publication.next <= publication.lines;
    has_line && publication.continues.is_none_or(|other| publications[other].next >= publication.next)
}

pub(crate) fn lane(partition: i32) -> Lane {
    Lane { epoch: EPOCH, topic: "cdr-data".to_owned(), partition }
}

fn source_id(source: u8) -> SourceId {
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
