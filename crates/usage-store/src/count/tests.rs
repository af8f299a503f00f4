use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use expect_test::{Expect, expect};
use telecom::{Action, Day, FileName, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};

use super::*;
use crate::simulator::{SimulatedStore, drive, record_rules};
use crate::{FileAccount, MAX_NAMES_PER_SOURCE};

/// A lane, a calm store that knows it, and one process.
struct Scene {
    store: SimulatedStore,
    memory: LaneMemory,
}

fn lane() -> Lane {
    Lane { epoch: 1, topic: "cdr-data".to_owned(), partition: 0 }
}

fn scene() -> Scene {
    let store = SimulatedStore::new(0, &[lane()]);
    store.calm_down();
    Scene { store, memory: LaneMemory::default() }
}

fn event(subscriber: u64) -> UsageEvent {
    UsageEvent {
        msisdn: Msisdn::from_u64(27_821_000_000 + subscriber).unwrap(),
        day: Day::from_civil(2024, 1, 1).unwrap(),
        kind: UsageKind::CallVoice,
        totals: Totals { seconds: 60, events: 1, ..Totals::default() },
    }
}

fn file(name: u32) -> FileName {
    FileName::parse(&format!("cdr_voice_20240101_00{:02}{:02}.csv", name / 60, name % 60)).unwrap()
}

/// A tower of its own for each record: the offset's number.
fn tower(offset: i64) -> Option<TowerHour> {
    Some(TowerHour { tower_id: u32::try_from(offset).unwrap(), day: event(0).day, hour: 9 })
}

/// Line `line` of the file `name` with content 1, at an offset, timestamped with it.
fn row(offset: i64, line: u64, name: u32) -> LaneRecord {
    let source = Source { id: SourceId([1; 8]), line, file: Some(file(name)) };
    let usage =
        SourcedUsage { event: event(line % 3), source: Some(source), action: Action::Count, tower: tower(offset) };
    LaneRecord { offset, timestamp_ms: offset, usage: Some(usage) }
}

fn rows(offset: i64, lines: std::ops::RangeInclusive<u64>, name: u32) -> Vec<LaneRecord> {
    lines.zip(offset..).map(|(line, offset)| row(offset, line, name)).collect()
}

/// The same lines, taken back.
fn taken_back(offset: i64, lines: std::ops::RangeInclusive<u64>) -> Vec<LaneRecord> {
    let take_back = |mut record: LaneRecord| {
        record.usage = record.usage.map(|usage| SourcedUsage { action: Action::Withdraw, ..usage });
        record
    };
    rows(offset, lines, 1).into_iter().map(take_back).collect()
}

fn unsourced(offset: i64) -> LaneRecord {
    let usage = SourcedUsage { event: event(0), source: None, action: Action::Count, tower: tower(offset) };
    LaneRecord { offset, timestamp_ms: offset, usage: Some(usage) }
}

fn unusable(offset: i64) -> LaneRecord {
    LaneRecord { offset, timestamp_ms: offset, usage: None }
}

fn batch(records: Vec<LaneRecord>) -> LaneBatch {
    LaneBatch::new(lane(), record_rules(1), records).unwrap()
}

impl Scene {
    fn count(&mut self, records: Vec<LaneRecord>) -> Result<Counted, CountError> {
        let batch = batch(records);
        drive(count(&self.store, &mut self.memory, &batch))
    }

    fn check(&mut self, records: Vec<LaneRecord>, expect: Expect) {
        let shown = match self.count(records) {
            Ok(Counted {
                records,
                counted,
                towers,
                withdrawn,
                duplicates,
                repeats,
                settled,
                refused,
                missing_offsets,
                first_missing_offset,
            }) => {
                assert_eq!(towers.values().map(|totals| totals.events).sum::<u64>(), counted);
                let taken_back = if withdrawn > 0 { format!("{withdrawn} withdrawn, ") } else { String::new() };
                let first = first_missing_offset.map_or_else(String::new, |first| format!(" from {first} on"));
                format!(
                    "{records} records: {counted} counted, {taken_back}{duplicates} duplicates, {repeats} repeats, \
                     {settled} settled, {} refused; {missing_offsets} missing{first}",
                    refused.len()
                )
            }
            Err(error) => error.to_string(),
        };
        expect.assert_eq(&shown);
    }

    fn check_state(&self, expect: Expect) {
        let events: u64 = self.store.usage().values().map(|totals| totals.events).sum();
        let mut shown = format!("{events} events, next offset {}\n", self.store.progress(&lane()).next_offset);
        for account in self.store.accounts() {
            let file = account.file.map_or_else(String::new, |file| file.to_string());
            let FileAccount { counted, duplicates, withdrawn, repeats, .. } = account;
            let taken_back = if withdrawn > 0 { format!("{withdrawn} withdrawn, ") } else { String::new() };
            shown += &format!("{file}: {counted} counted, {taken_back}{duplicates} duplicates, {repeats} repeats\n");
        }
        expect.assert_eq(&shown);
    }
}

#[test]
fn a_batch_that_comes_again_changes_nothing() {
    let mut scene = scene();
    for expect in [
        expect!["6 records: 5 counted, 0 duplicates, 0 repeats, 0 settled, 0 refused; 0 missing"],
        expect!["6 records: 0 counted, 0 duplicates, 0 repeats, 5 settled, 0 refused; 0 missing"],
    ] {
        scene.check([rows(0, 1..=4, 1), vec![unsourced(4), unusable(5)]].concat(), expect);
        scene.check_state(expect![[r#"
            5 events, next offset 6
            cdr_voice_20240101_000001.csv: 4 counted, 0 duplicates, 0 repeats
        "#]]);
    }
    // Other boundaries.
    scene.check(
        [rows(2, 3..=4, 1), vec![unsourced(4), unusable(5)], rows(6, 5..=6, 1)].concat(),
        expect!["6 records: 2 counted, 0 duplicates, 0 repeats, 3 settled, 0 refused; 0 missing"],
    );
    scene.check_state(expect![[r#"
        7 events, next offset 8
        cdr_voice_20240101_000001.csv: 6 counted, 0 duplicates, 0 repeats
    "#]]);
}

#[test]
fn a_file_published_again_is_a_repeat_and_under_another_name_a_duplicate() {
    let mut scene = scene();
    // A crash after line 3, then all lines; then another name, which crashes too.
    scene.check(
        [rows(0, 1..=3, 1), rows(3, 1..=5, 1)].concat(),
        expect!["8 records: 5 counted, 0 duplicates, 3 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check(
        [rows(8, 1..=2, 2), rows(10, 1..=5, 2)].concat(),
        expect!["7 records: 0 counted, 5 duplicates, 2 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check_state(expect![[r#"
        5 events, next offset 15
        cdr_voice_20240101_000001.csv: 5 counted, 0 duplicates, 3 repeats
        cdr_voice_20240101_000002.csv: 0 counted, 5 duplicates, 2 repeats
    "#]]);
}

#[test]
fn it_says_what_towers_served_of_the_new_records() {
    let mut scene = scene();
    let records = [rows(5, 1..=2, 1), rows(7, 1..=3, 1), vec![unusable(10), unsourced(11)]].concat();
    let mut served: Vec<_> = scene.count(records.clone()).unwrap().towers.into_iter().collect();
    served.sort_unstable_by_key(|(hour, _)| *hour);
    assert_eq!(served, [5, 6, 9, 11].map(|offset| (tower(offset).unwrap(), event(0).totals)));
    assert!(scene.count(records).unwrap().towers.is_empty());

    // Two records of one tower and hour; one that names no tower.
    let mut records = vec![unsourced(12), unsourced(13), unsourced(14)];
    for (record, tower) in records.iter_mut().zip([tower(12), tower(12), None]) {
        record.usage = record.usage.map(|usage| SourcedUsage { tower, ..usage });
    }
    let twice = Totals { seconds: 120, events: 2, ..Totals::default() };
    assert_eq!(scene.count(records).unwrap().towers, HashMap::from([(tower(12).unwrap(), twice)]));
}

#[test]
fn two_names_at_once_share_the_lines() {
    let mut scene = scene();
    let mixed = [row(0, 1, 1), row(1, 1, 2), row(2, 2, 2), row(3, 3, 2), row(4, 2, 1), row(5, 3, 1), row(6, 4, 1)];
    scene.check(
        mixed.to_vec(),
        expect!["7 records: 4 counted, 3 duplicates, 0 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check_state(expect![[r#"
        4 events, next offset 7
        cdr_voice_20240101_000001.csv: 2 counted, 2 duplicates, 0 repeats
        cdr_voice_20240101_000002.csv: 2 counted, 1 duplicates, 0 repeats
    "#]]);
}

#[test]
fn offsets_that_never_came_are_reported_once() {
    let mut scene = scene();
    scene.check(
        vec![unsourced(5), unsourced(6)],
        expect!["2 records: 2 counted, 0 duplicates, 0 repeats, 0 settled, 0 refused; 5 missing from 0 on"],
    );
    scene.check(
        vec![unsourced(7), unsourced(9)],
        expect!["2 records: 2 counted, 0 duplicates, 0 repeats, 0 settled, 0 refused; 1 missing from 8 on"],
    );
    scene.check(
        vec![unsourced(5), unsourced(6), unsourced(7), unsourced(9)],
        expect!["4 records: 0 counted, 0 duplicates, 0 repeats, 4 settled, 0 refused; 0 missing"],
    );
    scene.check(
        vec![unsourced(9), unsourced(20)],
        expect!["2 records: 1 counted, 0 duplicates, 0 repeats, 1 settled, 0 refused; 10 missing from 10 on"],
    );
    assert_eq!(scene.store.progress(&lane()).missing_offsets(), 16);
}

#[test]
fn a_topic_created_again_stops_the_lane() {
    let mut scene = scene();
    scene.count(rows(0, 1..=10, 1)).unwrap();
    let expect = || {
        expect![
            "lane 1/cdr-data/0 is stopped: the record at offset 0 is newer than all that were counted below offset 10, \
             so the topic was created again: take a new STREAM_EPOCH"
        ]
    };
    let other = LaneRecord { timestamp_ms: 10_000, ..unsourced(0) };
    scene.check(vec![other], expect());
    scene.check(vec![other], expect());
}

#[test]
fn an_unknown_lane_is_not_counted() {
    let mut scene = scene();
    let lane = Lane { partition: 7, ..lane() };
    let batch = LaneBatch::new(lane, record_rules(1), vec![unsourced(0)]).unwrap();
    let error = drive(count(&scene.store, &mut scene.memory, &batch)).unwrap_err();
    expect![
        "lane 1/cdr-data/7 is unknown: run `trunkline init`; if the topic's number of partitions has changed, take a new \
         STREAM_EPOCH"
    ]
    .assert_eq(&error.to_string());
}

#[test]
fn a_row_that_the_store_lost_is_noticed() {
    let mut scene = scene();
    scene.count(rows(0, 1..=3, 1)).unwrap();
    scene.store.lose_rows();
    scene.check(
        rows(0, 1..=3, 1),
        expect![
            "lane 1/cdr-data/0 is stopped: the record at offset 0 should be in its row, which holds only what is below \
             offset 0: the store has lost a write (restore it), or the consumer group was set back to before where this \
             lane began"
        ],
    );
}

#[test]
fn refused_records_are_refused_again_when_they_come_again() {
    let mut scene = scene();
    scene.store.claim(SourceId([1; 8]), Claim { epoch: 7, timestamp_ms: 0 });
    for expect in [
        expect!["4 records: 1 counted, 0 duplicates, 0 repeats, 0 settled, 3 refused; 0 missing"],
        expect!["4 records: 0 counted, 0 duplicates, 0 repeats, 1 settled, 3 refused; 0 missing"],
    ] {
        scene.check([rows(0, 1..=3, 1), vec![unsourced(3)]].concat(), expect);
        scene.check_state(expect![[r#"
            1 events, next offset 4
        "#]]);
    }
    let refused = scene.count(rows(0, 1..=1, 1)).unwrap().refused;
    assert_eq!(refused, [(0, Refusal::OtherEpoch(7))]);
}

#[test]
fn a_file_that_is_taken_back_is_taken_back_once() {
    let mut scene = scene();
    scene.count(rows(0, 1..=5, 1)).unwrap();
    // Up to a line, then once more from the beginning to the end; then both the file and the withdrawal come again.
    scene.check(
        [taken_back(5, 1..=3), taken_back(8, 1..=5)].concat(),
        expect!["8 records: 0 counted, 5 withdrawn, 0 duplicates, 3 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check(
        [rows(13, 1..=5, 1), rows(18, 1..=5, 2), taken_back(23, 1..=5)].concat(),
        expect!["15 records: 0 counted, 5 duplicates, 10 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check_state(expect![[r#"
        0 events, next offset 28
        cdr_voice_20240101_000001.csv: 0 counted, 5 withdrawn, 0 duplicates, 5 repeats
        cdr_voice_20240101_000002.csv: 0 counted, 5 duplicates, 0 repeats
    "#]]);
}

#[test]
fn what_is_taken_back_before_it_is_counted_is_never_counted() {
    let mut scene = scene();
    scene.count([rows(0, 1..=2, 1), taken_back(2, 1..=4)].concat()).unwrap();
    scene.check(
        rows(6, 1..=6, 1),
        expect!["6 records: 2 counted, 2 duplicates, 2 repeats, 0 settled, 0 refused; 0 missing"],
    );
}

#[test]
fn more_than_a_total_has_is_not_taken_back() {
    let mut scene = scene();
    scene.count(rows(0, 1..=3, 1)).unwrap();
    scene.store.lose_amounts();
    scene.memory.forget();
    scene.check(
        taken_back(3, 1..=3),
        expect![
            "lane 1/cdr-data/0 is stopped: the record at offset 3 takes back a row of a file, and the total that held it is \
             smaller than that: the store has lost a write, or the file was counted under other rules (restore the store)"
        ],
    );
}

#[test]
fn records_that_were_read_by_other_rules_are_not_counted() {
    let mut scene = scene();
    scene.count(rows(0, 1..=3, 1)).unwrap();
    let batch = LaneBatch::new(lane(), record_rules(2), rows(3, 4..=6, 1)).unwrap();
    let error = drive(count(&scene.store, &mut scene.memory, &batch)).unwrap_err();
    expect![
        "the usage store counts by rules 1 in Africa/Johannesburg, and this function reads by rules 2 in \
         Africa/Johannesburg: let everything that is delivered be counted as it was, stop the functions, run `trunkline \
         init`, start the new ones"
    ]
    .assert_eq(&error.to_string());
}

#[test]
fn a_source_has_a_bounded_number_of_names() {
    let mut scene = scene();
    let names = MAX_NAMES_PER_SOURCE as u32;
    let records: Vec<_> = (0..=names).map(|name| row(i64::from(name), 1, name)).collect();
    for expect in [
        expect!["65 records: 1 counted, 63 duplicates, 0 repeats, 0 settled, 1 refused; 0 missing"],
        expect!["65 records: 0 counted, 0 duplicates, 0 repeats, 64 settled, 1 refused; 0 missing"],
    ] {
        scene.check(records.clone(), expect);
    }
    assert_eq!(scene.count(records).unwrap().refused, [(64, Refusal::TooManyNames)]);
}

#[test]
fn a_call_that_is_dropped_leaves_no_memory() {
    let mut scene = scene();
    scene.count(rows(0, 1..=3, 1)).unwrap();
    assert_eq!(scene.memory.end, Some(3));
    let batch = batch(rows(3, 4..=9, 1));
    {
        let mut call = pin!(count(&scene.store, &mut scene.memory, &batch));
        assert!(matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    }
    assert_eq!(scene.memory.end, None);
    assert!(scene.memory.rows.is_empty());
}

#[test]
fn memory_is_used_where_the_batch_continues() {
    let mut scene = scene();
    scene.count(rows(0, 1..=3, 1)).unwrap();
    // The store may lose what it likes: nothing of it is read.
    scene.store.lose_rows();
    scene.check(
        rows(3, 4..=9, 1),
        expect!["6 records: 6 counted, 0 duplicates, 0 repeats, 0 settled, 0 refused; 0 missing"],
    );
    scene.check_state(expect![[r#"
        9 events, next offset 9
        cdr_voice_20240101_000001.csv: 9 counted, 0 duplicates, 0 repeats
    "#]]);
}

#[test]
fn memory_is_bounded() {
    let mut scene = scene();
    let mut next = 0;
    while next < 2 * crate::MAX_REMEMBERED_ROWS as i64 {
        let record = |offset: i64| LaneRecord {
            offset,
            timestamp_ms: 0,
            usage: Some(SourcedUsage { event: event(offset as u64), source: None, action: Action::Count, tower: None }),
        };
        scene.count((next..next + 9_999).map(record).collect()).unwrap();
        next += 9_999;
        assert!(scene.memory.rows.len() <= crate::MAX_REMEMBERED_ROWS);
    }
    assert!(scene.memory.rows.len() >= crate::MAX_REMEMBERED_ROWS - 9_999, "no more is forgotten than has to be");
}

#[test]
fn a_total_that_does_not_fit_is_an_error() {
    let mut scene = scene();
    let huge = |offset| {
        let mut record = unsourced(offset);
        if let Some(usage) = &mut record.usage {
            usage.event.totals.up_bytes = u64::MAX;
        }
        record
    };
    scene.check(
        vec![huge(0), huge(1)],
        expect!["lane 1/cdr-data/0: the record at offset 1 makes a day's total larger than 64 bits hold"],
    );
}
