//! Whatever the order, the batches and the repetitions in which a set of changes comes, also side by side: the tables are
//! the same, and the current rows are those of a model that knows nothing but the rules.

use std::collections::BTreeMap;

use cdc_handler::Outcome;
use futures::future::join_all;
use kafka_batch::{PartitionBatch, Record};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::scene::Scene;

/// Each takes some tens of milliseconds.
const CASES: u64 = 60;
const MAX_CHANGES: usize = 40;
const KEYS: i64 = 4;
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// One change of `accounts`.
#[derive(Clone, Debug)]
struct Change {
    /// `None`: all of them.
    key: Option<i64>,
    op: char,
    lsn: i64,
    commit_before: Option<i64>,
    second: i64,
    name: &'static str,
    email: &'static str,
}

impl Change {
    fn order(&self) -> (i64, bool, i64) {
        (self.commit_before.unwrap_or(self.lsn).max(self.lsn), self.op != 'r', self.lsn)
    }

    fn record(&self, offset: i64) -> Record {
        let after = matches!(self.op, 'r' | 'c' | 'u').then(
            || json!({"account_id": self.key, "owner_name": self.name, "email": self.email, "phone_number": null}),
        );
        let sequence = json!([self.commit_before.map(|lsn| lsn.to_string()), self.lsn.to_string()]);
        let source = json!({"table": "accounts", "lsn": self.lsn, "sequence": sequence.to_string(),
            "ts_ms": 1_709_287_200_000 + self.second * 1_000});
        let value = json!({"before": null, "after": after, "op": self.op.to_string(), "source": source});
        let bytes = |value: Value| Some(value.to_string().into_bytes());
        Record {
            offset,
            timestamp_ms: 0,
            key: self.key.and_then(|key| bytes(json!({"account_id": key}))),
            value: bytes(value),
            headers: Vec::new(),
        }
    }
}

fn changes(random: &mut ChaCha8Rng) -> Vec<Change> {
    let mut lsn = 1_000;
    let mut second = 0;
    let mut changes = Vec::new();
    for _ in 0..random.random_range(1..=MAX_CHANGES) {
        // Now and then several at the same place, as a snapshot's rows and the change that follows it are.
        lsn += random.random_range(0..3) * 10;
        // A clock that is set back at times.
        second += random.random_range(-2..10);
        let (key, op) = match random.random_range(0..20) {
            0 => (None, 't'),
            number => (Some(random.random_range(1..=KEYS)), ['r', 'r', 'c', 'u', 'u', 'd'][number % 6]),
        };
        let commit_before = random.random_bool(0.7).then(|| lsn + random.random_range(-5..3) * 10);
        let name = ["Thandi", "Pieter", "Zoë", UNAVAILABLE].choose(random).unwrap();
        let email = ["a@example.com", "b@example.com", UNAVAILABLE].choose(random).unwrap();
        let change = Change { key, op, lsn, commit_before, second, name, email };
        // No log has two changes of a row, or a row's and a truncation, at the same place.
        let is_same_place = |other: &Change| {
            other.order() == change.order() && (other.key == change.key || other.key.is_none() || change.key.is_none())
        };
        if !changes.iter().any(is_same_place) {
            changes.push(change);
        }
    }
    changes
}

/// The current rows by the rules alone: of each row the newest change decides; what it does not tell, the newest before it
/// that does.
fn model(changes: &[Change]) -> Vec<String> {
    let mut sorted = changes.to_vec();
    sorted.sort_by_key(Change::order);
    let mut told: BTreeMap<i64, [Option<&str>; 2]> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for change in &sorted {
        match (change.op, change.key) {
            ('t', _) => rows.clear(),
            ('d', Some(key)) => drop(rows.remove(&key)),
            (_, Some(key)) => {
                let told = told.entry(key).or_default();
                for (told, new) in told.iter_mut().zip([change.name, change.email]) {
                    if new != UNAVAILABLE {
                        *told = Some(new);
                    }
                }
                rows.insert(key, format!("{key} {} {}", told[0].unwrap_or("NULL"), told[1].unwrap_or("NULL")));
            }
            (_, None) => unreachable!("only a truncation has no key"),
        }
    }
    rows.into_values().collect()
}

/// An event of these changes; a key's partition is its own, a truncation's any.
fn event(changes: &[Change]) -> Vec<PartitionBatch> {
    let mut partitions: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    for (offset, change) in changes.iter().enumerate() {
        let partition = change.key.map_or(0, |key| (key % 3) as i32);
        partitions.entry(partition).or_default().push(change.record(offset as i64));
    }
    let topic = || "crm.crm_system.accounts".to_owned();
    partitions.into_iter().map(|(partition, records)| PartitionBatch { topic: topic(), partition, records }).collect()
}

async fn empty(scene: &Scene) {
    let sql = "TRUNCATE crm_data.accounts, crm_data.accounts_history, crm_data.deletions, crm_data.truncations; \
        UPDATE crm_data.progress SET stream_lsn = 0, changed_at = NULL";
    scene.database.batch_execute(sql).await.unwrap();
}

async fn texts(scene: &Scene, sql: &str) -> Vec<String> {
    scene.database.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_order_of_changes_does_not_matter() {
    let scene = Scene::new().await;
    for seed in 0..CASES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut changes = changes(&mut random);
        empty(&scene).await;
        scene.handle(event(&changes)).await;
        let expected = scene.everything().await;
        let now = "SELECT concat_ws(' ', account_id, coalesce(owner_name, 'NULL'), coalesce(email, 'NULL')) \
            FROM crm_data.accounts ORDER BY account_id";
        assert_eq!(texts(&scene, now).await, model(&changes), "seed {seed}: {changes:#?}");
        check_history(&scene, seed, &changes).await;

        for is_side_by_side in [false, true] {
            empty(&scene).await;
            changes.shuffle(&mut random);
            let mut batches: Vec<_> = changes.chunks(random.random_range(1..=12)).map(<[_]>::to_vec).collect();
            for _ in 0..random.random_range(0..4) {
                let from = random.random_range(0..changes.len());
                batches.push(changes[from..].to_vec());
            }
            batches.shuffle(&mut random);
            if is_side_by_side {
                join_all(batches.iter().map(|batch| scene.handle(event(batch)))).await;
            } else {
                for batch in &batches {
                    let Outcome { rejected, .. } = scene.handle(event(batch)).await;
                    assert_eq!(rejected, 0);
                }
            }
            assert_eq!(
                scene.everything().await,
                expected,
                "seed {seed}, side by side: {is_side_by_side}: {changes:#?}"
            );
        }
    }
}

/// A version for each row's change; none overlap; the open ones are the current rows.
async fn check_history(scene: &Scene, seed: u64, changes: &[Change]) {
    let rows = changes.iter().filter(|change| matches!(change.op, 'r' | 'c' | 'u')).count();
    assert_eq!(texts(scene, "SELECT count(*)::text FROM crm_data.accounts_history").await, [rows.to_string()]);
    let overlapping = "SELECT h::text FROM crm_data.accounts_history h JOIN crm_data.accounts_history n \
        ON n.account_id = h.account_id \
        AND (n.stream_lsn, n.is_streamed, n.source_lsn) > (h.stream_lsn, h.is_streamed, h.source_lsn) \
        WHERE h.valid_to IS NULL OR h.valid_to > n.valid_from";
    assert_eq!(texts(scene, overlapping).await, [""; 0], "seed {seed}");
    let columns = "account_id, owner_name, email, phone_number, modified_ts, valid_from, source_lsn";
    let different = format!(
        "WITH open AS (SELECT {columns} FROM crm_data.accounts_history WHERE valid_to IS NULL), \
            now AS (SELECT {columns} FROM crm_data.accounts) \
         SELECT d::text FROM ((TABLE open EXCEPT TABLE now) UNION ALL (TABLE now EXCEPT TABLE open)) d"
    );
    assert_eq!(texts(scene, &different).await, [""; 0], "seed {seed}");
}
