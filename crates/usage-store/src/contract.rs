//! What every store has to do, whatever it is made of. Each implementation's tests call [`check`].

use stream::Lane;
use telecom::{Day, FileName, Msisdn, SourceId, Totals, UsageKind};

use crate::rules::Design;
use crate::upkeep::{self, Kept, Mark, Upkeep};
use crate::{Claim, FileCount, LaneProgress, RecordRules, RowKey, SourceEntry, StoredRow, UsageStore};

/// Checks a store that has been made, knows the lanes 0 and 1 of the topic `cdr-data` in epoch 2, and is empty.
pub(crate) async fn check(store: &impl UsageStore) {
    rows(store).await;
    sources(store).await;
    claims(store).await;
    lanes(store).await;
}

fn lane(partition: i32) -> Lane {
    Lane { epoch: 2, topic: "cdr-data".to_owned(), partition }
}

fn totals(figure: u64) -> Totals {
    Totals { up_bytes: figure, down_bytes: 2 * figure, seconds: 3, events: 4 }
}

async fn rows(store: &impl UsageStore) {
    let buckets = store.buckets().await.unwrap();
    let mut keys: Vec<RowKey> = [(0, 1), (0, 2), (1, 1), (300, 31)]
        .iter()
        .flat_map(|(number, day)| {
            let msisdn = Msisdn::from_u64(27_821_000_000 + number).unwrap();
            let day = Day::from_civil(2024, 1, *day).unwrap();
            UsageKind::ALL.map(|kind| buckets.key(msisdn, day, kind))
        })
        .collect();
    keys.sort_unstable();
    let read = async |partition| {
        let mut rows = store.read_rows(&lane(partition), &keys).await.unwrap();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows
    };
    let row = |key: RowKey, figure, upto| (key, StoredRow { totals: totals(figure), upto });
    assert_eq!(read(0).await, []);

    // Rows that were never written are left out.
    let (some, rest) = keys.split_at(5);
    let write: Vec<_> = some.iter().map(|key| (*key, totals(1))).collect();
    store.write_rows(&lane(0), 10, &write).await.unwrap();
    assert_eq!(read(0).await, some.iter().map(|key| row(*key, 1, 10)).collect::<Vec<_>>());
    assert_eq!(read(1).await, [], "lanes are apart");

    // A lower `upto` changes nothing; a higher one replaces all; each row by itself.
    store.write_rows(&lane(0), 20, &[(some[0], totals(2))]).await.unwrap();
    for (upto, figure) in [(9, 9), (10, 1), (15, 9)] {
        let write: Vec<_> = some.iter().map(|key| (*key, totals(figure))).collect();
        store.write_rows(&lane(0), upto, &write[..2]).await.unwrap();
    }
    let mut expected: Vec<_> = some.iter().map(|key| row(*key, 1, 10)).collect();
    expected[0] = row(some[0], 2, 20);
    expected[1] = row(some[1], 9, 15);
    assert_eq!(read(0).await, expected);

    // The largest figures that every store holds.
    let most = Totals { up_bytes: i64::MAX as u64, ..Totals::default() };
    store.write_rows(&lane(1), i64::MAX, &[(rest[0], most)]).await.unwrap();
    assert_eq!(read(1).await, [(rest[0], StoredRow { totals: most, upto: i64::MAX })]);
    assert_eq!(store.read_rows(&lane(0), &[]).await.unwrap(), []);
    store.write_rows(&lane(0), 30, &[]).await.unwrap();
}

async fn sources(store: &impl UsageStore) {
    let ids = [SourceId([0; 8]), SourceId([1; 8]), SourceId([255; 8])];
    let claim = Claim { epoch: 2, timestamp_ms: 1_704_067_200_000 };
    let mut first = SourceEntry { upto: 10, last_line: 7, ..SourceEntry::new(claim) };
    let file = FileName::parse("cdr_data_20240101_120000.csv.gz").unwrap();
    let count = FileCount { first_line: 2, last_line: 7, counted: 5, duplicates: 1, repeats: 12, withdrawn: 3 };
    first.files.insert(Some(file), count);
    first.files.insert(None, FileCount { first_line: 1, last_line: 1, counted: 1, ..FileCount::default() });
    first.withdrawn_line = 4;
    let second = SourceEntry { upto: 10, ..SourceEntry::new(claim) };
    let read = async |partition| {
        let mut entries = store.read_sources(&lane(partition), &ids).await.unwrap();
        entries.sort_unstable_by_key(|(id, _)| *id);
        entries
    };
    assert_eq!(read(0).await, []);
    store.write_sources(&lane(0), &[(ids[0], &first), (ids[2], &second)]).await.unwrap();
    assert_eq!(read(0).await, [(ids[0], first.clone()), (ids[2], second.clone())]);
    assert_eq!(read(1).await, []);
    assert_eq!(store.read_sources(&lane(0), &[]).await.unwrap(), []);

    let newer = SourceEntry { upto: 20, last_line: 9, ..SourceEntry::new(claim) };
    let older = SourceEntry { upto: 9, last_line: 3, ..SourceEntry::new(claim) };
    store.write_sources(&lane(0), &[(ids[0], &newer), (ids[2], &older)]).await.unwrap();
    assert_eq!(read(0).await, [(ids[0], newer), (ids[2], second)]);
}

async fn claims(store: &impl UsageStore) {
    let ids = [SourceId([7; 8]), SourceId([8; 8])];
    let claim = |epoch, timestamp_ms| Claim { epoch, timestamp_ms };
    assert_eq!(store.claim_sources(&[(ids[0], claim(1, 5))]).await.unwrap(), [(ids[0], claim(1, 5))]);
    let mut claimed = store.claim_sources(&[(ids[0], claim(2, 6)), (ids[1], claim(2, 6))]).await.unwrap();
    claimed.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(claimed, [(ids[0], claim(1, 5)), (ids[1], claim(2, 6))]);
    assert_eq!(store.claim_sources(&[(ids[1], claim(1, 5))]).await.unwrap(), [(ids[1], claim(2, 6))]);
    let unknown = SourceId([9; 8]);
    let mut read = store.read_claims(&[ids[0], ids[1], unknown]).await.unwrap();
    read.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(read, [(ids[0], claim(1, 5)), (ids[1], claim(2, 6))]);
    assert_eq!(store.read_claims(&[]).await.unwrap(), []);
    assert_eq!(store.claim_sources(&[(unknown, claim(3, 7))]).await.unwrap(), [(unknown, claim(3, 7))]);
}

async fn lanes(store: &impl UsageStore) {
    let progress = async |partition| store.read_lane(&lane(partition)).await.unwrap().map(|state| state.progress);
    assert_eq!(progress(0).await, Some(LaneProgress::default()));
    assert_eq!(store.read_lane(&Lane { epoch: 3, ..lane(0) }).await.unwrap(), None);
    assert_eq!(progress(9).await, None);

    let at = |next_offset| LaneProgress { next_offset, records: 7, newest_timestamp_ms: Some(next_offset) };
    for (write, stored) in [(10, 10), (5, 10), (20, 20), (20, 20)] {
        store.write_lane(&lane(0), &at(write)).await.unwrap();
        assert_eq!(progress(0).await, Some(at(stored)));
    }
    assert_eq!(progress(1).await, Some(LaneProgress::default()));
}

/// Checks what upkeep asks of a store that has been made, knows the lanes 0 and 1 of the topic `cdr-data` in epoch 2, and is
/// empty.
pub(crate) async fn check_upkeep(store: &(impl UsageStore + Upkeep)) {
    marks(store).await;
    expiry(store).await;
    rules(store).await;
}

async fn marks(store: &impl Upkeep) {
    let mark = |partition, at_ms, end| (lane(partition), Mark { at_ms, end });
    let all = [mark(0, -5, 0), mark(0, 7, 10), mark(1, 7, 0)];
    let read = async || {
        let mut marks = store.read_marks().await.unwrap();
        marks.sort_unstable();
        marks
    };
    assert_eq!(read().await, []);
    store.write_marks(&all).await.unwrap();
    store.write_marks(&all[..1]).await.unwrap();
    assert_eq!(read().await, all);
    store.delete_marks(&[all[0].clone(), all[2].clone()]).await.unwrap();
    store.delete_marks(&[]).await.unwrap();
    assert_eq!(read().await, [all[1].clone()]);
}

async fn expiry(store: &(impl UsageStore + Upkeep)) {
    let (one, other) = (SourceId([0x1f; 8]), SourceId([0xf1; 8]));
    let claim = Claim { epoch: 2, timestamp_ms: 1_000 };
    let file = FileName::parse("cdr_data_20240101_120000.csv.gz").unwrap();
    let mut entry = SourceEntry { upto: 5, ..SourceEntry::new(claim) };
    entry.files.insert(Some(file), FileCount::default());
    entry.files.insert(None, FileCount::default());
    store.claim_sources(&[(one, claim), (other, claim)]).await.unwrap();
    for partition in [0, 1] {
        store.write_sources(&lane(partition), &[(one, &entry), (other, &entry)]).await.unwrap();
    }
    let kept = async |digit| {
        let mut kept = store.read_kept(&[lane(0), lane(1)], digit).await.unwrap();
        kept.sort_unstable_by_key(|kept| kept.lane.clone());
        kept
    };
    let expected = |source, partition, upto| Kept { lane: lane(partition), source, upto, files: vec![file] };
    assert_eq!(kept(0x1).await, [expected(one, 0, 5), expected(one, 1, 5)]);
    assert_eq!(kept(0xf).await, [expected(other, 0, 5), expected(other, 1, 5)]);
    assert_eq!(kept(0).await, []);

    // What has been written since is not deleted; what is deleted stays away, unless it is newer.
    let newer = SourceEntry { upto: 6, ..entry.clone() };
    store.write_sources(&lane(1), &[(one, &newer)]).await.unwrap();
    store.delete_sources(&[(lane(0), one, 5), (lane(1), one, 5)]).await.unwrap();
    assert_eq!(kept(0x1).await, [expected(one, 1, 6)]);
    store.write_sources(&lane(0), &[(one, &newer)]).await.unwrap();
    assert_eq!(store.read_sources(&lane(0), &[one]).await.unwrap(), [(one, newer)]);
    store.delete_sources(&[]).await.unwrap();

    store.delete_claims(&[one]).await.unwrap();
    store.delete_claims(&[one]).await.unwrap();
    assert_eq!(store.read_claims(&[one, other]).await.unwrap(), [(other, claim)]);
    let again = Claim { epoch: 3, timestamp_ms: 7 };
    assert_eq!(store.claim_sources(&[(one, again)]).await.unwrap(), [(one, again)]);
}

async fn rules(store: &(impl UsageStore + Upkeep)) {
    let first = store.read_rules().await.unwrap();
    let second = RecordRules { number: first.number + 1, zone: "Europe/Budapest".to_owned() };
    let at = |next_offset| LaneProgress { next_offset, records: 1, newest_timestamp_ms: None };
    store.write_lane(&lane(0), &at(10)).await.unwrap();
    let ends = |end| [(lane(0), end), (lane(1), 0)];

    let refused = upkeep::adopt::<Design>(store, &second, &ends(12)).await.unwrap_err().to_string();
    assert!(refused.contains(": 2 in 2/cdr-data/0. "), "{refused}");
    let refused = upkeep::adopt::<Design>(store, &second, &ends(10)[..1]).await.unwrap_err().to_string();
    assert!(refused.contains(": an unknown number in 2/cdr-data/1. "), "{refused}");
    assert_eq!(store.read_rules().await.unwrap(), first);

    upkeep::adopt::<Design>(store, &second, &ends(10)).await.unwrap();
    for (partition, from) in [(0, 10), (1, 0)] {
        let state = store.read_lane(&lane(partition)).await.unwrap().unwrap();
        assert_eq!((&state.rules, state.rules_from), (&second, from));
    }
    // Once they are there, nothing more is asked.
    upkeep::adopt::<Design>(store, &second, &[]).await.unwrap();
    upkeep::adopt::<Design>(store, &first, &ends(10)).await.unwrap();
    assert_eq!(store.read_rules().await.unwrap(), first);
}
