//! The protocol on a real PostgreSQL and a real Cassandra: several processes count the same lanes at once, with
//! redeliveries, cut short calls, files that are published again and one that is taken back, and the totals are those of a plain
//! fold.

#![expect(clippy::unwrap_used, reason = "a test panics where it can't go on")]

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stream::Lane;
use telecom::{Action, Day, FileName, Msisdn, Source, SourceId, Totals, UsageEvent, UsageKind};
use test_support::{Cassandra, postgres_database};
use usage_store::{
    CountError, FileAccount, LaneBatch, LaneMemory, LaneRecord, RecordRules, SourcedUsage, Store, TowerHour,
};

mod failures;
mod upgrade;

const LANES: i32 = 2;
const FILES: u8 = 4;
const LINES: u64 = 400;
const SUBSCRIBERS: u64 = 60;
/// 2024-01-01
const START_MS: i64 = 1_704_067_200_000;

fn day() -> Day {
    Day::from_civil(2024, 1, 1).unwrap()
}

fn event(file: u8, line: u64) -> UsageEvent {
    UsageEvent {
        msisdn: Msisdn::from_u64(27_821_000_000 + line * 7 % SUBSCRIBERS).unwrap(),
        day: day(),
        kind: UsageKind::ALL[usize::from(file) % UsageKind::ALL.len()],
        totals: Totals { up_bytes: line, down_bytes: u64::from(file), seconds: 1, events: 1 },
    }
}

fn name(file: u8, copy: u8) -> FileName {
    FileName::parse(&format!("cdr_data_20240101_00{file:02}{copy:02}.csv")).unwrap()
}

fn lane(partition: i32) -> Lane {
    Lane { epoch: 1, topic: "cdr-data".to_owned(), partition }
}

/// The file that is taken back in the end.
const TAKEN_BACK: u8 = 2;

/// Every file: a prefix, then all of it, then all of it under another name. One of them is taken back: a part, all of it, and all of
/// it once more.
fn topic() -> Vec<Vec<LaneRecord>> {
    let mut lanes = vec![Vec::new(); LANES as usize];
    for file in 0..FILES {
        let published = [(0, LINES / 3), (0, LINES), (1, LINES)].map(|(copy, lines)| (copy, lines, Action::Count));
        let taken_back = [LINES / 2, LINES, LINES].map(|lines| (0, lines, Action::Withdraw));
        let passes = published.into_iter().chain(taken_back.into_iter().filter(|_| file == TAKEN_BACK));
        for (copy, line, action) in
            passes.flat_map(|(copy, lines, action)| (1..=lines).map(move |line| (copy, line, action)))
        {
            let event = event(file, line);
            let records = &mut lanes[(event.msisdn.as_u64() % LANES as u64) as usize];
            let source = Source { id: SourceId([file; 8]), line, file: Some(name(file, copy)) };
            let offset = records.len() as i64;
            let usage = Some(SourcedUsage { event, source: Some(source), action, tower: None });
            records.push(LaneRecord { offset, timestamp_ms: START_MS + offset, usage });
        }
    }
    lanes
}

fn batch(partition: i32, records: &[LaneRecord]) -> LaneBatch {
    LaneBatch::new(lane(partition), RecordRules::default(), records.to_vec()).unwrap()
}

/// The address of a keyspace that is not there yet.
fn keyspace_of(cassandra: &Cassandra) -> String {
    format!("scylla://{}/{}", cassandra.address, test_support::topic("usage").replace('-', "_"))
}

async fn cassandra_keyspace() -> String {
    keyspace_of(test_support::cassandra().await)
}

async fn made(url: &str) -> Store {
    let store = Store::connect(url).unwrap();
    store.init().await.unwrap();
    store.add_lanes(1, "cdr-data", LANES).await.unwrap();
    store
}

/// Usage and accounts as they have to be once the topic has been counted.
fn expected() -> (BTreeMap<(u64, UsageKind), Totals>, Vec<String>) {
    let files = (0..FILES).filter(|file| *file != TAKEN_BACK);
    let events = files.flat_map(|file| (1..=LINES).map(move |line| event(file, line)));
    let sums = telecom::fold(events).unwrap().into_iter();
    let usage = sums.map(|((msisdn, _, kind), totals)| ((msisdn.as_u64() - 27_821_000_000, kind), totals)).collect();
    let accounts = (0..FILES).flat_map(|file| {
        let (counted, withdrawn) = if file == TAKEN_BACK { (0, LINES) } else { (LINES, 0) };
        [
            format!("{} from 1: {counted} 0 {withdrawn} {}", name(file, 0), LINES / 3),
            format!("{} from 1: 0 {LINES} 0 0", name(file, 1)),
        ]
    });
    (usage, accounts.collect())
}

/// A process that takes batches from anywhere at or before what has been acknowledged, some of which it gives up
/// half-way, until the end is acknowledged. Delivers again what the store failed to count.
async fn process(store: &Store, topic: &[Vec<LaneRecord>], seed: u64) -> Result<(), CountError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (partition, records) in topic.iter().enumerate() {
        let mut memory = LaneMemory::default();
        let mut committed = 0;
        while committed < records.len() {
            if rng.random_bool(0.2) {
                committed = rng.random_range(0..=committed);
            }
            let end = records.len().min(committed + rng.random_range(1..400));
            let batch = batch(partition as i32, &records[committed..end]);
            let call = store.count(&mut memory, &batch);
            // Some calls get about as long as a few of their statements take.
            let patience = if rng.random_bool(0.2) { rng.random_range(0..8_000) } else { 60_000_000 };
            match tokio::time::timeout(Duration::from_micros(patience), call).await {
                Err(_) | Ok(Err(CountError::Store(_))) => continue,
                Ok(counted) => counted?,
            };
            committed = end;
        }
    }
    Ok(())
}

async fn stored(store: &Store) -> (BTreeMap<(u64, UsageKind), Totals>, Vec<String>) {
    let mut usage = BTreeMap::new();
    for subscriber in 0..SUBSCRIBERS {
        let msisdn = Msisdn::from_u64(27_821_000_000 + subscriber).unwrap();
        for daily in store.usage_of(msisdn, day(), day()).await.unwrap() {
            usage.insert((subscriber, daily.kind), daily.totals);
        }
    }
    let accounts = store.file_accounts().await.unwrap().into_iter();
    let shown = accounts.map(|account| {
        let file = account.file.unwrap();
        let FileAccount { first_line, counted, duplicates, withdrawn, repeats, .. } = account;
        format!("{file} from {first_line}: {counted} {duplicates} {withdrawn} {repeats}")
    });
    (usage, shown.collect())
}

async fn several_processes(url: &str) {
    let first = made(url).await;
    let stores = [first, Store::connect(url).unwrap(), Store::connect(url).unwrap()];
    let topic = topic();

    // Twice: once everything has been counted, nothing changes any more.
    for round in 0..2 {
        let processes = stores.iter().zip(10 * round..).map(|(store, seed)| process(store, &topic, seed));
        futures::future::try_join_all(processes).await.unwrap();
        assert_eq!(stored(&stores[0]).await, expected());
        for (lane, progress) in stores[0].lanes().await.unwrap() {
            assert_eq!(progress.next_offset, topic[lane.partition as usize].len() as i64);
            assert_eq!(progress.missing_offsets(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_at_once_count_every_record_once_in_postgresql() {
    several_processes(&postgres_database().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_at_once_count_every_record_once_in_cassandra() {
    several_processes(&cassandra_keyspace().await).await;
}

#[tokio::test]
async fn usage_is_that_of_the_days_asked_for_by_day_and_kind() {
    for url in [postgres_database().await, cassandra_keyspace().await] {
        let store = made(&url).await;
        let msisdn = Msisdn::from_u64(27_821_000_000).unwrap();
        // The end of one month and the beginning of the next.
        let days: Vec<_> =
            [(1, 30), (1, 31), (2, 1), (2, 2)].map(|(month, day)| Day::from_civil(2024, month, day).unwrap()).into();
        for partition in 0..LANES {
            let record = |(offset, day): (i64, &Day)| {
                let event = UsageEvent { msisdn, day: *day, ..event(offset as u8 % 2, 5) };
                let usage = SourcedUsage { event, source: None, action: Action::Count, tower: None };
                LaneRecord { offset, timestamp_ms: START_MS, usage: Some(usage) }
            };
            let records: Vec<_> = (0..).zip(days.iter().cycle().take(8)).map(record).collect();
            store.count(&mut LaneMemory::default(), &batch(partition, &records)).await.unwrap();
        }
        let usage = store.usage_of(msisdn, days[1], days[2]).await.unwrap();
        let shown: Vec<_> =
            usage.iter().map(|daily| format!("{} {} {}", daily.day, daily.kind, daily.totals.up_bytes)).collect();
        assert_eq!(shown, ["2024-01-31 data/audio 20", "2024-02-01 data/video 20"]);
        assert_eq!(store.usage_of(msisdn, days[2], days[1]).await.unwrap(), []);
        let unknown = Msisdn::from_u64(27_829_999_999).unwrap();
        assert_eq!(store.usage_of(unknown, Day::MIN, Day::MAX).await.unwrap(), []);
    }
}

#[tokio::test]
async fn live_activity_is_added_and_read_by_hour() {
    for url in [postgres_database().await, cassandra_keyspace().await] {
        live_activity(&made(&url).await).await;
    }
}

async fn live_activity(store: &Store) {
    let at = |tower_id, number, hour| TowerHour { tower_id, day: Day::from_civil(2024, 1, number).unwrap(), hour };
    let totals = |figure| Totals { up_bytes: figure, down_bytes: 2 * figure, seconds: 3 * figure, events: 1 };
    let hours = [at(7, 1, 0), at(7, 1, 23), at(7, 2, 5), at(8, 1, 23), at(u32::MAX, 1, 0)];
    store.add_tower_activity(&[]).await.unwrap();
    for figure in [1, 10] {
        let activity: Vec<_> = hours.iter().map(|hour| (*hour, totals(figure))).collect();
        store.add_tower_activity(&activity).await.unwrap();
    }
    let read = async |tower_id, from: TowerHour, to: TowerHour| {
        let found = store.tower_activity(tower_id, (from.day, from.hour), (to.day, to.hour)).await.unwrap();
        assert!(found.iter().all(|(_, found)| *found == Totals { events: 2, ..totals(11) }));
        found.into_iter().map(|(hour, _)| hour).collect::<Vec<_>>()
    };
    assert_eq!(read(7, at(7, 1, 0), at(7, 2, 23)).await, hours[..3]);
    assert_eq!(read(7, at(7, 1, 1), at(7, 2, 4)).await, hours[1..2]);
    assert_eq!(read(7, at(7, 1, 23), at(7, 2, 5)).await, hours[1..3]);
    assert_eq!(read(7, at(7, 2, 6), at(7, 2, 5)).await, []);
    assert_eq!(read(9, at(9, 1, 0), at(9, 2, 23)).await, []);
    assert_eq!(read(u32::MAX, at(9, 1, 0), at(9, 2, 23)).await, hours[4..]);
}
