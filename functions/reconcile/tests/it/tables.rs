//! A hundred days of files: the tables stay as large as they were.

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio_postgres::NoTls;

use crate::world::{DAY, File, Rows, World};

const TABLES: [&str; 3] = ["sources", "claims", "marks"];
const DAYS: u64 = 100;
const FILES_A_DAY: u64 = 6;
const ROWS: u64 = 3;
/// It grows by a row a day, and so is never quiet.
const GROWING: u64 = 80_000;
/// It grows by a row, and again after two months.
const SLEEPY: u64 = 80_001;

/// The same hundred days on any store; how many rows its tables have on every tenth of them.
#[expect(clippy::print_stdout, reason = "who asks how large the tables are, finds it here")]
async fn flat_over(mut world: World, rows: impl AsyncFn() -> Rows) {
    let mut published = 0;
    let mut on_days = Vec::new();
    for day in 0..DAYS {
        for file in 0..FILES_A_DAY {
            let file = File::new(day * FILES_A_DAY + file);
            for index in [0, 1] {
                published += world.bring(index, &file, 1..=ROWS).await.counted;
                // It is published again at once, and counts once.
                assert_eq!(world.bring(index, &file, 1..=ROWS).await.repeats, ROWS);
            }
        }
        published += world.bring(0, &File::new(GROWING), day + 1..=day + 1).await.counted;
        if day % 60 == 0 {
            published += world.bring(0, &File::new(SLEEPY), day + 1..=day + 1).await.counted;
        }
        let report = world.night().await;
        assert_eq!((report.lanes, report.waiting, report.deferred), (2, 0, 0));
        if day % 10 == 9 {
            let rows = rows().await;
            println!("day {:3}: {rows:?}", day + 1);
            on_days.push(rows);
        }
    }
    assert_eq!(published, DAYS * (FILES_A_DAY * 2 * ROWS + 1) + DAYS.div_ceil(60));
    assert_eq!(world.events().await, published);
    // The files of so many days, each in two lanes; the one that grows, and now and then the sleepy one.
    let of_days = (usage_store::KEPT_MS / DAY.as_millis() as i64) * FILES_A_DAY as i64;
    let is_flat = |rows: &Rows| {
        let others = rows["claims"] - of_days;
        (1..=2).contains(&others) && rows["sources"] == 2 * of_days + others && rows["marks"] == on_days[5]["marks"]
    };
    assert!(on_days[5..].iter().all(is_flat), "{on_days:?}");

    // And nothing is kept of files that have come to their end.
    world.nights(70).await;
    let rows = rows().await;
    println!("70 quiet days later: {rows:?}");
    assert_eq!((rows["sources"], rows["claims"], rows["marks"]), (0, 0, on_days[5]["marks"]));
    assert_eq!(world.events().await, published);
}

#[tokio::test]
async fn in_postgresql() {
    let url = test_support::postgres_database().await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = async || {
        let mut rows = Rows::new();
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM usage.{table}");
            rows.insert(table, client.query_one(&sql, &[]).await.unwrap().get(0));
        }
        rows
    };
    flat_over(World::new(&url).await, rows).await;
}

#[tokio::test]
async fn in_cassandra() {
    let address = &test_support::cassandra().await.address;
    let keyspace = test_support::topic("usage").replace('-', "_");
    let session: Session = SessionBuilder::new().known_node(address).build().await.unwrap();
    let rows = async || {
        let mut rows = Rows::new();
        for table in TABLES {
            let cql = format!("SELECT count(*) FROM {keyspace}.{table}");
            let answer = session.query_unpaged(cql, &()).await.unwrap().into_rows_result().unwrap();
            rows.insert(table, answer.single_row::<(i64,)>().unwrap().0);
        }
        rows
    };
    flat_over(World::new(&format!("scylla://{address}/{keyspace}")).await, rows).await;
}
