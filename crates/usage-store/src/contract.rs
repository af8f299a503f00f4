//! What every store has to do, whatever it is made of. Each implementation's tests call [`check`].

use telecom::{Day, FileName, Msisdn, SourceId, Totals, UsageKind};

use crate::{Claim, FileCount, Lane, LaneProgress, RowKey, SourceEntry, StoredRow, UsageStore};

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
    first.files.insert(Some(file), FileCount { last_line: 7, counted: 5, duplicates: 1, repeats: 12 });
    first.files.insert(None, FileCount { last_line: 1, counted: 1, duplicates: 0, repeats: 0 });
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
}

async fn lanes(store: &impl UsageStore) {
    assert_eq!(store.read_lane(&lane(0)).await.unwrap(), Some(LaneProgress::default()));
    assert_eq!(store.read_lane(&Lane { epoch: 3, ..lane(0) }).await.unwrap(), None);
    assert_eq!(store.read_lane(&lane(9)).await.unwrap(), None);

    let at = |next_offset| LaneProgress { next_offset, records: 7, newest_timestamp_ms: Some(next_offset) };
    for (write, stored) in [(10, 10), (5, 10), (20, 20), (20, 20)] {
        store.write_lane(&lane(0), &at(write)).await.unwrap();
        assert_eq!(store.read_lane(&lane(0)).await.unwrap(), Some(at(stored)));
    }
    assert_eq!(store.read_lane(&lane(1)).await.unwrap(), Some(LaneProgress::default()));
}
