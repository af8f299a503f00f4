use expect_test::{Expect, expect};
use telecom::{FileName, UsageKind};

use super::*;
use crate::{FileCount, MAX_NAMES_PER_SOURCE, Setup, contract};

/// The address of a keyspace that is not there yet.
async fn fresh() -> String {
    let cassandra = test_support::cassandra().await;
    format!("scylla://{}/{}", cassandra.address, test_support::topic("usage").replace('-', "_"))
}

async fn made() -> (String, Scylla) {
    let url = fresh().await;
    let store = Scylla::new(&url).unwrap();
    store.make(&Setup::default()).await.unwrap();
    store.add_lanes(2, "cdr-data", 2).await.unwrap();
    (url, store)
}

fn lane(partition: i32) -> Lane {
    Lane { epoch: 2, topic: "cdr-data".to_owned(), partition }
}

fn check_error<T: fmt::Debug>(result: anyhow::Result<T>, expect: Expect) {
    expect.assert_eq(&format!("{:#}", result.unwrap_err()));
}

#[tokio::test]
async fn cassandra_is_a_store() {
    let (_, store) = made().await;
    contract::check(&store).await;
}

#[tokio::test]
async fn cassandra_is_kept_up() {
    let (_, store) = made().await;
    contract::check_upkeep(&store).await;
}

#[tokio::test]
async fn making_it_again_changes_nothing() {
    let (url, store) = made().await;
    contract::check(&store).await;
    let before = (store.all_sources().await.unwrap(), store.lanes().await.unwrap());
    Scylla::new(&url).unwrap().make(&Setup::default()).await.unwrap();
    store.add_lanes(2, "cdr-data", 2).await.unwrap();
    assert_eq!((store.all_sources().await.unwrap(), store.lanes().await.unwrap()), before);
}

#[tokio::test]
async fn what_is_fixed_can_not_be_changed() {
    let (url, store) = made().await;
    check_error(
        Scylla::new(&url).unwrap().make(&Setup { buckets: Buckets::new(48).unwrap(), ..Setup::default() }).await,
        expect!["the usage store was made with 96 buckets, which can't be changed to 48: make a new store"],
    );
    check_error(
        store.add_lanes(2, "cdr-data", 3).await,
        expect!["stream epoch 2 knows topic cdr-data with 2 partitions, now it has 3: take a new STREAM_EPOCH"],
    );
    store.add_lanes(3, "cdr-data", 3).await.unwrap();
    check_error(store.add_lanes(3, "cdr-voice", 0).await, expect!["topic cdr-voice has no partitions"]);
    let lanes: Vec<_> = store.lanes().await.unwrap().into_iter().map(|(lane, _)| lane.to_string()).collect();
    assert_eq!(lanes, ["2/cdr-data/0", "2/cdr-data/1", "3/cdr-data/0", "3/cdr-data/1", "3/cdr-data/2"]);
}

#[tokio::test]
async fn a_store_of_another_version_is_refused() {
    let (url, store) = made().await;
    store.connection.execute("UPDATE {keyspace}.settings SET value = 7 WHERE name = 'schema'", &()).await.unwrap();
    check_error(
        Scylla::new(&url).unwrap().buckets().await,
        expect!["the usage store was made by another version of Trunkline (schema 7, this one has 2): use that one"],
    );
}

#[tokio::test]
async fn settings_that_lose_counts_are_looked_for() {
    let (_, store) = made().await;
    assert_eq!(store.faults().await.expect("an answer"), [""; 0]);
    assert_eq!(settings::setting(&store.connection, "commitlog_sync").await.as_deref(), Some("batch"));
    let guardrail = "minimum_timestamp_fail_threshold";
    assert_eq!(settings::setting(&store.connection, guardrail).await, None);
    let told = "SELECT name FROM system_views.settings WHERE name = ?";
    assert_eq!(store.connection.query(told, &(guardrail,)).await.unwrap().rows_num(), 1, "it has another name now");
    assert_eq!(settings::setting(&store.connection, "no such setting").await, None);
}

#[tokio::test]
async fn a_store_that_was_not_made_says_so() {
    let url = fresh().await;
    let store = Scylla::new(&url).unwrap();
    let error = format!("{:#}", store.buckets().await.unwrap_err());
    let keyspace = url.rsplit('/').next().unwrap();
    expect!["the usage store failed: keyspace KEYSPACE does not exist: run `trunkline init`"]
        .assert_eq(&error.replace(keyspace, "KEYSPACE"));
    make_keyspace_only(&store).await;
    let error = format!("{:#}", store.buckets().await.unwrap_err());
    expect!["the usage store failed: table settings does not exist: run `trunkline init`"].assert_eq(&error);
}

/// A keyspace that an operator has made, with settings of their own.
async fn make_keyspace_only(store: &Scylla) {
    let cql = "CREATE KEYSPACE {keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    store.connection.define(cql).await.unwrap();
}

#[tokio::test]
async fn a_keyspace_that_is_there_is_used() {
    let store = Scylla::new(&fresh().await).unwrap();
    make_keyspace_only(&store).await;
    store.make(&Setup { buckets: Buckets::new(6).unwrap(), ..Setup::default() }).await.unwrap();
    assert_eq!(store.buckets().await.unwrap().number(), 6);
}

#[tokio::test]
async fn too_few_replicas_are_said() {
    let (_, store) = made().await;
    // As if two of three nodes were down.
    let cql = "ALTER KEYSPACE {keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}";
    store.connection.define(cql).await.unwrap();
    check_error(
        store.read_lane(&lane(0)).await,
        expect![
            "the usage store failed: Not enough nodes are alive to satisfy required consistency level (consistency: \
             Quorum, required: 2, alive: 1)"
        ],
    );
    check_error(
        store.claim_sources(&[(SourceId([1; 8]), Claim { epoch: 2, timestamp_ms: 0 })]).await,
        expect![
            "the usage store failed: Not enough nodes are alive to satisfy required consistency level (consistency: \
             Quorum, required: 2, alive: 1)"
        ],
    );
    let cql = "ALTER KEYSPACE {keyspace} WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    store.connection.define(cql).await.unwrap();
    let state = store.read_lane(&lane(0)).await.unwrap().unwrap();
    assert_eq!(state.progress, LaneProgress::default());
}

#[tokio::test]
async fn a_datacenter_that_is_not_there_is_named() {
    let (url, _) = made().await;
    let there = Scylla::new(&format!("{url}?datacenter=datacenter1")).unwrap();
    assert_eq!(there.lanes().await.unwrap().len(), 2);
    let elsewhere = Scylla::new(&format!("{url}?datacenter=nowhere")).unwrap();
    check_error(
        elsewhere.lanes().await,
        expect!["the usage store failed: the cluster has no datacenter nowhere: check USAGE_STORE"],
    );
}

/// The server refuses a batch of more than 50 KiB.
#[tokio::test]
async fn the_largest_batches_are_taken() {
    let (_, store) = made().await;
    // One partition, the longest topic.
    let long = Lane { topic: "t".repeat(249), ..lane(0) };
    let lanes = [lane(0), long];
    for lane in &lanes {
        let row = |number: u64| {
            let msisdn = Msisdn::from_u64(27_821_000_000 + number).unwrap();
            let key = RowKey { bucket: 7, msisdn, day: Day::MAX, kind: UsageKind::DataApplication };
            let most = i64::MAX as u64;
            (key, Totals { up_bytes: most, down_bytes: most, seconds: most, events: most })
        };
        let rows: Vec<_> = (0..1_000).map(row).collect();
        store.write_rows(lane, i64::MAX, &rows).await.unwrap();
        let keys: Vec<_> = rows.iter().map(|(key, _)| *key).collect();
        assert_eq!(store.read_rows(lane, &keys).await.unwrap().len(), rows.len());

        let mut entry = SourceEntry { upto: 1, ..SourceEntry::new(Claim { epoch: 2, timestamp_ms: 0 }) };
        for name in 0..MAX_NAMES_PER_SOURCE {
            let name =
                FileName::parse(&format!("cdr_data_20240101_00{:02}{:02}.csv.zst", name / 60, name % 60)).unwrap();
            entry.files.insert(
                Some(name),
                FileCount { last_line: 1, counted: 1, duplicates: 1, repeats: 1, ..FileCount::default() },
            );
        }
        let entries: Vec<_> = (0..100).map(|id: u64| (SourceId(id.to_be_bytes()), &entry)).collect();
        store.write_sources(lane, &entries).await.unwrap();
        let ids: Vec<_> = entries.iter().map(|(id, _)| *id).collect();
        assert_eq!(store.read_sources(lane, &ids).await.unwrap().len(), entries.len());
    }
}

#[tokio::test]
async fn nobody_there_is_said() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check_error(
        Scylla::new(&format!("scylla://user:secret@{nobody}/usage")).unwrap().lanes().await,
        expect!["the usage store failed: it can't be reached: Connection refused (os error 111)"],
    );
    check_error(
        Scylla::new("scylla://user:secret@nowhere.invalid/usage").unwrap().lanes().await,
        expect!["the usage store failed: none of its hosts has an address: check USAGE_STORE"],
    );
    check_error(
        Scylla::new("scylla://user:secret@host/usage?tls=true&ca=/nowhere.pem"),
        expect!["USAGE_STORE: can't read ca=/nowhere.pem: I/O error: No such file or directory (os error 2)"],
    );
}

#[test]
fn days_are_dates() {
    for number in [Day::MIN, Day::from_civil(2024, 2, 29).unwrap(), Day::MAX] {
        assert_eq!(day(date(number)).unwrap(), number);
    }
    check_error(day(CqlDate(0)), expect!["a stored day is out of range"]);
}

#[test]
fn batches_are_bounded() {
    let check = |bytes: &[usize], expect: Expect| expect.assert_eq(&format!("{:?}", batches(bytes.to_vec(), |b| *b)));
    check(&[], expect!["[]"]);
    check(&[20_000, 20_000, 20_000], expect!["[[20000, 20000], [20000]]"]);
    check(&[60_000, 1, 49_151, 1], expect!["[[60000], [1, 49151], [1]]"]);
}
