use expect_test::{Expect, expect};
use test_support::postgres_database;

use super::*;
use crate::{Setup, Store, contract};

async fn made() -> (String, Postgres) {
    let url = postgres_database().await;
    let store = Postgres::new(&url).unwrap();
    store.make(&Setup::default()).await.unwrap();
    store.add_lanes(2, "cdr-data", 2).await.unwrap();
    (url, store)
}

#[tokio::test]
async fn postgresql_is_a_store() {
    let (_, store) = made().await;
    contract::check(&store).await;
}

#[tokio::test]
async fn postgresql_is_kept_up() {
    let (_, store) = made().await;
    contract::check_upkeep(&store).await;
}

#[tokio::test]
async fn making_it_again_changes_nothing() {
    let (url, store) = made().await;
    contract::check(&store).await;
    let before = (store.all_sources().await.unwrap(), store.lanes().await.unwrap());
    let other = Postgres::new(&url).unwrap();
    let setup = Setup::default();
    let (one, two) = tokio::join!(store.make(&setup), other.make(&setup));
    one.unwrap();
    two.unwrap();
    store.add_lanes(2, "cdr-data", 2).await.unwrap();
    assert_eq!((store.all_sources().await.unwrap(), store.lanes().await.unwrap()), before);
}

#[tokio::test]
async fn several_may_make_it_at_once() {
    let url = postgres_database().await;
    let make = async || {
        let store = Postgres::new(&url).unwrap();
        store.make(&Setup::default()).await.unwrap();
        store.add_lanes(1, "cdr-voice", 3).await.unwrap();
        store.lanes().await.unwrap().len()
    };
    assert_eq!(tokio::join!(make(), make(), make()), (3, 3, 3));
}

fn check_error<T: fmt::Debug>(result: anyhow::Result<T>, expect: Expect) {
    expect.assert_eq(&format!("{:#}", result.unwrap_err()));
}

#[tokio::test]
async fn what_is_fixed_can_not_be_changed() {
    let (url, store) = made().await;
    let other = Postgres::new(&url).unwrap();
    check_error(
        other.make(&Setup { buckets: Buckets::new(48).unwrap(), ..Setup::default() }).await,
        expect!["the usage store was made with 96 buckets, which can't be changed to 48: make a new store"],
    );
    check_error(
        store.add_lanes(2, "cdr-data", 3).await,
        expect!["stream epoch 2 knows topic cdr-data with 2 partitions, now it has 3: take a new STREAM_EPOCH"],
    );
    store.add_lanes(3, "cdr-data", 3).await.unwrap();
    check_error(store.add_lanes(3, "cdr-voice", 0).await, expect!["topic cdr-voice has no partitions"]);
}

#[tokio::test]
async fn a_store_that_was_not_made_says_so() {
    let store = Postgres::new(&postgres_database().await).unwrap();
    check_error(
        store.buckets().await,
        expect![[r#"the usage store failed: relation "usage.settings" does not exist: run `trunkline init`"#]],
    );
}

#[test]
fn a_bad_address_is_refused_without_showing_it() {
    for (url, expect) in [
        (
            "mysql://user:secret@host/db",
            expect![
                "USAGE_STORE is malformed: expected scylla://host/keyspace or postgres://user:password@host/database"
            ],
        ),
        (
            "postgres://user:secret@host:port/db",
            expect!["USAGE_STORE is malformed: expected postgres://user:password@host/database"],
        ),
        (
            "",
            expect![
                "USAGE_STORE is malformed: expected scylla://host/keyspace or postgres://user:password@host/database"
            ],
        ),
    ] {
        check_error(Store::connect(url), expect);
    }
}

#[tokio::test]
async fn it_goes_on_after_its_connections_were_cut() {
    let (url, store) = made().await;
    let (admin, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        // Several connections, all of which are cut.
        tokio::try_join!(store.lanes(), store.lanes(), store.lanes()).unwrap();
        admin
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(store.lanes().await.unwrap().len(), 2);
    }
    drop(admin);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_figure_of_more_than_63_bits_is_an_error() {
    let (_, store) = made().await;
    let lane = Lane { epoch: 2, topic: "cdr-data".to_owned(), partition: 0 };
    let key = Buckets::default().key(Msisdn::from_u64(27_821_000_000).unwrap(), Day::MIN, UsageKind::DataText);
    let totals = Totals { down_bytes: 1 << 63, ..Totals::default() };
    check_error(
        store.write_rows(&lane, 1, &[(key, totals)]).await,
        expect![
            "a figure is larger than the 63 bits that the usage store holds: out of range integral type conversion attempted"
        ],
    );
}
