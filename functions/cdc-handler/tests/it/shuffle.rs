//! Whatever the order, the batches and the repetitions in which a set of changes comes, also side by side: the tables are
//! the same, and all rows are those of a model that knows nothing but the rules.

use std::collections::BTreeMap;

use cdc_handler::Outcome;
use futures::future::join_all;
use kafka_batch::PartitionBatch;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use stream::{Header, Record};

use crate::scene::Scene;

/// Each takes some tens of milliseconds.
const CASES: u64 = 60;
const MAX_CHANGES: usize = 40;
const KEYS: i64 = 4;
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// An update that can't be used.
const UNUSABLE: char = 'x';

/// One change of `accounts`.
#[derive(Clone, Debug)]
struct Change {
    /// `None`: all of them.
    key: Option<i64>,
    /// The key that it had before, if it is another now.
    old_key: Option<i64>,
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
        let mut after = matches!(self.op, 'r' | 'c' | 'u' | UNUSABLE).then(
            || json!({"account_id": self.key, "owner_name": self.name, "email": self.email, "phone_number": null, "modified_ts": null}),
        );
        let mut op = self.op;
        if let Some(Value::Object(after)) = after.as_mut().filter(|_| op == UNUSABLE) {
            after.remove("phone_number");
            op = 'u';
        }
        let sequence = json!([self.commit_before.map(|lsn| lsn.to_string()), self.lsn.to_string()]);
        let source = json!({"table": "accounts", "lsn": self.lsn, "sequence": sequence.to_string(),
            "ts_ms": 1_709_287_200_000 + self.second * 1_000});
        let value = json!({"before": null, "after": after, "op": op.to_string(), "source": source});
        let bytes = |value: Value| Some(value.to_string().into_bytes());
        Record {
            offset,
            timestamp_ms: 0,
            key: self.key.and_then(|key| bytes(json!({"account_id": key}))),
            value: bytes(value),
            headers: self.old_key.map(old_key_header).into_iter().collect(),
        }
    }
}

fn old_key_header(key: i64) -> Header {
    let value = Some(json!({"account_id": key}).to_string().into_bytes());
    Header { name: "__debezium.oldkey".to_owned(), value }
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
            number => (Some(random.random_range(1..=KEYS)), ['r', 'c', 'k', 'k', 'u', 'u', 'd', UNUSABLE][number % 8]),
        };
        let commit_before = random.random_bool(0.7).then(|| lsn + random.random_range(-5..3) * 10);
        let name = ["Thandi", "Pieter", "Zoë", UNAVAILABLE].choose(random).unwrap();
        let email = ["a@example.com", "b@example.com", UNAVAILABLE].choose(random).unwrap();
        let change = Change { key, old_key: None, op, lsn, commit_before, second, name, email };
        let new = if op == 'k' {
            // A changed key: a deletion and a creation at the same place.
            let old_key = Some(random.random_range(1..=KEYS)).filter(|old_key| Some(*old_key) != key);
            let deletion = old_key.map(|_| Change { key: old_key, op: 'd', ..change.clone() });
            deletion.into_iter().chain([Change { old_key, op: 'c', ..change }]).collect()
        } else {
            vec![change]
        };
        // No log has two changes of a row, or a row's and a truncation, at the same place.
        let is_same_place = |(one, other): (&Change, &Change)| {
            one.order() == other.order() && (one.key == other.key || one.key.is_none() || other.key.is_none())
        };
        if !changes.iter().flat_map(|known| new.iter().map(move |new| (known, new))).any(is_same_place) {
            changes.extend(new);
        }
    }
    changes
}

/// Name and email.
type Values = [Option<&'static str>; 2];

/// Where a change stands.
type Place = (i64, bool, i64);

/// What is known of a row that is there.
#[derive(Clone, Copy)]
struct Row {
    /// The version that told it last, if one did.
    told: Option<(Place, Values)>,
    /// Whether a change that can't be used came after that.
    is_stale: bool,
}

/// What the tables hold by the rules alone.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, Row>,
    /// Every version, and whether it became stale.
    versions: BTreeMap<(i64, Place), (Values, bool)>,
    incomplete: u64,
    unseen: u64,
}

/// One place after another: what a change does not tell is the row's that was there just before, under the key it had then.
fn model(changes: &[Change]) -> Model {
    let mut sorted = changes.to_vec();
    sorted.sort_by_key(Change::order);
    let mut model = Model::default();
    for place in sorted.chunk_by(|one, other| one.order() == other.order()) {
        let before = model.rows.clone();
        for change in place {
            let is_known = |key: i64| u64::from(!before.contains_key(&key));
            match (change.op, change.key) {
                ('t', _) => model.rows.clear(),
                ('d', Some(key)) => {
                    model.unseen += is_known(key);
                    model.rows.remove(&key);
                }
                (UNUSABLE, Some(key)) => {
                    let row = model.rows.entry(key).or_insert(Row { told: None, is_stale: true });
                    row.is_stale = true;
                    if let Some((place, _)) = row.told {
                        model.versions.entry((key, place)).and_modify(|(_, is_stale)| *is_stale = true);
                    }
                }
                (op, Some(key)) => {
                    model.unseen += if op == 'u' { is_known(key) } else { 0 };
                    let base = if op == 'c' { change.old_key } else { Some(key) };
                    let base = base.and_then(|base| before.get(&base)).filter(|row| !row.is_stale);
                    let base = base.and_then(|row| row.told).map(|(_, values)| values);
                    let told =
                        [change.name, change.email].map(|value| Some(value).filter(|value| *value != UNAVAILABLE));
                    model.incomplete += u64::from(base.is_none() && told.contains(&None));
                    let base = base.unwrap_or_default();
                    let values = [told[0].or(base[0]), told[1].or(base[1])];
                    model.rows.insert(key, Row { told: Some((change.order(), values)), is_stale: false });
                    model.versions.insert((key, change.order()), (values, false));
                }
                (_, None) => unreachable!("only a truncation has no key"),
            }
        }
    }
    model
}

/// A row, as the database writes it.
fn shown(key: i64, values: Values, is_stale: bool) -> String {
    let [name, email] = values.map(|value| value.unwrap_or("NULL"));
    format!("{key} {name} {email} {}", if is_stale { "stale" } else { "known" })
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
    let sql = "TRUNCATE crm_data.accounts, crm_data.accounts_history, crm_data.deletions, crm_data.truncations, crm_data.unusable; \
        UPDATE crm_data.progress SET stream_lsn = 0, changed_at = NULL";
    scene.database.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn the_order_of_changes_does_not_matter() {
    let scene = Scene::new().await;
    for seed in 0..CASES {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut changes = changes(&mut random);
        empty(&scene).await;
        let outcome = scene.handle(event(&changes)).await;
        let expected = scene.everything().await;
        let model = model(&changes);
        assert_eq!(outcome.incomplete, model.incomplete, "seed {seed}: {changes:#?}");
        assert_eq!(outcome.unseen, model.unseen, "seed {seed}: {changes:#?}");
        let values = "SELECT concat_ws(' ', account_id, coalesce(owner_name, 'NULL'), coalesce(email, 'NULL'), \
            CASE WHEN stale_since IS NULL THEN 'known' ELSE 'stale' END) FROM crm_data.accounts";
        let now = model.rows.iter().filter_map(|(key, row)| Some(shown(*key, row.told?.1, row.is_stale)));
        let now: Vec<_> = now.collect();
        assert_eq!(scene.texts(&format!("{values} ORDER BY account_id")).await, now, "seed {seed}: {changes:#?}");
        let versions = format!("{values}_history ORDER BY account_id, stream_lsn, is_streamed, source_lsn");
        let expected_versions =
            model.versions.iter().map(|((key, _), (values, is_stale))| shown(*key, *values, *is_stale));
        assert_eq!(scene.texts(&versions).await, expected_versions.collect::<Vec<_>>(), "seed {seed}: {changes:#?}");
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
                    let unusable = batch.iter().filter(|change| change.op == UNUSABLE).count();
                    assert_eq!(rejected, unusable as u64);
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
    assert_eq!(scene.texts("SELECT count(*)::text FROM crm_data.accounts_history").await, [rows.to_string()]);
    let overlapping = "SELECT h::text FROM crm_data.accounts_history h JOIN crm_data.accounts_history n \
        ON n.account_id = h.account_id \
        AND (n.stream_lsn, n.is_streamed, n.source_lsn) > (h.stream_lsn, h.is_streamed, h.source_lsn) \
        WHERE h.valid_to IS NULL OR h.valid_to > n.valid_from";
    assert_eq!(scene.texts(overlapping).await, [""; 0], "seed {seed}");
    let columns = "account_id, owner_name, email, phone_number, modified_ts, valid_from, source_lsn, stale_since";
    let different = format!(
        "WITH open AS (SELECT {columns} FROM crm_data.accounts_history WHERE valid_to IS NULL), \
            now AS (SELECT {columns} FROM crm_data.accounts) \
         SELECT d::text FROM ((TABLE open EXCEPT TABLE now) UNION ALL (TABLE now EXCEPT TABLE open)) d"
    );
    assert_eq!(scene.texts(&different).await, [""; 0], "seed {seed}");
}
