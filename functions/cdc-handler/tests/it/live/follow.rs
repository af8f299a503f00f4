//! Everyday changes and others, restarts, a snapshot again, everything twice.

use std::time::Instant;

use test_support::eventually;

use super::source::Source;
use super::target::{Target, check, follow};
use super::{PATIENCE, Place, assert_same, connect, count};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_follow_a_real_source() {
    let began = Instant::now();
    let (kafka, mut source) = tokio::join!(test_support::kafka(), Source::start());
    let place = Place::new(kafka).await;
    let target = Target::start(kafka, &place, "first").await;

    // A snapshot of what is there, then what changes.
    let connector = place.follow(kafka, &source.url, &[]).await;
    source.change(1_500, 0).await;
    source.renumber_large().await;
    source.mark().await;
    check(&source, &target).await;
    let renumbered = "FROM crm_data.addresses_history WHERE base_key >= 1900000000 AND unchanged = '{street_address}'";
    assert_eq!(count(&target.client, &format!("{renumbered} AND length(street_address) > 2000")).await, 60);
    assert_eq!(count(&target.client, renumbered).await, 60);

    // Killed and started again, stopped and started again, while the source goes on.
    let streaming = Instant::now();
    let (changed, ()) = tokio::join!(tokio::spawn(changes(source, 4_500, 400)), async {
        eventually(PATIENCE, async || count(&target.client, "FROM crm_data.accounts_history").await > 2_000).await;
        connector.kill().await;
        connector.start().await;
        connector.stop().await;
        connector.start().await;
    });
    source = changed.unwrap();
    source.mark().await;
    check(&source, &target).await;
    let streamed = streaming.elapsed();

    // A snapshot again, while a transaction is open: the snapshot shows what was before it, and lies behind it in the log.
    connector.stop().await;
    drop(connector);
    let mut other = connect(&source.url).await;
    let open = other.transaction().await.unwrap();
    open.execute("UPDATE crm_system.accounts SET owner_name = 'late' WHERE account_id <= 3", &[]).await.unwrap();
    let snapshot = "FROM crm_data.accounts_history WHERE NOT is_streamed AND account_id = 2000000000";
    let snapshots = count(&target.client, snapshot).await;
    let connector = place.follow(kafka, &source.url, &[]).await;
    eventually(PATIENCE, async || count(&target.client, snapshot).await > snapshots).await;
    source.mark().await;
    open.commit().await.unwrap();
    source.mark().await;
    check(&source, &target).await;
    source.change(5_000, 0).await;
    source.mark().await;
    check(&source, &target).await;

    // Everything once more, into these tables and into new ones.
    let again = follow(kafka, &place, &target.url, "again").await;
    let anew = Target::start(kafka, &place, "anew").await;
    check(&source, &anew).await;
    eventually(PATIENCE, async || again.status().mappings.iter().all(|mapping| mapping.lag() == Some(0))).await;
    check(&source, &target).await;
    assert_same("tables", &target.everything().await, &anew.everything().await);

    let messages: u64 = anew.runtime.status().mappings.iter().map(|mapping| mapping.records).sum();
    eprintln!(
        "5,000 changes, {} versions of rows, {messages} messages; 3,000 changes at 400/s with two restarts in {:.1} s; all in {:.1} s",
        source.versions().await.len(),
        streamed.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    for runtime in [target.runtime, again, anew.runtime] {
        runtime.shutdown().await;
    }
    connector.stop().await;
}

/// The source goes on, on its own.
async fn changes(source: Source, changes: u64, rate: u32) -> Source {
    source.change(changes, rate).await;
    source
}
