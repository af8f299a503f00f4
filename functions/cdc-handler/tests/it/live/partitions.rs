//! A partitioned source table, whose publication the connector makes.

use super::source::Source;
use super::target::{Target, check};
use super::{Place, count};

/// `accounts` as before, in three partitions; the key's other partition is reached by an update.
const PARTITIONED: &str = "
ALTER TABLE crm_system.accounts RENAME TO accounts_whole;
CREATE TABLE crm_system.accounts (LIKE crm_system.accounts_whole INCLUDING DEFAULTS, PRIMARY KEY (account_id))
    PARTITION BY RANGE (account_id);
CREATE TABLE crm_system.accounts_low PARTITION OF crm_system.accounts FOR VALUES FROM (MINVALUE) TO (300);
CREATE TABLE crm_system.accounts_middle PARTITION OF crm_system.accounts FOR VALUES FROM (300) TO (1000000);
CREATE TABLE crm_system.accounts_high PARTITION OF crm_system.accounts FOR VALUES FROM (1000000) TO (MAXVALUE);
INSERT INTO crm_system.accounts SELECT * FROM crm_system.accounts_whole;
DROP TABLE crm_system.accounts_whole;
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_table_is_followed_under_its_own_name() {
    let (kafka, url) = tokio::join!(test_support::kafka(), test_support::postgres_logical_database());
    let mut source = Source::start_as(url, PARTITIONED).await;
    let place = Place::new(kafka).await;
    let target = Target::start(kafka, &place, "partitions").await;
    let connector = place.follow(kafka, &source.url, &[]).await;
    source.change(1_000, 0).await;
    // Rows that move to another partition, which PostgreSQL makes a deletion and an insertion of.
    let moves = "UPDATE crm_system.accounts SET account_id = account_id + 1500000000 WHERE account_id % 5 = 0 AND account_id < 600";
    source.client.batch_execute(moves).await.unwrap();
    source.mark().await;
    check(&source, &target).await;
    let moved = "FROM crm_data.accounts WHERE account_id BETWEEN 1500000000 AND 1500000600";
    assert!(count(&target.client, moved).await > 10);

    source.client.batch_execute("TRUNCATE crm_system.accounts").await.unwrap();
    source.change(1_200, 0).await;
    source.mark().await;
    check(&source, &target).await;
    target.runtime.shutdown().await;
    connector.stop().await;
}
