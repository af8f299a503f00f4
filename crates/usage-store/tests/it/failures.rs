//! Servers that are killed, stopped, or refuse.

use futures::future::try_join_all;

use super::*;

/// For what takes a few seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the server is killed while the topic is counted.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_breaks_is_said_and_waited_for_and_nothing_is_lost_or_doubled() {
    let cassandra = test_support::cassandra_of_its_own().await;
    killed_while_counting(&cassandra).await;
    silent(&cassandra).await;
}

async fn killed_while_counting(cassandra: &Cassandra) {
    let url = keyspace_of(cassandra);
    let first = made(&url).await;
    let stores = [first, Store::connect(&url).unwrap()];
    let topic = topic();
    let records: usize = topic.iter().map(Vec::len).sum();
    let processes = stores.iter().zip(0..).map(|(store, seed)| process(store, &topic, seed));
    let killer = async {
        for kill in 1..=KILLS {
            // Each time a little further on.
            test_support::eventually(PATIENCE, async || {
                let lanes = stores[0].lanes().await.unwrap_or_default();
                let counted: i64 = lanes.iter().map(|(_, progress)| progress.next_offset).sum();
                counted as usize > records * kill / (KILLS + 1)
            })
            .await;
            cassandra.kill().await;
            cassandra.start().await;
        }
        Ok(())
    };
    tokio::try_join!(try_join_all(processes), killer).unwrap();
    assert_eq!(stored(&stores[0]).await, expected());
}

/// Its connections stay, and nothing comes back.
async fn silent(cassandra: &Cassandra) {
    let url = keyspace_of(cassandra);
    let store = made(&url).await;
    let topic = topic();
    let batch = |end| batch(0, &topic[0][..end]);
    store.count(&mut LaneMemory::default(), &batch(50)).await.unwrap();

    cassandra.pause().await;
    let late = Store::connect(&url).unwrap();
    let (counted, connected) = tokio::join!(
        async { store.count(&mut LaneMemory::default(), &batch(100)).await.unwrap_err().to_string() },
        async { late.lanes().await.unwrap_err().to_string() },
    );
    cassandra.resume().await;
    for error in [counted, connected] {
        assert!(error.starts_with("the usage store failed: "), "{error}");
    }
    for store in [store, late] {
        test_support::eventually(PATIENCE, async || store.count(&mut LaneMemory::default(), &batch(100)).await.is_ok())
            .await;
        let settled = store.count(&mut LaneMemory::default(), &batch(100)).await.unwrap();
        assert_eq!((settled.counted, settled.settled + settled.duplicates + settled.repeats), (0, 100));
    }
}

#[tokio::test]
async fn a_user_who_is_refused_is_told() {
    let cassandra = test_support::cassandra_with_password().await;
    let url = |login: &str| keyspace_of(&cassandra).replace("scylla://", &format!("scylla://{login}"));
    let refused = async |login: &str| Store::connect(&url(login)).unwrap().init().await.unwrap_err();
    let shown = format!("{:#}", refused("").await);
    assert_eq!(
        shown,
        "making the tables of the usage store: the usage store failed: it wants a user and a password: \
         USAGE_STORE=scylla://user:password@…"
    );
    let shown = format!("{:#}", refused("cassandra:wrong@").await);
    assert_eq!(
        shown,
        "making the tables of the usage store: the usage store failed: it refuses the user or the password: check \
         USAGE_STORE"
    );
    made(&url(&format!("{}:{}@", Cassandra::USER, Cassandra::PASSWORD))).await;
}
