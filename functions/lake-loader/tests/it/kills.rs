//! The function's own binary, killed at random, two of them at once, and robbed of its lock: the tables are those of a
//! run that nobody disturbed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;
use lake_loader::Status;
use lake_loader::table::LoadedTopic;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stream::Record;
use test_support::Sandbox;

use crate::world::{HOUR_MS, START_MS, World, message, record, session, withdrawn};

const BINARY: &str = env!("CARGO_BIN_EXE_lake-loader");
const PATIENCE: Duration = Duration::from_secs(100);
/// So many invocations are killed before they have answered.
const KILLS: usize = 30;
/// Waits for its turn, so that two at once are two that work.
const EVENT: &str = r#"{"load":{"wait":true}}"#;
/// Small, so that there are many chunks.
const CHUNK_RECORDS: (&str, &str) = ("LOAD_CHUNK_RECORDS", "25");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_are_those_of_an_undisturbed_run() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let world = World::with(&[CHUNK_RECORDS]).await;
    let mut topics = Topics::default();
    topics.grow(&world, 60, &mut rng).await;
    // Cut short somewhere between its beginning and what the last one took: that differs from machine to machine.
    let began = Instant::now();
    start(&world).await.invoke(EVENT, PATIENCE).await.unwrap();
    let mut took = began.elapsed();
    let mut kills = 0;
    let mut round = 0;
    while kills < KILLS {
        round += 1;
        topics.grow(&world, 80, &mut rng).await;
        let mut functions = vec![start(&world).await];
        if round % 3 == 0 {
            functions.push(start(&world).await);
        }
        let limits: Vec<_> = functions.iter().map(|_| took.mul_f64(rng.random_range(0.0..1.1))).collect();
        let runs = functions.into_iter().zip(limits).map(async |(mut function, limit)| {
            let began = Instant::now();
            let answer = tokio::time::timeout(limit, function.invoke(EVENT, PATIENCE)).await;
            function.stop().await.unwrap();
            // One that was robbed may fail, when another has taken over.
            answer.is_ok().then(|| began.elapsed())
        });
        // Whoever has lost its lock, and does not know, meets the next one.
        let robbed = async {
            if round % 3 == 0 {
                world.rob().await;
            }
        };
        let (ended, ()) = tokio::join!(futures::future::join_all(runs), robbed);
        for ended in ended {
            match ended {
                Some(elapsed) => took = elapsed.max(took / 2),
                None => kills += 1,
            }
        }
    }
    topics.grow(&world, 30, &mut rng).await;
    assert_eq!(world.load().await.status, Status::Succeeded);

    let undisturbed = World::with(&[]).await;
    for key in world.lake.list("bronze/").map_ok(|listed| listed.key).try_collect::<Vec<_>>().await.unwrap() {
        let object = world.lake.get_stream(&key).await.unwrap();
        let metadata: Vec<_> = object.metadata.clone().into_iter().collect();
        let metadata: Vec<_> = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        undisturbed.lake.put_if_absent(&key, object.into_bytes().await.unwrap(), &metadata).await.unwrap();
    }
    let report = undisturbed.load().await;
    assert_eq!(report.streams.iter().map(|stream| stream.records).sum::<u64>(), topics.records);
    for stream in &report.streams {
        assert!(stream.accepted > 0 && stream.duplicates > 0 && stream.rejected > 0, "{stream:?}");
        assert!(stream.withdrawn > 0 || !stream.table.starts_with("cdr_data."), "{stream:?}");
    }
    let (ours, theirs) = (world.everything().await, undisturbed.everything().await);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (table, rows) in &ours {
        assert_eq!(rows, &theirs[table], "{table}");
    }
}

async fn start(world: &World) -> Sandbox {
    Sandbox::start(Path::new(BINARY), world.vars.clone()).await.unwrap()
}

/// What comes into the topics: files that are published twice, messages that are sent again and to another room, and
/// what cannot be used.
#[derive(Default)]
struct Topics {
    /// By stream and partition.
    next: BTreeMap<(LoadedTopic, i32), i64>,
    /// Each file's next line.
    lines: BTreeMap<(LoadedTopic, i32, u64), u64>,
    /// The next line of each file that is taken back: in its order, and only what has come.
    back: BTreeMap<(LoadedTopic, i32, u64), (u64, u64)>,
    records: u64,
}

impl Topics {
    /// Puts so many records, in objects of some few.
    async fn grow(&mut self, world: &World, count: usize, rng: &mut impl Rng) {
        let mut left = count;
        while left > 0 {
            let stream = LoadedTopic::ALL[rng.random_range(0..LoadedTopic::ALL.len())];
            let partition = rng.random_range(0..2);
            let records: Vec<_> =
                (0..rng.random_range(1..=left.min(12))).map(|_| self.record(stream, partition, rng)).collect();
            left -= records.len();
            world.put(stream, partition, &records).await;
        }
    }

    fn record(&mut self, stream: LoadedTopic, partition: i32, rng: &mut impl Rng) -> Record {
        self.records += 1;
        let next = self.next.entry((stream, partition)).or_default();
        let offset = *next;
        *next += 1;
        let timestamp_ms = START_MS + offset * 60_000 + rng.random_range(-HOUR_MS..HOUR_MS) / 4;
        if rng.random_bool(0.05) {
            return record(offset, timestamp_ms, "{}");
        }
        let made = match stream {
            LoadedTopic::CdrData | LoadedTopic::CdrVoice => {
                let source = rng.random_range(0..6_u64) * 2 + u64::from(partition.unsigned_abs());
                let (back, came) = self.back.entry((stream, partition, source)).or_insert((1, 0));
                if *back <= *came && rng.random_bool(0.15) {
                    let line = std::mem::replace(back, *back + 1);
                    let made = row(stream, offset, source, line);
                    if rng.random_bool(0.05) {
                        // Taken back once more, from the beginning.
                        *back = 1;
                    }
                    return Record { timestamp_ms, ..withdrawn(made) };
                }
                let line = self.lines.entry((stream, partition, source)).or_insert(1);
                *came = (*line).max(*came);
                if rng.random_bool(0.05) {
                    // Published once more, from the beginning.
                    *line = 1;
                }
                let line = std::mem::replace(line, *line + 1);
                row(stream, offset, source, line)
            }
            LoadedTopic::Messages => {
                let id = format!("m-{}", rng.random_range(0..offset / 2 + 5));
                message(offset, timestamp_ms, &id, &format!("r-{partition}-{}", rng.random_range(0..3)))
            }
            LoadedTopic::Rejected => {
                let line = rng.random_range(0..offset + 3);
                let value = format!(
                    r#"{{"reason":"bad_msisdn","detail":"none","rows":1,"file":{{"name":"cdr_data_20240101_100000.csv","source_id":"00000000000000{partition:02}","line":{line},"object":"o","from_byte":0,"to_byte":1}},"raw":"AA==","truncated":false}}"#
                );
                record(offset, timestamp_ms, value)
            }
        };
        Record { timestamp_ms, ..made }
    }
}

/// A file's row.
fn row(stream: LoadedTopic, offset: i64, source: u64, line: u64) -> Record {
    let time = format!("2024-01-01 {:02}:{:02}:00", 10 + source % 4, line % 60);
    if stream == LoadedTopic::CdrData {
        session(offset, source, line, &time)
    } else {
        call(offset, source, line, &time)
    }
}

fn call(offset: i64, source: u64, line: u64, time: &str) -> Record {
    let value = format!(
        r#"{{"msisdn":"2782123456{source}","tower_id":"{}","call_type":"voice","dest_nr":"112","call_duration_sec":"{line}","start_time":"{time}","_record_type":"voice","_source_id":"{source:016x}","_source_line":{line}}}"#,
        line % 2
    );
    record(offset, 0, value)
}

impl World {
    /// Ends the connection that holds the lock, as soon as one does.
    async fn rob(&self) {
        const SQL: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND granted";
        let mut looks = 0;
        while self.client.query(SQL, &[]).await.unwrap().is_empty() && looks < 200 {
            looks += 1;
        }
    }

    /// All tables and silver's rows, but for what tells runs and the time of loading.
    async fn everything(&self) -> BTreeMap<String, Vec<String>> {
        const TABLES: &str = "SELECT table_schema || '.' || table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
            FROM information_schema.columns
            WHERE table_schema IN ('raw', 'cdr_data', 'prepared_layers', 'analytics')
                AND column_name NOT IN ('batch_id', 'row_batch_id', 'upload_date', 'created_at')
            GROUP BY 1";
        let mut found = BTreeMap::new();
        for row in self.client.query(TABLES, &[]).await.unwrap() {
            let (table, columns): (String, String) = (row.get(0), row.get(1));
            let rows = self.texts(&format!("SELECT {columns} FROM {table} ORDER BY row({columns})::text")).await;
            found.insert(table, rows);
        }
        for (name, query) in [
            ("chunks", "SELECT topic, partition, sum(records), sum(accepted), sum(duplicates), sum(rejected), sum(withdrawn), min(start_offset), max(end_offset),
                sum(end_offset - start_offset) FROM ops.chunks WHERE loaded_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"),
            ("open chunks", "SELECT topic FROM ops.chunks WHERE loaded_at IS NULL"),
            ("objects", "SELECT key FROM ops.loaded_objects WHERE loaded_at IS NOT NULL ORDER BY 1"),
            ("lines", "SELECT topic, partition, source_id, max(last_line), max(withdrawn_line) FROM ops.source_lines GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"),
            ("keys", "SELECT topic, partition, key, first_offset FROM ops.record_keys ORDER BY 1, 2, 3"),
            ("unusable", "SELECT topic, partition, \"offset\", reason, value FROM ops.unusable_records ORDER BY 1, 2, 3"),
            ("unbalanced", "SELECT * FROM ops.layer_audit WHERE NOT is_balanced"),
        ] {
            found.insert(name.to_owned(), self.texts(query).await);
        }
        found.insert("silver".to_owned(), silver_rows(&self.silver().await));
        found
    }
}

/// The rows of all silver objects with their hours, in order.
fn silver_rows(objects: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut rows = Vec::new();
    for (key, bytes) in objects {
        let folder = key.rsplit_once('/').unwrap().0;
        let reader = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
        for row in reader.get_row_iter(None).unwrap() {
            rows.push(format!("{folder} {}", row.unwrap()));
        }
    }
    rows.sort();
    rows
}
