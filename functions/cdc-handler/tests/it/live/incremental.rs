//! Incremental snapshots, asked for by signals in the middle of changes.

use test_support::eventually;

use super::source::Source;
use super::target::{Target, check};
use super::{FIRST_MARK, MARKS, PATIENCE, Place, TABLES, count, texts};

/// Rows that a snapshot reads at once: few, so that there are many windows that changes fall into.
const CHUNK: &str = "50";

/// A row of an incremental snapshot shows what the row is at its place: that of the version before it.
fn misplaced(table: &str, key: &str) -> String {
    format!(
        "SELECT jsonb_pretty(to_jsonb(versions)) FROM (SELECT op, stream_lsn, source_lsn, to_jsonb(t) - meta AS row, lag(stream_lsn) OVER history AS before_lsn, lag(op) OVER history AS before_op, \
                lag(to_jsonb(t) - meta) OVER history AS before, \
                lag(valid_to) OVER history AS before_to, valid_from \
            FROM crm_data.{table}_history t, (SELECT ARRAY['valid_from', 'valid_to', 'op', 'changed_at', 'stream_lsn', \
                'is_streamed', 'source_lsn', 'unchanged', 'base_key', 'stale_since'] AS meta) AS meta \
            WINDOW history AS (PARTITION BY {key} ORDER BY stream_lsn, is_streamed, source_lsn)) AS versions \
         WHERE op = 'r' AND before IS NOT NULL AND (row IS DISTINCT FROM before OR before_to < valid_from)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incremental_snapshots_tell_rows_in_the_middle_of_changes() {
    let (kafka, mut source) = tokio::join!(test_support::kafka(), Source::start());
    let place = Place::new(kafka).await;
    let target = Target::start(kafka, &place, "incremental").await;
    let connector = place.follow(kafka, &source.url, &[("incremental.snapshot.chunk.size", CHUNK)]).await;
    source.mark().await;
    check(&source, &target).await;

    // While the source goes on: snapshots of all three tables, one after another, in many windows.
    let url = visible_at_once(&source.url);
    let changing = tokio::spawn(async move { Source::change_in(&url, 3_000, 300).await });
    for number in 0..4 {
        let told = count(&target.client, TOLD).await;
        source.signal_snapshot(&format!("busy {number}")).await;
        eventually(PATIENCE, async || count(&target.client, TOLD).await > told).await;
    }
    changing.await.unwrap();
    // They are done when another, of which nothing is left out, has told the last rows of all tables.
    source.mark().await;
    check(&source, &target).await;
    let marks = marks_told(&target).await;
    source.signal_snapshot("last").await;
    eventually(PATIENCE, async || {
        marks_told(&target).await.iter().zip(&marks).all(|(now, before)| *now == before + MARKS)
    })
    .await;
    check(&source, &target).await;
    for (table, key, _) in TABLES {
        let misplaced = texts(&target.client, &misplaced(table, key)).await;
        assert!(misplaced.is_empty(), "{table} has rows at another place: {misplaced:#?}");
        let streamed = format!(
            "FROM crm_data.{table}_history h WHERE op = 'r' AND EXISTS (SELECT FROM crm_data.{table}_history n \
             WHERE n.op <> 'r' AND n.stream_lsn < h.stream_lsn AND n.{key} < {FIRST_MARK})"
        );
        assert!(count(&target.client, &streamed).await > 0, "no row of {table} was told behind a change");
    }
    assert_eq!(count(&target.client, "FROM crm_data.unusable").await, 0);
    target.runtime.shutdown().await;
    connector.stop().await;
}

/// The same database, for transactions that don't wait for the disk between their commit's record in the log and the moment at
/// which others see it. An incremental snapshot that reads in between tells rows as they were (`README.md`).
fn visible_at_once(url: &str) -> String {
    let join = if url.contains('?') { '&' } else { '?' };
    format!("{url}{join}options=-c%20synchronous_commit%3Doff")
}

/// Rows that snapshots have told.
const TOLD: &str = "FROM (SELECT op FROM crm_data.accounts_history UNION ALL SELECT op FROM crm_data.addresses_history \
    UNION ALL SELECT op FROM crm_data.devices_history) AS versions WHERE op = 'r'";

/// How many of the rows with the highest keys snapshots have told, table by table.
async fn marks_told(target: &Target) -> Vec<i64> {
    let mut told = Vec::new();
    for (table, key, _) in TABLES {
        let marks = format!("FROM crm_data.{table}_history WHERE op = 'r' AND {key} >= {FIRST_MARK}");
        told.push(count(&target.client, &marks).await);
    }
    told
}
