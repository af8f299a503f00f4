//! A store that version 0.1 made and filled goes on, where everything that was delivered to it has been counted.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio_postgres::NoTls;
use usage_store::{Counted, Setup};

use super::*;

const DAY_MS: i64 = 86_400_000;
/// Ten days after the last record that version 0.1 counted.
const UPGRADE_MS: i64 = 1_704_103_200_000 + 10 * DAY_MS;

fn msisdn() -> Msisdn {
    Msisdn::from_u64(27_821_234_567).unwrap()
}

fn setup(end: i64) -> Setup {
    Setup { ends: vec![(lane(0), end)], now_ms: UPGRADE_MS, ..Setup::default() }
}

/// Lines of a file that version 0.1 knows, as they are counted or taken back now.
fn lines(
    first_offset: i64,
    file: &str,
    id: u8,
    lines: std::ops::RangeInclusive<u64>,
    action: Action,
) -> Vec<LaneRecord> {
    let totals = Totals { up_bytes: 10, down_bytes: 100, seconds: 0, events: 1 };
    let event = UsageEvent { msisdn: msisdn(), day: day(), kind: UsageKind::DataVideo, totals };
    let record = |(offset, line)| {
        let source = Source { id: SourceId([id; 8]), line, file: Some(FileName::parse(file).unwrap()) };
        let usage = Some(SourcedUsage { event, source: Some(source), action, tower: None });
        LaneRecord { offset, timestamp_ms: UPGRADE_MS + offset, usage }
    };
    (first_offset..).zip(lines).map(record).collect()
}

fn recent(first_offset: i64, numbers: std::ops::RangeInclusive<u64>, action: Action) -> Vec<LaneRecord> {
    lines(first_offset, "cdr_data_20240101_120000.csv", 0xaa, numbers, action)
}

async fn count(store: &Store, records: &[LaneRecord]) -> Counted {
    store.count(&mut LaneMemory::default(), &batch(0, records)).await.unwrap()
}

async fn events(store: &Store) -> u64 {
    store.usage_of(msisdn(), day(), day()).await.unwrap().iter().map(|daily| daily.totals.events).sum()
}

async fn check(url: &str) {
    let store = Store::connect(url).unwrap();
    let error = store.count(&mut LaneMemory::default(), &batch(0, &recent(6, 4..=4, Action::Count))).await.unwrap_err();
    assert!(error.to_string().contains("run `trunkline init`"), "{error:#}");

    // A record waits that is to be counted as the version before would.
    let store = Store::connect(url).unwrap();
    for ends in [vec![(lane(0), 7)], Vec::new()] {
        let refused = store.set_up(&Setup { ends, ..setup(7) }).await.unwrap_err().to_string();
        assert!(refused.contains("Let it count them, stop everything, and run `trunkline init` again"), "{refused}");
    }
    // As an interrupted upgrade that is begun again, by two at once.
    let store = Store::connect(url).unwrap();
    store.set_up(&setup(6)).await.unwrap();
    store.set_up(&setup(6)).await.unwrap();
    store.add_lanes(1, "cdr-data", 1).await.unwrap();
    assert_eq!(store.rules().await.unwrap(), RecordRules::default());
    assert_eq!(events(&store).await, 6);
    let shown = |account: &FileAccount| {
        let FileAccount { file, first_line, counted, duplicates, withdrawn, repeats, .. } = account;
        format!("{} from {first_line}: {counted} {duplicates} {withdrawn} {repeats}", file.unwrap())
    };
    let accounts = async || store.file_accounts().await.unwrap().iter().map(shown).collect::<Vec<_>>();
    let before = ["cdr_data_20231212_120000.csv from 0: 3 0 0 0", "cdr_data_20240101_120000.csv from 0: 3 0 0 0"];
    assert_eq!(accounts().await, before);

    // What the version before has settled may have been read otherwise then: its row is no lost one.
    let mut again = recent(5, 3..=3, Action::Count);
    again[0].timestamp_ms = 1_704_103_200_005;
    let usage = again[0].usage.as_mut().unwrap();
    usage.event.msisdn = Msisdn::from_u64(27_829_999_999).unwrap();
    assert_eq!(count(&store, &again).await.settled, 1);

    // A recent file goes on, and can be taken back.
    let counted = count(&store, &recent(6, 1..=4, Action::Count)).await;
    assert_eq!((counted.repeats, counted.counted), (3, 1));
    assert_eq!(events(&store).await, 7);
    assert_eq!(count(&store, &recent(10, 1..=4, Action::Withdraw)).await.withdrawn, 4);
    assert_eq!(events(&store).await, 3);

    // One that was claimed long before the upgrade is not counted any more, as the version before would not have.
    let counted = count(&store, &lines(14, "cdr_data_20231212_120000.csv", 0xbb, 1..=4, Action::Count)).await;
    let codes: Vec<_> = counted.refused.iter().map(|(_, refusal)| refusal.code()).collect();
    assert_eq!(codes, ["source_too_old"; 4]);
    assert_eq!(events(&store).await, 3);
    let after = ["cdr_data_20231212_120000.csv from 0: 3 0 0 0", "cdr_data_20240101_120000.csv from 0: 0 0 4 3"];
    assert_eq!(accounts().await, after);

    // What is closed stays as it was, whenever `init` is run again.
    store.set_up(&Setup { now_ms: UPGRADE_MS + 100 * DAY_MS, ..setup(18) }).await.unwrap();
    let counted = count(&store, &recent(18, 5..=5, Action::Count)).await;
    assert_eq!((counted.counted, counted.refused), (1, vec![]));
}

#[tokio::test]
async fn a_postgresql_store_of_the_version_before() {
    let url = postgres_database().await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(include_str!("earlier/postgres.sql")).await.unwrap();
    check(&url).await;
    // A function of the version before that is still there can't write entries.
    let sql = "INSERT INTO usage.sources (lane, source_id, claimed_ms, last_line, files, upto) VALUES (1, 'c', 0, 1, '{}', 99)";
    assert!(client.execute(sql, &[]).await.is_err());
}

#[tokio::test]
async fn a_cassandra_store_of_the_version_before() {
    let cassandra = test_support::cassandra().await;
    let url = keyspace_of(cassandra);
    let keyspace = url.rsplit('/').next().unwrap();
    let session: Session = SessionBuilder::new().known_node(&cassandra.address).build().await.unwrap();
    let run = async |cql: String| session.query_unpaged(cql, &()).await.unwrap();
    let replication = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    run(format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}")).await;
    for statement in include_str!("earlier/cassandra.cql").split_terminator(";\n") {
        run(statement.replace("{keyspace}", keyspace)).await;
    }
    check(&url).await;
}
